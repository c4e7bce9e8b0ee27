"""The command line: thin doors to the tasks.

Each `_cli_*.py` registers its commands; their flags derive from the tasks' signatures. What limner
reports (LimnerError) is one line on stderr and exit status 2; Ctrl-C is 130.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any

import typer

import limner
from limner import (
    _cli_adapt,
    _cli_convert,
    _cli_edit,
    _cli_explain,
    _cli_gallery,
    _cli_guide,
    _cli_latents,
    _cli_look,
    _cli_measure,
    _cli_models,
    _cli_modifiers,
    _cli_paint,
    _cli_regions,
    _cli_sample,
    _cli_search,
    _cli_serve,
    _cli_train,
    _cli_unclip,
    _cli_upscale,
    _cli_world,
)
from limner._cli_show import complain, warn
from limner.errors import LimnerError
from limner.prompt import Notice

__all__ = ["app", "main"]

app = typer.Typer(
    name="limner",
    help="Text steers pictures: paint, describe, classify and rank them, and train what does it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _part in (
    _cli_paint,
    _cli_regions,
    _cli_upscale,
    _cli_unclip,
    _cli_guide,
    _cli_search,
    _cli_edit,
    _cli_latents,
    _cli_adapt,
    _cli_explain,
    _cli_sample,
    _cli_look,
    _cli_gallery,
    _cli_world,
    _cli_train,
    _cli_measure,
    _cli_models,
    _cli_convert,
    _cli_modifiers,
    _cli_serve,
):
    _part.register(app)

# The base of typer's usage errors, which is click's class or typer's own copy of it by version.
_UsageError: Any = typer.BadParameter.__mro__[2]


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Say the version.")) -> None:
    if version:
        typer.echo(f"limner {limner.__version__}")
        raise typer.Exit(0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; gives the exit status."""
    said = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries' are for programmers
        warnings.simplefilter("always", Notice)
        warnings.showwarning = warn
        try:
            status = int(app(args=said, prog_name="limner", standalone_mode=False) or 0)
            return complain("stopped", 130) if status == 130 else status
        except LimnerError as error:
            return complain(str(error), 2)
        except _UsageError as error:
            return complain(f"{error.format_message()} (limner --help shows how)", 2)
        except (KeyboardInterrupt, typer.Abort):
            return complain("stopped", 130)
