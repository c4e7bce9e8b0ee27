"""`limner invert`, `limner interpolate`, `limner mix` and `limner arithmetic`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from limner._cli_flags import command
from limner._cli_pictures import Out, Preview, Recipe, previews, target, write_one
from limner._cli_show import Json, bar, say
from limner.tasks import Stopped
from limner.tasks.arithmetic import arithmetic
from limner.tasks.interpolate import interpolate
from limner.tasks.invert import invert
from limner.tasks.mix import mix

__all__ = ["register"]

STOPPED = 130  # the exit status of what Ctrl-C has ended


def register(app: typer.Typer) -> None:
    command(
        app,
        invert,
        _invert,
        example="limner invert face.png --save face.safetensors -o out.png",
        without=("watch",),
    )
    command(
        app,
        interpolate,
        _interpolate,
        example="limner interpolate a.png b.png --film out.gif -o out.png",
        without=("watch",),
    )
    command(app, mix, _mix, example="limner mix seed:7 seed:8 --layers coarse -o out.png")
    command(
        app,
        arithmetic,
        _arithmetic,
        example="limner arithmetic face.png --add smile --remove glasses -o out.png",
        without=("watch",),
    )


def _list(wanted: bool) -> None:
    """Before anything else is looked at: no picture is needed for it."""
    from limner.tasks._attributes import ATTRIBUTES

    if wanted:
        for name, each in ATTRIBUTES.items():
            typer.echo(f"{name}\t{each.meaning}")
        raise typer.Exit(0)


Listed = Annotated[
    bool,
    typer.Option("--list", is_eager=True, callback=_list, help="List the attributes there are."),
]


def _invert(
    said: dict[str, Any],
    *,
    output: Out = None,
    preview: Preview = False,
    recipe: Recipe = True,
    json: Json = False,
) -> int:
    place, began = target(output, f"{_stem(said['picture'])} inverted"), time.perf_counter()
    quality, line = None, None
    with bar("inverting") as report, previews(place if preview else None, report) as watch:
        try:
            found = invert(**said, watch=watch)
            picture, quality, line = found.picture, found.psnr, f"{place}\t{found.psnr:.1f} dB"
        except Stopped as stop:
            (picture,) = stop.pictures
    beside = {"psnr": quality, "latent": said["save"]}
    write_one(picture, place, recipe=recipe, json=json, began=began, beside=beside, line=line)
    if quality is None:
        say("stopped early: what was nearest by then is kept", "yellow")
    return STOPPED if quality is None else 0


def _interpolate(
    said: dict[str, Any],
    *,
    output: Out = None,
    preview: Preview = False,
    recipe: Recipe = True,
    json: Json = False,
) -> None:
    name = f"{_stem(said['a'])} to {_stem(said['b'])}"
    place, began = target(output, name), time.perf_counter()
    with bar("interpolating") as report, previews(place if preview else None, report) as watch:
        found = interpolate(**said, watch=watch)
    beside = {"film": said["film"]}
    write_one(found.sheet, place, recipe=recipe, json=json, began=began, beside=beside)


def _mix(
    said: dict[str, Any], *, output: Out = None, recipe: Recipe = True, json: Json = False
) -> None:
    name = f"{_stem(said['a'])} with {_stem(said['b'])}"
    place, began = target(output, name), time.perf_counter()
    write_one(mix(**said), place, recipe=recipe, json=json, began=began, beside={})


def _arithmetic(
    said: dict[str, Any],
    *,
    listed: Listed = False,
    output: Out = None,
    preview: Preview = False,
    recipe: Recipe = True,
    json: Json = False,
) -> None:
    place, began = target(output, f"{_stem(said['picture'])} changed"), time.perf_counter()
    with bar("measuring") as report, previews(place if preview else None, report) as watch:
        picture = arithmetic(**said, watch=watch)
    write_one(picture, place, recipe=recipe, json=json, began=began, beside={})


def _stem(name: str) -> str:
    """What a result is called after: the picture's name without folder and suffix."""
    return Path(name).stem
