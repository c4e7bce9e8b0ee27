"""The recipe of ``limner train clip``: pictures and captions into one space.

InfoNCE with a learned temperature ("Learning Transferable Visual Models From Natural Language
Supervision", Radford et al. 2021, figure 3). The loss never holds the N×N matrix, and the towers
run in micro-batches with gradient caching, so a batch of any size fits.
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
from limner.picture import resize
from limner.training._checkpoint import replace_text
from limner.training._data import Captioned, to_tensor
from limner.training._gradient_cache import cached_backward
from limner.training._infonce import infonce
from limner.training._parts import model_folder
from limner.training._processes import processes
from limner.training._quiet import save_tokenizer
from limner.training._tokenizer import make_tokenizer
from limner.training._towers import Towers, build, check, open_towers, save_towers
from limner.training.loop import Plan, Progress, flush_denormals, open_run, train

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

__all__ = ["Clip", "Towers", "build", "clip"]

# CLIP's own constants, kept so that its preprocessing can be used with our models unchanged
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


class Clip:
    """Recipe.

    Args:
        data: captioned pictures.
        tokenizer: a ``CLIPTokenizer``; its ``model_max_length`` is the length of every caption.
        micro_batch: rows embedded at once; gradients are the same for any value.
        start: folder of a ``CLIPModel`` to go on from.
        size, tower, text, width, layers, patch: see ``build``; with ``start`` they are its own.
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
        micro_batch: int = 256,
        start: Path | None = None,
    ) -> None:
        if micro_batch < 1:
            raise BadInput(f"micro_batch {micro_batch}: give at least 1")
        self.data, self.tokenizer, self.micro_batch = data, tokenizer, micro_batch
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
        }
        if start:
            self.towers, self.model, self.built = open_towers(start)
        else:
            self.towers, self.model = build(**self.built)
        self.size = self.built["size"]
        self.players: Mapping[str, nn.Module] = {"towers": self.towers}

    def _tensors(self, pairs: tuple[np.ndarray, list[str]]) -> tuple[Tensor, Tensor]:
        pictures, captions = pairs
        length = self.tokenizer.model_max_length
        tokens = self.tokenizer(
            captions, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
        small = resize(to_tensor(pictures).float() / 255, (self.size, self.size))
        mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
        return (small - mean) / std, tokens.input_ids

    def batch(self, step: int, size: int, rank: int, ranks: int) -> tuple[Tensor, Tensor]:
        """Normalised pictures (b, 3, s, s) and token ids (b, n)."""
        return self._tensors(self.data.step(step, size, rank, ranks))

    def learn(
        self,
        player: str,
        batch: tuple[Tensor, Tensor],
        step: int,
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor]:
        device = self.towers.logit_scale.device
        inputs = [part.to(device) for part in batch]
        group = dist.group.WORLD if dist.is_available() and dist.is_initialized() else None

        def loss(pictures: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
            return infonce(pictures, texts, scale, group=group)

        if len(inputs[0]) <= self.micro_batch:
            value = loss(*self.towers(*inputs))
            backward(value)
        else:
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
    micro_batch: int = 256,
    start: str | None = None,
    resume: bool = False,
) -> Iterator[Progress]:
    """Train a CLIP on captioned pictures; ``run/model`` is a transformers ``CLIPModel`` folder.

    Args:
        tower: vit or resnet.
        text: transformer or bag_of_words.
        vocab_size: token ids at most, learned from the first 4,000 captions.
        length: tokens of a caption, start and end among them.
        size: pixels of a picture's side as the tower sees it.
        width: numbers in each token's state, and in an embedding.
        layers: of each transformer.
        patch: pixels of a patch's side (vit).
        micro_batch: pairs embedded at once; any value gives the same gradients.
        start: CLIPModel folder to go on from, or embedded; it brings its tokenizer and its sizes.
        resume: go on from the last checkpoint in the run's folder.
    """
    flush_denormals()
    check(tower, text, size, width, layers, patch)
    begun = model_folder(start, "clip") if start else None
    open_run(run, resume)
    captioned = Captioned(data, plan.seed)
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
        micro_batch=micro_batch,
        start=begun,
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
