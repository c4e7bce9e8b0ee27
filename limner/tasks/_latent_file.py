"""A latent in a file: which generator and which model's it is, and of what size its picture."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from limner.errors import BadInput
from limner.generators import Latent
from limner.picture import save_bytes
from limner.tasks._checks import check_writable

__all__ = ["SUFFIX", "Kept", "latent_place", "load_latent", "save_latent"]

SUFFIX = ".safetensors"
_KEY, _VERSION = "limner latent", 1


@dataclass(frozen=True, eq=False)
class Kept:
    """`latent` has one row; `fingerprint` is the model's."""

    generator: str
    fingerprint: str
    size: tuple[int, int]  # width, height in pixels
    latent: Latent


def latent_place(path: str | Path) -> Path:
    """The path, when a latent can be written there. Raises BadInput before the work begins."""
    if Path(path).suffix != SUFFIX:
        raise BadInput(f"cannot save to {str(path)!r}: a latent's name ends in {SUFFIX}")
    return check_writable(Path(path))


def save_latent(path: str | Path, kept: Kept) -> Path:
    """Writes safetensors, one tensor for each part, whole or not at all."""
    from safetensors.torch import save as to_bytes

    parts = {name: part.detach().cpu().contiguous() for name, part in kept.latent.items()}
    said = {
        "version": _VERSION,
        "generator": kept.generator,
        "fingerprint": kept.fingerprint,
        "size": list(kept.size),
    }
    path = latent_place(path)
    path.parent.mkdir(exist_ok=True)
    return save_bytes(path, to_bytes(parts, {_KEY: json.dumps(said)}))


def load_latent(path: str | Path) -> Kept:
    """Reads what `save_latent` wrote. Raises BadInput for anything else, or half of it."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            said = json.loads((file.metadata() or {}).get(_KEY, "{}"))
            latent = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        reason = str(error).splitlines()[0][:160]
        raise BadInput(f"cannot read the latent {str(path)!r}: {reason}") from None
    if not isinstance(said, dict) or said.get("version") != _VERSION:
        raise BadInput(f"{str(path)!r} is no latent of this limner: give one that invert saved")
    size: Any = said.get("size")
    whole = (
        isinstance(said.get("generator"), str)
        and isinstance(said.get("fingerprint"), str)
        and isinstance(size, list)
        and [type(side) for side in size] == [int, int]
        and all(
            part.dtype == torch.float32 and part.shape[:1] == (1,) and bool(part.isfinite().all())
            for part in latent.values()
        )
    )
    if not whole:
        raise BadInput(f"the latent {str(path)!r} is not whole: invert the picture again")
    return Kept(said["generator"], said["fingerprint"], (size[0], size[1]), latent)
