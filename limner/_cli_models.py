"""`limner models`: what this installation can paint and see with, and the shelf."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from limner._cli_show import Json, bytes_bar, print_json, say
from limner.errors import BadInput

if TYPE_CHECKING:
    from limner.models.shelf import Shelved

__all__ = ["register"]

Name = Annotated[
    list[str] | None, typer.Argument(help="Models to look at: folders or hub ids, besides its own.")
]
Words = Annotated[bool, typer.Option("--words", help="List the words of a model's training.")]


Source = Annotated[str, typer.Argument(help="A folder, a .safetensors file or a hub id.")]
As = Annotated[str | None, typer.Option("--as", help="Its name; else the source's own.")]
Licence = Annotated[str, typer.Option(help="Its licence, where it says none itself.")]
Check = Annotated[bool, typer.Option("--check", help="Compare every file with its hash.")]
Shelf = Annotated[str, typer.Argument(help="A name on the shelf.")]


class _Models(TyperGroup):
    """What is no command of the shelf's is for `show`: `limner models FOLDER --words`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        known = args and (args[0] in self.commands or args[0] in ("-h", "--help"))
        return super().parse_args(ctx, args if known else ["show", *args])


def register(app: typer.Typer) -> None:
    models = typer.Typer(cls=_Models, help="What can paint and see here, and the shelf of models.")
    models.command("show", epilog="Example: limner models --words")(_models)
    models.command("add", epilog="Example: limner models add stabilityai/sd-turbo --as turbo")(_add)
    models.command("list", epilog="Example: limner models list --check")(_list)
    models.command("remove", epilog="Example: limner models remove turbo")(_remove)
    app.add_typer(models, name="models", epilog="Example: limner models --words")


def _add(source: Source, name: As = None, licence: Licence = "", json: Json = False) -> None:
    """Puts a model on the shelf: it opens by its name from then on, without the network.

    What is here is linked or copied, what is at the hub is fetched; add again to go on with a
    download that was cut off.
    """
    from limner.models.shelf import add

    with bytes_bar("adding") as report:
        made = add(source, name, licence=licence, report=report)
    if json:
        print_json(_told(made))
    else:
        say(f"{made.name}: {made.family}, {_megabytes(made)}, {len(made.files)} files")


def _list(check: Check = False, json: Json = False) -> int:
    """Says what is on the shelf; with --check also whether it is as it was, else exit 1."""
    from limner.models.shelf import damaged, listed

    rows, wrong = [], False
    for each in listed():
        row = _told(each)
        if check:
            with bytes_bar(each.name) as report:
                row["damaged"] = damaged(each, report)
            wrong = wrong or bool(row["damaged"])
        rows.append(row)
        if not json:
            head = (each.name, each.family, _megabytes(each), each.licence, each.origin)
            typer.echo("  ".join(head))
            for line in row.get("damaged", []):
                typer.echo(f"  {line}")
    if json:
        print_json(rows)
    return int(wrong)


def _remove(name: Shelf) -> None:
    """Takes a model off the shelf, with its files there; nothing else is deleted."""
    from limner.models.shelf import remove

    remove(name)
    say(f"removed {name}")


def _told(shelved: Shelved) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(shelved) | {"size": shelved.size}


def _megabytes(shelved: Shelved) -> str:
    return f"{shelved.size / 1e6:.1f} MB"


def _models(names: Name = None, words: Words = False, json: Json = False) -> None:
    """Says which models are here: what they are for, sizes, licences, and the words they know."""
    rows = [*_clips(), *(_painter(name) for name in ["embedded", *(names or [])])]
    if json:
        print_json(rows)
        return
    for row in rows:
        head = ("name", "kind", "problem") if "problem" in row else _COLUMNS
        typer.echo("  ".join(f"{key}: {row[key]}" for key in head))
        if words and row.get("vocabulary"):
            typer.echo("  " + " ".join(row["vocabulary"]))


_COLUMNS = ("name", "kind", "size", "parameters", "licence", "fingerprint")


def _painter(name: str) -> dict[str, Any]:
    from limner.models._open import open_model

    try:
        model = open_model(name)
    except BadInput as error:
        if name != "embedded":
            raise
        return {"name": name, "kind": "text to picture", "problem": str(error)}
    count = sum(weight.numel() for weight in model.unet.parameters())
    return {
        "name": name,
        "kind": "text to picture",
        "size": f"{model.size}x{model.size}",
        "parameters": f"{count / 1e6:.1f}M",
        "licence": model.licence,
        "fingerprint": model.fingerprint[:16],
        "steps": model.steps,
        "guidance_scale": model.guidance_scale,
        "prediction": model.prediction,
        "vocabulary": sorted(model.vocabulary) if model.vocabulary is not None else None,
    }


def _clips() -> list[dict[str, Any]]:
    from limner.models.embedded import CLIPS

    return [_clip(name) for name in CLIPS]


def _clip(name: str) -> dict[str, Any]:
    from limner.models.clip import open_clip

    try:
        clip = open_clip(name)
    except BadInput as error:
        return {"name": name, "kind": "clip", "problem": str(error)}
    count = sum(weight.numel() for weight in clip.towers.parameters())
    return {
        "name": name,
        "kind": "clip",
        "size": f"{clip.side}x{clip.side}",
        "parameters": f"{count / 1e6:.1f}M",
        "licence": clip.licence,
        "fingerprint": clip.fingerprint[:16],
    }
