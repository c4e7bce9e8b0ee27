"""`limner adapt`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from limner._cli_flags import command
from limner._cli_pictures import Preview, previews
from limner._cli_show import Json, bar, print_json, say
from limner.prompt import check, words
from limner.tasks import Stopped
from limner.tasks.adapt import adapt

__all__ = ["register"]

Folder = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FOLDER",
        help="Where the generator goes, with its card, the sheet, and the search as it goes on; "
        "named after the target when not given.",
    ),
]


def register(app: typer.Typer) -> None:
    command(
        app,
        adapt,
        _adapt,
        example='limner adapt "a portrait" "a pencil sketch" -o sketch',
        without=("watch", "output"),
    )


def _adapt(
    said: dict[str, Any],
    *,
    output: Folder = None,
    preview: Preview = False,
    json: Json = False,
) -> int:
    name = "-".join(words(check(said["target"], "target")))[:60].strip("-'’") or "adapted"
    place = output or Path(name)
    began, status = time.perf_counter(), 0
    with bar("adapting") as report, previews(place if preview else None, report) as watch:
        try:
            pictures = adapt(**said, output=place, watch=watch).after
        except Stopped as stop:
            pictures, status = stop.pictures, 130
    recipe = pictures[0].recipe or {}
    if json:
        sheet, seconds = place / "before-after.png", round(time.perf_counter() - began, 3)
        print_json({"path": place, "sheet": sheet, "recipe": recipe, "seconds": seconds})
    else:
        typer.echo(str(place))
    if status:
        done = recipe["arguments"]["steps"]
        say(f"stopped at step {done} of {said['steps']}: --resume goes on", "yellow")
    return status
