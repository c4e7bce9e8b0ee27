"""`limner generate` and `limner replay`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limner._cli_flags import command
from limner._cli_show import Json, bar, print_json, say
from limner.errors import BadInput
from limner.prompt import check, words
from limner.tasks.generate import generate
from limner.tasks.replay import replay

if TYPE_CHECKING:
    from limner.picture import Picture
    from limner.tasks import Progress, Watch

__all__ = ["register"]

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


def register(app: typer.Typer) -> None:
    command(
        app,
        generate,
        _generate,
        example='limner generate "an astronaut riding a horse at sunset" --count 4 -o out.png',
        without=("watch",),
    )
    command(app, replay, _replay, example="limner replay out.png", without=("watch",))


def _generate(
    said: dict[str, Any],
    *,
    output: Out = None,
    sheet: Sheet = False,
    preview: Preview = False,
    recipe: Recipe = True,
    json: Json = False,
) -> None:
    target = _target(output, check(said["prompt"]))
    began = time.perf_counter()
    with bar("painting") as report, _previews(target if preview else None, report) as watch:
        pictures = generate(**said, watch=watch)
    places = _places(target, len(pictures))
    over = _beside(target, "-sheet") if sheet else None
    for picture, place in zip(pictures, places):
        picture.save(place, recipe=recipe)
    if over is not None:
        from limner.picture import grid

        labels = [str(picture.recipe["sample"]) for picture in pictures if picture.recipe]
        grid(pictures, labels=labels).save(over, recipe=recipe)
    _tell(pictures, places, over, time.perf_counter() - began, json)


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


def _target(output: Path | None, prompt: str) -> Path:
    """The file that OUT means. What would stop it from being written is said before painting."""
    name = "-".join(words(prompt))[:60].strip("-'’") or "picture"
    if output is None:
        output = Path(f"{name}.png")
    elif output.is_dir() or not output.suffix:
        output = output / f"{name}.png"
    if output.suffix.lower() not in _SUFFIXES:
        raise BadInput(f"cannot write {str(output)!r}: a name ends in {', '.join(_SUFFIXES)}")
    nearest = output.parent if output.parent.exists() else output.parent.parent
    if not nearest.is_dir() or (nearest != output.parent and output.parent.suffix):
        raise BadInput(f"cannot write {str(output)!r}: there is no folder {str(output.parent)!r}")
    if output.is_dir():
        raise BadInput(f"cannot write {str(output)!r}: it is a folder")
    try:
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise BadInput(f"cannot write {str(output)!r}: {error.strerror}") from None
    return output


def _places(target: Path, count: int) -> list[Path]:
    """One picture goes to the target, several get a number; a new folder for them is made."""
    try:
        target.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot make {str(target.parent)!r}: {error.strerror}") from None
    if count == 1:
        return [target]
    digits = len(str(count))
    return [_beside(target, f"-{i:0{digits}d}") for i in range(1, count + 1)]


def _beside(path: Path, mark: str) -> Path:
    """out.png → out-sheet.png"""
    return path.with_name(f"{path.stem}{mark}{path.suffix}")


@contextmanager
def _previews(place: Path | None, report: Callable[[int, int], None]) -> Iterator[Watch]:
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


def _replay(said: dict[str, Any], *, json: Json = False) -> int:
    with bar("painting again") as report:
        found = replay(**said, watch=lambda each: report(each.step, each.total))
    if json:
        notes = list(found.notes)
        print_json({"identical": found.identical, "psnr": found.psnr, "notes": notes})
    elif found.identical:
        typer.echo("identical")
    else:
        typer.echo(f"different: {found.psnr:.1f} dB")
    for note in found.notes if not json else ():
        say(note, "yellow")
    return 0 if found.identical else 1
