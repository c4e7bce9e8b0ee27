"""`limner measure portraits` and `limner measure inversion`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limner._cli_measure_flags import Attributes, Identity, Measure, Model, Seed, Vocabulary
from limner._cli_show import Json, bar, print_json
from limner.errors import BadInput

if TYPE_CHECKING:
    from limner.measures._portraits_told import Figures, Portraits

__all__ = ["MEASURES"]

_AtOnce = Annotated[int, typer.Option("--at-once", help="Pictures that are worked on together.")]


def _portraits(
    methods: Annotated[
        str, typer.Option("--methods", help="Some of stylegan, mapper and direction, with commas.")
    ] = "stylegan,mapper,direction",
    asked: Annotated[
        str | None,
        typer.Option("--asked", help="Some of the attributes, with commas; all eight by default."),
    ] = None,
    count: Annotated[int, typer.Option("--count", help="Faces for each attribute.")] = 100,
    model: Model = "embedded",
    mapper: Annotated[
        list[str] | None,
        typer.Option(
            "--mapper",
            metavar="[ATTRIBUTE=]FOLDER",
            help="Of an attribute, again for each; or one folder with a folder for each.",
        ),
    ] = None,
    directions: Annotated[
        str, typer.Option("--directions", help="embedded, or a folder of limner train directions.")
    ] = "embedded",
    clip: Annotated[
        str | None, typer.Option("--clip", help="The CLIPs that the search follows.")
    ] = None,
    attributes: Attributes = "embedded",
    identity: Identity = "embedded",
    strength: Annotated[
        list[str] | None,
        typer.Option(
            "--strength", metavar="[METHOD=]NUMBER", help="How much may change; each one's usual."
        ),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Of direction, as limner edit takes it.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Of each search; 200.")] = None,
    views: Annotated[int | None, typer.Option("--views", help="In each step of it; 8.")] = None,
    inversion_steps: Annotated[
        int | None,
        typer.Option("--inversion-steps", help="Of each face's inversion; as limner edit has."),
    ] = None,
    at_once: _AtOnce = 8,
    seed: Seed = 1,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Keep edits, so that none is made twice; sheets.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """StyleCLIP's three ways on unseen faces: is there what was asked for, and the rest as it was?

    Eight attributes, each asked of faces without it, which are inverted once. A classifier that no
    edit follows looks at the picture before and after; identity is the cosine of the two.
    """
    from limner.measures.portraits import ASKED, portraits

    with bar("inverting and editing") as report:
        found = portraits(
            methods=_listed(methods),
            asked=_listed(asked) if asked else tuple(ASKED),
            count=count,
            model=model,
            mappers=_mappers(mapper or []),
            directions=directions,
            clip=clip,
            attributes=attributes,
            identity=identity,
            strength=_strengths(strength or []),
            threshold=threshold,
            steps=steps,
            views=views,
            inversion_steps=inversion_steps,
            at_once=at_once,
            seed=seed,
            folder=output,
            watch=report,
        )
    if json:
        print_json(found.told())
    else:
        _print_portraits(found)


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _mappers(said: list[str]) -> str | dict[str, str] | None:
    """ATTRIBUTE=FOLDER each, or one FOLDER."""
    from limner.measures.portraits import ASKED

    named = dict(each.split("=", 1) for each in said if each.split("=", 1)[0] in ASKED)
    if len(said) == 1 and not named:
        return said[0]
    if len(named) < len(said):
        raise BadInput(
            f"--mapper {' '.join(said)!r}: give ATTRIBUTE=FOLDER, each attribute once, of "
            f"{', '.join(ASKED)}; or one folder alone"
        )
    return named or None


def _strengths(said: list[str]) -> float | dict[str, float] | None:
    """METHOD=NUMBER each, or one NUMBER."""
    try:
        if len(said) == 1 and "=" not in said[0]:
            return float(said[0])
        pairs = (each.split("=", 1) for each in said)
        return {method: float(number) for method, number in pairs} or None
    except ValueError:
        raise BadInput(
            f"--strength {' '.join(said)!r}: give METHOD=NUMBER, such as direction=0.7; or a number"
        ) from None


def _print_portraits(found: Portraits) -> None:
    if found.inverted is not None:
        said = found.inverted.told()
        seconds = _seconds(said["seconds"], "a face")
        typer.echo(
            f"inverted alone: {said['psnr']:.2f} ± {said['psnr_error']:.2f} dB, attributes kept "
            f"{said['kept']['share']:.1%}, identity {said['identity']:.3f}{seconds} ({said['n']})"
        )
    for method in found.methods:
        typer.echo(f"{method}{_seconds(found.seconds(method), 'an edit')}")
        for name in found.asked:
            typer.echo(_line(name, found.figures(method, name)))
        typer.echo(_line("in all", found.figures(method)))


def _line(name: str, of: Figures) -> str:
    kept = f"others kept {of.kept.value:6.1%} ± {of.kept.error:.1%}"
    who = f"identity {of.identity:.3f} ± {of.identity_error:.3f}"
    return f"  {name:12} {of.there!s:28} before {of.before.value:5.1%}  {kept}  {who}"


def _seconds(value: float | None, of: str) -> str:
    return "" if value is None else f", {value:.2f} s {of}"


def _inversion(
    generator: Annotated[
        str, typer.Option("--generator", help="As limner invert has it: stylegan, latent, vqgan …")
    ] = "stylegan",
    model: Annotated[
        str | None, typer.Option("--model", help="embedded, a folder or a hub id.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Of each search; the generator's usual number.")
    ] = None,
    count: Annotated[int, typer.Option("--count", help="How many pictures.")] = 100,
    at_once: _AtOnce = 8,
    aligned: Annotated[
        bool, typer.Option("--aligned/--as-drawn", help="Faces cut out, or whole portraits.")
    ] = True,
    vocabulary: Vocabulary = "core",
    seed: Seed = 1,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="PICTURE", help="A sheet of the first ones."),
    ] = None,
    json: Json = False,
) -> None:
    """How near a generator comes to unseen pictures: of faces for stylegan, else of scenes.

    What limner invert finds, beside what was given: PSNR and SSIM.
    """
    from limner.measures.inversion import inversion

    with bar("inverting") as report:
        found = inversion(
            generator,
            model=model,
            steps=steps,
            count=count,
            at_once=at_once,
            aligned=aligned,
            vocabulary=vocabulary,
            seed=seed,
            sheet=output,
            watch=report,
        )
    if json:
        print_json(asdict(found))
        return
    typer.echo(
        f"PSNR {found.psnr:.2f} ± {found.standard_error:.2f} dB, worst {found.worst:.2f} dB, "
        f"SSIM {found.ssim:.4f} ({found.n} unseen pictures, {found.steps} steps, "
        f"{found.seconds:.2f} s each)"
    )


MEASURES: tuple[Measure, ...] = (
    ("portraits", _portraits, "portraits --mapper runs/mappers --directions runs/directions/model"),
    ("inversion", _inversion, "inversion --generator stylegan --count 100"),
)
