"""`limner measure textdiff`: do pictures change as the words do?"""

from __future__ import annotations

from typing import Annotated

import typer

from limner._cli_measure_flags import Count, Keep, Measure, Model
from limner._cli_show import Json, bar, print_json

__all__ = ["MEASURES"]

Decoder = Annotated[
    str | None, typer.Option("--decoder", help="A folder; limner's own when not given.")
]


def _textdiff(
    model: Model = "embedded",
    decoder: Decoder = None,
    amount: Annotated[float, typer.Option("--amount", help="As of limner textdiff.")] = 0.5,
    words: Annotated[bool, typer.Option("--words", help="As of limner textdiff.")] = False,
    guidance_scale: Annotated[
        float | None, typer.Option("--guidance-scale", help="As of limner textdiff.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="As of limner textdiff.")] = None,
    count: Count = 96,
    output: Keep = None,
    json: Json = False,
) -> None:
    """Changes a noun, a colour or a background in words and says how often the picture follows.

    An eye that shares nothing with the models looks, and at the true pictures, too.
    """
    from limner.measures.textdiff import textdiff

    with bar("changing") as report:
        found = textdiff(
            model, decoder=decoder, amount=amount, words=words, guidance_scale=guidance_scale,
            steps=steps, count=count, folder=output, watch=report,
        )  # fmt: skip
    if json:
        print_json(found.told())
        return
    typer.echo(f"{found.model}, amount {found.amount:g}")
    typer.echo(f"  changed as the words  {found.flipped!s:26} on true pictures {found.eye}")
    for kind, each in found.kinds.items():
        typer.echo(f"  … the {kind:15} {each}")
    typer.echo(f"  the rest stayed       {found.stayed}")
    typer.echo(f"  before, unchanged     {found.before}")


MEASURES: tuple[Measure, ...] = (
    ("textdiff", _textdiff, "textdiff --decoder runs/decoder/model --count 96"),
)
