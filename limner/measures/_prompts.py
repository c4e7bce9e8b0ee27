"""The prompts of `compose`: held-out scenes of the core vocabulary, by kind.

`compose.jsonl` is what `listed()` gives, written down so that the list stays the same for everyone;
a test compares the two. Run `python -m limner.measures._prompts` after changing the vocabulary.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import chain, product
from pathlib import Path

from limner.measures._share import checked
from limner.worlds import _vocabulary as words
from limner.worlds.scenes import Scene, Thing, canonical, held_out

__all__ = ["FILE", "KINDS", "Prompt", "listed", "prompts", "twin"]

FILE = Path(__file__).with_name("compose.jsonl")
KINDS = (
    "single object",
    "two objects",
    "relation",
    "colour binding",
    "count",
    "background",
    "material",
    "style",
)
RELATIONS = {  # how many prompts of each
    "left of": 8,
    "right of": 8,
    "above": 8,
    "below": 8,
    "on top of": 8,
    "riding": 8,
    "holding": 5,
    "eating": 5,
    "using": 5,
    "wearing": 5,
}
_TWINS = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
# Grey and black-and-white styles hide a ground's colour, and every style a landscape's details.
_FLAT = {"pencil sketch": ("plain",), "neon": ("plain",)}
_GLYPHS = tuple(noun.word for noun in words.glyph_nouns("core"))
_ROLES = {
    role: tuple(noun.word for noun in words.glyph_nouns("core") if noun.role == role)
    for role in ("being", "food", "tool", "wearable", "mount")
}


@dataclass(frozen=True)
class Prompt:
    """`kind` is one of KINDS; `words` is the scene's plainest caption."""

    kind: str
    words: str
    scene: Scene


