"""The recipe of ``limner train clip``: pictures and captions into one space.

InfoNCE with a learned temperature ("Learning Transferable Visual Models From Natural Language
Supervision", Radford et al. 2021, figure 3). The loss never holds the N×N matrix, and the towers
run in micro-batches with gradient caching, so a batch of any size fits. With ``robust`` it becomes
a judge that a search cannot cheat cheaply (_robust.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from limner.data import CaptionedPictures
from limner.errors import BadInput
from limner.noise import Noise
from limner.picture import resize
from limner.training._checkpoint import replace_text
from limner.training._data import Captioned, drawing, to_tensor
from limner.training._gradient_cache import cached_backward
from limner.training._infonce import infonce
from limner.training._parts import model_folder
from limner.training._pool import pooled
from limner.training._processes import processes
from limner.training._quiet import save_tokenizer
from limner.training._robust import Robust, views_of
from limner.training._tokenizer import make_tokenizer
from limner.training._towers import Towers, build, check, open_towers, save_towers
from limner.training.loop import Plan, Progress, flush_denormals, open_run, train

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

__all__ = ["Clip", "Towers", "build", "clip"]

# CLIP's own constants, kept so that its preprocessing can be used with our models unchanged
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)

GROWTH = 0.5  # share of a training's steps in which the radius of its attacks grows


class Clip:
    """Recipe.

    Args:
        data: captioned pictures.
        tokenizer: a ``CLIPTokenizer``; its ``model_max_length`` is the length of every caption.
        micro_batch: rows embedded at once; gradients are the same for any value.
        start: folder of a CLIP to go on from.
        robust: how pictures are attacked; None: they are not.
        size, tower, text, width, layers, patch, channels: see ``build``; with ``start`` its own.
    """

    def __init__(
        self,
        data: Captioned,
        tokenizer: CLIPTokenizer,
        *,
        tower: str = "vit",
        text: str = "transformer",
        size: int = 64,
        width: int = 256,
        layers: int = 4,
        patch: int = 8,
        channels: int = 32,
        micro_batch: int = 256,
        start: Path | None = None,
        robust: Robust | None = None,
    ) -> None:
        if micro_batch < 1:
            raise BadInput(f"micro_batch {micro_batch}: give at least 1")
        self.data, self.tokenizer, self.micro_batch = data, tokenizer, micro_batch
        self.robust = robust
        self.built: dict[str, Any] = {
            "vocabulary": len(tokenizer),
            "end": tokenizer.eos_token_id,
            "tower": tower,
            "text": text,
            "length": tokenizer.model_max_length,
            "size": size,
            "width": width,
            "layers": layers,
            "patch": patch,
            "channels": channels,
        }
        if start:
            self.towers, self.model, self.built = open_towers(start)
        else:
            self.towers, self.model = build(**self.built)
        self.size = self.built["size"]
        self.players: Mapping[str, nn.Module] = {"towers": self.towers}

    def _ids(self, captions: list[str]) -> Tensor:
        """(b, n), as long as the longest caption: what would follow its end, no end has seen."""
        length = self.tokenizer.model_max_length
        told = self.tokenizer(
            captions, padding="longest", max_length=length, truncation=True, return_tensors="pt"
        )
        ids: Tensor = told.input_ids
        return ids

    def _whole(self, pictures: np.ndarray) -> Tensor:
        """uint8 (b, h, w, 3) → (b, 3, s, s) in [0, 1]."""
        return resize(to_tensor(pictures).float() / 255, (self.size, self.size))

    def _tensors(self, pairs: tuple[np.ndarray, list[str]]) -> tuple[Tensor, Tensor]:
        pictures, captions = pairs
        mean, std = _statistics()
        return (self._whole(pictures) - mean) / std, self._ids(captions)

    def batch(self, step: int, size: int, rank: int, ranks: int) -> tuple[Tensor, Tensor]:
        """Normalised pictures (b, 3, s, s) and token ids (b, n).

        Of a robust training: in an order of their own, the clean ones first, then views.
        """
        pictures, captions = self.data.step(step, size, rank, ranks)
        if not self.robust:
            return self._tensors((pictures, captions))
        # Shuffled, because worlds may draw pictures in groups whose first one is special.
        order = drawing(self.data.seed, step, rank, "clean").permutation(size)
        pictures, clean = pictures[order], self.robust.clean(size)
        noise = Noise(self.data.seed, range(rank * size + clean, (rank + 1) * size))
        views = views_of(to_tensor(pictures[clean:]).float() / 255, self.size, noise, step)
        mean, std = _statistics()
        seen = (torch.cat([self._whole(pictures[:clean]), views]) - mean) / std
        return seen, self._ids([captions[row] for row in order])

    def learn(
        self,
        player: str,
        batch: tuple[Tensor, Tensor],
        step: int,
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor]:
        device = self.towers.logit_scale.device
        pictures, ids = (part.to(device) for part in batch)
        if self.robust:
            std = _statistics()[1].to(device)
            how = (std, step, self.micro_batch)
            pictures = self.robust.attacked(self.towers, pictures, ids, *how)
        group = dist.group.WORLD if dist.is_available() and dist.is_initialized() else None

        def loss(pictures: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
            return infonce(pictures, texts, scale, group=group)

        if len(pictures) <= self.micro_batch:
            value = loss(*self.towers(pictures, ids))
            backward(value)
        else:
            inputs = [pictures, ids]
            value = cached_backward(
                self.towers, inputs, loss, micro_batch=self.micro_batch, backward=backward
            )
        return {"infonce": value.detach(), "logit_scale": self.towers.logit_scale.exp().detach()}

    @torch.no_grad()
    def retrieval(self, count: int = 256) -> float:
        """How often a caption's best picture among ``count`` unseen ones is its own."""
        training = self.towers.training
        self.towers.eval()
        device = self.towers.logit_scale.device
        pairs = self.data.unseen(min(count, self.data.kept))
        pictures, ids = (part.to(device) for part in self._tensors(pairs))
        seen, read, _ = self.towers(pictures, ids)
        self.towers.train(training)
        own = torch.arange(len(seen), device=device)
        return float((read @ seen.T).argmax(1).eq(own).float().mean())

    def preview(self, step: int, folder: Path) -> None:
        """A line of ``retrieval.jsonl``; a step that is learned again overwrites its line."""
        file = folder / "retrieval.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        before = [line for line in lines if json.loads(line)["step"] < step]
        now = {
            "step": step,
            "of": min(256, self.data.kept),
            "retrieval": round(self.retrieval(), 4),
        }
        replace_text(file, "".join(line + "\n" for line in [*before, json.dumps(now)]))

    def export(self, folder: Path) -> None:
        """A ``CLIPModel`` folder with tokenizer and preprocessing.

        Of towers that transformers does not have (ResNet, bag of words), see ``save_towers``.
        """
        save_towers(self.towers, self.model, self.built, folder)
        save_tokenizer(self.tokenizer, folder)
        self._export_preprocessor(folder)

    def _export_preprocessor(self, folder: Path) -> None:
        steps = {
            "image_processor_type": "CLIPImageProcessor",
            "do_resize": True,
            "size": {"shortest_edge": self.size},
            "resample": 3,  # bicubic
            "do_center_crop": True,
            "crop_size": {"height": self.size, "width": self.size},
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": MEAN,
            "image_std": STD,
            "do_convert_rgb": True,
        }
        (folder / "preprocessor_config.json").write_text(json.dumps(steps, indent=1))


