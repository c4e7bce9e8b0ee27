"""What a task gave, as pictures for the gallery and JSON for the rest."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from limner.picture import Picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from limner.tasks._explained import Explained
    from limner.tasks.adapt import Adapted
    from limner.tasks.edit import Edited
    from limner.tasks.interpolate import Interpolated
    from limner.tasks.invert import Inverted
    from limner.tasks.modifiers import Effects

__all__ = ["Result", "result_of"]

_LARGEST_LAYER = 2**20  # bytes: a larger one would weigh on the database
_DIGITS = 4  # of numbers in JSON


@dataclass(frozen=True, eq=False)
class Result:
    """pictures: for the gallery, in the task's order; data: what else it gave, as JSON."""

    pictures: list[Picture]
    data: dict[str, Any] | None = None


def result_of(task: str, given: Any) -> Result:
    """given: what the task returned. Every picture carries a recipe."""
    shape = _SHAPES.get(task)
    if shape is not None:
        result = shape(given)
    else:
        result = Result(given if isinstance(given, list) else [given])
    return replace(result, pictures=[_marked(task, each) for each in result.pictures])


def _marked(task: str, picture: Picture) -> Picture:
    """Whatever comes out of a task is a model's work, and says so in its file."""
    return picture if picture.recipe is not None else replace(picture, recipe={"task": task})


def _edited(given: Edited) -> Result:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(given.layer).save(out, "PNG")
    layer = base64.b64encode(out.getvalue()).decode()
    return Result([given.picture], {"layer": layer if len(layer) <= _LARGEST_LAYER else None})


def _explained(given: Explained) -> Result:
    maps = (given.maps.float() * 10**_DIGITS).round().div(10**_DIGITS)
    calls = [{"time": round(c.level.time, _DIGITS), "pull": round(c.pull, 6)} for c in given.calls]
    data = {"prompt": given.prompt, "words": given.words, "maps": maps.tolist(), "calls": calls}
    sheet = replace(given.sheet(), recipe=(given.picture.recipe or {}) | {"task": "explain"})
    return Result([*([given.picture] if given.painted else []), sheet], data)


def _interpolated(given: Interpolated) -> Result:
    return Result([*given.frames, given.sheet])


def _inverted(given: Inverted) -> Result:
    return Result([given.picture], {"psnr": round(given.psnr, _DIGITS)})


def _adapted(given: Adapted) -> Result:
    return Result([given.sheet, *given.after])


def _described(given: list[Any]) -> Result:
    return Result([], {"results": [{"captions": _rounded(each.captions)} for each in given]})


def _classified(given: list[Any]) -> Result:
    return Result([], {"results": [{"labels": _rounded(each.labels)} for each in given]})


def _ranked(given: list[Any]) -> Result:
    """`upload` is the name of the file that each picture came from, best first."""
    rows = [{"upload": each.picture.path.name, "score": round(each.score, 6)} for each in given]
    return Result([], {"results": rows})


def _effects(given: Effects) -> Result:
    rows = [
        {"modifier": modifier._asdict(), "effect": None if effect is None else asdict(effect)}
        for modifier, effect in given.rows
    ]
    return Result([], {"results": rows})


def _rounded(shares: Mapping[str, float]) -> dict[str, float]:
    return {name: round(share, 6) for name, share in shares.items()}


_SHAPES: dict[str, Callable[[Any], Result]] = {
    "adapt": _adapted,
    "classify": _classified,
    "describe": _described,
    "edit": _edited,
    "explain": _explained,
    "interpolate": _interpolated,
    "invert": _inverted,
    "modifiers": _effects,
    "rank": _ranked,
}
