"""The models that come with limner, trained by its own recipes on its own world."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

from limner.errors import BadInput
from limner.models._text_to_image import TextToImage
from limner.models.diffusers import diffusers

__all__ = ["CLIPS", "embedded", "facing", "folder", "here", "judging"]

# By the names that open_clip takes. The first describes and measures; the last knows the world
# faces and nothing else, so that what is about scenes neither follows nor asks it.
CLIPS = {
    "embedded": "clip",
    "robust": "clip-robust",
    "second": "clip-second",
    "faces": "clip-faces",
}


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


def _is_here(name: str) -> bool:
    return (Path(__file__).parents[1] / "embedded" / CLIPS[name]).is_dir()


def here() -> list[str]:
    """By name, those of limner's own CLIPs that are here and know scenes: never "faces"."""
    return [name for name in CLIPS if name != "faces" and _is_here(name)]


def judging() -> list[str]:
    """By name, limner's own CLIPs that a search for scenes follows: those trained to be robust
    where they are here, else the one that measures."""
    return [name for name in here() if name != "embedded"] or ["embedded"]


def facing() -> list[str]:
    """By name, the CLIPs by which faces are edited: limner's own that knows faces where it is here,
    else those that other searches follow."""
    return ["faces"] if _is_here("faces") else judging()
