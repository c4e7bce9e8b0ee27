"""`limner train clip|vqgan|stylegan|…`: the recipes, with a bar, on any captioned pictures."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from limner._cli_flags import command
from limner._cli_show import Json, bar, print_json, say
from limner._rooms import find

if TYPE_CHECKING:
    from limner.training.loop import Plan, Progress

__all__ = ["register"]

STOPPED = 130  # the exit status of what Ctrl-C has ended

Data = Annotated[
    str,
    typer.Option("--data", help="world:scenes, a folder of captioned pictures, or .tar shards."),
]
Run = Annotated[Path, typer.Option("-o", "--output", metavar="RUN", help="Folder of the training.")]
Steps = Annotated[int, typer.Option("--steps", help="Steps in all; a resumed run may change it.")]
Batch = Annotated[int, typer.Option("--batch-size", help="Pictures a step, over all processes.")]
Rate = Annotated[float, typer.Option("--learning-rate", help="At the plateau (AdamW).")]
Warmup = Annotated[int, typer.Option("--warmup-steps", help="Steps of the linear rise.")]
Decay = Annotated[float, typer.Option("--decay", help="Last share of the steps: fall to zero.")]
Ema = Annotated[float, typer.Option("--ema", help="How much of the averaged weights a step keeps.")]
Precision = Annotated[str, typer.Option("--precision", help="no (float32) or bf16.")]
Save = Annotated[int, typer.Option("--save-every", help="Steps between checkpoints.")]
Preview = Annotated[int, typer.Option("--preview-every", help="Steps between previews; 0: never.")]
Seed = Annotated[int, typer.Option("--seed", help="Of weights, order and noise.")]
Pixels = Annotated[int, typer.Option("--pixels", help="Side to which the pictures are brought.")]

_EXAMPLES = {
    "clip": "limner train clip --data world:scenes -o runs/clip",
    "autoencoder": "limner train autoencoder --data my-pictures -o runs/vae",
    "vqgan": "limner train vqgan --data world:scenes --start embedded -o runs/vqgan",
    "stylegan": (
        "limner train stylegan --data 'world:faces?aligned=1' --pixels 64 -o runs/stylegan"
    ),
    "biggan": "limner train biggan --data 'world:scenes?alone=1' --pixels 64 -o runs/biggan",
    "mapper": 'limner train mapper "a smiling face" -o runs/smiling',
    "directions": "limner train directions -o runs/directions",
    "identity": (
        "limner train identity --data 'world:faces?aligned=1' --pixels 64 -o runs/identity"
    ),
    "attributes": (
        "limner train attributes --data 'world:faces?aligned=1&styled=0.4' --pixels 64 "
        "-o runs/attributes"
    ),
    "noised-clip": "limner train noised-clip --data world:scenes -o runs/noised-clip",
    "noised-classifier": (
        "limner train noised-classifier --data 'world:scenes?alone=1' -o runs/noised-classifier"
    ),
    "inpainting": "limner train inpainting --data world:scenes -o runs/inpainting",
    "regions": "limner train regions --data world:scenes -o runs/regions",
    "student": "limner train student --data world:scenes -o runs/student",
    "decoder": "limner train decoder --data world:scenes -o runs/decoder",
    "prior": "limner train prior --data world:scenes -o runs/prior",
    "upscaler": (
        "limner train upscaler --data 'world:scenes?scale=4' --pixels 512 -o runs/upscaler"
    ),
    "diffusion": "limner train diffusion --data world:scenes --clip runs/clip/model -o runs/words",
    "iddpm": "limner train iddpm --data fashion-mnist --pixels 32 --grey -o runs/iddpm",
    "ddgan": (
        "limner train ddgan --data cifar-10 --pixels 32 --learning-rate 0.000125 -o runs/ddgan"
    ),
    "diffusion-autoencoder": (
        "limner train diffusion-autoencoder --data 'world:faces?aligned=1' --pixels 32 "
        "-o runs/diffusion-autoencoder"
    ),
    "score-sde": "limner train score-sde --data cifar-10 --pixels 32 --sde ve -o runs/score",
}

# Recipes that read no data: which of the flags they leave out, and their own usual values.
_DATALESS: dict[str, tuple[set[str], dict[str, Any]]] = {
    "mapper": (
        {"data", "pixels"},
        {"steps": 200, "batch_size": 4, "learning_rate": 0.05, "warmup_steps": 10},
    ),
    "directions": (
        {"data", "pixels", "steps", "batch_size", "learning_rate", "warmup_steps", "decay", "ema"}
        | {"precision", "save_every", "preview_every", "seed"},
        {},
    ),
}


class _Recipes(TyperGroup):
    """Commands made when one is asked for: the recipes import torch, which takes a second."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_EXAMPLES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _EXAMPLES:
            return None
        app = typer.Typer(no_args_is_help=True)
        app.callback()(lambda: None)  # a group even with one command
        left_out = ("data", "run", "plan", "watch")
        recipe = find("training", cmd_name.replace("-", "_"))
        run = _runner(recipe.__name__)
        if cmd_name in _DATALESS:
            run = _dataless(run, *_DATALESS[cmd_name])
        command(app, recipe, run, example=_EXAMPLES[cmd_name], without=left_out)
        return typer.main.get_group(app).get_command(ctx, recipe.__name__)


