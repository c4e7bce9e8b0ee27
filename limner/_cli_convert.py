"""`limner convert` and `limner inspect`: checkpoints of other programs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from limner._cli_show import Json, print_json, say

__all__ = ["register"]

File = Annotated[
    Path, typer.Argument(help="A checkpoint: .ckpt, .pt, .pth, .bin, .pkl, .safetensors.")
]
Out = Annotated[Path, typer.Option("--out", "-o", help="The folder to write; not there yet.")]
Config = Annotated[
    Path | None, typer.Option(help="A VQGAN's .yaml or a BigGAN's .json; else the one beside it.")
]
Label = Annotated[int | None, typer.Option(help="The class that a StyleGAN of classes paints.")]
Words = Annotated[Path | None, typer.Option(help="A folder with the tokenizer; else CLIP's own.")]
Licence = Annotated[str, typer.Option(help="Its licence, to be kept with it.")]
Name = Annotated[Path, typer.Argument(help="A checkpoint's file, or a model's folder.")]


def register(app: typer.Typer) -> None:
    app.command("convert", epilog="Example: limner convert vqgan.ckpt -o vqgan")(_convert)
    app.command("inspect", epilog="Example: limner inspect model.ckpt")(_inspect)


def _convert(
    file: File,
    out: Out,
    config: Config = None,
    tokenizer: Words = None,
    label: Label = None,
    licence: Licence = "",
    json: Json = False,
) -> None:
    """Writes another program's checkpoint as a folder that limner opens; runs nothing in it."""
    from limner.models.convert import convert

    made = convert(file, out, config=config, tokenizer=tokenizer, label=label, licence=licence)
    if json:
        print_json(asdict(made))
    else:
        say(f"{made.family}, {made.parameters / 1e6:.1f}M parameters: {made.folder}")


def _inspect(name: Name, json: Json = False) -> None:
    """Says what a checkpoint is, its size, licence and uses; nothing in it is run."""
    from limner.models.inspect import inspect

    told = inspect(name)
    if json:
        print_json(asdict(told))
        return
    for key, value in (
        ("family", told.family),
        ("opens", "yes" if told.opens else "not as it is"),
        ("tensors", told.tensors),
        ("parameters", f"{told.parameters / 1e6:.1f}M"),
        ("precision", ", ".join(told.precisions)),
        ("memory", f"{told.memory / 2**20:.0f} MiB of weights in float32"),
        ("licence", told.licence),
        ("can", told.can),
    ):
        typer.echo(f"{key}: {value}")
