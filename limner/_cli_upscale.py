"""`limner upscale`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import typer

from limner._cli_flags import command
from limner._cli_pictures import Out, Preview, Recipe, previews, target, write_one
from limner._cli_show import Json, bar
from limner.tasks.upscale import upscale

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    example = "limner upscale scene.png --to 1024 -o out.png"
    command(app, upscale, _upscale, example=example, without=("watch",))


def _upscale(
    said: dict[str, Any],
    *,
    output: Out = None,
    preview: Preview = False,
    recipe: Recipe = True,
    json: Json = False,
) -> None:
    place = target(output, f"{Path(said['picture']).stem} upscaled")
    began = time.perf_counter()
    with bar("upscaling") as report, previews(place if preview else None, report) as watch:
        picture = upscale(**said, watch=watch)
    beside = {"size": [picture.pixels.shape[2], picture.pixels.shape[1]]}
    write_one(picture, place, recipe=recipe, json=json, began=began, beside=beside)
