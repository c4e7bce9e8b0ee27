"""Does a generator adapted by words paint what they say, and still more than one picture of it?

For each style of the world `faces`, whose truth a classifier has learned that no adaptation sees:
the share of the adapted generator's pictures that it takes for that style, and how much of the
source's diversity is left.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.generators.stylegan import stylegan
from limner.measures import Watch, batches
from limner.measures._share import Share, checked, share
from limner.measures.diversity import diversity
from limner.models.clip import Clip, open_clip
from limner.models.faces import Attributes, open_attributes
from limner.models.stylegan import StyleGAN, open_stylegan
from limner.noise import Noise
from limner.tasks import Progress
from limner.worlds.faces import STYLES

__all__ = ["SOURCE", "TARGETS", "Adapt", "Adapted", "Domain", "adapted"]

# As the world's captions say it.
SOURCE = "a portrait of a person"
TARGETS = {
    "pencil sketch": "a pencil sketch of a person",
    "watercolor": "a watercolor of a person",
    "pixel art": "pixel art of a person",
    "zombie": "a portrait of a zombie person",
    "night": "a portrait of a person, at night",
}
_AT_ONCE = 32

Adapt = Callable[[str, Callable[[Progress], None]], StyleGAN]
"""A domain, and what is told of every step → the adapted model."""


@dataclass(frozen=True)
class Domain:
    """agrees: pictures that are taken for the domain; before: the source's that are.

    kept:     diversity, as a share of the source's
    seconds:  of the adaptation; what an earlier run had done does not count
    """

    domain: str
    text: str
    agrees: Share
    before: Share
    kept: float
    seconds: float

    def told(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self) | {"agrees": self.agrees.told(), "before": self.before.told()}


@dataclass(frozen=True)
class Adapted:
    """diversity: of the source's pictures, by the CLIP `clip`."""

    model: str
    diversity: float
    clip: str
    domains: tuple[Domain, ...]

    def told(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self) | {"domains": [each.told() for each in self.domains]}


def adapted(
    adapt: Adapt | None = None,
    *,
    model: str | Path = "embedded",
    clip: str | Sequence[str] | None = None,
    judge_by: str | Path | Clip = "embedded",
    attributes: str | Path | Attributes = "embedded",
    domains: Sequence[str] = STYLES,
    count: int = 200,
    truncation: float = 0.7,
    steps: int = 120,
    layers: int | None = None,
    batch: int = 2,
    rate: float = 0.01,
    views: int = 2,
    seed: int = 0,
    folder: Path | None = None,
    watch: Watch | None = None,
) -> Adapted:
    """Adapts a StyleGAN of portraits to styles in words, and looks at what it paints then.

    Args:
        adapt: what adapts; `limner.adapt` with what follows when not given
        model: "embedded", a folder or a hub id
        clip: the CLIPs that are followed, as `limner.adapt` takes them
        judge_by: the CLIP whose features tell pictures apart
        attributes: what names a picture's domain: "embedded", a folder of `limner train
            attributes`, or what open_attributes gave
        domains: of STYLES
        count: pictures of each generator
        truncation: psi of these pictures
        steps: of each adaptation; so are layers, batch, rate, views and seed
        folder: where the adapted generators are kept, and are not made again
        watch: called with the steps done, of all domains, and their number

    Raises BadInput when an argument, a model or the folder cannot be used.
    """
    checked("count", count, 2, 100_000)
    unknown = [each for each in domains if each not in TARGETS]
    if unknown or not domains:
        raise BadInput(f"domains {list(domains)}: choose of {', '.join(TARGETS)}")
    source, judge = open_stylegan(model), _opened(judge_by)
    asked = _taught(attributes)

    def usual(domain: str, told: Callable[[Progress], None]) -> StyleGAN:
        from limner.tasks._adapted import SEARCH
        from limner.tasks.adapt import adapt

        place = folder and folder / domain.replace(" ", "-")
        return adapt(
            SOURCE,
            TARGETS[domain],
            model=model,
            clip=clip,
            layers=layers,
            batch=batch,
            steps=steps,
            rate=rate,
            views=views,
            seed=seed,
            output=place,
            resume=place is not None and (place / SEARCH).is_file(),
            watch=told,
        ).model

    if folder is not None:
        _made(folder)
    look = _Look(asked, judge, count, truncation, seed)
    before = look(source)
    found: list[Domain] = []
    for i, domain in enumerate(domains):

        def told(progress: Progress, i: int = i) -> None:
            if watch is not None:
                watch(i * progress.total + progress.step, len(domains) * progress.total)

        began = time.perf_counter()
        made = (adapt or usual)(domain, told)
        seconds, after = time.perf_counter() - began, look(made)
        shares = after.share(domain), before.share(domain)
        kept = after.diversity / before.diversity if before.diversity else math.nan
        found.append(Domain(domain, TARGETS[domain], *shares, kept, seconds))
    return Adapted(str(model), before.diversity, judge.name, tuple(found))


@dataclass(frozen=True, eq=False)
class _Seen:
    """domains: of each picture, by name."""

    domains: list[str]
    diversity: float

    def share(self, domain: str) -> Share:
        return share(each == domain for each in self.domains)


@dataclass(frozen=True, eq=False)
class _Look:
    """Looks at the same `count` samples of any model."""

    attributes: Attributes
    clip: Clip
    count: int
    truncation: float
    seed: int

    def __call__(self, model: StyleGAN) -> _Seen:
        names, domains = self.attributes.domain_names, list[str]()

        def shown() -> Iterator[Tensor]:
            for pictures in self.pictures(model):
                likely = self.attributes.domains(pictures).argmax(1)
                domains.extend(names[i] for i in likely.tolist())
                yield pictures

        apart = diversity(shown(), clip=self.clip)
        return _Seen(domains, apart)

    @torch.no_grad()
    def pictures(self, model: StyleGAN) -> Iterator[Tensor]:
        generator = stylegan(model, kind="w", truncation=self.truncation)
        for samples in batches(0, self.count, _AT_ONCE):
            yield generator.render(generator.start(Noise(self.seed, samples)))


def _opened(clip: str | Path | Clip) -> Clip:
    return open_clip(clip) if isinstance(clip, (str, Path)) else clip


def _made(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot make {str(folder)!r}: {error.strerror}") from None


def _taught(attributes: str | Path | Attributes) -> Attributes:
    """Opened; BadInput where it does not know the styles."""
    asked = attributes if isinstance(attributes, Attributes) else open_attributes(attributes)
    if set(asked.domain_names) != {"none", *STYLES}:
        raise BadInput(
            f"{asked.name!r} tells {len(asked.domain_names)} domains apart, not none and "
            f"{', '.join(STYLES)}: train attributes on --data 'world:faces?aligned=1&styled=0.4'"
        )
    return asked
