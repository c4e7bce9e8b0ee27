"""`limner generate` and `limner replay`."""

from __future__ import annotations

import time
from typing import Any

import typer

from limner._cli_flags import command
from limner._cli_pictures import Out, Preview, Recipe, Sheet, previews, target, write
from limner._cli_show import Json, bar, print_json, say
from limner.prompt import check
from limner.tasks.generate import generate
from limner.tasks.replay import replay

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    command(
        app,
        generate,
        _generate,
        example='limner generate "an astronaut riding a horse at sunset" --count 4 -o out.png',
        without=("watch",),
    )
    command(app, replay, _replay, example="limner replay out.png", without=("watch",))


def _generate(
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
        pictures = generate(**said, watch=watch)
    seconds = time.perf_counter() - began
    write(pictures, place, sheet=sheet, recipe=recipe, json=json, seconds=seconds)


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
