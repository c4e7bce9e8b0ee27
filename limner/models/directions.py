"""StyleCLIP's global directions (Patashnik et al. 2021, section 6) from a folder that `limner train
directions` wrote: for each channel of StyleSpace, where CLIP sees a picture go when it moves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.models import _folder
from limner.models._bounds import refusing
from limner.models._channels import channels
from limner.models._styled import CONFIG, generator_of, said_of, told_of
from limner.models.clip import Clip
from limner.models.embedded import folder as embedded_folder
from limner.models.stylegan import StyleGAN, open_stylegan, stylegan_folder

__all__ = ["KIND", "Directions", "open_directions", "write"]

_WEIGHTS = "directions.safetensors"
KIND = "stylegan_directions"


@dataclass(frozen=True, eq=False)
class Directions:
    """What `open_directions` gives.

    deviation:  of each number of a style, (Σ style_widths,)
    changes:    (n, d) for each CLIP, of the n `channels`; up to 1 long
    clips:      the CLIPs' names and fingerprints
    """

    name: str
    generator: StyleGAN
    deviation: Tensor
    changes: tuple[Tensor, ...]
    clips: tuple[tuple[str, str], ...]
    licence: str
    files: tuple[Path, ...]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the directions' files and the generator's."""
        return _folder.fingerprint((*self.files, *self.generator.files))

    def relevance(self, axes: Sequence[Tensor]) -> Tensor:
        """(n,): how far each channel leads along the text's way, a mean over pictures and CLIPs.

        axes:  (d,) of length 1 for each CLIP
        """
        along = [change @ axis.to(change) for change, axis in zip(self.changes, axes, strict=True)]
        return torch.stack(along).mean(0)

    def direction(self, axes: Sequence[Tensor], threshold: float | None = None) -> Tensor:
        """A style's change (Σ style_widths,), of one deviation in the channel that is most relevant
        and less in the others; none where the relevance is below the threshold β.

        threshold:  None for one that lets √n channels pass

        Raises BadInput where no channel passes.
        """
        relevance = self.relevance(axes)
        sizes = relevance.abs()
        least = float(sizes.topk(round(len(sizes) ** 0.5)).values[-1])
        chosen = sizes >= (least if threshold is None else threshold)
        most = float(sizes.max())
        if not bool(chosen.any()) or most == 0:
            raise BadInput(
                f"no channel has a relevance of {threshold} or more; the largest is {most:.3f}: "
                "give a lower threshold"
            )
        way = torch.zeros_like(self.deviation)
        way[channels(self.generator.network.shape)] = torch.where(chosen, relevance / most, 0)
        return way * self.deviation


def write(
    folder: Path,
    generator: StyleGAN,
    deviation: Tensor,
    changes: Sequence[Tensor],
    clips: Sequence[Clip],
) -> None:
    """Save directions with what they were measured by."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    tensors = {f"changes.{i}": change.contiguous() for i, change in enumerate(changes)}
    save_file(tensors | {"deviation": deviation}, folder / _WEIGHTS, metadata={"format": "pt"})
    named = [{"name": clip.name, "fingerprint": clip.fingerprint} for clip in clips]
    config = {"model_type": KIND, "clips": named} | told_of(generator)
    (folder / CONFIG).write_text(json.dumps(config, indent=1))


@refusing
def open_directions(name: str | Path = "embedded") -> Directions | StyleGAN:
    """Opens "embedded", a folder or a hub id of directions; or, of a StyleGAN2, that generator: its
    directions are to be measured first. float32, on the CPU; only safetensors are read.

    Raises BadInput when it, or the generator that it was made for, is missing, pickled or broken.
    """
    folder = _folder_of(name)
    if _folder.read_json(folder / CONFIG, missing={}).get("model_type") != KIND:
        return open_stylegan(name)
    config = said_of(folder, KIND)
    generator, clips = generator_of(config, folder), _clips(config, folder)
    found = _folder.tensors([folder / _WEIGHTS])
    deviation = found.get("deviation", torch.empty(0))
    changes = tuple(found.get(f"changes.{i}", torch.empty(0)) for i in range(len(clips)))
    shape = generator.network.shape
    count = len(channels(shape))
    fits = all(change.ndim == 2 and len(change) == count for change in changes)
    if deviation.shape != (sum(shape.style_widths),) or not fits:
        raise BadInput(f"the directions in {str(folder)!r} are not its generator's: measure anew")
    card = _folder.read_json(folder / "limner.json", missing={})
    return Directions(
        name=str(name),
        generator=generator,
        deviation=deviation,
        changes=changes,
        clips=clips,
        licence=str(card.get("licence", "see the model's own page")),
        files=(folder / _WEIGHTS, folder / CONFIG),
    )


def _folder_of(name: str | Path) -> Path:
    """limner's own directions where they are here, else its own generator; or what is named."""
    if name != "embedded":
        return stylegan_folder(name)
    try:
        return embedded_folder("directions")
    except BadInput:
        return embedded_folder("stylegan")


def _clips(config: dict[str, Any], folder: Path) -> tuple[tuple[str, str], ...]:
    said = config.get("clips")
    try:
        found = tuple((str(each["name"]), str(each["fingerprint"])) for each in said or ())
    except (KeyError, TypeError):
        found = ()
    if not found:
        raise BadInput(f"the config in {str(folder)!r} names no CLIP: measure the directions anew")
    return found
