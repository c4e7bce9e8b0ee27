"""What the commands of `limner measure` share: flags, and rows of shares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from limner.measures._share import Share

__all__ = [
    "Attributes",
    "Clip",
    "Count",
    "Followed",
    "Identity",
    "Keep",
    "Measure",
    "Model",
    "Seed",
    "Vocabulary",
    "rows",
]

Measure = tuple[str, Callable[..., Any], str]
"""A command's name, its function and the example at the end of its --help."""

Model = Annotated[str, typer.Option("--model", help="embedded, a folder or a hub id.")]
Clip = Annotated[str, typer.Option("--clip", help="embedded, or a CLIPModel's folder or hub id.")]
Followed = Annotated[
    str | None, typer.Option("--clip", help="The CLIPs that are followed; limner's own.")
]
Attributes = Annotated[
    str, typer.Option("--attributes", help="embedded, or a folder of limner train attributes.")
]
Identity = Annotated[
    str, typer.Option("--identity", help="embedded, or a folder of limner train identity.")
]
Count = Annotated[int, typer.Option("--count", help="How many pictures.")]
Seed = Annotated[int, typer.Option("--seed", help="Of the painting, or of the world.")]
Vocabulary = Annotated[str, typer.Option("--vocabulary", help="The world's words: core or full.")]
Keep = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FOLDER",
        help="Keep the pictures: none is painted twice.",
    ),
]


def rows(shares: dict[str, Share], eye: dict[str, Share], meanings: dict[str, str]) -> None:
    """A line for each: its name, the share, the eye's own error at it, and what it means."""
    for name, share in shares.items():
        error = f"eye's error {1 - eye[name].value:5.1%}" if name in eye else ""
        typer.echo(f"  {name:18} {share!s:28} {error:18} {meanings.get(name, '')}".rstrip())
