"""`limner measure faces`."""

from __future__ import annotations

from typing import Annotated

import typer

from limner._cli_measure_flags import Attributes, Identity, Measure, Seed, rows
from limner._cli_show import Json, bar, print_json

__all__ = ["MEASURES"]


def _faces(
    identity: Identity = "embedded",
    attributes: Attributes = "embedded",
    count: Annotated[int, typer.Option("--count", help="Faces for each question.")] = 1000,
    aligned: Annotated[
        bool,
        typer.Option("--aligned/--as-drawn", help="Faces cut out, or whole portraits."),
    ] = True,
    seed: Seed = 1,
    json: Json = False,
) -> None:
    """What the networks that look at faces get right, on unseen ones: attributes, styles, people.

    Two pictures are told to show one person by their cosine; the threshold is chosen on other
    people than those who are counted.
    """
    from limner.measures.faces import faces

    with bar("looking") as report:
        found = faces(identity, attributes, count=count, aligned=aligned, seed=seed, watch=report)
    if json:
        print_json(found.told())
        return
    rows(found.attributes, {}, {})
    if found.domains is not None:
        rows({"domain": found.domains}, {}, {"domain": "none, or in which style"})
    cosines = f"mean cosine {found.alike:.3f}; of two people {found.apart:.3f}"
    rows({"same person": found.same}, {}, {"same person": cosines})


MEASURES: tuple[Measure, ...] = (("faces", _faces, "faces --count 500"),)
