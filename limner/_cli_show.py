"""What the commands share: lines on stderr, a progress bar, JSON on stdout."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TextIO

import typer

__all__ = ["Json", "bar", "bytes_bar", "complain", "print_json", "say", "warn"]

Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON on stdout.")]


def say(text: str, style: str = "") -> None:
    """One line on stderr; control characters, which could steer a terminal, are shown as codes."""
    from rich.console import Console
    from rich.text import Text

    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    Console(stderr=True).print(Text(line, style), soft_wrap=True)


def complain(text: str, status: int) -> int:
    """Says what went wrong, in red; gives the exit status."""
    say(f"limner: {text}", "red")
    return status


def warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """In the form of warnings.showwarning: one yellow line."""
    say(f"limner: {message}", "yellow")


def print_json(value: Any) -> None:
    """One JSON document on stdout; infinite numbers, which JSON lacks, are null."""
    typer.echo(json.dumps(_finite(value), ensure_ascii=False, indent=1, default=str))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr while it is a terminal: gives report(done, total)."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def bytes_bar(what: str) -> Iterator[Callable[[str, int, int], None]]:
    """The same for what is counted in bytes, with its speed: gives report(file, done, total)."""
    if not sys.stderr.isatty():
        yield lambda file, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(
        *columns, TransferSpeedColumn(), console=Console(stderr=True), transient=True
    ) as progress:
        task = progress.add_task(what, total=None)

        def report(file: str, done: int, total: int) -> None:
            progress.update(task, description=f"{what} {file}", completed=done, total=total)

        yield report
