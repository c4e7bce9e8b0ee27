"""`limner measure layout`, `map` and `inpaint`: is what was asked for where it was asked for?"""

from __future__ import annotations

from typing import Annotated

import typer

from limner._cli_measure_flags import Count, Keep, Measure, Model, Seed
from limner._cli_show import Json, bar, print_json

__all__ = ["MEASURES"]

Adapter = Annotated[
    str | None, typer.Option("--adapter", help="A folder, or none; limner's own when not given.")
]
Method = Annotated[str | None, typer.Option("--method", help="regions or composed.")]


def _layout(
    model: Model = "embedded",
    adapter: Adapter = None,
    method: Method = None,
    count: Count = 64,
    seed: Seed = 0,
    output: Keep = None,
    json: Json = False,
) -> None:
    """Paints held-out layouts and says how many boxes hold the named thing.

    An eye that shares nothing with the models looks, and at the true pictures, too.
    """
    from limner.measures.layout import layout

    with bar("painting") as report:
        found = layout(
            model, adapter=adapter, method=method, count=count, seed=seed, folder=output,
            watch=report,
        )  # fmt: skip
    if json:
        print_json(found.told())
        return
    typer.echo(f"{found.model}, {found.method}")
    typer.echo(f"  boxes that hold   {found.held!s:26} on true pictures {found.eye_held}")
    typer.echo(f"  … in their colour {found.coloured!s}")
    typer.echo(f"  whole pictures    {found.whole!s:26} on true pictures {found.eye_whole}")
    for boxes, each in found.by_count.items():
        typer.echo(f"  of {boxes} boxes        {each}")


def _map(
    model: Model = "embedded",
    adapter: Adapter = None,
    method: Method = None,
    count: Count = 64,
    seed: Seed = 0,
    output: Keep = None,
    json: Json = False,
) -> None:
    """Paints held-out maps and says how many pixels are of the class that the map says.

    An eye that shares nothing with the models looks, and at the true pictures, too.
    """
    from limner.measures.map import map

    with bar("painting") as report:
        found = map(
            model, adapter=adapter, method=method, count=count, seed=seed, folder=output,
            watch=report,
        )  # fmt: skip
    if json:
        print_json(found.told())
        return
    typer.echo(f"{found.model}, {found.method}, {found.n} maps")
    typer.echo(f"  pixels as the map says {found.all:6.1%} ± {found.standard_error:.1%}")
    typer.echo(f"  of things              {found.things:6.1%}")
    typer.echo(f"  of backgrounds         {found.ground:6.1%}")
    typer.echo(f"  on true pictures       {found.eye:6.1%}, of things {found.eye_things:.1%}")


def _inpaint(
    model: Model = "embedded",
    adapter: Adapter = None,
    resample: Annotated[
        int | None, typer.Option("--resample", help="As of limner inpaint; the model's own.")
    ] = None,
    count: Count = 64,
    seed: Seed = 0,
    output: Keep = None,
    json: Json = False,
) -> None:
    """Asks for another thing in place of one and says how often it is there, inside the mask.

    An eye that shares nothing with the models looks, and at the true pictures, too.
    """
    from limner.measures.inpaint import inpaint

    with bar("painting") as report:
        found = inpaint(
            model, adapter=adapter, resample=resample, count=count, seed=seed, folder=output,
            watch=report,
        )  # fmt: skip
    if json:
        print_json(found.told())
        return
    typer.echo(found.model)
    typer.echo(f"  present           {found.present!s:26} on true pictures {found.eye}")
    typer.echo(f"  … in its colour   {found.coloured}")
    typer.echo(f"  nothing else there {found.single}")


MEASURES: tuple[Measure, ...] = (
    ("layout", _layout, "layout --adapter runs/regions/model --count 100"),
    ("map", _map, "map --adapter runs/regions/model --count 100"),
    ("inpaint", _inpaint, "inpaint --adapter runs/inpainting/model --count 100"),
)
