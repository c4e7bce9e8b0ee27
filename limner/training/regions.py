"""The recipe of ``limner train regions``: a text-to-image model learns to put things into regions.

Boxes and outlines with phrases, in one adapter: the phrase's embedding is laid out over its region
(SpaText, Avrahami et al. 2023), and shown to the U-Net below x. Half of what it learns from are
boxes, half exact outlines; regions and captions are left out at random, so that either leads alone
and guidance knows what a picture without them is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from limner.data import CaptionedPictures
from limner.data._decode import fit
from limner.data.world import WorldSource
from limner.errors import BadInput
from limner.models._regions import boxes_cover, laid_out
from limner.training._cached import Cached, cached
from limner.training._conditioned import Base, learn, made_of, open_base
from limner.training._data import drawing
from limner.training._latents import latents_of
from limner.training._processes import processes
from limner.training.loop import Plan, Progress, flush_denormals, open_run
from limner.worlds import _vocabulary as words
from limner.worlds._scattered import Placed, named, placed
from limner.worlds.scenes import World

__all__ = ["Regions", "regions"]

_MOST = 5  # regions of a picture: the background and four things
_EXACT = 0.5  # of the pictures are shown outlines, the others boxes
_GROUND = {True: 0.7, False: 0.3}  # pictures whose background is told, too, by outlines or boxes
_LEFT_OUT, _NONE = 0.1, 0.1  # each region; all of a picture's
_WORDLESS = 0.35  # pictures without a caption
_NOTHING = 0.05  # pictures with neither
_THINGS = 3.0  # how much more than the background things count
_LOOSE = 0.015  # of the picture's side: how far a box's ends are from the thing's


class Regions:
    """What is shown (see ``Shown``): phrases laid out over regions.

    Args:
        kept: arrays ``latents`` (n, c, h, w), ``boxes`` (n, r, 4) in shares of the picture,
            ``covers`` (n, r, h, w) uint8, of 255; and for each picture its caption and phrases: of
            the background ("" for none), and of up to r − 1 things.
        embed: phrases → (m, d), what is laid out of them.
        width: numbers that an embedding becomes.
    """

    kind = "regions"

    def __init__(self, kept: Cached, embed: Callable[[list[str]], Tensor], width: int) -> None:
        self.arrays, self.told = kept.arrays, kept.told
        known = sorted({phrase for each in kept.told for phrase in each["phrases"]})
        numbers = {phrase: number for number, phrase in enumerate(known)}
        self.phrases = np.full((len(self.told), _MOST), -1)  # −1: no region
        for row, each in enumerate(self.told):
            for at, phrase in enumerate(each["phrases"]):
                self.phrases[row, at] = numbers[phrase] if phrase else -1
        self.embedded = embed(known)
        self.projection = nn.Linear(self.embedded.shape[1], width)
        self.extra: Mapping[str, nn.Module] = {"phrase": self.projection}
        self.channels, self.size = width + 2, self.arrays["latents"].shape[-1]
        self.card: dict[str, Any] = {"phrases": len(known)}

    def __len__(self) -> int:
        return len(self.told)

    def rows(
        self, rows: np.ndarray, rng: np.random.Generator
    ) -> tuple[dict[str, Tensor], list[str]]:
        count = len(rows)
        exact = rng.random(count) < _EXACT
        phrases = self.phrases[rows]
        given = (phrases >= 0) & (rng.random(phrases.shape) >= _LEFT_OUT)
        given[:, 0] &= rng.random(count) < np.where(exact, _GROUND[True], _GROUND[False])
        nothing = rng.random(count) < _NOTHING
        given[nothing | (rng.random(count) < _NONE)] = False
        loose = rng.uniform(-_LOOSE, _LOOSE, (count, _MOST, 4)) * (np.arange(_MOST) > 0)[:, None]
        boxes = np.clip(self.arrays["boxes"][rows] + loose, 0, 1).astype(np.float32)
        wide = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
        order = np.argsort(-wide, axis=1, kind="stable")  # the smaller ones on top
        of_boxes = boxes_cover(torch.from_numpy(boxes), (self.size, self.size)).numpy()
        outlines = self.arrays["covers"][rows].astype(np.float32) / 255
        cover = np.where(exact[:, None, None, None], outlines, of_boxes) * given[..., None, None]
        at = np.arange(count)[:, None], order
        batch = {
            "latents": torch.from_numpy(self.arrays["latents"][rows].astype(np.float32)),
            "weight": torch.from_numpy(1 + _THINGS * outlines[:, 1:].sum(1, keepdims=True)),
            "cover": torch.from_numpy(cover[at]),
            "phrases": torch.from_numpy(phrases[at]).clamp(min=0),
            "exact": torch.from_numpy(exact.astype(np.float32))[:, None].expand(-1, _MOST).clone(),
        }
        wordless = nothing | (rng.random(count) < _WORDLESS)
        captions = [self.told[row]["caption"] for row in rows.tolist()]
        return batch, ["" if no else text for text, no in zip(captions, wordless, strict=True)]

    def beside(self, batch: Mapping[str, Tensor]) -> Tensor:
        phrases = self.embedded.to(batch["cover"].device)[batch["phrases"]]
        own = (self.projection.weight, self.projection.bias)
        return laid_out(batch["cover"], phrases, batch["exact"], own)

    def seen(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Each region in a colour of its own, on white; eight pixels a cell."""
        colours = torch.tensor([list(rgb) for rgb in words.COLOURS.values()])[:_MOST] / 255
        canvas = torch.ones(len(batch["cover"]), 3, self.size, self.size)
        for cover, colour in zip(batch["cover"].unbind(1), colours, strict=True):
            canvas = canvas.lerp(colour[:, None, None].expand_as(canvas), 0.8 * cover[:, None])
        return canvas.repeat_interleave(8, 2).repeat_interleave(8, 3)


