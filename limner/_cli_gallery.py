"""`limner gallery`: pictures that were painted in the studio or brought into it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limner._cli_show import Json, bar, complain, print_json
from limner.errors import BadInput

if TYPE_CHECKING:
    from limner.studio.gallery import Filters, Gallery, Kept

__all__ = ["register"]

_AT_ONCE = 64  # embedded between two looks at the bar
_SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="FOLDER", help="The studio's folder; $LIMNER_DATA when not given."
    ),
]
Words = Annotated[str | None, typer.Argument(help="What the pictures should show.")]
Like = Annotated[
    Path | None, typer.Option("--like", metavar="FILE", help="A picture they should look like.")
]
Text = Annotated[str | None, typer.Option("--text", help="What their prompt contains.")]
Task = Annotated[str | None, typer.Option("--task", help="Only of this task, such as generate.")]
Model = Annotated[str | None, typer.Option("--model", help="Only of this model.")]
Favourite = Annotated[bool, typer.Option("--favourite", help="Only favourites.")]
Collection = Annotated[str | None, typer.Option("--collection", help="Only of this collection.")]
Since = Annotated[
    datetime | None, typer.Option("--since", help="Only from this day on, such as 2026-01-31.")
]
Until = Annotated[datetime | None, typer.Option("--until", help="Only from before this day.")]
Origin = Annotated[str | None, typer.Option("--origin", help="Only painted, or only imported.")]
Eye = Annotated[
    str,
    typer.Option("--clip", help="What looks: embedded, a folder or hub id; another looks anew."),
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many at the most.")]
Files = Annotated[list[Path], typer.Argument(help="PNG, JPEG or WebP files, or folders of them.")]
Ids = Annotated[list[str], typer.Argument(help="Pictures, as search and list name them.")]
Out = Annotated[
    Path, typer.Option("-o", "--output", metavar="OUT", help="A file for one picture, or a folder.")
]
Recipe = Annotated[
    bool, typer.Option("--recipe/--no-recipe", help="Write the recipe into PNG files.")
]


def register(app: typer.Typer) -> None:
    gallery = typer.Typer(no_args_is_help=True, help="The studio's pictures: find, bring, take.")
    gallery.command("search", epilog='Example: limner gallery search "a cat in the snow"')(_search)
    gallery.command("list", epilog="Example: limner gallery list --favourite")(_list)
    gallery.command("import", epilog="Example: limner gallery import old-pictures")(_import)
    gallery.command("export", epilog="Example: limner gallery export ID -o cat.webp")(_export)
    app.add_typer(gallery, name="gallery", epilog='Example: limner gallery search "a dragon"')


def _search(
    words: Words = None,
    *,
    like: Like = None,
    text: Text = None,
    task: Task = None,
    model: Model = None,
    favourite: Favourite = False,
    collection: Collection = None,
    since: Since = None,
    until: Until = None,
    origin: Origin = None,
    clip: Eye = "embedded",
    limit: Limit = 20,
    data: Data = None,
    json: Json = False,
) -> None:
    """Finds pictures by what is in them, the likest first; by --text alone, the newest first."""
    from limner.picture import load

    if words is None and like is None and text is None:
        raise BadInput("nothing to search for: give words, --like FILE or --text TEXT")
    picture = None if like is None else load(like)
    filters = _filters(task, model, favourite, collection, since, until, origin)
    with _opened(data, clip=clip) as gallery:
        if words is not None or picture is not None:
            _embed(gallery)
        found = gallery.search(words, picture, text, filters, limit)
        if json:
            print_json([_row(gallery, each.kept) | {"score": each.score} for each in found])
            return
        for each in found:
            score = "" if each.score is None else f"{each.score:.3f}\t"
            typer.echo(f"{score}{gallery.file(each.kept.id)}\t{_shown(each.kept.prompt)}")


def _list(
    *,
    task: Task = None,
    model: Model = None,
    favourite: Favourite = False,
    collection: Collection = None,
    since: Since = None,
    until: Until = None,
    origin: Origin = None,
    limit: Limit = 20,
    data: Data = None,
    json: Json = False,
) -> None:
    """Lists pictures, the newest first."""
    filters = _filters(task, model, favourite, collection, since, until, origin)
    with _opened(data) as gallery:
        kept = gallery.list(filters, limit)
        if json:
            print_json([_row(gallery, each) for each in kept])
            return
        for each in kept:
            day = datetime.fromtimestamp(each.created).strftime("%Y-%m-%d %H:%M")
            typer.echo(f"{day}\t{gallery.file(each.id)}\t{_shown(each.prompt)}")


def _import(files: Files, *, data: Data = None, json: Json = False) -> int:
    """Brings pictures in; recipes that other tools wrote in them are kept as text.

    A file that is there already stays one picture. What is no picture is told and left out."""
    status, rows = 0, []
    places = list(_places(files))
    with _opened(data, make=True) as gallery, bar("importing") as report:
        for done, place in enumerate(places, 1):
            try:
                kept = gallery.bring(_read(place), str(place))
            except BadInput as error:
                status = complain(str(error), 2)
                continue
            rows.append(_row(gallery, kept))
            if not json:
                typer.echo(rows[-1]["path"])
            report(done, len(places))
    if json:
        print_json(rows)
    return status


def _export(ids: Ids, *, output: Out = Path(), recipe: Recipe = True, data: Data = None) -> None:
    """Writes pictures as PNG, JPEG or WebP; the mark of what a model made stays in each."""
    from limner.picture import save_bytes

    one = output.suffix.lower() in _SUFFIXES and not output.is_dir()
    if one and len(ids) > 1:
        raise BadInput(f"{str(output)!r} is one file for {len(ids)} pictures: give a folder")
    if not one and not output.is_dir():
        raise BadInput(f"no folder {str(output)!r}: make it, or give a .png, .jpg or .webp file")
    with _opened(data) as gallery:
        for id in (Path(each).stem for each in ids):  # the path that search gives will do
            place = output if one else output / f"{id}.png"
            encoded = gallery.export(id, _SUFFIXES[place.suffix.lower()], recipe)
            typer.echo(str(save_bytes(place, encoded)))


# ---- what they share -------------------------------------------------------------------------


@contextmanager
def _opened(data: Path | None, make: bool = False, clip: str = "embedded") -> Iterator[Gallery]:
    from limner.studio.gallery import Gallery
    from limner.studio.store import Store, data_folder

    folder = data or data_folder()
    if not make and not (folder / "studio.sqlite").is_file():
        raise BadInput(
            f"no gallery in {str(folder)!r}: limner serve and limner gallery import make one"
        )
    eye = None
    if clip != "embedded":
        from limner.models.clip import open_clip

        eye = open_clip(clip)
    store = Store(folder)
    try:
        yield Gallery(store, eye)
    finally:
        store.close()


def _filters(
    task: str | None,
    model: str | None,
    favourite: bool,
    collection: str | None,
    since: datetime | None,
    until: datetime | None,
    origin: str | None,
) -> Filters:
    from limner.studio.gallery import Filters

    return Filters(
        task=task,
        model=model,
        favourite=favourite or None,
        collection=collection,
        since=None if since is None else since.timestamp(),
        until=None if until is None else until.timestamp(),
        origin=origin,
    )


def _embed(gallery: Gallery) -> None:
    """What the studio has not come to yet."""
    with bar("looking at new pictures") as report:
        done = 0
        while more := gallery.embed_missing(_AT_ONCE):
            done += more
            report(done, done + _AT_ONCE)


def _row(gallery: Gallery, kept: Kept) -> dict[str, object]:
    return {"path": str(gallery.file(kept.id))} | asdict(kept)


def _shown(prompt: str) -> str:
    """In one line, without what could steer a terminal."""
    line = " ".join(prompt.split())
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def _places(files: Sequence[Path]) -> Iterator[Path]:
    """The files, and of folders the pictures in them and in theirs."""
    for file in files:
        if file.is_dir():
            yield from sorted(f for f in file.rglob("*") if f.suffix.lower() in _SUFFIXES)
        else:
            yield file


def _read(place: Path) -> bytes:
    try:
        return place.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInput(f"cannot read the picture {str(place)!r}: {reason}") from None
