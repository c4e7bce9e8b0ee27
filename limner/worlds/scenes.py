"""The world ``scenes``: objects, colours, counts, relations, backgrounds, materials and styles.

Pictures are 128 pixels square (or 256 or 512: see ``scale``). ``World(seed=s).draw([i])`` is a pure
function of (s, i): the same picture, captions and truth in any batch and any order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from limner.errors import BadInput
from limner.worlds import _backgrounds, _sprites, _styles
from limner.worlds import _vocabulary as words
from limner.worlds._captions import Scene, Thing, canonical, held_out, phrasings
from limner.worlds._layout import Place, extent, ink, places

__all__ = ["Scene", "Scenes", "Thing", "World", "canonical", "held_out", "made_of"]

SIDE = 128


@dataclass
class Scenes:
    """A drawn batch. ``boxes``, ``masks`` and ``maps`` are filled where ``annotate`` was asked."""

    pictures: np.ndarray  # uint8 (b, 128, 128, 3), at a larger scale more
    captions: list[list[str]]  # the canonical phrasing first
    scenes: list[Scene]
    boxes: list[np.ndarray] = field(default_factory=list)  # int (n, 4): visible x0 y0 x1 y1
    masks: list[np.ndarray] = field(default_factory=list)  # bool (n, 128, 128): visible pixels
    maps: list[np.ndarray] = field(default_factory=list)  # uint8 (128, 128): 0 or 1 + noun's index

    def truth(self, row: int) -> dict[str, Any]:
        """Everything that is true of one picture, as plain JSON values (masks left out)."""
        scene = asdict(self.scenes[row])
        scene["things"] = [asdict(thing) for thing in self.scenes[row].things]
        boxes = self.boxes[row].tolist() if self.boxes else None
        return {"captions": self.captions[row], **scene, "boxes": boxes}


class World:
    """The world ``scenes``.

    Args:
        seed: which world; pictures of two seeds have nothing in common.
        vocabulary: ``core`` (24 glyphs and five shapes) or ``full``.
        split: ``train``, ``held_out`` (the one content in ten kept from training) or ``all``.
        twins: pictures come in groups of this many that differ in one thing: mostly in the noun,
            sometimes in material or style. CLIP learns from such what the words mean.
        dressed: share of the plain scenes that are given a material or a style all the same; the
            world's own scenes have one in a fifth of all pictures.
        alone: share of the scenes that are made to hold one thing by itself, beside the half that
            do so anyway.
        scale: 1, 2 or 4, of 128, 256 or 512 pixels: the same things in the same places, finer.
        font: Noto Color Emoji; looked for on the system when not given. Without it only the
            shapes are drawn: ``shapes_only`` is then true.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        vocabulary: str = "core",
        split: str = "train",
        twins: int = 1,
        dressed: float = 0.0,
        alone: float = 0.0,
        scale: int = 1,
        font: Path | None = None,
    ) -> None:
        if vocabulary not in ("core", "full"):
            raise BadInput(f"the world scenes has vocabularies core and full, not {vocabulary!r}")
        if split not in ("train", "held_out", "all"):
            raise BadInput(f"a split is train, held_out or all, not {split!r}")
        if scale not in (1, 2, 4):
            raise BadInput(f"scale {scale}: give 1, 2 or 4, of 128, 256 or 512 pixels")
        if twins < 1:
            raise BadInput(f"twins {twins}: give 1 (every picture its own scene) or more")
        for name, part in (("dressed", dressed), ("alone", alone)):
            if not 0 <= part <= 1:
                raise BadInput(f"{name} {part}: give a share from 0 to 1")
        self.seed, self.split, self.twins, self.scale = seed, split, twins, scale
        self.dressed, self.alone = dressed, alone
        self.font = font or _sprites.find_font()
        self.shapes_only = self.font is None
        glyphs = () if self.shapes_only else words.glyph_nouns(vocabulary)
        self.glyphs = {noun.word: noun for noun in glyphs}
        self.nouns = (*self.glyphs, *words.SHAPES)

    # ---- what is in a picture -------------------------------------------------------------

    def _thing(self, rng: np.random.Generator, ground: str, among: Sequence[str] = ()) -> Thing:
        """A glyph or a coloured shape that can be seen in front of the background."""
        if among:
            return Thing(str(rng.choice(among)))
        if self.glyphs and rng.random() < 0.66:
            return Thing(str(rng.choice(list(self.glyphs))))
        colour = self._colour(rng, ground)
        return Thing(str(rng.choice(words.SHAPES)), colour)

    @staticmethod
    def _colour(rng: np.random.Generator, ground: str) -> str:
        """One that a shape has in front of the background."""
        clash = words.BACKGROUNDS[ground][1]
        return str(rng.choice([name for name in words.COLOURS if name not in clash]))

    def _in_role(self, *roles: str) -> list[str]:
        return [noun.word for noun in self.glyphs.values() if noun.role in roles]

    def _relation(self, rng: np.random.Generator, ground: str) -> tuple[str, tuple[Thing, ...]]:
        names = list(words.RELATIONS) if self.glyphs else list(words.RELATIONS)[:6]
        relation = str(rng.choice([*names, "and", "and", "left of", "right of"]))
        first, second = self._thing(rng, ground), self._thing(rng, ground)
        if relation in words.HOLDABLE or relation in ("riding", "wearing"):
            roles = {"riding": words.MOUNTS, "wearing": ("wearable",), **words.HOLDABLE}[relation]
            first = self._thing(rng, ground, self._in_role("being"))
            second = self._thing(rng, ground, self._in_role(*roles))
        while second == first:
            second = self._thing(rng, ground)
        return relation, (first, second)

    def _invent(self, rng: np.random.Generator) -> Scene:
        grounds = list(words.BACKGROUNDS)
        ground = "plain" if rng.random() < 0.2 else str(rng.choice(grounds[1:]))
        style = str(rng.choice(list(words.STYLES))) if rng.random() < 0.09 else None
        kind = rng.random()
        if self.alone and rng.random() < self.alone:
            kind = 1.0
        if kind < 0.42:
            relation, things = self._relation(rng, ground)
            return Scene(things, relation, 1, ground, style)
        if kind < 0.54:
            count = int(rng.choice(list(words.COUNTS.values())))
            return Scene((self._thing(rng, ground),), None, count, ground, style)
        thing, roll = self._thing(rng, ground), rng.random()
        if roll < 0.15:
            thing = made_of(thing, str(rng.choice(list(words.MATERIALS))))
        elif roll < 0.30:
            thing = Thing(thing.noun, thing.colour, None, str(rng.choice(["small", "large"])))
        return Scene((thing,), None, 1, ground, style)

    def scene(self, rng: np.random.Generator) -> Scene:
        """A scene of this world's split."""
        while True:
            scene = self._invent(rng)
            if self.dressed and rng.random() < self.dressed:
                scene = _dressed(scene, rng)
            if self._ours(scene):
                return scene

    def _ours(self, scene: Scene) -> bool:
        """Whether it belongs to this world's split."""
        return self.split == "all" or held_out(scene) == (self.split == "held_out")

    def _twin(self, scene: Scene, group: int, twin: int) -> Scene:
        """A scene of this world's split that differs in one thing: the group's twins in the noun
        of the same object, if one of them has no other material or style instead."""
        at = group % len(scene.things)
        kin = self._kin(scene, at)
        rng = np.random.Generator(np.random.Philox([self.seed, group], counter=[0, 0, 0, twin]))
        place = group + twin
        while True:
            things, style, kind = list(scene.things), scene.style, rng.random()
            if kind < 0.7:
                things[at] = self._turned(things[at], kin[place % len(kin)], scene.background, rng)
            elif kind < 0.85:
                things[at] = made_of(things[at], str(rng.choice(list(words.MATERIALS))))
            else:
                style = str(rng.choice(list(words.STYLES)))
            changed = replace(scene, things=tuple(things), style=style)
            if changed != scene and len(set(things)) == len(things) and self._ours(changed):
                return changed
            place += self.twins

    def _kin(self, scene: Scene, at: int) -> list[str]:
        """The other nouns that can stand where this one stands."""
        own = scene.things[at].noun
        glyph = self.glyphs.get(own)
        if scene.relation is None:
            kin = list(self.nouns)
        else:
            kin = self._in_role(glyph.role) if glyph else list(words.SHAPES)
        return [noun for noun in kin if noun != own]

    def _turned(self, thing: Thing, noun: str, ground: str, rng: np.random.Generator) -> Thing:
        """The thing as another: a glyph has no colour, a shape keeps its own or is given one."""
        colour = thing.colour or self._colour(rng, ground)
        turned = replace(thing, noun=noun, colour=colour if noun in words.SHAPES else None)
        return made_of(turned, thing.material)

    # ---- drawing --------------------------------------------------------------------------

    def sprite(self, thing: Thing, scale: int | None = None) -> np.ndarray:
        """One object on nothing, straight alpha: uint8 (96·s, 96·s, 4), at the world's scale s when
        none is given."""
        scale = scale or self.scale
        if thing.noun in self.glyphs:
            assert self.font is not None  # glyphs is empty without it
            drawn = _sprites.glyph(self.glyphs[thing.noun].glyph, self.font, scale)
        elif thing.noun in words.SHAPES:
            drawn = _sprites.shape(thing.noun, thing.colour or "grey", scale)
        else:
            raise BadInput(f"the world scenes cannot draw {thing.noun!r}; it knows {self.nouns}")
        return _sprites.in_material(drawn, thing.material) if thing.material else drawn

    def paint(
        self, scene: Scene, rng: np.random.Generator
    ) -> tuple[np.ndarray, list[Place], list[Image.Image]]:
        """Draw one scene: the picture uint8 (128·s, 128·s, 3), and what stands where.

        Places are chosen to whole pixels of scale 1, by what is seen there of the things.
        """
        sprites = [Image.fromarray(self.sprite(thing)) for thing in scene.things]
        sprites = sprites * scene.count
        outlines = [self.sprite(replace(thing, material=None), 1) for thing in scene.things]
        inks = [ink(Image.fromarray(each)) for each in outlines] * scene.count
        spots = places(scene, inks, rng)
        spots = [Place(*(self.scale * each for each in spot)) for spot in spots]
        variant = int(rng.integers(_backgrounds.VARIANTS))
        ground = _backgrounds.background(scene.background, variant, self.scale)
        canvas = Image.fromarray(ground)
        resized = [
            sprite.resize((spot.side, spot.side), Image.Resampling.BILINEAR, reducing_gap=2.0)
            for sprite, spot in zip(sprites, spots, strict=True)
        ]
        for index in _far_to_near(scene, len(spots)):
            canvas.paste(resized[index], (spots[index].left, spots[index].top), resized[index])
        picture = np.asarray(canvas)
        return (_styles.in_style(picture, scene.style) if scene.style else picture), spots, resized

    def draw(self, indices: Sequence[int], *, annotate: bool = False) -> Scenes:
        """Draw the pictures of these indices, (b,) ints of 0 or more."""
        side = SIDE * self.scale
        batch = Scenes(np.empty((len(indices), side, side, 3), np.uint8), [], [])
        for row, index in enumerate(indices):
            group, twin = divmod(int(index), self.twins)
            rng = np.random.Generator(np.random.Philox(key=[self.seed, group]))
            scene = self.scene(rng)
            scene = self._twin(scene, group, twin) if twin else scene
            batch.captions.append(phrasings(scene, rng))
            batch.scenes.append(scene)
            batch.pictures[row], spots, sprites = self.paint(scene, rng)
            if annotate:
                self._annotate(batch, scene, spots, sprites)
        return batch

    def stream(self, start: int, batch: int) -> Iterator[Scenes]:
        """Batches without end, from index ``start`` on."""
        while True:
            yield self.draw(range(start, start + batch))
            start += batch

    def _annotate(
        self, batch: Scenes, scene: Scene, spots: list[Place], sprites: list[Image.Image]
    ) -> None:
        """Masks by drawing each object's outline again, the nearer ones hiding the farther."""
        side = SIDE * self.scale
        masks = np.zeros((len(spots), side, side), bool)
        for index in _far_to_near(scene, len(spots)):
            layer = Image.new("L", (side, side))
            layer.paste(sprites[index].getchannel("A"), (spots[index].left, spots[index].top))
            ink = np.asarray(layer) >= 128
            masks &= ~ink
            masks[index] = ink
        nouns = [self.nouns.index(thing.noun) for thing in scene.things] * scene.count
        semantic = np.zeros((side, side), np.uint8)
        for mask, noun in zip(masks, nouns, strict=True):
            semantic[mask] = noun + 1
        batch.masks.append(masks)
        batch.boxes.append(np.array([extent(mask) for mask in masks]))
        batch.maps.append(semantic)


def _dressed(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene in a style, or its first thing in a material; as it is if it has one already."""
    if scene.style or any(thing.material for thing in scene.things):
        return scene
    if rng.random() < 0.5:
        return replace(scene, style=str(rng.choice(list(words.STYLES))))
    first = made_of(scene.things[0], str(rng.choice(list(words.MATERIALS))))
    return replace(scene, things=(first, *scene.things[1:]))


def made_of(thing: Thing, material: str | None) -> Thing:
    """The same thing in a material. Most have a colour of their own, which a shape then takes."""
    own = material not in (None, "crochet", "stained glass")
    return replace(thing, colour=None if own else thing.colour, material=material)


def _far_to_near(scene: Scene, count: int) -> list[int]:
    """The order of painting: who rides or stands on something is in front of it."""
    behind_second = scene.relation in ("on top of", "riding")
    return list(reversed(range(count))) if behind_second else list(range(count))
