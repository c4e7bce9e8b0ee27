"""What does a prompt's modifier do? Pictures with it beside pictures without it, of the same noise.

Measured by a CLIP that nothing was optimised against. One that has never seen a modifier's words
cannot say where they lead: there `direction` says nothing, and `change` all that there is to say.
"""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from limner.measures import Paint, Watch
from limner.measures._painted import Kept, painted
from limner.measures._share import Share, checked, share
from limner.models._text_to_image import TextToImage
from limner.models.clip import Clip, open_clip
from limner.picture import Picture
from limner.prompt import UnseenWord
from limner.tasks._planned import MOST_STEPS
from limner.tasks._recipe import told
from limner.tasks.modifiers import CATALOGUE, Effect, Modifier
from limner.worlds import _vocabulary as words

__all__ = ["PROMPTS", "Measured", "modifiers"]

# What modifiers are added to, of the world's nouns that look least like each other; the first N.
PROMPTS = (
    "cat", "apple", "robot", "car", "tree", "penguin", "rocket", "mushroom", "panda", "cactus",
    "avocado", "crown",
)  # fmt: skip
_PLAIN = Modifier("", "", "{a}")
_NOUNS = (*(noun.word for noun in words.glyph_nouns("core")), *words.SHAPES)


@dataclass(frozen=True)
class Measured:
    """What was measured on which model, by which CLIP.

    plain:    of the pictures without any modifier, those that show CLIP their own thing first
    effects:  by the modifiers' names
    """

    model: dict[str, str]
    clip: dict[str, str]
    prompts: tuple[str, ...]
    steps: int
    seed: int
    plain: Share
    effects: dict[str, Effect]

    def told(self) -> dict[str, Any]:
        """As plain JSON values: what `limner modifiers --from` reads."""
        rows = [{"name": name} | asdict(effect) for name, effect in self.effects.items()]
        how = {"prompts": self.prompts, "steps": self.steps, "seed": self.seed}
        networks = {"model": self.model, "clip": self.clip}
        return networks | how | {"plain": self.plain.told(), "modifiers": rows}


def modifiers(
    paint: Paint | None = None,
    *,
    model: str | Path | TextToImage = "embedded",
    clip: str | Path | Clip = "embedded",
    prompts: int = 4,
    steps: int | None = None,
    seed: int = 0,
    catalogue: Sequence[Modifier] = CATALOGUE,
    folder: Path | None = None,
    watch: Watch | None = None,
) -> Measured:
    """Paints each prompt without and with each modifier, from the prompt's own noise.

    Args:
        paint: prompts → one picture each; by default `limner.generate` with what follows
        model: "embedded", a folder in diffusers' layout, a hub id, or what open_model gave
        clip: that looks: "embedded", a folder or hub id of a CLIPModel, or what open_clip gave
        prompts: how many of PROMPTS
        steps: of the sampler; the model's own number when not given
        seed: of the painting
        catalogue: the modifiers
        folder: where pictures are kept, and are not painted again
        watch: called with the pictures painted, and their number in all

    Raises BadInput when an argument, the model, the CLIP or the folder cannot be used.
    """
    from limner.models._open import open_model

    checked("prompts", prompts, 2, len(PROMPTS))
    checked("steps", 1 if steps is None else steps, 1, MOST_STEPS)
    chosen = PROMPTS[:prompts]
    judge = open_clip(clip) if isinstance(clip, (str, Path)) else clip
    opened = open_model(model) if isinstance(model, (str, Path)) else model
    steps = steps or opened.steps
    said = [each.applied(noun) for each in (_PLAIN, *catalogue) for noun in chosen]
    place = {prompt: i % prompts for i, prompt in enumerate(said)}
    about: dict[str, str | int] = {"model": opened.fingerprint[:16], "steps": steps, "seed": seed}
    kept = Kept(folder, about) if folder else None
    pictures = painted(said, paint or _beside(opened, steps, seed, place), kept, watch)
    shown = torch.stack([each.pixels for each in pictures])
    rows = zip((_PLAIN, *catalogue), shown.split(prompts))
    plain, *looks = (_looked(judge, each, chosen, pixels) for each, pixels in rows)
    effects = {
        each.name: _effect(plain, look, opened.unseen_words(each.words))
        for each, look in zip(catalogue, looks)
    }
    first = share(plain.first)
    return Measured(told(opened), told(judge), chosen, steps, seed, first, effects)


def _beside(model: TextToImage, steps: int, seed: int, place: dict[str, int]) -> Paint:
    """`limner.generate`: prompts of the same place have the same noise."""
    from limner.tasks.generate import generate

    def do(said: list[str]) -> list[Picture]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnseenWord)  # the effects name them
            return [
                generate(prompt, model=model, steps=steps, seed=seed, first=place[prompt])[0]
                for prompt in said
            ]

    return do


@dataclass(frozen=True, eq=False)
class Look:
    """Under one modifier: pixels (n, 3, h, w), what CLIP sees and reads (n, d), and whether it
    finds the prompt's own thing first, of all the world's things under the same modifier."""

    pixels: Tensor
    seen: Tensor
    read: Tensor
    first: list[bool]


def _looked(judge: Clip, modifier: Modifier, chosen: Sequence[str], pixels: Tensor) -> Look:
    seen = judge.embed_pictures(pixels)
    sentences = judge.embed_texts([modifier.applied(noun) for noun in _NOUNS])
    own = [_NOUNS.index(noun) for noun in chosen]
    best = (seen @ sentences.T).argmax(1).tolist()
    return Look(pixels, seen, sentences[own], [i == j for i, j in zip(best, own)])


def _effect(plain: Look, look: Look, unseen: Sequence[str]) -> Effect:
    moved, wanted = (look.seen - plain.seen).double(), (look.read - plain.read).double()
    # 0 where a picture, or what is read, did not change at all.
    ways = functional.cosine_similarity(moved, wanted, dim=1).tolist()
    return Effect(
        change=float((look.pixels - plain.pixels).abs().mean()),
        direction=statistics.fmean(ways),
        direction_error=statistics.stdev(ways) / math.sqrt(len(ways)),
        kept=share(look.first).value,
        unseen=tuple(unseen),
    )
