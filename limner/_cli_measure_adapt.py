"""`limner measure adapt`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from limner._cli_measure_flags import Attributes, Followed, Measure, Model, Seed
from limner._cli_show import Json, bar, print_json

__all__ = ["MEASURES"]


def _adapt(
    model: Model = "embedded",
    clip: Followed = None,
    judge_by: Annotated[
        str, typer.Option("--judge-by", help="The CLIP whose features tell pictures apart.")
    ] = "embedded",
    attributes: Attributes = "embedded",
    domains: Annotated[
        str | None, typer.Option("--domains", help="Some of them, with commas; all by default.")
    ] = None,
    count: Annotated[int, typer.Option("--count", help="Pictures of each generator.")] = 200,
    truncation: Annotated[float, typer.Option("--truncation", help="Psi of the pictures.")] = 0.7,
    steps: Annotated[int, typer.Option("--steps", help="Of each adaptation.")] = 120,
    layers: Annotated[
        int | None, typer.Option("--layers", help="That a step moves; two thirds of them.")
    ] = None,
    batch: Annotated[int, typer.Option("--batch", help="Pictures in a step.")] = 2,
    rate: Annotated[float, typer.Option("--rate", help="Adam's learning rate.")] = 0.01,
    views: Annotated[int, typer.Option("--views", help="Of each picture; 1: as it is.")] = 2,
    seed: Seed = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FOLDER", help="Keep the generators: none is made twice."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Adapts a StyleGAN of portraits to five styles in words: does it paint them, and many of them?

    A classifier that no adaptation has seen names the style of its pictures; diversity is the mean
    perceptual distance of two pictures, as a share of the source's.
    """
    from limner.measures.adapted import TARGETS, adapted

    with bar("adapting") as report:
        found = adapted(
            model=model,
            clip=clip,
            judge_by=judge_by,
            attributes=attributes,
            domains=[each.strip() for each in domains.split(",")] if domains else tuple(TARGETS),
            count=count,
            truncation=truncation,
            steps=steps,
            layers=layers,
            batch=batch,
            rate=rate,
            views=views,
            seed=seed,
            folder=output,
            watch=report,
        )
    if json:
        print_json(found.told())
        return
    for each in found.domains:
        before = f"before {each.before.value:5.1%}"
        kept = f"diversity kept {each.kept:5.1%}"
        typer.echo(f"{each.domain:14} {each.agrees!s:26} {before}  {kept}  {each.seconds:.0f} s")


MEASURES: tuple[Measure, ...] = (("adapt", _adapt, "adapt --model runs/stylegan/model -o adapted"),)
