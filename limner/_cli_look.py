"""`limner describe`, `limner classify` and `limner rank`."""

from __future__ import annotations

from typing import Any

import typer

from limner._cli_flags import command
from limner._cli_show import Json, print_json
from limner.tasks.classify import classify
from limner.tasks.describe import describe
from limner.tasks.rank import rank

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    command(app, describe, _describe, example="limner describe out.png")
    command(app, classify, _classify, example="limner classify out.png --labels cat,dog,horse")
    command(app, rank, _rank, example='limner rank "a red cube" out-1.png out-2.png')


def _describe(said: dict[str, Any], *, json: Json = False) -> None:
    found = describe(**said)
    if json:
        print_json([{"path": each.picture.path, "captions": each.captions} for each in found])
        return
    for each in found:
        for caption, score in each.captions.items():
            typer.echo(f"{each.picture.path}\t{score:.1%}\t{caption}")


def _classify(said: dict[str, Any], *, json: Json = False) -> None:
    found = classify(**said)
    if json:
        print_json([{"path": each.picture.path, "labels": each.labels} for each in found])
        return
    for each in found:
        chances = "\t".join(f"{label} {chance:.1%}" for label, chance in each.labels.items())
        typer.echo(f"{each.picture.path}\t{chances}")


def _rank(said: dict[str, Any], *, json: Json = False) -> None:
    found = rank(**said)
    if json:
        print_json([{"path": each.picture.path, "score": each.score} for each in found])
        return
    for each in found:
        typer.echo(f"{each.score:.3f}\t{each.picture.path}")
