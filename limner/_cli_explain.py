"""`limner explain`: a sheet of where the words looked and how the picture came about."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limner._cli_flags import command
from limner._cli_pictures import Out, Recipe, target, write_one
from limner._cli_show import Json, bar
from limner.errors import BadInput
from limner.prompt import words
from limner.tasks.explain import explain

if TYPE_CHECKING:
    from limner.tasks._explained import Explained

__all__ = ["register"]

Maps = Annotated[
    Path | None,
    typer.Option("--maps", metavar="FOLDER", help="Each word's map in a picture of its own, too."),
]


def register(app: typer.Typer) -> None:
    example = 'limner explain "a panda riding a rocket in space" -o why.png'
    command(app, explain, _explain, example=example, without=("watch",))


def _explain(
    said: dict[str, Any],
    *,
    output: Out = None,
    maps: Maps = None,
    recipe: Recipe = True,
    json: Json = False,
) -> None:
    place = target(output, _named(said["subject"]))
    if maps is not None:
        _made(maps)
    began = time.perf_counter()
    with bar("explaining") as report:
        found = explain(**said, watch=lambda each: report(each.step, each.total))
    if maps is not None:
        _write_maps(found, maps)
    beside: dict[str, object] = {"maps": maps} if maps is not None else {}
    beside |= _told(found) if json else {}
    write_one(found.sheet(), place, recipe=recipe, json=json, began=began, beside=beside)


def _named(subject: str) -> str:
    """What the sheet's file is named after: cat.png is explained in cat-explained.png."""
    stem = Path(subject).stem if Path(subject).suffix else subject
    return f"{stem} explained"


def _made(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot make {str(folder)!r}: {error.strerror}") from None


def _write_maps(found: Explained, folder: Path) -> None:
    """01-a.png, 02-panda.png …: the map over the picture, at its own size."""
    from limner.picture import Picture
    from limner.tasks._sheet import over

    for number, (word, heat) in enumerate(zip(found.words, found.over), 1):
        pixels = over(found.picture.pixels.float().cpu(), heat)
        name = "-".join(words(word)) or "word"
        Picture(pixels, found.picture.recipe).save(folder / f"{number:02d}-{name}.png")


def _told(found: Explained) -> dict[str, object]:
    """The numbers: where each word looks most, in pixels, and each call of the network."""
    wide = found.over.shape[2]
    peaks = [divmod(int(heat.argmax()), wide)[::-1] for heat in found.over]
    calls = [
        {"alpha": c.level.alpha, "sigma": c.level.sigma, "guidance": c.pull} for c in found.calls
    ]
    named = [{"word": word, "peak": peak} for word, peak in zip(found.words, peaks)]
    return {"prompt": found.prompt, "words": named, "calls": calls}
