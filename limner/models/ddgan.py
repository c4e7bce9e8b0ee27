"""Denoising diffusion GANs (Xiao et al. 2022), as `limner train ddgan` writes them.

A folder holds diffusers' UNet2DModel (config.json and its weights), mapping.safetensors (what z
becomes) and limner.json: recipe, levels, mapping.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limner.errors import BadInput
from limner.levels import CLEAN, Level, vp_level
from limner.models import _folder
from limner.models._bounds import refusing
from limner.models._text_to_image import moved
from limner.models.pixels import Card, from_symmetric, sde_table, symmetric
from limner.nets.ddgan import Generator, Mapping
from limner.noise import Noise

__all__ = ["CARD", "MAPPING", "RECIPE", "Ddgan", "is_ddgan", "ladder", "open_ddgan"]

RECIPE, CARD, MAPPING = "ddgan", "limner.json", "mapping.safetensors"
_BETAS = (0.1, 20.0)  # of the variance-preserving process, appendix C
_MOST_LEVELS = 64


def ladder(count: int) -> list[Level]:
    """count + 1 levels: of the variance-preserving SDE at the times 1, 1 − 1/count … 1/count, and
    CLEAN (section 5: few large steps of one continuous process)."""
    times = torch.arange(count, 0, -1, dtype=torch.float64) / count
    kept = sde_table(Card(RECIPE, "vp", _BETAS), times)
    return [*(vp_level(float(each)) for each in kept), CLEAN]


@dataclass(frozen=True, eq=False)
class Ddgan:
    """What `open_ddgan` gives. Nothing changes it: `to` gives another.

    count:  of the levels that it has learned, and its usual number of steps
    """

    name: str
    generator: nn.Module  # generator(x, timesteps, z) → x0
    count: int
    width: int  # numbers of z
    channels: int  # 1 or 3
    size: int  # pixels of a side
    files: tuple[Path, ...] = ()
    licence: str = "see whoever trained it"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32

    @property
    def precision(self) -> str:
        """What a recipe says of it."""
        return str(self.dtype).removeprefix("torch.")

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the model's files: what a recipe remembers it by."""
        return _folder.fingerprint(self.files)

    def to(self, device: str | torch.device) -> Ddgan:
        device = torch.device(device)
        if device == self.device:
            return self
        other = replace(self, generator=moved(self.generator, device, self.dtype), device=device)
        vars(other)["fingerprint"] = self.fingerprint
        return other

    def levels(self, steps: int) -> list[Level]:
        """steps + 1 of the levels that it has learned. Raises BadInput where these do not fit."""
        if not 1 <= steps <= self.count or self.count % steps:
            fits = [str(n) for n in range(1, self.count + 1) if self.count % n == 0]
            raise BadInput(
                f"{steps} steps of {self.name!r}, which learned {self.count} levels: give "
                f"{', '.join(fits)}"
            )
        return ladder(self.count)[:: self.count // steps]

    def draw(self, x: Tensor, k: int, z: Tensor) -> Tensor:
        """x0 (b, c, h, w) drawn for x at the level k, 0 the noisiest."""
        time = 1000 * (self.count - k) / self.count
        timesteps = torch.full((len(x),), time, dtype=torch.float32, device=x.device)
        said: Tensor = self.generator(x, timesteps, z)
        return said

    def start(self, noise: Noise) -> Tensor:
        """x (b, c, h, w) at the noisiest level."""
        return noise.normal((self.channels, self.size, self.size)).to(self.device)

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1] → (b, c, h, w) in [−1, 1]."""
        return symmetric(pictures, self.channels)

    def preview(self, x: Tensor) -> Tensor:
        """What `decode` gives."""
        return self.decode(x)

    def decode(self, x: Tensor) -> Tensor:
        """(b, c, h, w) in about [−1, 1] → pictures (b, 3, h, w) in [0, 1]."""
        return from_symmetric(x)


def is_ddgan(name: str | Path) -> bool:
    """Whether a folder holds one; BadInput where it is no folder."""
    folder = _folder.find_folder(name)
    return _folder.read_json(folder / CARD, missing={}).get("recipe") == RECIPE


@refusing
def open_ddgan(name: str | Path) -> Ddgan:
    """Opens a folder; float32, on the CPU. Only safetensors are read.

    Raises BadInput where it is missing, broken, or was not written by this recipe.
    """
    folder = _folder.find_folder(name)
    card = _folder.read_json(folder / CARD, missing={})
    count, shape = card.get("levels"), card.get("mapping")
    if card.get("recipe") != RECIPE or not isinstance(shape, dict) or type(count) is not int:
        raise BadInput(f"{str(folder)!r} is no folder that limner train ddgan wrote")
    config = _folder.read_json(folder / "config.json")
    channels, side = config.get("in_channels"), config.get("sample_size")
    fits = config.get("_class_name") == "UNet2DModel" and channels == config.get("out_channels")
    if not fits or channels not in (1, 3) or type(side) is not int:
        raise BadInput(
            f"the network in {str(folder)!r} is no UNet2DModel of 1 or 3 channels, as limner "
            "train ddgan writes it"
        )
    if set(shape) != {"noise", "width", "layers"} or not 1 <= count <= _MOST_LEVELS:
        raise BadInput(f"{str(folder / CARD)!r} says levels {count!r} and mapping {shape!r}")
    unet = _folder.assembled(_library, config, _folder.weights(folder), folder)
    weights = _folder.tensors([folder / MAPPING])
    mapping = _folder.assembled(_mapping, shape, weights, folder)
    assert isinstance(mapping, Mapping)  # what `_mapping` makes
    files = (*_folder.weight_files(folder), folder / "config.json", folder / MAPPING, folder / CARD)
    return Ddgan(
        name=str(name),
        generator=Generator(unet, mapping).eval(),
        count=count,
        width=int(shape["noise"]),
        channels=channels,
        size=side,
        files=files,
        licence=str(card.get("licence", "see whoever trained it")),
    )


def _library(config: dict[str, Any]) -> nn.Module:
    from diffusers.models.unets.unet_2d import UNet2DModel

    unet = UNet2DModel.from_config(config)
    assert isinstance(unet, nn.Module)
    return unet


def _mapping(shape: dict[str, Any]) -> nn.Module:
    return Mapping(shape["noise"], shape["width"], shape["layers"])
