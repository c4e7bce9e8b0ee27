"""Are the named things there? Painted prompts, judged by an eye that shares nothing with a model.

The prompts (`_prompts.py`) are captions of scenes that are kept from training. The eye (`_eye.py`)
knows the world's own sprites and no network. The same eye looks at the world's true pictures of the
same scenes, and what it gets wrong there is reported as its own error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limner.measures import Paint, Watch
from limner.measures._eye import Answers, Eye
from limner.measures._painted import Kept, painted, painter
from limner.measures._prompts import KINDS, Prompt, prompts
from limner.measures._share import Share, checked, share
from limner.models._text_to_image import TextToImage

__all__ = ["KINDS", "QUESTIONS", "Answered", "Report", "compose"]

# What is reported: name → (the kind of prompt, or None for all kinds; the question; in words)
QUESTIONS = {
    "one object": ("single object", "object", "the named object is the best of all 29"),
    "one object, five": ("single object", "among five", "… is among the best five"),
    "two objects": ("two objects", "both", "both named objects are the best two"),
    "two objects, five": ("two objects", "both among five", "… are among the best five each"),
    "relation": (None, "relation", "the relation holds, where both objects are there"),
    "background": (None, "background", "the named background is the likest of all 16"),
    "colour binding": ("colour binding", "colours", "both shapes are there in their own colours"),
    "count": ("count", "count", "as many as named"),
    "material": ("material", "material", "the named material is the best of all 8"),
    "style": ("style", "style", "the named style is the likest of all 8"),
    "size": (None, "size", "small or large as named"),
}
# Answers that are reported beside a kind's share and do not decide it: others say it more strictly.
_LENIENT = ("among five", "both among five")


@dataclass(frozen=True)
class Answered:
    """A prompt and what the eye says of its picture."""

    prompt: str
    kind: str
    answers: Answers

    @property
    def right(self) -> bool:
        """Whether all that was named is there."""
        return all(value for name, value in self.answers.items() if name not in _LENIENT)


@dataclass(frozen=True)
class Report:
    """kinds: the share of prompts in which all that was named is there; questions: see QUESTIONS.

    The `eye_` figures are the eye's error, 1 − the same shares on the world's true pictures.
    """

    model: str
    seed: int
    kinds: dict[str, Share]
    questions: dict[str, Share]
    eye_kinds: dict[str, Share]
    eye_questions: dict[str, Share]
    answers: tuple[Answered, ...]

    def told(self) -> dict[str, Any]:
        """As plain JSON values."""
        groups = {
            name: {key: each.told() for key, each in getattr(self, name).items()}
            for name in ("kinds", "questions", "eye_kinds", "eye_questions")
        }
        answers = [asdict(each) | {"right": each.right} for each in self.answers]
        whole = {"model": self.model, "seed": self.seed, "all": self.all.told()}
        return whole | groups | {"eye_error": self.eye_error, "answers": answers}

    @property
    def eye_error(self) -> float:
        """Over all true pictures: the share of which the eye denies something that is there."""
        return 1 - _all(self.eye_kinds).value

    @property
    def all(self) -> Share:
        """Over all prompts: all that was named is there."""
        return _all(self.kinds)


def compose(
    paint: Paint | None = None,
    *,
    model: str | Path | TextToImage | None = "embedded",
    count: int | None = None,
    seed: int = 0,
    steps: int | None = None,
    draws: int = 1,
    folder: Path | None = None,
    watch: Watch | None = None,
) -> Report:
    """Paints the fixed list of held-out prompts and reports how often what they name is there.

    Args:
        paint: prompts → one picture each; by default `limner.generate` with the model
        model: "embedded", a folder, a hub id, or what open_model gave; None looks at the world's
            true pictures alone
        count: so many prompts, taken evenly from the list; all of them when not given
        seed: of the painting
        steps: of each picture; the model's own when not given
        draws: true pictures of each scene for the eye's own error
        folder: where pictures are kept, and are not painted again
        watch: called with pictures looked at or painted, and their number in all

    Raises BadInput when the model, the font or the folder cannot be used.
    """
    chosen = prompts(count)
    checked("draws", draws, 1, 1000)
    eye = Eye()
    name, do = _painter(paint, model, seed, steps)
    about: dict[str, str | int] = {"model": name, "seed": seed}
    about |= {} if steps is None else {"steps": steps}
    kept = Kept(folder, about) if folder and do else None
    total = len(chosen) * (draws + (do is not None))
    truth = [
        _true(eye, prompt, 1000 * draw + i, (watch, draw * len(chosen) + i + 1, total))
        for draw in range(draws)
        for i, prompt in enumerate(chosen)
    ]
    kinds, questions = _by_kind(truth), _by_question(truth)
    if do is None:
        return Report(name, seed, kinds, questions, kinds, questions, tuple(truth))
    shown = None if watch is None else _after(watch, draws * len(chosen), total)
    pictures = painted([prompt.words for prompt in chosen], do, kept, shown)
    answers = [_seen(eye, prompt, each.pixels) for prompt, each in zip(chosen, pictures)]
    return Report(
        name, seed, _by_kind(answers), _by_question(answers), kinds, questions, tuple(answers)
    )


def _painter(
    paint: Paint | None, model: str | Path | TextToImage | None, seed: int, steps: int | None
) -> tuple[str, Paint | None]:
    """What paints, under the name by which its pictures are known; None for nothing."""
    from limner.models._open import open_model

    if paint is not None:
        return f"given, {getattr(model, 'name', model)}", paint
    if model is None:
        return "true pictures", None
    opened = open_model(model) if isinstance(model, (str, Path)) else model
    paints = painter(opened, seed=seed, steps=steps)
    return f"{opened.name} {opened.fingerprint[:16]}", paints


def _true(eye: Eye, prompt: Prompt, seed: int, told: tuple[Watch | None, int, int]) -> Answered:
    pixels = torch.tensor(eye.true_picture(prompt.scene, seed)).permute(2, 0, 1) / 255
    answered = _seen(eye, prompt, pixels)
    watch, done, total = told
    if watch is not None:
        watch(done, total)
    return answered


def _seen(eye: Eye, prompt: Prompt, pixels: Tensor) -> Answered:
    return Answered(prompt.words, prompt.kind, eye.answers(pixels, prompt.scene))


def _after(watch: Watch, before: int, total: int) -> Watch:
    return lambda done, _: watch(before + done, total)


def _by_kind(answers: Sequence[Answered]) -> dict[str, Share]:
    return {
        kind: share(each.right for each in answers if each.kind == kind)
        for kind in KINDS
        if any(each.kind == kind for each in answers)
    }


def _by_question(answers: Sequence[Answered]) -> dict[str, Share]:
    told = {}
    for name, (kind, question, _) in QUESTIONS.items():
        of_kind = [each for each in answers if kind in (None, each.kind)]
        asked = [each.answers[question] for each in of_kind if question in each.answers]
        if asked:
            told[name] = share(asked)
    return told


def _all(kinds: dict[str, Share]) -> Share:
    return Share(sum(each.right for each in kinds.values()), sum(each.n for each in kinds.values()))
