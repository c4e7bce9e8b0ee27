"""`limner measure …`: whether searches and edits do what the words say."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

from limner._cli_measure_flags import Clip, Followed, Keep, Measure, Model, Seed, rows
from limner._cli_show import Json, bar, print_json

__all__ = ["MEASURES"]


def _agreement(
    generator: Annotated[
        str, typer.Option("--generator", help="What paints: a generator of limner paint.")
    ] = "vqgan",
    count: Annotated[int, typer.Option("--count", help="So many of the held-out prompts.")] = 50,
    clip: Followed = None,
    judge: Annotated[
        str | None, typer.Option("--judge", help="Who is followed, as limner paint takes them.")
    ] = None,
    judge_by: Annotated[
        str | None, typer.Option("--judge-by", help="The CLIP that judges; one not followed.")
    ] = None,
    judge_followed: Annotated[
        bool, typer.Option("--judge-followed", help="Let a CLIP judge that was followed.")
    ] = False,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Of each search; the generator's usual number.")
    ] = None,
    views: Annotated[
        int | None, typer.Option("--views", help="In each step; the generator's usual number.")
    ] = None,
    seed: Seed = 0,
    output: Keep = None,
    json: Json = False,
) -> None:
    """How often a CLIP that the search never saw finds paintings nearer to their words than scenes.

    Held-out prompts, each beside 20 random scenes of its own; the CLIPs that were followed, and the
    world's true pictures, are reported beside it.
    """
    from limner.measures.agreement import SCENES, agreement

    with bar("painting") as report:
        found = agreement(
            generator=generator,
            count=count,
            clip=clip,
            judge=judge,
            judge_by=judge_by,
            judge_followed=judge_followed,
            steps=steps,
            views=views,
            seed=seed,
            folder=output,
            watch=report,
        )
    if json:
        print_json(found.told())
        return
    typer.echo(f"{found.painter}: paintings nearer to their words than {SCENES} random scenes")
    for role, look in [("held out", found.held_out), *(("followed", e) for e in found.followed)]:
        true = f"mean cosine {look.cosine:.3f}, true pictures {look.truth.value:.1%}"
        typer.echo(f"  {role:9} {look.clip:18} {look.above!s:28} {true}")
    if found.seconds is not None:
        typer.echo(f"{found.seconds:.1f} s for a painting")


def _materials(
    count: Annotated[int, typer.Option("--count", help="How many scenes.")] = 50,
    clip: Followed = None,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Of each search; the method's usual number.")
    ] = None,
    views: Annotated[
        int | None, typer.Option("--views", help="In each step; the method's usual number.")
    ] = None,
    strength: Annotated[
        float | None, typer.Option("--strength", help="How much may change; the method's usual.")
    ] = None,
    seed: Seed = 0,
    output: Keep = None,
    json: Json = False,
) -> None:
    """Edits by layer: is the material on the object then, and the rest as it was?

    Held-out scenes of one object, "wooden", "golden", "made of ice", "stained glass" and "crochet"
    in turn; the eye of limner measure compose looks for the material.
    """
    from limner.measures.materials import materials

    with bar("editing") as report:
        found = materials(
            count=count,
            clip=clip,
            steps=steps,
            views=views,
            strength=strength,
            seed=seed,
            folder=output,
            watch=report,
        )
    if json:
        print_json(found.told())
        return
    rows(found.kinds, {}, {})
    whole = {"in all": found.found, "before the edit": found.before, "true pictures": found.true}
    rows(whole, {}, {"true pictures": "what the eye itself gets right"})
    rows({"layer is exact": found.exact}, {}, {})
    typer.echo(f"mean change: {found.outside:.4f} outside the object, {found.inside:.4f} in it")
    if found.seconds is not None:
        typer.echo(f"{found.seconds:.1f} s for an edit")


def _modifiers(
    model: Model = "embedded",
    clip: Clip = "embedded",
    prompts: Annotated[
        int, typer.Option("--prompts", help="To how many prompts each is added.")
    ] = 4,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Of the sampler; the model's own number.")
    ] = None,
    seed: Seed = 0,
    output: Keep = None,
    json: Json = False,
) -> None:
    """What each modifier of limner modifiers does to a model's pictures.

    Each prompt is painted with it and without from the same noise. With --json, what limner
    modifiers --from reads.
    """
    from limner._cli_modifiers import print_effects
    from limner.measures.modifiers import modifiers
    from limner.tasks.modifiers import Effects

    with bar("painting") as report:
        found = modifiers(
            model=model,
            clip=clip,
            prompts=prompts,
            steps=steps,
            seed=seed,
            folder=output,
            watch=report,
        )
    flags = {"model": model, "clip": clip, "prompts": prompts, "steps": found.steps, "seed": seed}
    command = " ".join(f"--{name} {value}" for name, value in flags.items())
    told = {"command": f"limner measure modifiers {command}", "date": date.today().isoformat()}
    told |= found.told()
    if json:
        print_json(told)
    else:
        print_effects(Effects({**found.effects}, told))


MEASURES: tuple[Measure, ...] = (
    ("agreement", _agreement, "agreement --generator vqgan --clip second -o painted"),
    ("materials", _materials, "materials --count 50 -o edited"),
    ("modifiers", _modifiers, "modifiers --prompts 4 --json > effects.json"),
)
