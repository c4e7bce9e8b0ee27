"""Do the words look at what they name? The pointing game of attention maps against true masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from limner.denoisers.network import Network
from limner.measures import Watch, batches
from limner.measures._share import Share, checked, share
from limner.models._attended import recorded
from limner.models._text_to_image import TextToImage
from limner.models._words import words_of
from limner.noise import Noise
from limner.picture import resize
from limner.tasks._looked import LOOKED
from limner.tasks._paint import levels
from limner.worlds._captions import Scene
from limner.worlds._vocabulary import plural
from limner.worlds.scenes import World

__all__ = ["Attention", "Pointed", "attention"]

_AT_ONCE = 8


@dataclass(frozen=True)
class Pointed:
    """A word of a caption: whether its map is highest in what it names, and the share of the
    picture that this takes, which is how often a point at random would be in it."""

    caption: str
    word: str
    right: bool
    chance: float
    alone: bool  # no other kind of thing is in the picture


@dataclass(frozen=True)
class Attention:
    """hits: the share of nouns whose map is highest within the true mask; chance: by guessing."""

    model: str
    seed: int
    hits: Share
    single: Share  # where the picture shows one kind of thing
    several: Share
    chance: float
    pointed: tuple[Pointed, ...]

    def told(self) -> dict[str, Any]:
        """As plain JSON values."""
        shares = {key: getattr(self, key).told() for key in ("hits", "single", "several")}
        pointed = [asdict(each) for each in self.pointed]
        about = {"model": self.model, "seed": self.seed, "chance": self.chance}
        return about | shares | {"pointed": pointed}


@torch.no_grad()
def attention(
    model: str | Path | TextToImage = "embedded",
    *,
    count: int = 256,
    seed: int = 1,
    watch: Watch | None = None,
) -> Attention:
    """Shows the model held-out scenes of the world, under noise and with their true captions, and
    asks of each noun whether its map (as `limner explain` makes it) is highest in the true mask.

    Zhang et al. 2018, "Top-down neural attention by excitation backprop", section 4.1, without
    their tolerance of 15 pixels. Where a noun is there several times any of them counts.

    Args:
        model: "embedded", a folder, a hub id, or what open_model gave
        count: how many pictures
        seed: of the world, and of the noise; training's is 0
        watch: called with the pictures done and their number

    Raises BadInput when the model cannot be opened.
    """
    from limner.models._open import open_model, placed

    checked("count", count, 1, 1_000_000)
    opened = open_model(model) if isinstance(model, (str, Path)) else model
    opened = placed(opened, "float32")
    world = World(seed, split="held_out")
    pointed: list[Pointed] = []
    for some in batches(0, count, _AT_ONCE):
        drawn = world.draw(some, annotate=True)
        pictures = torch.from_numpy(drawn.pictures).permute(0, 3, 1, 2) / 255
        captions = [texts[0] for texts in drawn.captions]
        maps = _maps(opened, resize(pictures, (opened.size, opened.size)), captions, seed, some)
        for row, scene in enumerate(drawn.scenes):
            masks = torch.from_numpy(drawn.masks[row])
            pointed += _pointed(opened, captions[row], scene, masks, maps[row])
        if watch is not None:
            watch(some[-1] + 1, count)
    return _told(opened, seed, pointed)


def _maps(
    model: TextToImage,
    pictures: Tensor,
    captions: Sequence[str],
    seed: int,
    samples: Sequence[int],
) -> Tensor:
    """(b, n, h, w): for each picture and token, over all the levels at which `explain` looks."""
    x0, states = model.encode(pictures), model.encode_text(captions)
    n = Noise(seed, samples).normal(x0.shape[1:]).to(x0)
    network = Network(model.unet, model.prediction, model.alpha_bars)
    with recorded(model.unet, [states], len(x0)) as recorder:
        for time in LOOKED:
            level = levels(model, 1, time)[0]
            network(level.alpha * x0 + level.sigma * n, level, states)
    return recorder.maps()[0]


def _pointed(
    model: TextToImage, caption: str, scene: Scene, masks: Tensor, maps: Tensor
) -> Iterator[Pointed]:
    """Of each noun of a scene; masks (things, h, w) bool, maps (n, h', w')."""
    words = words_of(model.tokenizer, caption)
    taken: list[int] = []
    alone = len(scene.things) == 1
    for number, thing in enumerate(scene.things):
        noun = (thing.noun if scene.count == 1 else plural(thing.noun)).split()
        starts = [i for i in range(len(words)) if _texts(words, i, noun) == noun]
        at = next(i for i in starts if i not in taken)  # "a red cube on a blue cube", in order
        taken.append(at)
        places = [place for word in words[at : at + len(noun)] for place in word.places]
        mask = masks[number :: len(scene.things)].any(0)
        heat = maps[places].mean(0)[None, None]
        large = functional.interpolate(heat, tuple(mask.shape), mode="bicubic")
        right = bool(mask.flatten()[int(large.argmax())])
        yield Pointed(caption, " ".join(noun), right, float(mask.float().mean()), alone)


def _texts(words: Sequence[Any], start: int, like: Sequence[str]) -> list[str]:
    return [word.text for word in words[start : start + len(like)]]


def _told(model: TextToImage, seed: int, pointed: list[Pointed]) -> Attention:
    return Attention(
        f"{model.name} {model.fingerprint[:16]}",
        seed,
        share(each.right for each in pointed),
        share(each.right for each in pointed if each.alone),
        share(each.right for each in pointed if not each.alone),
        sum(each.chance for each in pointed) / len(pointed),
        tuple(pointed),
    )