def _statistics() -> tuple[Tensor, Tensor]:
    """CLIP's mean and standard deviation (3, 1, 1)."""
    return torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)


def clip(
    data: CaptionedPictures,
    run: Path,
    plan: Plan,
    *,
    tower: str = "vit",
    text: str = "transformer",
    vocab_size: int = 1024,
    length: int = 32,
    size: int = 64,
    width: int = 256,
    layers: int = 4,
    patch: int = 8,
    channels: int = 32,
    robust: float = 0.0,
    robust_steps: int = 2,
    micro_batch: int = 256,
    drawn: int = 0,
    start: str | None = None,
    resume: bool = False,
    watch: Callable[[int, int], None] | None = None,
) -> Iterator[Progress]:
    """Train a CLIP on captioned pictures; ``run/model`` is a transformers ``CLIPModel`` folder.

    A robust one is a judge for searches: three pictures in four are seen as a search shows them,
    and moved to where the towers are most wrong (Madry et al. 2018).

    Args:
        tower: vit or resnet.
        text: transformer or bag_of_words.
        vocab_size: token ids at most, learned from the first 4,000 captions.
        length: tokens of a caption, start and end among them.
        size: pixels of a picture's side as the tower sees it.
        width: numbers in each token's state, and in an embedding.
        layers: of each transformer.
        patch: pixels of a patch's side (vit).
        channels: after the first convolutions (resnet); they double with every stage.
        robust: how far pictures are moved in the end (L2, of one as the tower sees it, in [0, 1]),
            growing over half of the steps: 2 is much; 0 for not at all.
        robust_steps: of the search for where to move a picture; each costs half a step more.
        micro_batch: pairs embedded at once; any value gives the same gradients.
        drawn: pairs that are drawn beforehand and kept in the run's folder; 0 draws each anew.
        start: folder of a CLIP to go on from, or embedded; it brings its tokenizer and its sizes.
        resume: go on from the last checkpoint in the run's folder.
        watch: told how many pairs are drawn, of how many.
    """
    flush_denormals()
    check(tower, text, size, width, layers, patch, channels)
    if drawn < 0 or drawn == 1:
        raise BadInput(f"drawn {drawn}: give 2 or more, or 0 to draw each anew")
    attacks = Robust(robust, robust_steps, round(GROWTH * plan.steps)) if robust else None
    begun = model_folder(start, "clip") if start else None
    open_run(run, resume)
    source = pooled(data, run / "pictures", drawn, watch) if drawn else data
    captioned = Captioned(source, plan.seed)
    tokenizer = _tokenizer(captioned, run, vocab_size, length, begun)
    torch.manual_seed(plan.seed)
    recipe = Clip(
        captioned,
        tokenizer,
        tower=tower,
        text=text,
        size=size,
        width=width,
        layers=layers,
        patch=patch,
        channels=channels,
        micro_batch=micro_batch,
        start=begun,
        robust=attacks,
    )
    yield from train(recipe, plan, run, resume=resume)


def _tokenizer(
    data: Captioned, run: Path, vocab_size: int, length: int, start: Path | None
) -> CLIPTokenizer:
    """That of the model to go on from; or the run's, learned from its captions when it begins."""
    from transformers import CLIPTokenizer

    if start:
        return CLIPTokenizer.from_pretrained(start)
    here, folder = processes(), run / "tokenizer"
    with here.main_process_first():
        if (run / "checkpoints").exists() or not here.is_main_process:
            return CLIPTokenizer.from_pretrained(folder)
        return make_tokenizer(data.captions(4000), folder, vocab_size=vocab_size, length=length)
