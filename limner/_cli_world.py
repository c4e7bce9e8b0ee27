"""`limner world scenes` and `limner world faces`: captioned pictures with their truth, on disk."""

from __future__ import annotations

import json as json_text
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limner._cli_show import Json, bar, print_json, say
from limner.errors import BadInput

if TYPE_CHECKING:
    import numpy as np

    from limner.picture import Picture
    from limner.worlds.faces import Faces
    from limner.worlds.faces import World as FacesWorld
    from limner.worlds.scenes import Scenes
    from limner.worlds.scenes import World as ScenesWorld

__all__ = ["register"]

_AT_ONCE = 32
_ON_SHEET = 36
_MOST = 10_000_000

Folder = Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where to.")]
Count = Annotated[int, typer.Option("--count", help="How many pictures.")]
Seed = Annotated[int, typer.Option("--seed", help="Which world; another seed, other pictures.")]
Words = Annotated[str, typer.Option("--vocabulary", help="core or full.")]
Split = Annotated[str, typer.Option("--split", help="train, held_out or all.")]


def register(app: typer.Typer) -> None:
    world = typer.Typer(
        no_args_is_help=True, help="Captioned pictures drawn on the fly, exactly described."
    )
    for name, draw in (("scenes", _scenes), ("faces", _faces)):
        world.command(name, epilog=f"Example: limner world {name} --count 100 -o {name}")(draw)
    app.add_typer(world, name="world", epilog="Example: limner world scenes --count 100 -o scenes")


def _scenes(
    output: Folder,
    count: Count = 64,
    seed: Seed = 0,
    vocabulary: Words = "core",
    split: Split = "train",
    json: Json = False,
) -> None:
    """Draws scenes: pictures, metadata.jsonl and a contact sheet.

    Each line of metadata.jsonl holds a picture's file_name, its text (the plainest caption), all
    captions, boxes (x0 y0 x1 y1), masks and map (run lengths) and attributes. limner train and the
    imagefolder convention read the folder as it is.
    """
    from limner.worlds.scenes import World

    _check(count, seed)
    world = World(seed, vocabulary=vocabulary, split=split)
    if world.shapes_only:
        say("no Noto Color Emoji font: drawing shapes alone (fonts-noto-color-emoji)", "yellow")
    _write(world, count, output, json)


def _faces(
    output: Folder,
    count: Count = 64,
    seed: Seed = 0,
    split: Split = "train",
    styled: Annotated[
        float, typer.Option("--styled", help="Share drawn in a style, such as a pencil sketch.")
    ] = 0.0,
    aligned: Annotated[
        bool, typer.Option("--aligned", help="Cut out about the face, eyes level.")
    ] = False,
    json: Json = False,
) -> None:
    """Draws portraits: pictures, metadata.jsonl and a contact sheet.

    Each line of metadata.jsonl holds a picture's file_name, its text (the plainest caption), all
    captions, attributes, landmarks (x y), masks of its parts and map (run lengths). limner train
    and the imagefolder convention read the folder as it is.
    """
    from limner.worlds.faces import World

    _check(count, seed)
    _write(World(seed, split=split, styled=styled, aligned=aligned), count, output, json)


def _check(count: int, seed: int) -> None:
    if not 1 <= count <= _MOST or not 0 <= seed < 2**64:
        raise BadInput(f"count {count}, seed {seed}: give 1 to {_MOST} pictures and a seed from 0")


def _write(world: ScenesWorld | FacesWorld, count: int, output: Path, json: bool) -> None:
    """The folder of any world: pictures, metadata.jsonl, sheet.png."""
    from limner.picture import grid, save_bytes

    _make(output / "pictures")
    lines: list[str] = []
    shown: list[tuple[Picture, str]] = []
    with bar("drawing") as report:
        for line, picture in _drawn(world, count, output):
            lines.append(json_text.dumps(line, ensure_ascii=False, separators=(",", ":")))
            if len(shown) < _ON_SHEET:
                shown.append((picture, line["text"]))
            report(len(lines), count)
    sheet = grid([picture for picture, _ in shown], labels=[text for _, text in shown])
    sheet.save(output / "sheet.png")
    save_bytes(output / "metadata.jsonl", "".join(line + "\n" for line in lines).encode())
    if json:
        print_json({"folder": output, "count": count, "sheet": output / "sheet.png"})
    else:
        typer.echo(str(output))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot make the folder {str(folder)!r}: {error.strerror}") from None


def _drawn(
    world: ScenesWorld | FacesWorld, count: int, folder: Path
) -> Iterator[tuple[dict[str, Any], Picture]]:
    """Writes the pictures; gives each one's line, and the picture."""
    from limner.picture import from_uint8

    for start in range(0, count, _AT_ONCE):
        batch = world.draw(range(start, min(start + _AT_ONCE, count)), annotate=True)
        for row, pixels in enumerate(batch.pictures):
            name = f"pictures/{start + row:07d}.png"
            picture = from_uint8(pixels)
            picture.save(folder / name)
            yield _line(world.nouns, batch, row, name), picture


def _line(nouns: Sequence[str], batch: Scenes | Faces, row: int, name: str) -> dict[str, Any]:
    labels = batch.maps[row]
    named = {int(value): nouns[value - 1] for value in sorted(set(labels.flat)) if value}
    return {
        "file_name": name,
        "text": batch.captions[row][0],
        **batch.truth(row),
        "masks": [_runs(mask) for mask in batch.masks[row]],
        "map": {"size": list(labels.shape), "runs": _valued_runs(labels), "names": named},
    }


def _runs(mask: np.ndarray) -> dict[str, Any]:
    """A mask as COCO's uncompressed run lengths: column by column, beginning with zeros."""
    values = _valued_runs(mask.T)
    counts = [length for _, length in values]
    return {"size": list(mask.shape), "counts": [0, *counts] if values[0][0] else counts}


def _valued_runs(array: np.ndarray) -> list[list[int]]:
    """[value, length] of each run, row by row."""
    import numpy as np

    flat = array.ravel().astype(int)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]])
    return [[int(flat[a]), int(b - a)] for a, b in pairwise(starts)]
