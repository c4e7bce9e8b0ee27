"""Diffusion autoencoders (Preechakul et al. 2022), as `limner train diffusion-autoencoder` writes
them: a picture is z, what it shows, and x_T, the rest.

A folder holds diffusers' UNet2DModel (config.json and its weights), encoder.safetensors (the
semantic encoder, z's mean and deviation, and how the U-Net hears z) and limner.json.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limner.errors import BadInput
from limner.levels import Level, alpha_bars, timestep_of, vp_levels
from limner.models import _folder
from limner.models._bounds import refusing
from limner.models._families import under
from limner.models._text_to_image import moved
from limner.models.pixels import from_symmetric, symmetric
from limner.nets.diffusion_autoencoder import Decoder, SemanticEncoder

__all__ = [
    "CARD",
    "ENCODER",
    "RECIPE",
    "STEPS",
    "DiffusionAutoencoder",
    "open_diffusion_autoencoder",
    "table",
]

RECIPE, CARD, ENCODER = "diffusion_autoencoder", "limner.json", "encoder.safetensors"
STEPS = 20
"""Of the usual way from x_T to a picture, and back."""

_SHAPE = {"channels", "code", "widths", "layers"}


def table() -> Tensor:
    """ᾱ (1000,), float64: the linear schedule, as in the paper."""
    return alpha_bars("linear")


@dataclass(frozen=True, eq=False)
class DiffusionAutoencoder:
    """What `open_diffusion_autoencoder` gives. Nothing changes it: `to` gives another.

    steps:  of the way from x_T to a picture
    """

    name: str
    encoder: SemanticEncoder
    decoder: nn.Module  # decoder(x, timesteps, z) → ε
    channels: int  # 1 or 3
    size: int  # pixels of a side
    code: int  # numbers of z
    steps: int = STEPS
    files: tuple[Path, ...] = ()
    licence: str = "see whoever trained it"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the model's files: what a recipe remembers it by."""
        return _folder.fingerprint(self.files)

    @cached_property
    def alpha_bars(self) -> Tensor:
        """ᾱ (1000,), float64."""
        return table()

    def to(
        self, device: str | torch.device, dtype: torch.dtype = torch.float32
    ) -> DiffusionAutoencoder:
        device = torch.device(device)
        if (device, dtype) == (self.device, self.dtype):
            return self
        encoder = moved(self.encoder, device, dtype)
        decoder = moved(self.decoder, device, dtype)
        other = replace(self, encoder=encoder, decoder=decoder, device=device, dtype=dtype)
        if self.files:
            vars(other)["fingerprint"] = self.fingerprint
        return other

    def levels(self, steps: int) -> list[Level]:
        """steps + 1 levels from x_T to CLEAN."""
        return vp_levels(self.alpha_bars, steps)

    def seen(self, pictures: Tensor) -> Tensor:
        """What pictures (b, 3, h, w) in [0, 1] show: z (b, code)."""
        z: Tensor = self.encoder(self.encode(pictures))
        return z

    def down(self, x: Tensor, z: Tensor) -> Tensor:
        """x_T (b, c, h, w) → x0, along the way of DDIM without noise (Song et al. 2021, eq. 13)."""
        for level, after in pairwise(self.levels(self.steps)):
            x = _moved_on(x, self._said(x, level, z), level, after)
        return x

    def up(self, x: Tensor, z: Tensor, steps: int) -> Iterator[Tensor]:
        """x0 (b, c, h, w) → after each step the noise that it is taken to have; in the end x_T,
        from which `down` leads back (eq. 8 of Preechakul et al.). At CLEAN no noise tells ε, so
        that the network is asked of the picture at the next level's scale."""
        rising = self.levels(steps)[::-1]
        for level, after in pairwise(rising):
            asked = level if level.sigma > 0 else after
            said = self._said(x * (asked.alpha / level.alpha), asked, z)
            x = _moved_on(x, said, level, after)
            yield x if after == rising[-1] else said

    def _said(self, x: Tensor, level: Level, z: Tensor) -> Tensor:
        """ε (b, c, h, w)."""
        timestep = timestep_of(self.alpha_bars, level)
        timesteps = torch.full((len(x),), timestep, dtype=torch.float32, device=x.device)
        said: Tensor = self.decoder(x, timesteps, z)
        return said

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1] → x0 (b, c, h, w) in [−1, 1]."""
        return symmetric(pictures, self.channels).to(self.device, self.dtype)

    def decode(self, x: Tensor) -> Tensor:
        """x0 (b, c, h, w) in about [−1, 1] → pictures (b, 3, h, w) in [0, 1]."""
        return from_symmetric(x)


def _moved_on(x: Tensor, said: Tensor, level: Level, after: Level) -> Tensor:
    """From one level to another, up or down, as if the noise in x were what is said."""
    return after.alpha / level.alpha * x + (after.sigma - after.alpha * level.ratio) * said


@refusing
def open_diffusion_autoencoder(name: str | Path) -> DiffusionAutoencoder:
    """Opens a folder; float32, on the CPU. Only safetensors are read.

    Raises BadInput where it is missing, broken, or was not written by this recipe.
    """
    if name == "embedded":
        raise BadInput(
            "limner has no embedded diffusion autoencoder: name one's folder (--model; limner "
            "train diffusion-autoencoder -o RUN makes RUN/model)"
        )
    folder = _folder.find_folder(name)
    shape = _shape(folder)
    config = _folder.read_json(folder / "config.json")
    side, channels = config.get("sample_size"), shape["channels"]
    taken = {config.get("in_channels"), config.get("out_channels")}
    if config.get("_class_name") != "UNet2DModel" or taken != {channels} or type(side) is not int:
        raise BadInput(
            f"the network in {str(folder)!r} is no UNet2DModel of {channels} channels, as limner "
            "train diffusion-autoencoder writes it"
        )
    state = _folder.tensors([folder / ENCODER])
    encoder = _folder.assembled(_encoder, shape, under(state, "encoder."), folder)
    assert isinstance(encoder, SemanticEncoder)  # what `_encoder` makes
    unet = dict(_within(_folder.weights(folder), "unet"))
    heard = dict(_within(under(state, "heard."), "heard"))

    def decoder(said: dict[str, Any]) -> nn.Module:
        return Decoder(_library(said), shape["code"])

    return DiffusionAutoencoder(
        name=str(name),
        encoder=encoder,
        decoder=_folder.assembled(decoder, config, unet | heard, folder),
        channels=channels,
        size=side,
        code=shape["code"],
        files=(
            *_folder.weight_files(folder),
            *(folder / f for f in ("config.json", ENCODER, CARD)),
        ),
    )


def _shape(folder: Path) -> dict[str, Any]:
    """Of the encoder, as the card says it."""
    card = _folder.read_json(folder / CARD, missing={})
    shape = card.get("encoder")
    whole = isinstance(shape, dict) and set(shape) == _SHAPE
    numbers = whole and all(type(shape[key]) is int for key in ("channels", "code", "layers"))
    if card.get("recipe") != RECIPE or not numbers or shape["channels"] not in (1, 3):
        raise BadInput(
            f"{str(folder)!r} is no folder that limner train diffusion-autoencoder wrote"
        )
    return dict(shape)


def _encoder(shape: dict[str, Any]) -> nn.Module:
    return SemanticEncoder(shape["channels"], shape["code"], shape["widths"], shape["layers"])


def _library(config: dict[str, Any]) -> nn.Module:
    from diffusers.models.unets.unet_2d import UNet2DModel

    unet = UNet2DModel.from_config(config)
    assert isinstance(unet, nn.Module)
    return unet


def _within(state: dict[str, Tensor], part: str) -> Iterator[tuple[str, Tensor]]:
    """A part's tensors, by the whole's names."""
    for name, tensor in state.items():
        yield f"{part}.{name}", tensor
