"""A task's signature and docstring, read: what command line flags and HTTP fields derive from."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

__all__ = ["helps", "hints", "summary"]


def hints(task: Callable[..., Any]) -> dict[str, str]:
    """By name, the annotations as they are written (the modules postpone their evaluation)."""
    return {name: str(kind) for name, kind in inspect.get_annotations(task).items()}


def summary(task: Callable[..., Any]) -> str:
    """The docstring's first paragraph, in one line."""
    return " ".join((inspect.getdoc(task) or "").split("\n\n")[0].split())


def helps(task: Callable[..., Any]) -> dict[str, str]:
    """The lines `name: meaning` under Args:, by name."""
    text = inspect.getdoc(task) or ""
    block = re.search(r"^Args:\n((?: +.*\n?)+)", text, re.MULTILINE)
    lines = re.findall(r"^    (\w+): (.*(?:\n     +.*)*)", block[1] if block else "", re.MULTILINE)
    return {name: " ".join(meaning.split()) for name, meaning in lines}