def regions(
    data: CaptionedPictures,
    run: Path,
    plan: Plan,
    *,
    start: str = "embedded",
    rank: int = 8,
    width: int = 16,
    latents: int = 24_000,
    resume: bool = False,
    watch: Callable[[int, int], None] | None = None,
) -> Iterator[Progress]:
    """Teach a text-to-image model boxes and semantic maps; ``run/model`` is an adapter.

    Args:
        start: the model that learns: embedded, or a folder in Stable Diffusion's layout; with an
            adapter of it to go on from after a plus: embedded+regions, embedded+RUN/model.
        rank: of the changes of each matrix; more learns more and is larger.
        width: numbers that a phrase is laid out as.
        latents: how many pictures are drawn and encoded beforehand and learned from in turn.
        resume: go on from the last checkpoint in the run's folder.
    """
    flush_denormals()
    if latents < 1 or width < 1:
        raise BadInput(f"latents {latents} and width {width}: give at least 1 of each")
    world = data.world if isinstance(data, WorldSource) else None
    if not isinstance(world, World):
        raise BadInput(
            "regions are learned from a world that says what is where: give --data world:scenes"
        )
    base = open_base(start, data.size, Regions.kind, rank)
    open_run(run, resume)
    torch.manual_seed(plan.seed)
    autoencoder = base.parts.autoencoder
    autoencoder.to(processes().device, memory_format=torch.channels_last)
    told = made_of(base, data.batch(range(4))[0], regions=_MOST, seed=plan.seed)

    def make(rows: range) -> tuple[dict[str, np.ndarray], list[Any]]:
        return _made(world, data.size, autoencoder, rows, plan.seed)

    kept = cached(run / "regions", told, latents, make, watch)
    yield from learn(base, Regions(kept, _embedder(base), width), plan, run, rank, resume)


def _made(
    world: World, pixels: int, autoencoder: Any, rows: range, seed: int
) -> tuple[dict[str, np.ndarray], list[Any]]:
    """Latents of pictures, what is where in them, and what is said of that."""
    drawn = placed(world, rows)
    pictures = np.array([fit(Image.fromarray(each.picture), pixels) for each in drawn], np.uint8)
    latents = latents_of(autoencoder, pictures)
    side = latents.shape[-1]
    boxes = np.zeros((len(rows), _MOST, 4), np.float32)
    covers = np.zeros((len(rows), _MOST, side, side), np.uint8)
    told = []
    for at, (row, each) in enumerate(zip(rows, drawn, strict=True)):
        rng = drawing(seed, row, 0, "regions")
        of_things = 1 + len(each.things)
        boxes[at, 0, 2:] = 1
        boxes[at, 1:of_things] = each.boxes / each.picture.shape[0]
        outlines = np.concatenate([~each.masks.any(0, keepdims=True), each.masks])
        covers[at, :of_things] = [_cells(outline, side) for outline in outlines]
        told.append({"caption": each.caption, "phrases": _phrases(each, rng)})
    return {"latents": latents, "boxes": boxes, "covers": covers}, told


def _cells(outline: np.ndarray, side: int) -> np.ndarray:
    """How much of each cell is inside: bool (h, w) → uint8 (side, side), of 255."""
    whole = Image.fromarray(outline.astype(np.uint8) * 255)
    return np.asarray(whole.resize((side, side), Image.Resampling.BOX))


def _phrases(each: Placed, rng: np.random.Generator) -> list[str]:
    """Of the background, and of each thing that can be seen."""
    ground = words.BACKGROUNDS[each.background][0]
    forms = [ground, ground.removeprefix("on ").removeprefix("in ").removeprefix("at ")]
    forms.append(forms[1].removeprefix("the "))
    said = [str(forms[rng.integers(len(forms))])]
    for thing, mask in zip(each.things, each.masks, strict=True):
        name = named(thing)
        bare = rng.random() < 0.15
        said.append((name.split(" ", 1)[1] if bare else name) if mask.any() else "")
    return said


def _embedder(base: Base) -> Callable[[list[str]], Tensor]:
    """Phrases → the text encoder's last state at their ends, (m, d)."""
    tokenizer, text = base.parts.tokenizer, base.parts.text_encoder

    @torch.no_grad()
    def embed(phrases: list[str]) -> Tensor:
        length = tokenizer.model_max_length
        ids = tokenizer(
            phrases, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).input_ids
        parts = [text(some.to(text.device)).pooler_output for some in ids.split(256)]
        return torch.cat(parts).float()

    return embed
