"""The models that come with limner, trained by its own recipes on its own world."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

from limner.errors import BadInput
from limner.models._text_to_image import TextToImage
from limner.models.diffusers import diffusers

__all__ = ["embedded", "folder"]


def folder(part: str) -> Path:
    """Where limner's own "diffusion" or "clip" is. Raises BadInput when it was not installed."""
    path = Path(__file__).parents[1] / "embedded" / part
    if not path.is_dir():
        raise BadInput(
            f"limner has no embedded {part} model here: name another with its folder "
            f"(limner train {part} makes one)"
        )
    return path


@cache
def embedded() -> TextToImage:
    """limner's own text-to-image model, opened once; float32, on the CPU."""
    return replace(diffusers(folder("diffusion")), name="embedded")
