"""The recipe of ``limner train clip``: pictures and captions into one space.

InfoNCE with a learned temperature ("Learning Transferable Visual Models From Natural Language
Supervision", Radford et al. 2021, figure 3). The loss never holds the N×N matrix, and the towers
run in micro-batches with gradient caching, so a batch of any size fits.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from limner.data import CaptionedPictures
from limner.picture import resize
from limner.training._data import Captioned, to_tensor
from limner.training._gradient_cache import cached_backward
from limner.training._infonce import infonce
from limner.training._tokenizer import make_tokenizer
from limner.training.loop import Plan, Progress, flush_denormals, train

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

__all__ = ["Clip", "Towers", "build", "clip"]

# CLIP's own constants, kept so that its preprocessing can be used with our models unchanged
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


class Towers(nn.Module):
    """A picture tower and a text tower that end in the same space, and the temperature.

    ``pictures``: (b, 3, s, s) normalised → (b, d). ``texts``: ids (b, n) → (b, d). Not normalised.
    """

    def __init__(self, pictures: nn.Module, texts: nn.Module) -> None:
        super().__init__()
        self.pictures, self.texts = pictures, texts
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))  # section 2.5

    def forward(self, pictures: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised embeddings (b, d) of both, and the factor of their products, at most 100."""
        scale = self.logit_scale.clamp(max=math.log(100)).exp()
        return _unit(self.pictures(pictures)), _unit(self.texts(ids)), scale


def _unit(embeddings: Tensor) -> Tensor:
    return nn.functional.normalize(embeddings.float(), dim=-1)


class _Projected(nn.Module):
    """A transformers tower and CLIP's projection of its pooled output."""

    def __init__(self, tower: nn.Module, projection: nn.Module) -> None:
        super().__init__()
        self.tower, self.projection = tower, projection

    def forward(self, inputs: Tensor) -> Tensor:
        return self.projection(self.tower(inputs).pooler_output)


def _transformers_clip(
    vocabulary: int, end: int, length: int, size: int, width: int, layers: int, patch: int
) -> nn.Module:
    """A ``CLIPModel`` both of whose towers have ``width`` and ``layers``."""
    from transformers import CLIPConfig, CLIPModel

    both = {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 64,
        "hidden_act": "gelu",
        "projection_dim": width,
    }
    text = both | {
        "vocab_size": vocabulary,
        "max_position_embeddings": length,
        "bos_token_id": end - 1,
        "eos_token_id": end,
        "pad_token_id": end,
    }
    vision = both | {"image_size": size, "patch_size": patch}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=width))


def build(
    vocabulary: int,
    end: int,
    *,
    tower: str = "vit",
    text: str = "transformer",
    length: int = 32,
    size: int = 64,
    width: int = 256,
    layers: int = 4,
    patch: int = 8,
) -> tuple[Towers, nn.Module]:
    """The towers by name, and the ``CLIPModel`` that holds those of them that transformers has.

    Args:
        vocabulary, end: number of token ids, and the id that ends (and pads) a caption.
        tower: ``vit`` or ``resnet``. text: ``transformer`` or ``bag_of_words``.
        length: tokens of a caption. size: pixels of a picture's side.
    """
    from limner.nets.bag_of_words import BagOfWords
    from limner.nets.resnet_tower import ResNetTower

    model = _transformers_clip(vocabulary, end, length, size, width, layers, patch)
    pictures: nn.Module = _Projected(model.vision_model, model.visual_projection)
    texts: nn.Module = _Projected(model.text_model, model.text_projection)
    if tower == "resnet":
        pictures = ResNetTower(output_dim=width, width=32, layers=(2, 2, 2, 2), input_size=size)
    if text == "bag_of_words":
        texts = BagOfWords(vocabulary, width, output_dim=width, end=end)
    return Towers(pictures, texts), model


class Clip:
    """Recipe.

    Args:
        data: captioned pictures.
        tokenizer: a ``CLIPTokenizer``; its ``model_max_length`` is the length of every caption.
        micro_batch: rows embedded at once; gradients are the same for any value.
        size, tower, text, width, layers, patch: see ``build``.
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
    ) -> None:
        self.data, self.tokenizer, self.size, self.micro_batch = data, tokenizer, size, micro_batch
        self.kinds = (tower, text)
        self.towers, self.model = build(
            len(tokenizer),
            tokenizer.eos_token_id,
            tower=tower,
            text=text,
            length=tokenizer.model_max_length,
            size=size,
            width=width,
            layers=layers,
            patch=patch,
        )
        self.players: dict[str, nn.Module] = {"towers": self.towers}

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

    def retrieval(self, count: int = 256) -> float:
        """How often a caption's best picture among ``count`` unseen ones is its own."""
        self.towers.eval()
        device = self.towers.logit_scale.device
        with torch.no_grad():
            pictures, ids = (part.to(device) for part in self._tensors(self.data.unseen(count)))
            seen, read, _ = self.towers(pictures, ids)
        return (
            (read @ seen.T).argmax(1).eq(torch.arange(count, device=device)).float().mean().item()
        )

    def preview(self, step: int, folder: Path) -> None:
        line = json.dumps({"step": step, "retrieval_of_256": round(self.retrieval(), 4)})
        with (folder / "retrieval.jsonl").open("a") as file:
            file.write(line + "\n")

    def export(self, folder: Path) -> None:
        """A ``CLIPModel`` folder with tokenizer and preprocessing.

        Towers that transformers does not have (ResNet, bag of words) are saved beside it in
        ``towers.safetensors``, described in ``towers.json``.
        """
        with torch.no_grad():
            self.model.logit_scale.copy_(self.towers.logit_scale.clamp(max=math.log(100)))
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        self._export_preprocessor(folder)
        if self.kinds != ("vit", "transformer"):
            from safetensors.torch import save_file

            save_file(dict(self.towers.state_dict()), folder / "towers.safetensors")
            described = dict(zip(("tower", "text"), self.kinds, strict=True))
            (folder / "towers.json").write_text(json.dumps(described, indent=1))

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
    """
    from transformers import CLIPTokenizer

    flush_denormals()
    captioned = Captioned(data, plan.seed)
    folder = run / "tokenizer"
    if resume and (folder / "tokenizer.json").exists():
        tokenizer = CLIPTokenizer.from_pretrained(folder)
    else:
        captions = captioned.captions(4000)
        tokenizer = make_tokenizer(captions, folder, vocab_size=vocab_size, length=length)
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
    )
    yield from train(recipe, plan, run, resume=resume)