def prompts(count: int | None = None) -> list[Prompt]:
    """The fixed list, read from compose.jsonl; or `count` of it at even distances, so that every
    kind is among them. Raises BadInput for a count that there is not."""
    lines = FILE.read_text(encoding="utf-8").splitlines()
    wanted = len(lines) if count is None else checked("count", count, 1, len(lines))
    return [_read(lines[i * len(lines) // wanted]) for i in range(wanted)]


def twin(scene: Scene) -> Scene | None:
    """The other scene that the same words can describe: "b right of a" is "a left of b"."""
    relation = "and" if scene.relation == "and" else _TWINS.get(scene.relation or "")
    if relation is None:
        return None
    return replace(scene, things=scene.things[::-1], relation=relation)


def listed() -> list[Prompt]:
    """The list, made anew: of each kind the first by hash, every word about equally often."""
    makers = {
        "single object": chain.from_iterable(
            _kept(_singles(noun))[: 3 if coloured else 2] for noun, coloured in _nouns()
        ),
        "two objects": chain(_spread(_pairs("and"), 22, 3), _spread(_pairs("next to"), 22, 3)),
        "relation": chain.from_iterable(_related(name, n) for name, n in RELATIONS.items()),
        "colour binding": _spread(_bindings(), 44, 22),
        "count": chain.from_iterable(_spread(_counted(n), 11, 3) for n in words.COUNTS.values()),
        "background": chain.from_iterable(
            _spread(_in_front_of(ground), 3, 1) for ground in words.BACKGROUNDS if ground != "plain"
        ),
        "material": chain.from_iterable(_spread(_made_of(name), 4, 1) for name in words.MATERIALS),
        "style": chain.from_iterable(_spread(_in_style(name), 4, 1) for name in words.STYLES),
    }
    chosen = ((kind, scene) for kind, scenes in makers.items() for scene in scenes)
    return [Prompt(kind, canonical(scene), scene) for kind, scene in chosen]


# ---- what could be asked for ---------------------------------------------------------------


def _nouns() -> Iterator[tuple[str, bool]]:
    """Every noun, and whether it takes a colour."""
    yield from ((noun, False) for noun in _GLYPHS)
    yield from ((noun, True) for noun in words.SHAPES)


def _things() -> list[Thing]:
    glyphs = [Thing(noun) for noun in _GLYPHS]
    return glyphs + [Thing(shape, colour) for shape, colour in product(words.SHAPES, words.COLOURS)]


def _visible(scene: Scene) -> bool:
    clash = words.BACKGROUNDS[scene.background][1]
    return not any(thing.colour in clash for thing in scene.things)


def _singles(noun: str) -> Iterator[Scene]:
    """In front of the grounds that the prompts of the kind background leave out."""
    things = [thing for thing in _things() if thing.noun == noun]
    ways = product(things, words.SIZES, words.BACKGROUNDS)
    scenes = (Scene((replace(thing, size=size),), background=g) for thing, size, g in ways)
    yield from (scene for scene in scenes if _for_single(scene))


def _in_front_of(ground: str) -> Iterator[Scene]:
    ways = product(_things(), words.SIZES)
    scenes = (Scene((replace(t, size=size),), background=ground) for t, size in ways)
    yield from (scene for scene in scenes if not _for_single(scene))


def _counted(count: int) -> Iterator[Scene]:
    yield from (Scene((t,), None, count, g) for t, g in product(_things(), words.BACKGROUNDS))


def _made_of(material: str) -> Iterator[Scene]:
    for noun, ground in product(_GLYPHS, words.BACKGROUNDS):
        yield Scene((Thing(noun, None, material),), background=ground)


def _in_style(style: str) -> Iterator[Scene]:
    grounds = _FLAT.get(style, ("plain", "red", "yellow", "blue", "green"))
    for noun, size, ground in product(_GLYPHS, words.SIZES, grounds):
        yield Scene((Thing(noun, size=size),), background=ground, style=style)


def _pairs(relation: str) -> Iterator[Scene]:
    """Two things that are not both shapes, on plain ground or on the one that the hash picks."""
    grounds = list(words.BACKGROUNDS)
    for first, second in product(_things(), _things()):
        if first.noun == second.noun or (first.colour and second.colour):
            continue
        scene = Scene((first, second), relation)
        roll = _hash(scene)[0]
        yield replace(scene, background=grounds[roll % 16] if roll >= 128 else "plain")


def _bindings() -> Iterator[Scene]:
    shapes = [thing for thing in _things() if thing.colour]
    relations = ("and", "next to", "left of", "right of", "on top of")
    for first, second, relation in product(shapes, shapes, relations):
        if first.colour != second.colour:
            yield Scene((first, second), relation)


def _related(relation: str, count: int) -> Iterator[Scene]:
    roles = {"riding": words.MOUNTS, "wearing": ("wearable",), **words.HOLDABLE}.get(relation)
    scenes: Iterable[Scene] = _pairs(relation)
    if roles is not None:
        seconds = [noun for role in roles for noun in _ROLES[role]]
        pairs = product(_ROLES["being"], seconds, words.BACKGROUNDS)
        scenes = (Scene((Thing(a), Thing(b)), relation, 1, g) for a, b, g in pairs if a != b)
    return _spread(scenes, count, 2 if roles is None else 3)


# ---- choosing ------------------------------------------------------------------------------


def _for_single(scene: Scene) -> bool:
    """Shares out the scenes of one thing between the kinds single object and background."""
    return scene.background == "plain" or _hash(scene)[1] % 4 != 0


def _hash(scene: Scene) -> bytes:
    return hashlib.sha256(b"compose " + canonical(scene).encode()).digest()


def _kept(scenes: Iterable[Scene]) -> list[Scene]:
    """Those of which no caption can be in training, in the order of their hash."""
    kept = []
    for scene in scenes:
        other = twin(scene)
        if _visible(scene) and held_out(scene) and (other is None or held_out(other)):
            kept.append(scene)
    return sorted(kept, key=_hash)


def _spread(scenes: Iterable[Scene], count: int, most: int) -> Iterator[Scene]:
    """The first `count` in which no noun comes up more than `most` times."""
    used: Counter[str] = Counter()
    for scene in _kept(scenes):
        nouns = {thing.noun for thing in scene.things}
        if any(used[noun] >= most for noun in nouns):
            continue
        used.update(nouns)
        yield scene
        count -= 1
        if not count:
            return


# ---- the file ------------------------------------------------------------------------------


def _read(line: str) -> Prompt:
    told = json.loads(line)
    things = tuple(Thing(**thing) for thing in told["things"])
    scene = Scene(things, told["relation"], told["count"], told["background"], told["style"])
    return Prompt(told["kind"], told["prompt"], scene)


def _line(prompt: Prompt) -> str:
    told = {"kind": prompt.kind, "prompt": prompt.words, **asdict(prompt.scene)}
    return json.dumps(told, ensure_ascii=False)


def _write() -> None:
    FILE.write_text("".join(_line(each) + "\n" for each in listed()), encoding="utf-8")


if __name__ == "__main__":
    _write()
