"""`limner measure …`: how good it is, in numbers. Here, of the models that paint.

`_cli_measure_clip.py` has those of CLIPs, `_cli_measure_search.py` those of searches and edits. A
new measure is a function and its line in its file's MEASURES.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limner import (
    _cli_measure_adapt,
    _cli_measure_clip,
    _cli_measure_diffusion,
    _cli_measure_faces,
    _cli_measure_portraits,
    _cli_measure_regions,
    _cli_measure_search,
    _cli_measure_unclip,
)
from limner._cli_measure_flags import Clip, Count, Keep, Measure, Model, Seed, Vocabulary, rows
from limner._cli_show import Json, bar, print_json, say
from limner.errors import BadInput

if TYPE_CHECKING:
    from limner.measures.compose import Report

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    measure = typer.Typer(no_args_is_help=True, help="How good the models are, in numbers.")
    for name, run, example in (
        *MEASURES,
        *_cli_measure_clip.MEASURES,
        *_cli_measure_search.MEASURES,
        *_cli_measure_adapt.MEASURES,
        *_cli_measure_faces.MEASURES,
        *_cli_measure_portraits.MEASURES,
        *_cli_measure_diffusion.MEASURES,
        *_cli_measure_regions.MEASURES,
        *_cli_measure_unclip.MEASURES,
    ):
        measure.command(name, epilog=f"Example: limner measure {example}")(run)
    app.add_typer(measure, name="measure", epilog="Example: limner measure compose --count 80")


# ---- compose -------------------------------------------------------------------------------


def _compose(
    model: Model = "embedded",
    count: Annotated[
        int | None, typer.Option("--count", help="So many of the prompts; all when not given.")
    ] = None,
    seed: Seed = 0,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Of each picture; the model's when not given.")
    ] = None,
    draws: Annotated[
        int, typer.Option("--draws", help="True pictures of each scene, for the eye's own error.")
    ] = 1,
    eye: Annotated[
        bool, typer.Option("--eye", help="Paint nothing: measure the eye on true pictures alone.")
    ] = False,
    output: Keep = None,
    json: Json = False,
) -> None:
    """Paints held-out prompts and says how often what they name is there.

    An eye that shares nothing with the models compares with the world's own sprites; its error on
    the world's true pictures is measured with it.
    """
    from limner.measures.compose import compose

    with bar("looking and painting") as report:
        found = compose(
            model=None if eye else model,
            count=count,
            seed=seed,
            steps=steps,
            draws=draws,
            folder=output,
            watch=report,
        )
    if json:
        print_json(found.told())
        return
    _print_compose(found)


def _print_compose(found: Report) -> None:
    from limner.measures.compose import QUESTIONS

    typer.echo(f"{found.model}: all that a prompt names is there")
    rows(found.kinds, found.eye_kinds, {})
    rows({"in all": found.all}, {}, {})
    typer.echo("\nby question")
    rows(found.questions, found.eye_questions, {name: q[2] for name, q in QUESTIONS.items()})
    typer.echo(f"\nthe eye's own error on true pictures: {found.eye_error:.1%}")


# ---- pictures and texts --------------------------------------------------------------------


def _clip_score(
    pictures: Annotated[
        list[Path] | None,
        typer.Argument(help="Pictures or folders of them; painted by the model when none."),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option("--prompt", help="What they show; else what their recipes say.")
    ] = None,
    model: Model = "embedded",
    count: Annotated[int, typer.Option("--count", help="How many to paint.")] = 64,
    seed: Seed = 0,
    clip: Clip = "embedded",
    output: Keep = None,
    json: Json = False,
) -> None:
    """CLIPScore: how well pictures and their prompts agree in CLIP's eyes, 0 to 100."""
    from limner.measures import _sources
    from limner.measures._prompts import prompts as composed
    from limner.measures.clip_score import clip_score
    from limner.picture import load

    with bar("painting and looking") as report:
        if pictures:
            shown = [load(path) for path in _sources.files(pictures)]
            prompts = [prompt or _sources.prompt_of(each) for each in shown]
        else:
            prompts = [each.words for each in composed(count)]
            shown = _sources.model_pictures(prompts, model, seed, output, report)
        found = clip_score(shown, prompts, clip=clip, watch=report)
    if json:
        pairs = [{"prompt": p, "score": s} for p, s in zip(prompts, found.scores)]
        told = {"mean": found.mean, "standard_error": found.standard_error, "clip": found.clip}
        print_json(told | {"pictures": pairs})
        return
    typer.echo(f"{found.mean:.2f} ± {found.standard_error:.2f} ({len(prompts)} pictures)")


