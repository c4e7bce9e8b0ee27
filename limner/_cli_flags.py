"""Flags from signatures: a task's keywords, and its docstring's Args, make a command."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from limner.errors import BadInput
from limner.tasks._signature import helps, hints, summary

__all__ = ["command"]

# How a task's annotation is asked for on the command line; whatever else there is, is text.
_KINDS: dict[str, Any] = {"bool": bool, "int": int, "float": float}
# A flag that need not be given, but can be several times.
_KINDS["str | Sequence[str] | None"] = list[str]
_KINDS["str | Control | Sequence[str | Control] | None"] = list[str]
_PAIR = "tuple[float, float]"


def command(
    app: typer.Typer,
    task: Callable[..., Any],
    run: Callable[..., int | None],
    *,
    example: str,
    without: tuple[str, ...] = (),
) -> None:
    """Registers `run` under the task's name.

    task:     its parameters become arguments and flags, its docstring the help
    run:      run(said, **own): `said` is what was given for the task's parameters; the other
              parameters of `run` are further flags
    example:  shown at the end of --help
    without:  parameters of the task that the command line leaves out
    """
    derived = [each for each in _flags(task) if each.name not in without]
    own = list(inspect.signature(run, eval_str=True).parameters.values())[1:]
    pairs = {name for name, kind in hints(task).items() if kind == _PAIR}

    def invoke(**given: Any) -> int | None:
        said = {each.name: given.pop(each.name) for each in derived}
        for name in pairs & said.keys():
            said[name] = _pair(name, said[name])
        return run(said, **given)

    parameters = derived + [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
    invoke.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    invoke.__annotations__ = {each.name: each.annotation for each in parameters}
    app.command(task.__name__, help=summary(task), epilog=f"Example: {example}")(invoke)


def _flags(task: Callable[..., Any]) -> list[inspect.Parameter]:
    meanings, kinds = helps(task), hints(task)
    return [
        _flag(each, kinds[each.name], meanings.get(each.name, ""))
        for each in inspect.signature(task).parameters.values()
    ]


def _flag(parameter: inspect.Parameter, kind: str, help: str) -> inspect.Parameter:
    """One parameter of a task as one of the command's."""
    positional = parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    default = parameter.default
    if positional and kind.startswith("Sequence"):
        annotation: Any = Annotated[list[Path], typer.Argument(help=help)]
    elif positional:
        annotation = Annotated[str, typer.Argument(help=help)]
    else:
        plain = kind.removesuffix(" | None")
        base = _KINDS.get(kind) or _KINDS.get(plain, str)
        if plain == _PAIR and default is not None:
            default = ",".join(f"{each:g}" for each in default)
        optional = base | None if kind.endswith("| None") else base
        flag = "--" + parameter.name.replace("_", "-")
        if default is True:
            flag += "/--no-" + flag.removeprefix("--")
        annotation = Annotated[optional, typer.Option(flag, help=help, metavar=_metavar(kind))]
    return parameter.replace(
        annotation=annotation, default=default, kind=inspect.Parameter.KEYWORD_ONLY
    )


def _metavar(kind: str) -> str | None:
    if kind == _PAIR:
        return "LO,HI"
    return "WxH" if "tuple[int, int]" in kind else None


def _pair(name: str, text: str) -> tuple[float, float]:
    """ "0.2,0.8" → (0.2, 0.8)."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        flag = name.replace("_", "-")
        raise BadInput(f"--{flag} {text!r}: give two numbers, such as 0.2,0.8") from None
    return low, high
