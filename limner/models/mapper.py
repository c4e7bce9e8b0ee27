"""A mapper of StyleCLIP (Patashnik et al. 2021) from a folder that `limner train mapper` wrote."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from limner.errors import BadInput
from limner.models import _folder
from limner.models._bounds import refusing
from limner.models._styled import CONFIG, generator_of, said_of, told_of
from limner.models.stylegan import StyleGAN
from limner.nets.mapper import Mapper

__all__ = ["Mapped", "open_mapper", "write"]

_WEIGHTS = "mapper.safetensors"
_KIND = "stylegan_mapper"


@dataclass(frozen=True, eq=False)
class Mapped:
    """What `open_mapper` gives: the network, the text it leads to, the generator it is for."""

    name: str
    network: Mapper
    text: str
    generator: StyleGAN
    licence: str
    files: tuple[Path, ...]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the mapper's files and its generator's."""
        return _folder.fingerprint((*self.files, *self.generator.files))

    def change(self, w_plus: Tensor) -> Tensor:
        """w+ (b, layers, d) → how far each goes, of the same shape."""
        moved: Tensor = self.network(w_plus) * self.generator.w_std
        return moved


def write(folder: Path, network: Mapper, text: str, generator: StyleGAN) -> None:
    """Save a mapper with what it is for."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    state = {name: weight.contiguous() for name, weight in network.state_dict().items()}
    save_file(state, folder / _WEIGHTS, metadata={"format": "pt"})
    shape = {"layers": network.layers, "width": network.width}
    config = {"model_type": _KIND, "text": text, "mapper": shape} | told_of(generator)
    (folder / CONFIG).write_text(json.dumps(config, indent=1))


@refusing
def open_mapper(name: str | Path) -> Mapped:
    """Opens a folder, or a hub id; float32, on the CPU. Only safetensors are read.

    Raises BadInput when it, or the generator that it was made for, is missing, pickled or broken.
    """
    if name == "embedded":
        raise BadInput(
            "no mapper is named: give its folder (--model); limner train mapper TEXT makes one"
        )
    folder = _folder.find_folder(name)
    config = said_of(folder, _KIND)
    text, shape = config.get("text"), config.get("mapper")
    if not isinstance(text, str) or not isinstance(shape, dict):
        raise BadInput(f"the config in {str(folder)!r} says no text or no mapper: train it again")
    generator = generator_of(config, folder)
    network = _folder.assembled(_made, shape, _folder.tensors([folder / _WEIGHTS]), folder)
    if (network.layers, network.width) != (generator.layers, generator.width):
        raise BadInput(
            f"the mapper in {str(folder)!r} moves {network.layers} rows of {network.width} numbers "
            f"and its generator has {generator.layers} of {generator.width}: train it again"
        )
    card = _folder.read_json(folder / "limner.json", missing={})
    return Mapped(
        name=str(name),
        network=network,
        text=text,
        generator=generator,
        licence=str(card.get("licence", "see the model's own page")),
        files=(folder / _WEIGHTS, folder / CONFIG),
    )


def _made(said: dict[str, Any]) -> Mapper:
    return Mapper(said["layers"], said["width"])
