"""What the commands that paint share: where pictures go, and showing them as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limner._cli_show import print_json, say
from limner.errors import BadInput
from limner.prompt import words
from limner.tasks._checks import check_writable

if TYPE_CHECKING:
    from limner.picture import Picture
    from limner.tasks import Progress, Watch

__all__ = [
    "Out",
    "Preview",
    "Recipe",
    "Sheet",
    "make_room",
    "previews",
    "target",
    "write",
    "write_one",
]

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_BETWEEN_PREVIEWS = 1.0  # seconds

Out = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="OUT",
        help="A .png, .jpg or .webp file, or a folder; named after the prompt when not given. "
        "Several pictures get a number before the suffix.",
    ),
]
Sheet = Annotated[bool, typer.Option("--sheet", help="A contact sheet of all pictures, too.")]
Preview = Annotated[
    bool, typer.Option("--preview", help="Show the picture as it comes, in OUT.preview.png.")
]
Recipe = Annotated[
    bool, typer.Option("--recipe/--no-recipe", help="Write the recipe into PNG files.")
]


def write(
    pictures: list[Picture],
    target: Path,
    *,
    sheet: bool,
    recipe: bool,
    json: bool,
    seconds: float,
) -> None:
    """Saves them, the contact sheet too where it is wanted, and tells their names."""
    places = _places(target, len(pictures))
    over = _beside(target, "-sheet") if sheet else None
    for picture, place in zip(pictures, places):
        picture.save(place, recipe=recipe)
    if over is not None:
        from limner.picture import grid

        labels = [str(picture.recipe["sample"]) for picture in pictures if picture.recipe]
        grid(pictures, labels=labels).save(over, recipe=recipe)
    _tell(pictures, places, over, seconds, json)


def _tell(
    pictures: list[Picture], places: list[Path], sheet: Path | None, seconds: float, json: bool
) -> None:
    if not json:
        for place in [*places, *([sheet] if sheet else [])]:
            typer.echo(str(place))
        return
    made = [
        {"path": str(place), "recipe": picture.recipe} for picture, place in zip(pictures, places)
    ]
    print_json({"pictures": made, "sheet": sheet, "seconds": round(seconds, 3)})


def target(output: Path | None, prompt: str) -> Path:
    """The file that OUT means. What would stop it from being written is said before painting."""
    name = "-".join(words(prompt))[:60].strip("-'’") or "picture"
    if output is None:
        output = Path(f"{name}.png")
    elif output.is_dir() or not output.suffix:
        output = output / f"{name}.png"
    if output.suffix.lower() not in _SUFFIXES:
        raise BadInput(f"cannot write {str(output)!r}: a name ends in {', '.join(_SUFFIXES)}")
    return check_writable(output)


def _places(target: Path, count: int) -> list[Path]:
    """One picture goes to the target, several get a number; a new folder for them is made."""
    make_room(target)
    if count == 1:
        return [target]
    digits = len(str(count))
    return [_beside(target, f"-{i:0{digits}d}") for i in range(1, count + 1)]


def make_room(target: Path) -> Path:
    """The target, once the folder that it goes to is there; else BadInput."""
    try:
        target.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot make {str(target.parent)!r}: {error.strerror}") from None
    return target


def write_one(
    picture: Picture,
    target: Path,
    *,
    recipe: bool,
    json: bool,
    began: float,
    beside: Mapping[str, object],
    line: str | None = None,
) -> None:
    """Saves a task's one picture, and tells its name.

    beside: what else was made, by name: files that were written, or None; in JSON numbers, too
    line:   told in place of the picture's name
    """
    make_room(target)
    picture.save(target, recipe=recipe)
    if json:
        seconds = round(time.perf_counter() - began, 3)
        print_json({"path": target, "recipe": picture.recipe} | dict(beside) | {"seconds": seconds})
        return
    typer.echo(line or str(target))
    for file in beside.values():
        if isinstance(file, str | Path):
            typer.echo(str(file))


def _beside(path: Path, mark: str) -> Path:
    """out.png → out-sheet.png"""
    return path.with_name(f"{path.stem}{mark}{path.suffix}")


@contextmanager
def previews(place: Path | None, report: Callable[[int, int], None]) -> Iterator[Watch]:
    """A watcher that moves the bar and, once a second, writes what is expected to come out."""
    shown = place.with_name(f"{place.stem}.preview.png") if place else None
    last = 0.0

    def watch(progress: Progress) -> None:
        nonlocal last
        report(progress.step, progress.total)
        if shown is not None and time.monotonic() - last > _BETWEEN_PREVIEWS:
            progress.preview()[0].save(shown)
            if last == 0:
                say(f"preview: {shown}")
            last = time.monotonic()

    try:
        yield watch
    finally:
        if shown is not None:
            shown.unlink(missing_ok=True)
