"""`limner guide`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limner._cli_flags import command
from limner._cli_pictures import Out, Preview, Recipe, make_room, previews, target
from limner._cli_show import Json, bar, print_json, say
from limner.prompt import check
from limner.tasks import Stopped
from limner.tasks.guide import guide

if TYPE_CHECKING:
    from limner.picture import Picture

__all__ = ["register"]

Singles = Annotated[
    bool, typer.Option("--singles", help="Each picture in a file of its own, too: OUT-cfg-0.png.")
]


def register(app: typer.Typer) -> None:
    words = '"a red apple on the grass" --compare none,cfg,clip,cfg+clip -o out.png'
    command(app, guide, _guide, example=f"limner guide {words}", without=("watch",))


def _guide(
    said: dict[str, Any],
    *,
    output: Out = None,
    singles: Singles = False,
    preview: Preview = False,
    recipe: Recipe = True,
    json: Json = False,
) -> int:
    place = target(output, check(said["prompt"]))
    began, status = time.perf_counter(), 0
    said["compare"] = said["compare"] or None  # typer gives [] for what is not there
    said["clip"] = said["clip"] or None
    with bar("painting") as report, previews(place if preview else None, report) as watch:
        try:
            pictures = guide(**said, watch=watch)
        except Stopped as stop:
            pictures, status = stop.pictures, 130
    _write(pictures, place, said["count"], singles=singles, recipe=recipe, json=json, began=began)
    if status:
        say("stopped early: the kinds that were done by then are kept", "yellow")
    return status


def _write(
    pictures: list[Picture],
    place: Path,
    columns: int,
    *,
    singles: bool,
    recipe: bool,
    json: bool,
    began: float,
) -> None:
    """The sheet, a row for each kind; and the pictures."""
    from limner.picture import grid

    make_room(place)
    told = [picture.recipe or {} for picture in pictures]
    names = [f"{each['arguments']['compare']} {each['sample']}" for each in told]
    grid(pictures, columns, names).save(place, recipe=recipe)
    files = [
        picture.save(_beside(place, name), recipe=recipe)
        for picture, name in zip(pictures, names)
        if singles
    ]
    if not json:
        for file in [place, *files]:
            typer.echo(str(file))
        return
    made = [
        {"path": str(files[i]) if singles else None, "recipe": each} for i, each in enumerate(told)
    ]
    seconds = round(time.perf_counter() - began, 3)
    print_json({"sheet": place, "pictures": made, "seconds": seconds})


def _beside(place: Path, name: str) -> Path:
    """out.png, "cfg+clip 3" → out-cfg+clip-3.png"""
    return place.with_name(f"{place.stem}-{name.replace(' ', '-')}{place.suffix}")