def register(app: typer.Typer) -> None:
    train = typer.Typer(
        cls=_Recipes, no_args_is_help=True, help="Train the networks on captioned pictures."
    )
    app.add_typer(train, name="train", epilog="Example: " + _EXAMPLES["clip"])


def _runner(name: str) -> Callable[..., int | None]:
    def run(
        said: dict[str, Any],
        data: Data,
        output: Run,
        steps: Steps = 2000,
        batch_size: Batch = 64,
        learning_rate: Rate = 5e-4,
        warmup_steps: Warmup = 100,
        decay: Decay = 0.3,
        ema: Ema = 0.999,
        precision: Precision = "no",
        save_every: Save = 200,
        preview_every: Preview = 0,
        seed: Seed = 0,
        pixels: Pixels = 128,
        json: Json = False,
    ) -> int | None:
        from limner.training.loop import Plan

        given = locals()
        plan = Plan(
            **{field.name: given[field.name] for field in fields(Plan) if field.name in given}
        )
        return _train(name, said, data, output, plan, pixels, json)

    return run


def _dataless(
    run: Callable[..., int | None], left_out: set[str], usual: dict[str, Any]
) -> Callable[..., int | None]:
    """The same without data, and without those flags; the usual values are others."""
    own = inspect.signature(run, eval_str=True).parameters.values()
    kept = [each for each in own if each.name not in left_out]

    def narrowed(said: dict[str, Any], **given: Any) -> int | None:
        return run(said, None, **given)

    narrowed.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [each.replace(default=usual.get(each.name, each.default)) for each in kept]
    )
    return narrowed


def _train(
    name: str,
    said: dict[str, Any],
    data: str | None,
    run: Path,
    plan: Plan,
    pixels: int,
    json: bool,
) -> int | None:
    """Run a recipe to its end or until it is stopped, with a bar; 130 if it was stopped."""
    from limner.data._open import open_data

    first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun started
    source = [] if data is None else [open_data(data, size=pixels)]
    recipe = find("training", name)
    began, last = time.monotonic(), None
    with bar(f"training {name}") if first else nullcontext(_silent) as report:
        watched = {"watch": report} if "watch" in inspect.signature(recipe).parameters else {}
        for last in recipe(*source, run=run, plan=plan, **said, **watched):
            report(last.step, last.steps)
    done = (run / "model").is_dir() and (last is None or last.step >= last.steps)
    if first:
        _tell(run, plan, last, done, time.monotonic() - began, json)
    return None if done else STOPPED


def _silent(done: int, total: int) -> None:
    pass


def _tell(
    run: Path, plan: Plan, last: Progress | None, done: bool, seconds: float, json: bool
) -> None:
    """What came of it: the model's folder, or how to go on."""
    if json:
        step, metrics = (last.step, last.metrics) if last else (plan.steps if done else 0, {})
        result = {"run": run, "model": run / "model" if done else None, "step": step}
        print_json({**result, "metrics": metrics, "seconds": seconds})
    elif done:
        typer.echo(str(run / "model"))
    if done and last is None:
        say(f"{run} had {plan.steps} steps already: more --steps train it on", "yellow")
    if not done:
        step = last.step if last else 0
        say(f"saved at step {step} of {plan.steps}: --resume goes on", "yellow")
