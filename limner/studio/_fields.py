"""Fields of a form: a task's annotations as types whose every value is bounded.

What a client says must never name a file, and a number must never make a task of a week.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from limner._rooms import names
from limner.models._open import PRECISIONS

__all__ = ["LEFT_OUT", "PICTURES", "SMALLEST_SIDE", "TEXTS", "Names", "field_type"]

MOST_CHARACTERS, MOST_SIDE, SMALLEST_SIDE = 32_000, 1024, 8
_LINE = 4_000  # characters of what is neither a prompt nor a list
_SIZE = re.compile(r"(\d{1,4})x(\d{1,4})")

# Parameters that no client may set: files to read, write or go on from, a compiler's minutes.
LEFT_OUT = frozenset(
    {"compile", "control", "file", "film", "low_memory", "output", "resume", "save", "svg", "watch"}
)
# Parameters that are uploads; `a`, `b` and `subject` may be words instead.
PICTURES = frozenset({"a", "b", "mask", "picture", "pictures", "start", "subject"})
# Parameters that are words to paint, of any length that a prompt can have.
TEXTS = frozenset(
    {"after", "before", "negative", "prompt", "schedule", "source", "subject", "target", "text"}
)

_WHOLE: dict[str, tuple[int, int]] = {
    "batch": (1, 8),
    "best_of": (1, 32),
    "bottom": (0, 512),
    "by": (2, 8),
    "candidates": (1, 16),
    "choice_batch": (1, 32),
    "choice_every": (1, 200),
    "choice_steps": (1, 8),
    "count": (1, 10),
    "feather": (0, 256),
    "first": (0, 2**53),
    "frames": (2, 32),
    "layers": (1, 18),
    "left": (0, 512),
    "pairs": (1, 64),
    "prior_steps": (1, 200),
    "resample": (1, 10),
    "right": (0, 512),
    "seed": (0, 2**64 - 1),
    "steps": (1, 200),
    "strokes": (1, 512),
    "tile": (64, 1024),
    "to": (16, 2048),
    "top": (0, 512),
    "views": (1, 64),
    "views_at_once": (1, 64),
}
_REAL: dict[str, tuple[float, float]] = {
    "amount": (0.001, 1),
    "augment": (0, 0.1),
    "auto_scale": (-100, 100),
    "classifier_scale": (-100, 100),
    "clip_scale": (-1000, 1000),
    "detail": (0, 1),
    "guidance_rescale": (0, 1),
    "guidance_scale": (-100, 100),
    "keep": (0, 1),
    "noised_clip_scale": (-100, 100),
    "prior_scale": (-100, 100),
    "rate": (0.001, 100),
    "strength": (0.001, 1),
    "threshold": (0, 1),
    "truncation": (0, 1),
}
# Where a task means another thing by the name.
_OF_TASK: dict[tuple[str, str], tuple[float, float]] = {
    ("arithmetic", "strength"): (-10, 10),
    ("describe", "top"): (1, 50),
}
_PAINTERS = ("biggan", "biggan=softmax", "fourier", "grid", "pixels", "prior_network", "strokes")
_SPACES = ("latent", "vqgan", "vqgan=logits", "stylegan")
_STYLES = ("stylegan=styles", "stylegan=w", "stylegan=z")


class Names:
    """What fields may choose of: of models only what this studio allows, never a path.

    models:  further ones, by the names that clients use
    """

    def __init__(self, models: Sequence[str] = ()) -> None:
        from limner.models.adapter import adapters_here
        from limner.models.embedded import CLIPS, folder

        self.models = tuple(models)
        self.adapters = tuple(adapters_here())
        self.clips = tuple(name for name, part in CLIPS.items() if _is_here(folder, part))
        self.priors = ("embedded",) if _is_here(folder, "prior") else ()

    def of(self, task: str, name: str, kind: str) -> tuple[str, ...] | None:
        """The values that a parameter may have, or None where they cannot be listed."""
        if name == "model" and task == "sample":  # nothing embedded draws without words
            return self.models
        if name == "model":
            # A task that takes an opened text-to-image model opens those with an adapter, too.
            own = [f"embedded+{each}" for each in self.adapters] if "TextToImage" in kind else []
            return ("embedded", *own, *self.models)
        if name in ("adapter", "decoder"):
            return ("none", *self.adapters)
        listed: dict[str, tuple[str, ...]] = {
            "classifier": ("embedded",),
            "clip": self.clips,
            "noised_clip": ("embedded",),
            "precision": PRECISIONS,
            "prior": self.priors,
            "sampler": tuple(names("samplers")),
            "search": tuple(names("searches")),
            "sight": ("linear", "decoder"),
            "space": ("clip", "words", "noise"),
            "through": ("x0", "denoiser"),
            "weak": self.models,
        }
        if name == "method":
            return _ways() if task == "edit" else ("regions", "composed")
        if name == "generator":
            return _generators(task)
        return listed.get(name)


def _is_here(folder: Any, part: str) -> bool:
    from limner.errors import BadInput

    try:
        folder(part)
    except BadInput:
        return False
    return True


def _ways() -> tuple[str, ...]:
    from pathlib import Path

    import limner.tasks

    files = Path(limner.tasks.__path__[0]).glob("_edit_*.py")
    return tuple(sorted(file.stem.removeprefix("_edit_") for file in files))


def _generators(task: str) -> tuple[str, ...]:
    """As `tasks/_generators.py` and `_spaces.py` list them, which open networks to do so."""
    if task in ("adapt", "mix"):
        return ("stylegan",)
    if task != "paint":
        return ("diffusion_autoencoder", *_SPACES, *_STYLES)
    return (*_PAINTERS, *_SPACES, *_STYLES)


def field_type(task: str, name: str, kind: str, known: Names) -> Any:
    """The type of a parameter, bounded. kind: its annotation as it is written."""
    optional = kind.endswith("| None")
    choices = known.of(task, name, kind)
    if choices is not None:
        one: Any = Literal[choices] if choices else None
        several = name == "clip" and ("Sequence" in kind or task == "edit")
        base = Annotated[list[one], Field(min_length=1, max_length=8)] if several else one
    else:
        base = _plain(task, name, kind.removesuffix(" | None"))
    return base | None if optional else base


def _plain(task: str, name: str, kind: str) -> Any:
    if kind == "bool":
        return bool
    if kind in ("int", "float"):
        return _number(task, name, kind)
    if "tuple[int, int]" in kind:
        pattern = r"^[0-9]{1,4}x[0-9]{1,4}$"
        return Annotated[str, Field(pattern=pattern, examples=["128x96"]), AfterValidator(_size)]
    if kind == "tuple[float, float]":
        share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
        return tuple[share, share]
    if name in ("captions", "labels", "templates"):
        line = Annotated[str, Field(min_length=1, max_length=1_000)]
        return Annotated[list[line], Field(min_length=1, max_length=200)]
    least = 0 if (task, name) in _WORDLESS else 1
    return Annotated[
        str, Field(min_length=least, max_length=MOST_CHARACTERS if name in TEXTS else _LINE)
    ]


# Prompts that may be empty.
_WORDLESS = {("interpolate", "prompt"), ("map", "prompt"), ("vary", "prompt")}


def _number(task: str, name: str, kind: str) -> Any:
    """A parameter without bounds is a mistake here, which the tests find: KeyError."""
    bounds = _OF_TASK.get((task, name)) or (_WHOLE if kind == "int" else _REAL)[name]
    if kind == "int":
        return Annotated[int, Field(ge=int(bounds[0]), le=int(bounds[1]))]
    return Annotated[float, Field(ge=bounds[0], le=bounds[1], allow_inf_nan=False)]


def _size(text: str) -> str:
    sides = [int(side) for side in _SIZE.fullmatch(text).groups()]  # type: ignore[union-attr]
    if not all(SMALLEST_SIDE <= side <= MOST_SIDE for side in sides):
        raise ValueError(
            f"give width x height from {SMALLEST_SIDE} to {MOST_SIDE} pixels, such as 128x96"
        )
    return text
