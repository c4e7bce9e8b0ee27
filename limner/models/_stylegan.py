"""StyleGAN2 in a folder: config.json and a safetensors file for each network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from limner.errors import BadInput
from limner.models import _folder, _gan
from limner.models._gan import CONFIG, DISCRIMINATOR, GENERATOR
from limner.nets.stylegan import Discriminator, Generator, Shape

__all__ = ["CONFIG", "DISCRIMINATOR", "GENERATOR", "NOISE", "fixed_noise", "read", "shape", "write"]

NOISE = "noise.safetensors"
_KIND = "stylegan2"


def write(
    folder: Path,
    generator: Generator,
    discriminator: Discriminator | None,
    noise: Tensor | None = None,
) -> None:
    """Save both, float32; a discriminator need not be there, nor `noise` (1, n) of its own."""
    from safetensors.torch import save_file

    networks = {GENERATOR: generator, DISCRIMINATOR: discriminator}
    _gan.write(folder, {"model_type": _KIND}, networks)
    if noise is not None:
        save_file({"noise": noise.contiguous()}, folder / NOISE, metadata={"format": "pt"})


def fixed_noise(folder: Path, count: int) -> Tensor | None:
    """The noise that a network was published with, (1, count), or None."""
    if not (folder / NOISE).is_file():
        return None
    noise = _folder.tensors([folder / NOISE]).get("noise")
    if noise is None or noise.shape != (1, count):
        raise BadInput(f"the {NOISE} in {str(folder)!r} is not its generator's: convert it again")
    return noise.float()


def read(folder: Path) -> tuple[Generator, Discriminator | None]:
    """The networks in float32, frozen; a folder may have no discriminator.

    Raises BadInput for what is missing, pickled, broken or of another kind.
    """
    config = _gan.kind_of(folder, _KIND)
    painter = _gan.network(folder, config, GENERATOR, lambda said: Generator(_shape(said)))
    if not (folder / DISCRIMINATOR).is_file():
        return painter, None
    judge = _gan.network(folder, config, DISCRIMINATOR, lambda said: Discriminator(_shape(said)))
    return painter, judge


def shape(folder: Path) -> Shape:
    """The generator's, from the config alone. Raises BadInput where it says none."""
    return _gan.shape(folder, _shape)


def _shape(said: dict[str, Any]) -> Shape:
    sizes = tuple(said["channels"]), said["width"], said["mapping_layers"]
    return Shape(*sizes, said.get("clamp", 0.0))
