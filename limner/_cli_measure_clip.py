"""`limner measure …`: what a CLIP sees and reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from limner._cli_measure_flags import Clip, Count, Measure, Seed, Vocabulary, rows
from limner._cli_show import Json, bar, print_json

__all__ = ["MEASURES"]


def _zero_shot(
    clip: Clip = "embedded",
    count: Count = 1000,
    seed: Seed = 1,
    vocabulary: Vocabulary = "core",
    templates: Annotated[
        Path | None, typer.Option("--templates", help="Sentences with {} or {a}, one a line.")
    ] = None,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="A label is its sentences' mean, not the best one.")
    ] = False,
    json: Json = False,
) -> None:
    """How often CLIP names the object of an unseen scene, among all objects of the world."""
    from limner.measures.zero_shot import zero_shot
    from limner.prompt import read_templates

    said = read_templates(templates) if templates else None
    with bar("looking") as report:
        found = zero_shot(
            clip,
            count=count,
            seed=seed,
            vocabulary=vocabulary,
            templates=said,
            ensemble=ensemble,
            watch=report,
        )
    parts = {"named": found.named, "bare": found.bare, "coloured": found.coloured}
    if json:
        told = {name: share.told() for name, share in parts.items()}
        print_json(told | {"confused": found.confused, "clip": found.clip})
        return
    rows(parts, {}, {"bare": "no material or style", "coloured": "shapes, with their colour"})
    for shown, named, times in found.confused:
        typer.echo(f"  {times:4} × {shown} taken for {named}")


def _retrieval(
    clip: Clip = "embedded",
    count: Count = 1000,
    seed: Seed = 1,
    vocabulary: Vocabulary = "core",
    json: Json = False,
) -> None:
    """How often CLIP finds the right caption, and the right picture, among unseen scenes."""
    from limner.measures.retrieval import retrieval

    with bar("looking") as report:
        found = retrieval(clip, count=count, seed=seed, vocabulary=vocabulary, watch=report)
    parts = {"caption": found.text, "caption, five": found.text_five, "picture": found.picture}
    if json:
        print_json({name: share.told() for name, share in parts.items()} | {"clip": found.clip})
        return
    rows(parts, {}, {"caption, five": "among the first five"})


MEASURES: tuple[Measure, ...] = (
    ("zero-shot", _zero_shot, "zero-shot --count 500"),
    ("retrieval", _retrieval, "retrieval --count 1000"),
)
