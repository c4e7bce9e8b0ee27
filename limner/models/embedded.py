"""The models that come with limner, trained by its own recipes on its own world."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

from limner.errors import BadInput
from limner.models._text_to_image import TextToImage
from limner.models.diffusers import diffusers

__all__ = ["CLIPS", "embedded", "folder", "here", "judging"]

# By the names that open_clip takes: the first describes and measures, and no search follows it.
CLIPS = {"embedded": "clip", "robust": "clip-robust", "second": "clip-second"}


def folder(part: str) -> Path:
    """Where limner's own "diffusion" or one of CLIPS is. Raises BadInput where it is not."""
    path = Path(__file__).parents[1] / "embedded" / part
    if not path.is_dir():
        raise BadInput(
            f"limner has no embedded {part} model here: name another with its folder "
            f"(limner train {part.split('-')[0]} makes one)"
        )
    return path


@cache
def embedded() -> TextToImage:
    """limner's own text-to-image model, opened once; float32, on the CPU."""
    return replace(diffusers(folder("diffusion")), name="embedded")


def here() -> list[str]:
    """By name, those of limner's own CLIPs that are here."""
    home = Path(__file__).parents[1] / "embedded"
    return [name for name, part in CLIPS.items() if (home / part).is_dir()]


def judging() -> list[str]:
    """By name, limner's own CLIPs that a search follows: those trained to be robust where they are
    here, else the one that measures."""
    return [name for name in here() if name != "embedded"] or ["embedded"]
