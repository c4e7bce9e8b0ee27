"""`limner measure attention` and `likelihood`: what diffusion models know, in numbers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from limner._cli_measure_flags import Clip, Count, Measure, Model, Seed
from limner._cli_show import Json, bar, print_json

__all__ = ["MEASURES"]


def _attention(
    model: Model = "embedded", count: Count = 256, seed: Seed = 1, json: Json = False
) -> None:
    """How often the map of a noun is highest within what it names, on unseen scenes with masks."""
    from limner.measures.attention import attention

    with bar("looking") as report:
        found = attention(model, count=count, seed=seed, watch=report)
    if json:
        print_json(found.told())
        return
    for name in ("hits", "single", "several"):
        typer.echo(f"  {name:10} {getattr(found, name)!s}")
    typer.echo(f"  {'chance':10} {found.chance:6.1%}")


def _likelihood(
    model: Annotated[str, typer.Argument(help="A folder of limner train iddpm or score_sde.")],
    data: Annotated[str, typer.Option("--data", help="Pictures: a folder, an idx or CIFAR file.")],
    count: Count = 64,
    way: Annotated[str, typer.Option("--way", help="flow or bound.")] = "flow",
    steps: Annotated[int, typer.Option("--steps", help="Steps of the flow.")] = 50,
    probes: Annotated[int, typer.Option("--probes", help="Of the flow's divergence.")] = 1,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Bits per dimension of the last pictures of the data: by the probability flow, or a bound."""
    from limner.measures.likelihood import likelihood

    with bar("weighing") as report:
        found = likelihood(
            model, data, count=count, way=way, steps=steps, probes=probes, seed=seed, watch=report
        )
    if json:
        print_json(asdict(found))
        return
    typer.echo(
        f"{found.bits:.3f} ± {found.standard_error:.3f} bits per dimension "
        f"({found.n} pictures, {found.way})"
    )


def _upscaling(
    model: Annotated[
        str, typer.Option("--model", help="embedded, or a folder of limner train upscaler.")
    ] = "embedded",
    count: Count = 64,
    seed: Seed = 1,
    steps: Annotated[int, typer.Option("--steps", help="Of the diffusion, each doubling.")] = 4,
    augment: Annotated[float, typer.Option("--augment", help="As of limner upscale.")] = 0.0,
    clip: Clip = "embedded",
    json: Json = False,
) -> None:
    """Enlarged scenes beside their truth: PSNR, SSIM, Fréchet distance of wholes and parts."""
    from limner.measures.upscaling import upscaling

    with bar("enlarging") as report:
        found = upscaling(
            model, count=count, seed=seed, steps=steps, augment=augment, clip=clip, watch=report
        )
    if json:
        print_json(found.told())
        return
    for factor, ways in found.ways.items():
        typer.echo(f"{factor} pixels ({found.n} unseen scenes)")
        for name, each in ways.items():
            typer.echo(
                f"  {name:12} {each.psnr:6.2f} ± {each.standard_error:.2f} dB, SSIM "
                f"{each.ssim:.4f}, Fréchet {each.frechet:.2e}, of parts {each.frechet_parts:.2e}"
            )


MEASURES: tuple[Measure, ...] = (
    ("upscaling", _upscaling, "upscaling --count 64"),
    ("attention", _attention, "attention --count 256"),
    ("likelihood", _likelihood, "likelihood runs/iddpm/model --data fashion-mnist --way bound"),
)
