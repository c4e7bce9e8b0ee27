"""`limner models`: what this installation can paint and see with."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from limner._cli_show import Json, print_json
from limner.errors import BadInput

__all__ = ["register"]

Name = Annotated[
    list[str] | None, typer.Argument(help="Models to look at: folders or hub ids, besides its own.")
]
Words = Annotated[bool, typer.Option("--words", help="List the words of a model's training.")]


def register(app: typer.Typer) -> None:
    app.command("models", epilog="Example: limner models --words")(_models)


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
