"""`limner modifiers`: what words that are added to prompts do."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from limner._cli_flags import command
from limner._cli_show import Json, print_json
from limner.tasks.modifiers import Effect, Effects, modifiers

__all__ = ["print_effects", "register"]

From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FILE",
        help="Effects on another model, as limner measure modifiers --json prints them.",
    ),
]


_COLUMNS = """
change: of the pixels, mean, of 1
direction: 1 is straight where the words say, 0 any other way
kept: pictures in which CLIP still finds the prompt's own thing first"""


def register(app: typer.Typer) -> None:
    command(app, modifiers, _modifiers, example="limner modifiers", without=("file",))


def _modifiers(said: dict[str, Any], *, file: From = None, json: Json = False) -> None:
    found = modifiers(**said, file=file)
    if json:
        rows = [each._asdict() | (asdict(effect) if effect else {}) for each, effect in found.rows]
        print_json(found.source | {"modifiers": rows})
        return
    print_effects(found)


def print_effects(found: Effects) -> None:
    """A line for each modifier, and what the columns are."""
    typer.echo(f"{'kind':9} {'modifier':31} {'change':>6}  {'direction':12}  {'kept':>4}")
    for each, effect in found.rows:
        told = _told(effect) if effect else "not measured"
        typer.echo(f"{each.kind:9} {each.template:31} {told}")
    if not found.source:
        return
    typer.echo(_COLUMNS)
    source, plain = found.source, found.source.get("plain", {}).get("share")
    if plain is not None:
        typer.echo(f"kept without a modifier: {plain:.0%}")
    how = ": ".join(str(source[key]) for key in ("date", "command") if key in source)
    typer.echo(f"measured on {source['model']['name']}, {how}".rstrip(", "))


def _told(effect: Effect) -> str:
    unseen = f"  never seen: {' '.join(effect.unseen)}" if effect.unseen else ""
    direction = f"{effect.direction:5.2f} ± {effect.direction_error:.2f}"
    return f"{effect.change:6.3f}  {direction:12}  {effect.kept:4.0%}{unseen}"
