"""`limner paint`."""

from __future__ import annotations

import time
from typing import Any

import typer

from limner._cli_flags import command
from limner._cli_pictures import Out, Preview, Recipe, Sheet, previews, target, write
from limner._cli_show import Json, bar, say
from limner.prompt import check
from limner.tasks import Stopped
from limner.tasks.paint import paint

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    command(
        app,
        paint,
        _paint,
        example='limner paint "a red apple on the grass" --generator grid -o out.png',
        without=("watch",),
    )


def _paint(
    said: dict[str, Any],
    *,
    output: Out = None,
    sheet: Sheet = False,
    preview: Preview = False,
    recipe: Recipe = True,
    json: Json = False,
) -> int:
    place = target(output, check(said["prompt"]))
    began, status = time.perf_counter(), 0
    with bar("painting") as report, previews(place if preview else None, report) as watch:
        try:
            pictures = paint(**said, watch=watch)
        except Stopped as stop:
            pictures, status = stop.pictures, 130
    seconds = time.perf_counter() - began
    write(pictures, place, sheet=sheet, recipe=recipe, json=json, seconds=seconds)
    if status:
        say("stopped early: what was best by then is kept", "yellow")
    return status
