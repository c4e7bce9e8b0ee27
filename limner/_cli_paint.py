"""`limner generate`, `restyle`, `inpaint`, `outpaint` and `replay`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer

from limner._cli_flags import command
from limner._cli_pictures import Out, Preview, Recipe, Sheet, previews, target, write
from limner._cli_show import Json, bar, print_json, say
from limner.prompt import check
from limner.tasks.generate import generate
from limner.tasks.inpaint import inpaint
from limner.tasks.outpaint import outpaint
from limner.tasks.replay import replay
from limner.tasks.restyle import restyle

if TYPE_CHECKING:
    from limner.picture import Picture

__all__ = ["register"]


_EXAMPLES: dict[Callable[..., list[Picture]], str] = {
    generate: '"an astronaut riding a horse at sunset" --count 4 -o out.png',
    restyle: 'cat.png "an oil painting of a cat" --strength 0.6 -o out.png',
    inpaint: 'scene.png "a panda on the grass" --mask mask.png -o out.png',
    outpaint: 'scene.png "a panda on the grass" --left 48 --right 48 -o out.png',
}


def register(app: typer.Typer) -> None:
    for task, words in _EXAMPLES.items():
        example = f"limner {task.__name__} {words}"
        command(app, task, _painting(task), example=example, without=("watch",))
    command(app, replay, _replay, example="limner replay out.png", without=("watch",))


def _painting(task: Callable[..., list[Picture]]) -> Callable[..., None]:
    """What runs a task that paints pictures after a prompt, and saves them."""

    def run(
        said: dict[str, Any],
        *,
        output: Out = None,
        sheet: Sheet = False,
        preview: Preview = False,
        recipe: Recipe = True,
        json: Json = False,
    ) -> None:
        place = target(output, check(said["prompt"]))
        began = time.perf_counter()
        with bar("painting") as report, previews(place if preview else None, report) as watch:
            pictures = task(**said, watch=watch)
        seconds = time.perf_counter() - began
        write(pictures, place, sheet=sheet, recipe=recipe, json=json, seconds=seconds)

    return run


def _replay(said: dict[str, Any], *, json: Json = False) -> int:
    with bar("painting again") as report:
        found = replay(**said, watch=lambda each: report(each.step, each.total))
    if json:
        notes = list(found.notes)
        print_json({"identical": found.identical, "psnr": found.psnr, "notes": notes})
    elif found.identical:
        typer.echo("identical")
    else:
        typer.echo(f"different: {found.psnr:.1f} dB")
    for note in found.notes if not json else ():
        say(note, "yellow")
    return 0 if found.identical else 1
