"""The eye of `compose`: says whether what a scene names is in a picture.

It explains a picture as a background of the world with the world's own objects in front of it, and
takes the explanation that leaves the least squared error. It knows no prompt while it looks: how
many kinds of things to look for, and whether materials or styles are asked about, is all that it is
told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from limner.errors import BadInput
from limner.measures._grounds import Grounds, grounds
from limner.measures._relations import stands
from limner.measures._search import Found, Sight, contrast, found, hidden, scored
from limner.measures._style import Styles, fit_styles, repainted, smeared, styled_bank
from limner.measures._templates import RES, SIDES, Bank, bank, seen
from limner.worlds import _vocabulary as words
from limner.worlds._backgrounds import background
from limner.worlds._styles import in_style
from limner.worlds.scenes import Scene, Thing, World

__all__ = ["Answers", "Eye"]

Answers = dict[str, bool]  # question → whether it is as the scene says

# What is found counts as there if it explains this share of the error within its outline, and this
# much squared error per pixel of the outline (three channels), and if the picture is so many times
# less like the background there than around it. True pictures are far above each of them.
LEAST_SHARE, LEAST_GAIN, LEAST_CONTRAST = 0.3, 0.004, 3.0
# What a further copy has to explain to be counted, of its own outline and of the first one's gain.
AGAIN_SHARE, AGAIN_GAIN = 0.5, 0.12
LIKELY = 3  # styles that are looked at closely
MOST = 6  # copies that are looked for
_SMALL, _LARGE = 13, 21  # sides in pixels of RES up to which, and from which, things are so called


@dataclass(frozen=True)
class Ranked:
    """A thing that was found, and all nouns by how well they explain the same place."""

    found: Found
    nouns: tuple[str, ...]
    contrast: float

    @property
    def there(self) -> bool:
        found = self.found
        enough = found.gain >= LEAST_GAIN * float(found.cover.sum())
        return enough and found.share >= LEAST_SHARE and self.contrast >= LEAST_CONTRAST


class Eye:
    """`Eye().answers(picture, scene)`. Raises BadInput where the emoji font is missing."""

    def __init__(self, font: Path | None = None) -> None:
        self.world = World(0, split="all", font=font)
        if self.world.shapes_only:
            raise BadInput(
                "compose compares with the glyphs of Noto Color Emoji, which is not installed: "
                "install fonts-noto-color-emoji"
            )
        self._styled: dict[str, tuple[Bank, Grounds]] = {}

    # ---- what it compares with --------------------------------------------------------------

    @cached_property
    def plain(self) -> Bank:
        shapes = [Thing(shape, colour) for shape in words.SHAPES for colour in words.COLOURS]
        return bank([*(Thing(noun) for noun in self.world.glyphs), *shapes], self.world.sprite)

    @cached_property
    def in_materials(self) -> Bank:
        """Every noun in every material and in none; of the shapes, the grey ones."""
        made = (None, *words.MATERIALS)
        things = [replace(thing, material=name) for thing in self._one_each() for name in made]
        return bank(things, self.world.sprite)

    @cached_property
    def grounds(self) -> Grounds:
        return grounds()

    @cached_property
    def styles(self) -> Styles:
        return fit_styles(self.true_picture, list(self.world.glyphs))

    def in_style(self, style: str | None) -> tuple[Bank, Grounds]:
        if style is None:
            return self.plain, self.grounds
        if style not in self._styled:
            things = self._one_each()
            sprites = [self.world.sprite(thing) for thing in things]
            changed = partial(in_style, style=style)
            self._styled[style] = styled_bank(things, sprites, style), grounds(3, changed)
        return self._styled[style]

    def true_picture(self, scene: Scene, seed: int) -> np.ndarray:
        """The world's own picture of a scene, uint8 (128, 128, 3)."""
        return self.world.paint(scene, np.random.Generator(np.random.Philox(key=[seed, 77])))[0]

    def _one_each(self) -> list[Thing]:
        shapes = [Thing(shape, "grey") for shape in words.SHAPES]
        return [*(Thing(noun) for noun in self.world.glyphs), *shapes]

    # ---- looking ----------------------------------------------------------------------------

    @torch.no_grad()
    def answers(self, picture: Tensor, scene: Scene) -> Answers:
        """Whether each thing that the scene names is in picture (3, h, w) in [0, 1].

        Questions are asked where the scene gives cause to: object, among five, size, count, both,
        both among five, colours, relation, background, material, style.
        """
        told: Answers = {}
        templates, behind = self.plain, self.grounds
        if scene.style:
            style = self._style(picture)
            told["style"] = style == scene.style
            templates, behind = self.in_style(style)
        elif scene.things[0].material:
            templates = self.in_materials
        small = seen(picture[None])[0]
        sight = Sight(small, behind.behind(small, behind.nearest(small)[0]))
        if len(scene.things) == 2:
            seen_things = self._two(templates, sight)
            told |= _about_two(seen_things, scene)
        else:
            first = self.best(templates, sight, torch.ones(RES, RES))
            if scene.things[0].material:
                first = self._closer(first, picture, sight)
            seen_things = [first]
            told |= _about_one(first, scene)
        known = [each.found for each in seen_things if each.there]
        if scene.count > 1:
            known = self._copies(templates, sight, known[0]) if known else []
            told["count"] = len(known) == scene.count
        if scene.background != "plain":
            rest = hidden(*known)
            told["background"] = behind.nearest(small, rest)[0] == scene.background
        return told

    def best(self, templates: Bank, sight: Sight, weight: Tensor) -> Ranked:
        """What explains most of a picture where the weight (RES, RES) is not 0."""
        scores = scored(templates, sight, weight)
        values: dict[str, float] = {}
        for thing, value in zip(templates.things, scores.value.amax(1).tolist()):
            values[thing.noun] = max(value, values.get(thing.noun, -np.inf))
        nouns = tuple(sorted(values, key=lambda noun: -values[noun]))
        best = found(templates, scores)
        return Ranked(best, nouns, contrast(best, sight, weight))

    def _style(self, picture: Tensor) -> str | None:
        """The style whose best explanation, a thing on a ground, is likest to the picture."""
        large, small = seen(picture[None], 4 * RES)[0], seen(picture[None])[0]
        left = {}
        for style in self.styles.likely(picture, LIKELY):
            templates, behind = self.in_style(style)
            kind, variant = behind.nearest(small)
            sight = Sight(small, behind.behind(small, kind))
            thing = self.best(templates, sight, torch.ones(RES, RES)).found
            sprite, ground = self.world.sprite(thing.thing), background(kind, variant)
            again = repainted(ground, thing, sprite, style)[None]
            both = torch.cat([again, smeared(again, 1.0, 0.0)])  # a model's strokes are soft
            left[style] = float((both - large).square().mean((1, 2, 3)).min())
        return min(left, key=lambda style: left[style])

    def _closer(self, first: Ranked, picture: Tensor, sight: Sight) -> Ranked:
        """The same with the material that explains it best at twice the resolution."""
        things = [replace(first.found.thing, material=each) for each in (None, *words.MATERIALS)]
        side = 2 * SIDES[first.found.side]
        near = bank(things, self.world.sprite, 2 * RES, range(side - 3, side + 4))
        ground = functional.interpolate(sight.ground[None], scale_factor=2, mode="bilinear")[0]
        large = Sight(seen(picture[None], 2 * RES)[0], ground)
        scores = scored(near, large, torch.ones(2 * RES, 2 * RES))
        best = things[int(scores.gain.amax(1).argmax())]
        return replace(first, found=replace(first.found, thing=best))

    def _two(self, templates: Bank, sight: Sight) -> list[Ranked]:
        """The two things that together explain most, each seen where the other leaves it free."""
        one = self.best(templates, sight, torch.ones(RES, RES))
        other = self.best(templates, sight, hidden(one.found))
        pairs = [(one, other)]
        for _ in range(2):
            again = self.best(templates, sight, hidden(other.found))
            pairs.append((other, again))
            if again.found.thing == one.found.thing:
                break
            one, other = other, again
        left = [min(sight.error(a.found, b.found), sight.error(b.found, a.found)) for a, b in pairs]
        return list(pairs[left.index(min(left))])

    def _copies(self, templates: Bank, sight: Sight, first: Found) -> list[Found]:
        """All places where the same thing is, in about the same size."""
        only = templates.only(templates.things.index(first.thing), first.side)
        copies = [first]
        while len(copies) < MOST:
            copy = found(only, scored(only, sight, hidden(*copies)))
            if copy.share < AGAIN_SHARE or copy.gain < AGAIN_GAIN * first.gain:
                break
            copies.append(copy)
        return copies


