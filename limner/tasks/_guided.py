"""The kinds of guidance that `limner guide` compares: what each needs, and the denoisers."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from limner.denoisers import Denoiser
from limner.denoisers import judge as by_judge
from limner.denoisers.auto import Auto
from limner.denoisers.classifier import Classifier
from limner.errors import BadInput
from limner.judges import clip as clip_judge
from limner.levels import Level
from limner.models._open import open_model
from limner.models._text_to_image import TextToImage
from limner.models.clip import Clip, open_clip
from limner.models.noised_classifier import NoisedClassifier, open_noised_classifier
from limner.models.noised_clip import NoisedClip, open_noised_clip
from limner.noise import Noise
from limner.prompt import Notice, parse
from limner.tasks._paint import Plan, guided
from limner.tasks._recipe import told
from limner.tasks._sight import sight_of

__all__ = ["KINDS", "Aids", "Told", "aids", "denoiser_of", "kinds_of"]

KINDS = ("none", "cfg", "clip", "noised-clip", "classifier", "auto")


@dataclass(frozen=True)
class Told:
    """What the task was told of guidance, by the same names; every value goes into the recipe."""

    clip: tuple[str, ...]
    views: int
    sight: str
    through: str
    clip_scale: float
    noised_clip: str | None
    noised_clip_scale: float
    classifier: str | None
    classifier_scale: float
    weak: str | None
    auto_scale: float


@dataclass(frozen=True, eq=False)
class Aids:
    """The networks that guide, where they are wanted."""

    clips: tuple[Clip, ...] = ()
    sight: Callable[[Tensor], Tensor] | None = None
    noised_clip: NoisedClip | None = None
    classifier: NoisedClassifier | None = None
    weak: TextToImage | None = None

    def recipe(self, kind: str) -> dict[str, Any]:
        """Those of one kind, as a recipe names them."""
        parts = kind.split("+")
        others = {"noised-clip": self.noised_clip, "classifier": self.classifier, "auto": self.weak}
        found = [told(each) for part, each in others.items() if each is not None and part in parts]
        return {"clips": [told(clip) for clip in self.clips if "clip" in parts], "guides": found}


def kinds_of(compare: str | Sequence[str]) -> list[str]:
    """Kinds in a list with commas, or in several; "cfg+clip" is both at once. Raises BadInput."""
    texts = [compare] if isinstance(compare, str) else compare
    found = [part.strip() for text in texts for part in text.split(",")]
    kinds = ["+".join(part.strip() for part in kind.split("+")) for kind in found]
    for kind in kinds:
        parts = kind.split("+")
        known = set(parts) <= {*KINDS} and len(set(parts)) == len(parts)
        if not known or ("none" in parts and len(parts) > 1):
            raise BadInput(f"no guidance {kind!r}: choose of {', '.join(KINDS)}, or cfg+clip")
    if len(set(kinds)) < len(kinds):
        raise BadInput(f"compare {', '.join(kinds)}: give each once")
    return kinds


def aids(
    kinds: Iterable[str], said: Told, model: TextToImage, prompt: str, *, asked: bool
) -> tuple[list[str], Aids]:
    """The kinds that can be had, and what they need, opened.

    asked: they were named, so that one that cannot be had is BadInput; else it is left out, with a
    Notice
    """
    opens: Mapping[str, tuple[str, Callable[[], Any]]] = {
        "clip": ("clips", lambda: _clips(said, model)),
        "noised-clip": ("noised_clip", lambda: _noised_clip(said, model)),
        "classifier": ("classifier", lambda: _classifier(said, model, prompt)),
        "auto": ("weak", lambda: _weak(said, model)),
    }
    left, found, reasons = [], {}, []
    for kind in kinds:
        try:
            for part in kind.split("+"):
                field, open_it = opens.get(part, ("", None))
                if open_it is not None and field not in found:
                    found[field] = open_it()
            left.append(kind)
        except BadInput as error:
            if asked:
                raise
            reasons.append(f"{kind} ({error})")
    if reasons:
        warnings.warn("left out: " + "; ".join(reasons), Notice, stacklevel=3)
    sight = sight_of(said.sight, model) if "clips" in found else None
    return left, Aids(sight=sight, **found)


def _clips(said: Told, model: TextToImage) -> tuple[Clip, ...]:
    """On the model's device, with products in its type."""
    opened = [replace(open_clip(name), judges_in=model.dtype) for name in said.clip]
    if model.device.type == "cpu":
        return tuple(opened)
    return tuple(
        replace(clip, towers=copy.deepcopy(clip.towers).to(model.device)) for clip in opened
    )


def _noised_clip(said: Told, model: TextToImage) -> NoisedClip:
    found = open_noised_clip(said.noised_clip or "embedded")
    _check_channels(found.name, found.noised.channels, model)
    return found.to(model.device)


def _classifier(said: Told, model: TextToImage, prompt: str) -> NoisedClassifier:
    found = open_noised_classifier(said.classifier or "embedded")
    _check_channels(found.name, found.noised.channels, model)
    found.named(prompt)
    return found.to(model.device)


def _weak(said: Told, model: TextToImage) -> TextToImage:
    if said.weak is None:
        raise BadInput(
            "auto asks for a weak model: give an earlier checkpoint's, or a smaller model's, "
            "folder with --weak"
        )
    weak = open_model(said.weak)
    _check_channels(weak.name, weak.channels, model)
    if weak.downscale != model.downscale or weak.beside:
        raise BadInput(f"{weak.name!r} is of another kind than {model.name!r}: give one like it")
    return weak.to(model.device, model.dtype)


def _check_channels(name: str, channels: int, model: TextToImage) -> None:
    if channels != model.channels:
        raise BadInput(
            f"{name!r} knows latents of {channels} channels, and those of {model.name!r} have "
            f"{model.channels}: give one that was trained on them"
        )


def denoiser_of(
    kind: str, model: TextToImage, plan: Plan, aids: Aids, said: Told, noise: Noise
) -> Denoiser:
    """The model's network under one kind of guidance, or several at once, for samples of a run."""
    parts = kind.split("+")
    free = replace(plan, guidance_scale=1.0)
    found = guided(model, plan if "cfg" in parts else free)
    within = plan.guidance_interval
    if "auto" in parts and aids.weak is not None:
        found = Auto(found, guided(aids.weak, free), said.auto_scale, within)
    if "classifier" in parts and aids.classifier is not None:
        likelihood = aids.classifier.likelihood(aids.classifier.named(plan.prompt))
        found = Classifier(found, likelihood, said.classifier_scale, within)
    if "noised-clip" in parts and aids.noised_clip is not None:
        agreement = _agreement(aids.noised_clip, plan.prompt)
        found = Classifier(found, agreement, said.noised_clip_scale, within)
    if "clip" in parts and aids.sight is not None:
        judge = clip_judge.Clip(aids.clips, parse(plan.prompt), views=said.views)
        through: Any = said.through
        found = by_judge.Judge(found, judge, aids.sight, said.clip_scale, noise, within, through)
    return found


def _agreement(clip: NoisedClip, prompt: str) -> Callable[[Tensor, Level], Tensor]:
    """The phrases' likelihoods by their weights."""
    phrases = parse(prompt)
    each = [(clip.likelihood(phrase.text), phrase.weight) for phrase in phrases]

    def summed(x: Tensor, level: Level) -> Tensor:
        return torch.stack([weight * said(x, level) for said, weight in each]).sum(0)

    return summed
