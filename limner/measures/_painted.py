"""Pictures painted for a measure, kept in a folder so that a stopped run goes on where it was."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from limner.errors import BadInput
from limner.measures import Paint, Watch
from limner.models._text_to_image import TextToImage
from limner.picture import Picture, load, save_bytes
from limner.prompt import UnseenWord, words

__all__ = ["Kept", "number", "painted", "painter"]

_AT_ONCE = 8


def painter(
    model: str | Path | TextToImage = "embedded", *, seed: int = 0, steps: int | None = None
) -> Paint:
    """`limner.generate` as it is from the command line, one picture a prompt; `steps` of it, or the
    model's own.

    A prompt's picture depends on the prompt and the seed alone, not on what else is painted.
    """
    from limner.models._open import open_model
    from limner.tasks.generate import generate

    opened = open_model(model) if isinstance(model, (str, Path)) else model

    def paint(prompts: list[str]) -> list[Picture]:
        out: list[Picture] = []
        for prompt, same in groupby(prompts):
            count = len(list(same))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UnseenWord)  # the figures will say it
                first = number(prompt)
                out += generate(
                    prompt, count=count, seed=seed, first=first, model=opened, steps=steps
                )
        return out

    return paint


def number(prompt: str) -> int:
    """Of a prompt's picture in the run of a seed, from 0 below 2³²."""
    return int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4], "big")


class Kept:
    """A folder of painted pictures, one to a prompt.

    about: what paints them, as plain JSON; a folder that says otherwise belongs to another run, and
    is BadInput rather than mixed with this one.
    """

    def __init__(self, folder: Path, about: dict[str, str | int]) -> None:
        self.folder, note = folder, folder / "painted.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            said = json.loads(note.read_text("utf-8")) if note.exists() else None
        except (OSError, ValueError) as error:
            raise BadInput(f"cannot keep pictures in {str(folder)!r}: {error}") from None
        if said is not None and said != about:
            raise BadInput(f"{str(folder)!r} holds pictures by {said}, not {about}: give another")
        if said is None:
            save_bytes(note, json.dumps(about).encode())

    def place(self, prompt: str) -> Path:
        mark = hashlib.sha256(prompt.encode()).hexdigest()[:10]
        return self.folder / f"{'-'.join(words(prompt))[:80]}-{mark}.png"


def painted(
    prompts: Sequence[str],
    paint: Paint,
    kept: Kept | None = None,
    watch: Watch | None = None,
    at_once: int = _AT_ONCE,
) -> list[Picture]:
    """One picture for each prompt, in their order; those that are kept are not painted again.

    at_once: prompts that paint is given together, and after which their pictures are kept
    """
    places = [kept.place(prompt) if kept else None for prompt in prompts]
    out = [load(place) if place and place.exists() else None for place in places]
    todo = [i for i, picture in enumerate(out) if picture is None]
    for start in range(0, len(todo), at_once):
        rows = todo[start : start + at_once]
        made = paint([prompts[i] for i in rows])
        if len(made) != len(rows):
            raise BadInput(f"paint gave {len(made)} pictures for {len(rows)} prompts")
        for i, picture in zip(rows, made):
            place = places[i]
            # As a file has it, to 8 bits, so that a run that goes on sees what it saw.
            out[i] = picture if place is None else load(picture.save(place))
        if watch is not None:
            watch(len(prompts) - len(todo) + start + len(rows), len(prompts))
    return [picture for picture in out if picture is not None]