def _frechet(
    real: Annotated[Path | None, typer.Argument(help="A folder of real pictures.")] = None,
    painted: Annotated[Path | None, typer.Argument(help="A folder of painted ones.")] = None,
    model: Model = "embedded",
    count: Count = 1000,
    seed: Seed = 1,
    clip: Clip = "embedded",
    output: Keep = None,
    json: Json = False,
) -> None:
    """Fréchet distance of two folders' pictures in CLIP's features.

    Without folders: between the world's unseen scenes and what the model paints from the captions
    of others.
    """
    from limner.measures import _sources
    from limner.measures.frechet import frechet

    if (real is None) != (painted is None):
        raise BadInput("give two folders to compare, or none to compare a model with the world")
    with bar("painting and looking") as report:
        if real is not None and painted is not None:
            pair = tuple(_sources.one_by_one(_sources.files([each])) for each in (real, painted))
        else:
            drawn, captions = _sources.held_out(count, seed)
            shown = _sources.model_pictures(captions, model, seed, output, report)
            pair = drawn, (each.pixels[None] for each in shown)
        found = frechet(*pair, clip=clip, watch=report)
    if json:
        print_json(asdict(found))
        return
    typer.echo(f"{found.distance:.4f} ({found.real} real, {found.painted} painted)")
    if min(found.real, found.painted) < 1000:
        say("with fewer than 1,000 pictures a side the distance is too large", "yellow")


# ---- parts of the models -------------------------------------------------------------------


def _reconstruction(
    model: Annotated[
        str, typer.Option("--model", help="embedded, vqgan, a folder (VQModels too) or a hub id.")
    ] = "embedded",
    count: Count = 256,
    seed: Seed = 1,
    vocabulary: Vocabulary = "core",
    json: Json = False,
) -> None:
    """What the autoencoder, or a VQGAN, loses on unseen scenes: PSNR, SSIM and codes in use."""
    from limner.measures.reconstruction import reconstruction

    with bar("encoding and decoding") as report:
        found = reconstruction(model, count=count, seed=seed, vocabulary=vocabulary, watch=report)
    if json:
        print_json(asdict(found))
        return
    typer.echo(
        f"PSNR {found.psnr:.2f} ± {found.standard_error:.2f} dB, worst {found.worst:.2f} dB, "
        f"SSIM {found.ssim:.4f} ({found.n} unseen scenes)"
    )
    if found.codebook_use is not None:
        typer.echo(f"{found.codebook_use:.1%} of the codes in use")


def _throughput(
    model: Model = "embedded",
    batches: Annotated[str, typer.Option("--batches", help="Pictures at once: 1,8.")] = "1,8",
    steps: Annotated[int, typer.Option("--steps", help="Steps of the samplers.")] = 20,
    rounds: Annotated[int, typer.Option("--rounds", help="Timings of each.")] = 5,
    guidance_scale: Annotated[
        float | None, typer.Option("--guidance-scale", help="The model's own when not given.")
    ] = None,
    precision: Annotated[
        str, typer.Option("--precision", help="Of limner: auto, float32 or bfloat16.")
    ] = "auto",
    compile: Annotated[bool, typer.Option("--compile", help="limner compiled, too.")] = False,
    pipelines: Annotated[
        str, typer.Option("--pipelines", help="Types that diffusers runs in.")
    ] = "float32,bfloat16",
    json: Json = False,
) -> None:
    """Pictures a second beside diffusers' StableDiffusionPipeline with the same weights.

    They take turns in one process; steady state, and apart from it what the first batch costs.
    """
    from limner.measures.throughput import throughput

    with bar("painting") as report:
        found = throughput(
            model,
            batches=_numbers(batches),
            steps=steps,
            rounds=rounds,
            guidance_scale=guidance_scale,
            precision=precision,
            compile=compile,
            pipelines=[each.strip() for each in pipelines.split(",") if each.strip()],
            watch=report,
        )
    if json:
        print_json(found.told())
    else:
        typer.echo("\n".join(found.lines()))


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise BadInput(f"--batches {text!r}: give whole numbers, such as 1,8") from None


MEASURES: tuple[Measure, ...] = (
    ("compose", _compose, "compose --model embedded -o painted"),
    ("clip-score", _clip_score, "clip-score out-1.png out-2.png"),
    ("frechet", _frechet, "frechet real-pictures painted-pictures"),
    ("reconstruction", _reconstruction, "reconstruction --count 64"),
    ("throughput", _throughput, "throughput --batches 1,8 --compile"),
)
