"""Words that a task would take for a file's or a model's name: refused before a job is made."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from limner.errors import BadInput
from limner.prompt import PICTURES, parse
from limner.studio._fields import TEXTS

__all__ = ["check_doors"]

_FILES = (*PICTURES, ".safetensors", ".json", ".txt", ".gif", ".mp4", ".svg")
_SEED = re.compile(r"seed:\d{1,19}")
_POINT = re.compile(r"[^:;]*:")  # "30: a cat" of a schedule
_IDENTITY = re.compile(r"\bidentity\s*=\s*(?!embedded\s*(?:$|[,:]))")


def check_doors(task: str, said: Mapping[str, Any]) -> None:
    """Raises BadInput where an argument names a picture, a latent or a model on this machine.

    Prompts may name pictures ("photo.png:0.5"), judges a network (identity=FOLDER), what is
    interpolated a latent's file, captions, templates and labels a text file.
    """
    for name, value in said.items():
        for text in _texts(value):
            if "\0" in text:
                raise BadInput(f"{name} holds a NUL character: leave it out")
            if name in ("a", "b", "picture"):
                _check_point(task, name, text, said)
            elif name in TEXTS:
                _check_prompt(name, text)
            else:
                _check_line(name, text)


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        return [value]
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _check_prompt(name: str, text: str) -> None:
    """No phrase of it is a picture's name, by whichever grammar the task reads it."""
    prompts = [text]
    if name == "schedule":
        prompts += [part for each in text.split(";") for part in (each, _POINT.sub("", each, 1))]
    for prompt in prompts:
        phrases = [prompt.strip(), *prompt.split("|")]
        with suppress(BadInput):  # what is no prompt is the task's to refuse
            phrases += [phrase.text for phrase in parse(prompt)]
        for phrase in phrases:
            _refuse(name, phrase, PICTURES)


def _check_line(name: str, text: str) -> None:
    if name == "judge" and _IDENTITY.search(text):
        raise BadInput("judge identity=…: give identity or identity=embedded")
    for part in [text, *re.split(r"[|;,:=]", text)]:
        _refuse(name, part, _FILES)


def _refuse(name: str, text: str, suffixes: tuple[str, ...]) -> None:
    if text.strip().lower().endswith(suffixes):
        shown = text.strip()[-40:]
        raise BadInput(f"{name} {shown!r} names a file: upload pictures, and say the rest in words")


def _check_point(task: str, name: str, text: str, said: Mapping[str, Any]) -> None:
    """What stands in a picture's place: a seed, or in the space words a prompt."""
    if task == "interpolate" and said.get("space") == "words":
        _check_prompt(name, text)
        parse(text)
    elif not _SEED.fullmatch(text):
        words = " (or, in the space words, a prompt)" if task == "interpolate" else ""
        raise BadInput(f"{name}: upload a picture, or give a seed such as seed:7{words}")
