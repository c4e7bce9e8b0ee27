"""`limner edit`."""

from __future__ import annotations

import time
from typing import Any

import typer

from limner._cli_flags import command
from limner._cli_pictures import Out, Preview, Recipe, make_room, previews, target, write_one
from limner._cli_show import Json, bar
from limner.prompt import check
from limner.tasks._checks import check_writable
from limner.tasks.edit import edit

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    command(
        app,
        edit,
        _edit,
        example='limner edit cat.png "a golden cat" -o out.png',
        without=("watch",),
    )


def _edit(
    said: dict[str, Any],
    *,
    output: Out = None,
    preview: Preview = False,
    recipe: Recipe = True,
    json: Json = False,
) -> None:
    place = target(output, check(said["text"], "text"))
    beside = check_writable(place.with_name(f"{place.stem}-layer.png"))
    began = time.perf_counter()
    with bar("editing") as report, previews(place if preview else None, report) as watch:
        edited = edit(**said, watch=watch)
    files = {"layer": edited.save_layer(make_room(beside))}
    write_one(edited.picture, place, recipe=recipe, json=json, began=began, beside=files)
