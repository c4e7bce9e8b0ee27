"""Where a StyleGAN2 paints the pictures of a source: their w+, found once and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from limner.data import CaptionedPictures
from limner.errors import BadInput
from limner.generators.stylegan import stylegan
from limner.models._folder import cache_folder, tensors
from limner.models.stylegan import StyleGAN
from limner.picture import save_bytes
from limner.tasks._portrait import INVERSION_STEPS
from limner.training._data import to_tensor
from limner.training._processes import processes

__all__ = ["inverted"]

_AT_ONCE = 16  # pictures that are looked for together


def inverted(
    model: StyleGAN,
    source: CaptionedPictures,
    count: int,
    *,
    steps: int = INVERSION_STEPS,
    watch: Callable[[int, int], None] | None = None,
) -> Tensor:
    """w+ of the source's first pictures, (count, layers, d) or fewer where it has fewer, by the
    generator's own projector, in as many steps as edits have.

    They are kept in the user's cache by what the generator, the pictures and `steps` are, after
    every sixteen, so that an interrupted call is gone on with. ``watch`` is told how many are
    found, of how many.
    """
    count, place = min(count, len(source)), _place(model, source, steps)
    here = processes()
    with here.main_process_first():
        rows = _kept(place)
        while here.is_main_process and len(rows) < count:
            some = range(len(rows), min(len(rows) + _AT_ONCE, count))
            pictures = to_tensor(source.batch(some)[0]).float() / 255
            found = stylegan(model).invert(pictures, steps=steps)["w+"]
            rows = [*rows, *found.float().cpu()]
            _keep(place, torch.stack(rows))
            if watch:
                watch(len(rows), count)
    return torch.stack(_kept(place)[:count] or rows[:count])


def _place(model: StyleGAN, source: CaptionedPictures, steps: int) -> Path:
    first = source.batch(range(min(4, len(source))))[0]
    about = f"{model.fingerprint} {hashlib.sha256(first.tobytes()).hexdigest()} {steps}"
    name = hashlib.sha256(about.encode()).hexdigest()
    return cache_folder() / "inverted" / f"{name}.safetensors"


def _kept(place: Path) -> list[Tensor]:
    """Those that were found before; a file that is broken counts as none."""
    if place.is_file():
        with suppress(BadInput, KeyError):
            return list(tensors([place])["w+"])
    return []


def _keep(place: Path, rows: Tensor) -> None:
    """A cache that cannot be written costs time, nothing else."""
    from safetensors.torch import save

    with suppress(OSError, BadInput):
        place.parent.mkdir(parents=True, exist_ok=True)
        save_bytes(place, save({"w+": rows}))
