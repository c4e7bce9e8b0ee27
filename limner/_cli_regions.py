"""`limner layout` and `limner map`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from limner._cli_flags import command
from limner._cli_pictures import Out, Preview, Recipe, Sheet, previews, target, write
from limner._cli_show import Json, bar
from limner.tasks.layout import layout
from limner.tasks.map import map

if TYPE_CHECKING:
    from limner.picture import Picture

__all__ = ["register"]

_EXAMPLES: dict[Callable[..., list[Picture]], str] = {
    layout: '"a cat and a rocket at night" '
    '--boxes "a cat: .1,.4,.5,.9; a rocket: .6,.1,.9,.6" -o out.png',
    map: 'map.png --legend "1: a cat; 2: on the grass" -o out.png',
}


def register(app: typer.Typer) -> None:
    for task, words in _EXAMPLES.items():
        example = f"limner {task.__name__} {words}"
        command(app, task, _painting(task), example=example, without=("watch",))


def _painting(task: Callable[..., list[Picture]]) -> Callable[..., None]:
    """What runs a task and saves its pictures, named after the prompt, or the map."""

    def run(
        said: dict[str, Any],
        *,
        output: Out = None,
        sheet: Sheet = False,
        preview: Preview = False,
        recipe: Recipe = True,
        json: Json = False,
    ) -> None:
        named = said["prompt"] or f"{Path(said.get('picture', '')).stem} painted"
        place = target(output, named)
        began = time.perf_counter()
        with bar("painting") as report, previews(place if preview else None, report) as watch:
            pictures = task(**said, watch=watch)
        seconds = time.perf_counter() - began
        write(pictures, place, sheet=sheet, recipe=recipe, json=json, seconds=seconds)

    return run
