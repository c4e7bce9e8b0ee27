"""Judges by name: "clip, smooth:0.1, symmetry=vertical:0.05" is a weighted sum of three."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.judges import Judge
from limner.judges import clip as clip_judge
from limner.judges._views import Camera
from limner.judges.direction import Direction
from limner.judges.identity import Identity
from limner.judges.likeness import Likeness
from limner.judges.masked import Masked
from limner.judges.palette import Palette
from limner.judges.saturation import Saturation
from limner.judges.smooth import Smooth
from limner.judges.sparsity import Sparsity
from limner.judges.structure import Structure
from limner.judges.symmetry import Symmetry
from limner.judges.weighted import Weighted
from limner.models import faces
from limner.models.clip import Clip
from limner.prompt import parse
from limner.tasks._scored import Scorer

__all__ = ["Bench", "Named", "check_named", "counting", "identities", "judge_of", "named"]

# Each judge that can be named, and what it can be told after "=", the first of which is meant where
# nothing is said; ... is any text.
_HOWS: dict[str, tuple[object, ...]] = {
    "clip": ("spherical", "cosine"),
    "direction": (...,),
    "identity": ("embedded", ...),
    "likeness": ("l2", "perceptual"),
    "palette": (),
    "saturation": (),
    "score": ("words", "any"),
    "smooth": ("1", "2"),
    "sparsity": (),
    "structure": (),
    "symmetry": ("horizontal", "vertical"),
}
_COMPARING = {"direction", "identity", "likeness", "sparsity", "structure"}
_ONE = re.compile(r"\s*(\w+)\s*(?:=\s*([^:]+?)\s*)?(?::\s*([-+]?(?:\d+\.?\d*|\.\d+))\s*)?")


@dataclass(frozen=True)
class Named:
    """One judge as it is written: NAME, NAME=HOW, NAME:WEIGHT or NAME=HOW:WEIGHT."""

    name: str
    how: str
    weight: float

    def __str__(self) -> str:
        return f"{self.name}{'=' if self.how else ''}{self.how}:{self.weight!r}"


@dataclass(frozen=True, eq=False)
class Bench:
    """What judges are made from; each takes what it knows.

    start:       the picture that the search sets out from, (1, 3, h, w), or None
    mask:        (1, 1, h, w), 1 where pictures are judged, or None
    palette:     colours (k, 3), or None
    identities:  what tells people apart, by what the judge identity is told
    scorer:      makes the judges score, or None where there are none
    """

    clips: Sequence[Clip]
    views: int
    views_at_once: int | None
    camera: Camera
    start: Tensor | None
    mask: Tensor | None
    palette: Sequence[tuple[float, float, float]] | None
    identities: Mapping[str, faces.Identity] = field(default_factory=dict)
    scorer: Scorer | None = None

    def during(self, begin: int, end: int) -> Bench:
        """For steps begin … end − 1 alone: another prompt is looked for from noise on, as the first
        was."""
        if self.scorer is None:
            return self
        return replace(self, scorer=replace(self.scorer, begin=begin, end=end))


def named(judges: str | Sequence[str]) -> list[Named]:
    """Judges in a list with commas, or in several. Raises BadInput for what is no judge."""
    texts = [judges] if isinstance(judges, str) else judges
    return [_named(part) for text in texts for part in text.split(",")]


def _named(text: str) -> Named:
    found = _ONE.fullmatch(text)
    if not found:
        raise BadInput(f"judge {text!r}: give NAME, NAME:WEIGHT or NAME=HOW:WEIGHT")
    name, how, weight = found.groups()
    if name not in _HOWS:
        raise BadInput(f"no judge {name!r}: choose of {', '.join(_HOWS)}")
    hows = _HOWS[name]
    if hows == (...,):
        if how is None:
            raise BadInput(f"the judge {name} asks what the start shows, such as {name}=a dog")
    elif how is not None and how not in hows and ... not in hows:
        known = ", ".join(f"{name}={each}" for each in hows) or f"{name} alone"
        raise BadInput(f"judge {name}={how}: give {known}")
    elif how is None:
        how = str(hows[0]) if hows else ""
    return Named(name, how, float(weight or 1))


def counting(judges: Sequence[Named]) -> list[Named]:
    """Those whose weight is not 0: the others are not even made."""
    return [each for each in judges if each.weight != 0]


def check_named(judges: Sequence[Named], *, start: bool, palette: bool) -> None:
    """BadInput unless these can judge with what there is, and one of them reads the prompt."""
    asked = counting(judges)
    names = {each.name for each in asked}
    if not asked:
        shown = ", ".join(str(each) for each in judges)
        raise BadInput(f"the judges' weights are all 0 ({shown}): give one another weight")
    if not {each.name for each in asked if each.how != "any"} & {"clip", "direction", "score"}:
        raise BadInput(f"of the judges {', '.join(sorted(names))} none reads the prompt: add clip")
    if names & _COMPARING and not start:
        compared = min(names & _COMPARING)
        raise BadInput(f"the judge {compared} compares with a picture: give one with --start")
    if "palette" in names and not palette:
        raise BadInput("the judge palette knows no colours: give some with --palette")


def identities(judges: Sequence[Named]) -> dict[str, faces.Identity]:
    """The networks of the judges identity, opened, each once."""
    return {each.how: faces.open_identity(each.how) for each in judges if each.name == "identity"}


def judge_of(judges: Sequence[Named], prompt: str, bench: Bench) -> Judge:
    """Their weighted sum, for this prompt, confined to the mask where there is one."""
    made = [(_made(each, prompt, bench), each.weight) for each in counting(judges)]
    whole = Weighted(made)
    return whole if bench.mask is None else Masked(whole, bench.mask, bench.start)


def _made(named: Named, prompt: str, bench: Bench) -> Judge:
    how, start = named.how, bench.start
    if named.name in _COMPARING:
        assert start is not None  # check_named saw to it
        return _comparing(named, prompt, bench, start)
    if named.name == "clip":
        return clip_judge.Clip(
            bench.clips,
            parse(prompt),
            distance="cosine" if how == "cosine" else "spherical",
            views=bench.views,
            views_at_once=bench.views_at_once,
            camera=bench.camera,
        )
    if named.name == "palette":
        return Palette(torch.tensor(bench.palette))
    if named.name == "saturation":
        return Saturation()
    if named.name == "score":
        assert bench.scorer is not None
        return bench.scorer(prompt, how)
    if named.name == "smooth":
        return Smooth(1 if how == "1" else 2)
    return Symmetry("horizontal" if how == "horizontal" else "vertical")


def _comparing(named: Named, prompt: str, bench: Bench, start: Tensor) -> Judge:
    if named.name == "direction":
        phrases = parse(prompt)
        if len(phrases) > 1 or phrases[0].picture is not None:
            raise BadInput(f"the judge direction leads to one text, not to {prompt!r}")
        return Direction(
            bench.clips,
            reference=start,
            source=named.how,
            target=phrases[0].text,
            views=bench.views,
            views_at_once=bench.views_at_once,
            camera=bench.camera,
        )
    if named.name == "identity":
        return Identity(start, bench.identities[named.how])
    if named.name == "likeness":
        perceptual = named.how == "perceptual"
        return Likeness(start, "perceptual", bench.clips[0]) if perceptual else Likeness(start)
    if named.name == "sparsity":
        return Sparsity(start)
    return Structure(bench.clips[0], start)
