"""CLIP's two towers for running: transformers' CLIPModel, or what `limner train clip` wrote.

Both are read into one class, whose names are those of the training.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limner.errors import BadInput
from limner.models import _folder
from limner.models._transformer import TextTower, VisionTower
from limner.nets.bag_of_words import BagOfWords
from limner.nets.resnet_tower import SMALL, ResNetTower

__all__ = ["OWN", "Pictures", "Texts", "Towers", "own_towers", "placed", "transformers_towers"]

OWN = "towers.json"  # beside towers.safetensors: arguments of limner.training._towers.build

# What transformers takes where a config says nothing: the sizes of the published ViT-B/32.
_TEXT = {"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8}
_TEXT |= {"num_hidden_layers": 12}
_VISION = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}
_VISION |= {"num_hidden_layers": 12, "image_size": 224, "patch_size": 32}
# CLIPModel's names, and ours
_PLACES = {
    "vision_model.": "pictures.tower.",
    "visual_projection.": "pictures.projection.",
    "text_model.": "texts.tower.",
    "text_projection.": "texts.projection.",
}
_HEAD = 64  # numbers of a state that one head of attention sees, in limner's own


class Pictures(nn.Module):
    """(b, 3, side, side) → (b, shared): the class token's last state, projected."""

    def __init__(self, config: dict[str, Any], shared: int) -> None:
        super().__init__()
        self.tower = VisionTower(config)
        self.projection = nn.Linear(config["hidden_size"], shared, bias=False)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.projection(self.tower(pictures))


class Texts(nn.Module):
    """(b, n) → (b, shared): the end token's last state, projected."""

    def __init__(self, config: dict[str, Any], shared: int) -> None:
        super().__init__()
        self.tower = TextTower(config)
        self.projection = nn.Linear(config["hidden_size"], shared, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.projection(self.tower.pooled(tokens))


class Towers(nn.Module):
    """Two towers that end in one space.

    pictures: normalised (b, 3, side, side) → (b, d). texts: tokens (b, n ≤ length) → (b, d).
    biased:   trained as a SigLIP is, each pair of picture and text by itself
    padded:   its text tower sees what a text is filled up with, so that texts have full length
    """

    def __init__(
        self,
        pictures: nn.Module,
        texts: nn.Module,
        side: int,
        length: int,
        biased: bool = False,
        padded: bool = False,
    ) -> None:
        super().__init__()
        self.pictures, self.texts, self.side, self.length = pictures, texts, side, length
        self.padded = padded
        self.logit_scale = nn.Parameter(torch.empty(()))
        self.logit_bias = nn.Parameter(torch.empty(())) if biased else None

    def vit(self) -> Pictures:
        """The picture tower, where something is asked that only a ViT's patches can tell."""
        if not isinstance(self.pictures, Pictures):
            raise BadInput(
                "this CLIP's tower has no class token and patches: give one of CLIP's ViTs"
            )
        return self.pictures


def transformers_towers(config: dict[str, Any], folder: Path) -> Towers:
    """Those of a CLIPModel. Raises BadInput where config or weights are not one's."""
    said = [config.get(f"{part}_config") or {} for part in ("text", "vision")]
    if not all(isinstance(part, dict) for part in said):
        raise BadInput(f"the config in {str(folder)!r} has no text_config or vision_config")
    text, vision = _TEXT | said[0], _VISION | said[1]
    for part in (text, vision):
        _folder.check_numbers(part, folder)
    state = {
        placed(key): weight
        for key, weight in _folder.weights(folder).items()
        if not key.endswith("position_ids")
    }
    shared = config.get("projection_dim", 512)

    def make(_: dict[str, Any]) -> Towers:
        pictures, texts = Pictures(vision, shared), Texts(text, shared)
        return Towers(pictures, texts, pictures.tower.side, texts.tower.length)

    return _folder.assembled(make, config, state, folder)


def placed(key: str) -> str:
    """CLIPModel's name of a tensor → that of `Towers`."""
    for theirs, ours in _PLACES.items():
        if key.startswith(theirs):
            return ours + key.removeprefix(theirs)
    return key


def own_towers(folder: Path) -> tuple[Towers, Path]:
    """Those of `limner train clip` that transformers does not have, and the file of their weights.

    Raises BadInput where the description or the weights are not theirs.
    """
    file = folder / "towers.safetensors"
    if not file.is_file():
        raise BadInput(f"{str(folder / OWN)!r} describes towers, but {file.name} is missing")
    state = _folder.tensors([file])
    built = _folder.read_json(folder / OWN)
    return _folder.assembled(_built, built, state, folder), file


def _built(built: dict[str, Any]) -> Towers:
    """As limner.training._towers.build makes them."""
    width, size, length = built["width"], built["size"], built["length"]
    both = {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": built["layers"],
        "num_attention_heads": width // _HEAD,
        "hidden_act": "gelu",
    }
    pictures: nn.Module
    if built["tower"] == "resnet":
        pictures = ResNetTower(width, built.get("channels", 32), SMALL, size)
    else:
        vision = {"image_size": size, "patch_size": built["patch"]}
        pictures = Pictures(both | vision, width)
    texts: nn.Module
    words, end = built["vocabulary"], built["end"]
    if built["text"] == "bag_of_words":
        texts = BagOfWords(words, width, output_dim=width, end=end)
    else:
        text = {"vocab_size": words, "max_position_embeddings": length, "eos_token_id": end}
        texts = Texts(both | text, width)
    return Towers(pictures, texts, size, length)
