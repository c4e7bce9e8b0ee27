"""`limner vary`, `limner textdiff` and `limner unclip`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from limner._cli_flags import command
from limner._cli_pictures import Out, Preview, Recipe, Sheet, previews, target, write
from limner._cli_show import Json, bar
from limner.tasks.textdiff import textdiff
from limner.tasks.unclip import unclip
from limner.tasks.vary import vary

if TYPE_CHECKING:
    from limner.picture import Picture

__all__ = ["register"]

_EXAMPLES: dict[Callable[..., list[Picture]], str] = {
    vary: "picture.png --count 4 --sheet -o out.png",
    textdiff: 'picture.png "a cat on the grass" "a dog on the grass" -o out.png',
    unclip: '"a panda in the snow" --count 4 -o out.png',
}


def register(app: typer.Typer) -> None:
    for task, words in _EXAMPLES.items():
        example = f"limner {task.__name__} {words}"
        command(app, task, _painting(task), example=example, without=("watch",))


def _painting(task: Callable[..., list[Picture]]) -> Callable[..., None]:
    """What runs a task and saves its pictures."""

    def run(
        said: dict[str, Any],
        *,
        output: Out = None,
        sheet: Sheet = False,
        preview: Preview = False,
        recipe: Recipe = True,
        json: Json = False,
    ) -> None:
        place, began = target(output, _named(said)), time.perf_counter()
        with bar("painting") as report, previews(place if preview else None, report) as watch:
            pictures = task(**said, watch=watch)
        seconds = time.perf_counter() - began
        write(pictures, place, sheet=sheet, recipe=recipe, json=json, seconds=seconds)

    return run


def _named(said: dict[str, Any]) -> str:
    """What the result is called after: the words, or the picture."""
    if "picture" not in said:
        return str(said["prompt"])
    changed = said.get("after")
    return f"{Path(said['picture']).stem} " + (f"to {changed}" if changed else "varied")
