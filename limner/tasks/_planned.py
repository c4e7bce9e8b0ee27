"""What the tasks that run a text-to-image model are told: checked, with the model's own values."""

from __future__ import annotations

import difflib
import warnings
from pathlib import Path
from typing import Any

from limner._rooms import names
from limner.errors import BadInput
from limner.models._open import opened_for
from limner.models._text_to_image import TextToImage
from limner.prompt import CutWord, Phrase, UnseenWord, check, parse
from limner.tasks._checks import check_local, check_whole
from limner.tasks._paint import Plan

__all__ = ["MOST_STEPS", "planned", "told_again"]

MOST_STEPS = 1000


def planned(
    prompt: str,
    *,
    negative: str | None,
    seed: int,
    steps: int | None,
    guidance_scale: float | None,
    guidance_interval: tuple[float, float],
    guidance_rescale: float,
    sampler: str | None,
    model: str | Path | TextToImage,
    wordless: bool = False,
    precision: str | None = None,
    low_memory: bool = False,
) -> tuple[TextToImage, Plan]:
    """The model, opened, and what it is to paint, of its own size. Arguments as in `generate`.

    wordless:   the prompt may be empty
    precision:  what it will be `placed` in; a model given by name is read straight into that

    Raises BadInput; warns of words that the model does not know.
    """
    phrases = _phrases(prompt, negative, wordless)
    check_whole({"steps": (1 if steps is None else steps, 1, MOST_STEPS)})
    _check_guidance(guidance_scale, guidance_interval, guidance_rescale)
    if sampler is not None and sampler not in names("samplers"):
        raise BadInput(f"no sampler {sampler!r}: choose one of {', '.join(names('samplers'))}")
    opened = opened_for(model, precision, low_memory)
    _warn(opened, [*(phrase.text for phrase in phrases), negative or ""])
    return opened, Plan(
        prompt=prompt,
        negative=negative or "",
        seed=seed,
        steps=steps or opened.steps,
        guidance_scale=opened.guidance_scale if guidance_scale is None else guidance_scale,
        guidance_interval=guidance_interval,
        guidance_rescale=guidance_rescale,
        sampler=sampler or opened.sampler,
        size=(opened.size, opened.size),
    )


def told_again(
    recipe: dict[str, Any], samples: range, model: str | Path | TextToImage | None
) -> dict[str, Any]:
    """The arguments that these tasks share, by name, to paint samples of a recipe's run once more.

    model: in place of the recipe's, or None. Raises BadInput where that is not on this machine.
    """
    said, name = recipe["arguments"], recipe["model"]["name"]
    if model is None:
        check_local(name, "model")
    return {
        "prompt": said["prompt"],
        "negative": said["negative"] or None,
        "count": len(samples),
        "seed": said["seed"],
        "first": samples.start,
        "steps": said["steps"],
        "guidance_scale": said["guidance_scale"],
        "guidance_interval": tuple(said["guidance_interval"]),
        "guidance_rescale": said["guidance_rescale"],
        "sampler": said["sampler"],
        "model": name if model is None else model,
        "precision": recipe["precision"],
        "compile": said["compile"],
    }


def _phrases(prompt: str, negative: str | None, wordless: bool) -> list[Phrase]:
    if negative:
        check(negative, "negative prompt")
    phrases = [] if wordless and not prompt else parse(prompt)
    for phrase in phrases:
        if phrase.picture is not None:
            raise BadInput(f"{phrase.text!r} names a picture: it is painted from words alone")
    return phrases


def _check_guidance(scale: float | None, interval: tuple[float, float], rescale: float) -> None:
    if scale is not None and not abs(scale) <= 1000:
        raise BadInput(f"guidance scale {scale}: give a number, such as 4")
    if len(interval) != 2 or not 0 <= interval[0] <= interval[1] <= 1:
        raise BadInput(f"guidance interval {interval}: give from and to, 0 ≤ from ≤ to ≤ 1")
    if not 0 <= rescale <= 1:
        raise BadInput(f"guidance rescale {rescale}: give a number from 0 to 1")


def _warn(model: TextToImage, texts: list[str]) -> None:
    """Names the words that the model has never seen, and those that are too many."""
    for word in dict.fromkeys(word for text in texts for word in model.unseen_words(text)):
        near = difflib.get_close_matches(word, model.vocabulary or (), 1)
        meant = f", did you mean {near[0]!r}?" if near else ";"
        message = (
            f"the model {model.name!r} has never seen the word {word!r}{meant} use one that it "
            "knows (limner models --words), or another model (--model)"
        )
        warnings.warn(message, UnseenWord, stacklevel=4)
    for text in texts:
        cut = model.cut_words(text)
        if cut:
            shown = " ".join(cut[:8]) + (" …" if len(cut) > 8 else "")
            message = f"the prompt is too long: its last {len(cut)} words are left out ({shown})"
            warnings.warn(message, CutWord, stacklevel=4)
