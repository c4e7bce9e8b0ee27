"""`limner sample`: pictures of a model without words."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import typer

from limner._cli_flags import command
from limner._cli_pictures import Out, Preview, Recipe, Sheet, previews, target, write
from limner._cli_show import Json, bar
from limner.tasks.sample import sample

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    example = "limner sample runs/iddpm/model --count 16 --sheet -o out.png"
    command(app, sample, _sample, example=example, without=("watch",))


def _sample(
    said: dict[str, Any],
    *,
    output: Out = None,
    sheet: Sheet = False,
    preview: Preview = False,
    recipe: Recipe = True,
    json: Json = False,
) -> None:
    place = target(output, f"{Path(said['model']).name} sample")
    began = time.perf_counter()
    with bar("painting") as report, previews(place if preview else None, report) as watch:
        pictures = sample(**said, watch=watch)
    seconds = time.perf_counter() - began
    write(pictures, place, sheet=sheet, recipe=recipe, json=json, seconds=seconds)
