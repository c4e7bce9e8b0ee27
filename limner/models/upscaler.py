"""The diffusion that doubles pictures: what `limner train upscaler` wrote.

SR3 (Saharia et al. 2021): a diffusion of the large picture, shown the small one. Here it is one of
what the bicubically enlarged picture lacks (the residual, as in Li et al. 2022, "SRDiff"), in
*cells*: each pixel of the small picture is a cell of 2 x 2 pixels of the large one, 12 numbers, and
beside them the network is shown the small pixel's three. One network makes every stage of a cascade
(Ho et al. 2021): it is told nothing of sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from limner.errors import BadInput
from limner.levels import alpha_bars, zero_terminal
from limner.models import _folder
from limner.models._bounds import refusing
from limner.models._noised import CARD
from limner.models._text_to_image import moved
from limner.models.embedded import folder as embedded_folder
from limner.nets.local_unet import LocalUNet

__all__ = ["MOST_AUGMENT", "RECIPE", "Upscaler", "built", "doubled", "halved", "open_upscaler"]

RECIPE = "upscaler"
MOST_AUGMENT = 0.1
"""Standard deviation of the noise that is laid on small pictures, at most; pictures are in [0, 1].
What they lack is counted from the pictures under that noise, so that it is taken away, too."""

_CELL = 2  # pixels of its side
_SHAPE = ("widths", "depth", "heard")


def halved(pictures: Tensor) -> Tensor:
    """(b, 3, 2h, 2w) in [0, 1] → (b, 3, h, w): bicubic, antialiased."""
    size = (pictures.shape[-2] // 2, pictures.shape[-1] // 2)
    small = functional.interpolate(pictures, size=size, mode="bicubic", antialias=True)
    return small.clamp(0, 1)


def doubled(pictures: Tensor) -> Tensor:
    """(b, 3, h, w) → (b, 3, 2h, 2w): bicubic, with Keys' a = -1/2 as Pillow has it; not clamped."""
    size = (2 * pictures.shape[-2], 2 * pictures.shape[-1])
    return functional.interpolate(pictures, size=size, mode="bicubic", antialias=True)


def built(shape: Mapping[str, Any]) -> LocalUNet:
    """The network that a card describes."""
    inner = 3 * _CELL**2 + 3
    return LocalUNet(inner, inner - 3, shape["widths"], shape["depth"], 2, shape["heard"])


@dataclass(frozen=True, eq=False)
class Upscaler:
    """What `open_upscaler` gives. Nothing changes it: `to` gives another.

    spread: the residuals' standard deviation, by which they are divided
    shape:  of the network, see `built`
    """

    name: str
    network: LocalUNet
    spread: float
    licence: str = ""
    files: tuple[Path, ...] = ()
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    shape: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the model's files."""
        return _folder.fingerprint(self.files)

    @cached_property
    def alpha_bars(self) -> Tensor:
        """ᾱ of its 1,000 timesteps, the last 0: what it says of pure noise is the mean."""
        return zero_terminal(alpha_bars("scaled_linear"))

    @property
    def by(self) -> int:
        """What the sides of a small picture are multiples of."""
        return self.network.by

    def to(self, device: str | torch.device, dtype: torch.dtype = torch.float32) -> Upscaler:
        """The model on a device in a floating type; itself where it is so already."""
        device = torch.device(device)
        if (device, dtype) == (self.device, self.dtype):
            return self
        network = moved(self.network, device, dtype)
        return replace(self, network=network, device=device, dtype=dtype)

    def cells(self, large: Tensor, small: Tensor) -> Tensor:
        """x0 (b, 12, h, w): what a picture (b, 3, 2h, 2w) has that `small`, enlarged, lacks."""
        return functional.pixel_unshuffle(large - doubled(small), _CELL) / self.spread

    def picture(self, cells: Tensor, small: Tensor) -> Tensor:
        """The large picture (b, 3, 2h, 2w) in [0, 1] of x0 (b, 12, h, w): `cells` undone."""
        lacking = functional.pixel_shuffle(cells * self.spread, _CELL)
        return lacking.add_(doubled(small)).clamp_(0, 1)

    def ask(self, shown: Tensor, timesteps: Tensor, augment: Tensor) -> Tensor:
        """x at its timesteps (b,) and the small picture below it, in [-1, 1] (b, 15, h, w) → v.

        augment: (b,), the noise that lies on the small picture, in shares of MOST_AUGMENT
        """
        told = torch.stack([timesteps.float() / len(self.alpha_bars), augment.float()], 1)
        said: Tensor = self.network(shown, told)
        return said


@refusing
def open_upscaler(name: str | Path = "embedded") -> Upscaler:
    """Opens "embedded", or what `limner train upscaler` wrote; float32, on the CPU.

    Only safetensors are read. Raises BadInput when it is missing, pickled, broken or another's.
    """
    folder = _embedded() if name == "embedded" else _folder.find_folder(name)
    if not (folder / CARD).is_file():
        _folder.refuse_pickled(folder)
    card = _folder.read_json(folder / CARD, missing={})
    shape, spread = card.get("network"), card.get("spread")
    fits = isinstance(shape, dict) and set(shape) == {*_SHAPE} and isinstance(spread, float)
    if card.get("recipe") != RECIPE or not fits or not 0 < spread < 1:
        raise BadInput(
            f"{str(folder)!r} holds no network of limner train {RECIPE}: give a folder that it "
            "wrote, or embedded"
        )
    return Upscaler(
        name=str(name),
        network=_folder.assembled(built, shape, _folder.weights(folder), folder),
        spread=spread,
        licence=str(card.get("licence", "see the model's own page")),
        files=(*_folder.weight_files(folder), folder / CARD),
        shape=shape,
    )


def _embedded() -> Path:
    try:
        return embedded_folder(RECIPE)
    except BadInput:
        raise BadInput(
            "limner has no embedded upscaler here: name one's folder (limner train upscaler "
            "-o RUN makes RUN/model)"
        ) from None