def _about_one(seen_thing: Ranked, scene: Scene) -> Answers:
    wanted, thing = scene.things[0], seen_thing.found.thing
    told = {
        "object": seen_thing.there and thing.noun == wanted.noun,
        "among five": seen_thing.there and wanted.noun in seen_thing.nouns[:5],
    }
    if wanted.colour:
        told["colours"] = told["object"] and thing.colour == wanted.colour
    if wanted.material:
        told["material"] = seen_thing.there and thing.material == wanted.material
    if wanted.size:
        side = SIDES[seen_thing.found.side]
        size = "small" if side <= _SMALL else "large" if side >= _LARGE else ""
        told["size"] = seen_thing.there and size == wanted.size
    return told


def _about_two(pair: Sequence[Ranked], scene: Scene) -> Answers:
    """`relation` is asked where both are there; then which is which is known."""
    first, second = scene.things
    told = {"both": False, "both among five": False}
    coloured = any(thing.colour for thing in scene.things)
    if coloured:
        told["colours"] = False
    if not all(each.there for each in pair):
        return told
    orders = (pair, pair[::-1])
    told["both among five"] = any(
        first.noun in a.nouns[:5] and second.noun in b.nouns[:5] for a, b in orders
    )
    named = [
        (a.found, b.found)
        for a, b in orders
        if a.found.thing.noun == first.noun and b.found.thing.noun == second.noun
    ]
    if not named:
        return told
    told["both"] = True
    colours = (first.colour, second.colour)
    right = [(a, b) for a, b in named if (a.thing.colour, b.thing.colour) == colours]
    if coloured:
        told["colours"] = bool(right)
    if scene.relation != "and":
        told["relation"] = any(stands(scene.relation, a, b) for a, b in right or named)
    return told
