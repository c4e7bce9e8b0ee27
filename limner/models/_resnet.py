"""Small ResNets that look at pictures: opened from transformers' ``ResNetForImageClassification``
folders, with their preprocessing in them."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limner.errors import BadInput
from limner.models import _folder
from limner.models.embedded import folder as embedded_folder
from limner.picture import resize

__all__ = ["ResNet", "open_resnet"]

_MIDDLE = (0.5, 0.5, 0.5)


@dataclass(frozen=True, eq=False)
class ResNet:
    """Pictures → one logit for each label, with gradients."""

    name: str
    network: nn.Module  # network(pictures).logits
    labels: tuple[str, ...]
    side: int  # of the pictures it sees, pixels
    mean: tuple[float, ...]
    std: tuple[float, ...]
    licence: str
    files: tuple[Path, ...]

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return next(self.network.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """In which type of numbers."""
        return next(self.network.parameters()).dtype

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the model's files."""
        return _folder.fingerprint(self.files)

    def to(self, device: str | torch.device, dtype: torch.dtype = torch.float32) -> ResNet:
        """The network on a device in a floating type; itself where it is so already."""
        device = torch.device(device)
        if (device, dtype) == (self.device, self.dtype):
            return self
        return replace(self, network=copy.deepcopy(self.network).to(device, dtype))

    def logits(self, pictures: Tensor) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1] of any size, of which the middle square is seen →
        (b, k), in the network's type."""
        height, width = pictures.shape[2:]
        short = min(height, width)
        top, left = (height - short) // 2, (width - short) // 2
        square = pictures[:, :, top : top + short, left : left + short]
        shown = resize(square.to(self.device, self.dtype), (self.side, self.side))
        mean, std = (shown.new_tensor(each)[:, None, None] for each in (self.mean, self.std))
        ordered = ((shown - mean) / std).contiguous(memory_format=torch.channels_last)
        found: Tensor = self.network(ordered).logits
        return found


def open_resnet(name: str | Path, recipe: str) -> ResNet:
    """What `limner train RECIPE` wrote: "embedded", a folder or a hub id; float32, on the CPU.

    Only safetensors are read. Raises BadInput when it is missing, pickled, broken or another's.
    """
    folder = embedded_folder(recipe) if name == "embedded" else _folder.find_folder(name)
    if not (folder / "config.json").is_file():
        _folder.refuse_pickled(folder)
    config = _folder.read_json(folder / "config.json")
    card = _folder.read_json(folder / "limner.json", missing={})
    if config.get("model_type") != "resnet" or card.get("recipe") != recipe:
        raise BadInput(
            f"{str(folder)!r} holds no network of limner train {recipe}: give a folder that it "
            "wrote, or embedded"
        )
    seen, labels = _folder.read_json(folder / "preprocessor_config.json"), _labels(config, folder)
    return ResNet(
        name=str(name),
        network=_folder.assembled(_built, config, _folder.weights(folder), folder),
        labels=labels,
        side=_side(seen, folder),
        mean=_three(seen, "image_mean", folder),
        std=_three(seen, "image_std", folder),
        licence=str(card.get("licence", "see the model's own page")),
        files=(*_folder.weight_files(folder), folder / "config.json"),
    )


def _built(config: dict[str, Any]) -> nn.Module:
    from transformers import ResNetConfig, ResNetForImageClassification

    network: nn.Module = ResNetForImageClassification(ResNetConfig(**config))
    return network


def _labels(config: dict[str, Any], folder: Path) -> tuple[str, ...]:
    """In the order of the logits."""
    told = config.get("id2label")
    try:
        return tuple(str(told[str(number)]) for number in range(len(told)))  # type: ignore[index, arg-type]
    except (KeyError, TypeError):
        raise BadInput(f"{str(folder)!r} does not name its logits: id2label is {told!r}") from None


def _side(seen: dict[str, Any], folder: Path) -> int:
    crop = seen.get("crop_size")
    side = crop.get("height") if isinstance(crop, dict) else crop
    if not isinstance(side, int) or not 32 <= side <= 4096:
        raise BadInput(f"{str(folder)!r} says crop_size = {crop!r}: expected 32 to 4096 pixels")
    return side


def _three(seen: dict[str, Any], key: str, folder: Path) -> tuple[float, ...]:
    values = seen.get(key, _MIDDLE)
    fits = isinstance(values, (list, tuple)) and len(values) == 3
    if not fits or not all(isinstance(value, (int, float)) and value > 0 for value in values):
        raise BadInput(f"{str(folder)!r} says {key} = {values!r}: expected three numbers above 0")
    return tuple(values)
