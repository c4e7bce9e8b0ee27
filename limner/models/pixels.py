"""Diffusion on pixels, without words: diffusers' UNet2DModel with limner's card beside it, as
`limner train iddpm` and `limner train score-sde` write them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limner.errors import BadInput
from limner.levels import SCHEDULES, Level, alpha_bars, geometric_levels, vp_levels
from limner.models import _folder
from limner.models._bounds import refusing
from limner.models._text_to_image import moved

__all__ = [
    "Card",
    "Pixels",
    "from_symmetric",
    "open_pixels",
    "sde_table",
    "symmetric",
    "tables",
]

TIMES = 1000  # entries of a table, and what timesteps are told in
EARLIEST = 1e-3  # of a continuous time in [0, 1]: below it there is no noise to speak of
_GREY = (0.299, 0.587, 0.114)  # of ITU-R BT.601


@dataclass(frozen=True)
class Card:
    """What limner.json says of a model of this kind.

    schedule:  a name of `alpha_bars`, or vp or ve for the stochastic differential equations
    ends:      β of vp at time 0 and 1, or the least and the greatest σ of ve
    learned:   its second half of channels says the variance (Nichol & Dhariwal 2021)
    """

    recipe: str
    schedule: str
    ends: tuple[float, float] = (0.0, 0.0)
    learned: bool = False
    licence: str = "see whoever trained it"


def sde_table(card: Card, times: Tensor) -> Tensor:
    """ᾱ (n,) float64 at times (n,) in [0, 1] (Song et al. 2021, appendix C): of vp itself, of ve
    that of the VP level with the same σ/α."""
    low, high = card.ends
    if card.schedule == "vp":
        return torch.exp(-0.5 * times**2 * (high - low) - times * low)
    return 1 / (1 + (low * (high / low) ** times) ** 2)


def tables(card: Card) -> Tensor:
    """ᾱ (1000,) of a card."""
    if card.schedule in SCHEDULES:
        return alpha_bars(card.schedule, TIMES)
    return sde_table(card, torch.linspace(EARLIEST, 1, TIMES, dtype=torch.float64))


@dataclass(frozen=True, eq=False)
class Pixels:
    """What `open_pixels` gives. Nothing changes it: `to` gives another."""

    name: str
    unet: nn.Module  # unet(x, timesteps).sample
    card: Card
    table: Tensor  # ᾱ (T,) float64
    channels: int  # 1 or 3
    size: int  # pixels of a side
    files: tuple[Path, ...] = ()
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

    def to(self, device: str | torch.device) -> Pixels:
        device = torch.device(device)
        if device == self.device:
            return self
        other = replace(self, unet=moved(self.unet, device, self.dtype), device=device)
        vars(other)["fingerprint"] = self.fingerprint
        return other

    def levels(self, steps: int) -> list[Level]:
        """steps + 1 levels of its own family, from the noisiest that it knows to CLEAN."""
        if self.card.schedule == "ve":
            return geometric_levels(steps, *self.card.ends)
        return vp_levels(self.table, steps)

    def predict(self, x: Tensor, timesteps: Tensor, _: Tensor) -> Tensor:
        """ε of x (b, c, h, w) at VP levels: see `Plain`."""
        return self.said(x, timesteps)[:, : self.channels]

    def said(self, x: Tensor, timesteps: Tensor) -> Tensor:
        """All of what the network says: ε, and of a learned variance as many channels again."""
        said: Tensor = self.unet(x, timesteps).sample
        return said

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1] → (b, c, h, w) in [−1, 1]; the grey of them for one
        channel."""
        return symmetric(pictures, self.channels)

    def preview(self, x: Tensor) -> Tensor:
        """What `decode` gives."""
        return self.decode(x)

    def decode(self, x: Tensor) -> Tensor:
        """(b, c, h, w) in about [−1, 1] → pictures (b, 3, h, w) in [0, 1]."""
        return from_symmetric(x)


def symmetric(pictures: Tensor, channels: int) -> Tensor:
    """Pictures (b, 3, h, w) in [0, 1] → (b, 1 or 3, h, w) in [−1, 1]; one channel is the grey."""
    if channels == 1:
        weights = torch.tensor(_GREY, dtype=pictures.dtype, device=pictures.device)
        pictures = (pictures * weights[:, None, None]).sum(1, keepdim=True)
    return pictures * 2 - 1


def from_symmetric(x: Tensor) -> Tensor:
    """(b, 1 or 3, h, w) in about [−1, 1] → pictures (b, 3, h, w) in [0, 1], float32."""
    return (x.float() / 2 + 0.5).clamp(0, 1).expand(-1, 3, -1, -1)


@refusing
def open_pixels(name: str | Path) -> Pixels:
    """Opens a folder; float32, on the CPU. Only safetensors are read.

    Raises BadInput where it is missing, broken, or was not written by these recipes.
    """
    folder = _folder.find_folder(name)
    card = _card(folder)
    config = _folder.read_json(folder / "config.json")
    if config.get("_class_name") != "UNet2DModel":
        raise BadInput(
            f"{str(folder)!r} holds a {config.get('_class_name')}: expected a UNet2DModel, as "
            "limner train iddpm and limner train score-sde write it"
        )
    unet = _folder.assembled(_library, config, _folder.weights(folder), folder)
    channels, said = config.get("in_channels", 3), config.get("out_channels", 3)
    side = config.get("sample_size")
    if channels not in (1, 3) or said != channels * (1 + card.learned) or not isinstance(side, int):
        raise BadInput(
            f"the U-Net in {str(folder)!r} takes {channels} channels of side {side!r} and gives "
            f"{said}: expected 1 or 3, and {'twice' if card.learned else 'as'} many"
        )
    files = (*_folder.weight_files(folder), folder / "config.json", folder / "limner.json")
    return Pixels(str(name), unet, card, tables(card), channels, side, files)


def _library(config: dict[str, Any]) -> nn.Module:
    from diffusers.models.unets.unet_2d import UNet2DModel

    unet = UNet2DModel.from_config(config)
    assert isinstance(unet, nn.Module)
    return unet


def _card(folder: Path) -> Card:
    if not (folder / "limner.json").is_file():
        raise BadInput(
            f"{str(folder)!r} has no limner.json: give a folder that limner train iddpm or "
            "limner train score-sde wrote"
        )
    said = _folder.read_json(folder / "limner.json")
    schedule, ends = said.get("schedule"), said.get("ends", [0.0, 0.0])
    known = schedule in (*SCHEDULES, "vp", "ve")
    pair = isinstance(ends, list) and len(ends) == 2
    pair = pair and all(isinstance(e, (int, float)) and 0 <= e < math.inf for e in ends)
    if not known or not pair or (schedule in ("vp", "ve") and not 0 < ends[0] < ends[1]):
        raise BadInput(f"{str(folder / 'limner.json')!r} says schedule {schedule!r} from {ends!r}")
    return Card(
        recipe=str(said.get("recipe")),
        schedule=str(schedule),
        ends=(float(ends[0]), float(ends[1])),
        learned=bool(said.get("learned")),
        licence=str(said.get("licence", "see whoever trained it")),
    )
