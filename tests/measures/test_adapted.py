"""The measure of adapted generators, with an eye and generators of which everything is known."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from limner import open_clip
from limner.errors import BadInput
from limner.measures import adapted as measure
from limner.measures.adapted import TARGETS, adapted
from limner.measures.diversity import diversity
from limner.models._resnet import ResNet
from limner.models.faces import Attributes
from limner.models.stylegan import StyleGAN, open_stylegan
from limner.noise import Noise
from limner.tasks import Progress
from limner.worlds.faces import STYLES

sys.path.insert(0, str(Path(__file__).parents[1] / "tasks"))
from _toys import stylegan_folder


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stylegan_folder(tmp_path_factory.mktemp("own") / "model")


class Night(nn.Module):
    """Night where it is dark, none else; two attributes stand among the domains."""

    labels = ("smile", *(f"domain: {each}" for each in ("none", *reversed(STYLES))), "hat")

    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Parameter(torch.zeros(()))  # by which its place and type are known

    def forward(self, pictures: torch.Tensor) -> SimpleNamespace:
        said = torch.full((len(pictures), len(self.labels)), -1.0)
        said[:, 0] = said[:, -1] = 9  # of attributes, which are no domains
        said[:, 1] = 0.5
        said[:, self.labels.index("domain: night")] = (pictures.amax((1, 2, 3)) < -0.6).float()
        return SimpleNamespace(logits=said)


def attributes(labels: tuple[str, ...] = Night.labels) -> Attributes:
    middle = (0.5,) * 3
    return Attributes(ResNet("toy", Night(), labels, 64, middle, middle, "MIT", ()))


def darkened(model: StyleGAN, spread: float) -> StyleGAN:
    """Every picture nearly black; differences times `spread`."""
    real = model.synthesis_from_styles

    class Dark(type(model)):  # type: ignore[misc]
        def synthesis_from_styles(self, styles: Any, noise: Any) -> Any:
            return 0.1 + spread * (real(styles, noise).clamp(0, 1) - 0.5)

    return Dark(**{name: getattr(model, name) for name in model.__dataclass_fields__})


def test_the_words_are_of_every_style() -> None:
    assert tuple(TARGETS) == STYLES


def test_counts_and_compares(own: Path, clip_folder: Path) -> None:
    source, clip = open_stylegan(own), open_clip(clip_folder)
    steps: list[tuple[int, int]] = []

    def adapt(domain: str, told: Any) -> StyleGAN:
        told(Progress(3, 3, list))
        return darkened(source, 0.1) if domain == "night" else source

    found = adapted(
        adapt, model=own, judge_by=clip, attributes=attributes(), domains=("zombie", "night"),
        count=40, watch=lambda done, total: steps.append((done, total)),
    )  # fmt: skip
    zombie, night = found.domains
    assert (zombie.agrees.right, zombie.agrees.n) == (0, 40)
    assert zombie.kept == pytest.approx(1)
    assert (night.agrees.right, night.before.right, night.agrees.n) == (40, 0, 40)
    noise = [Noise(0, range(40))]
    generator = measure.stylegan(source, kind="w", truncation=0.7)
    pictures = [generator.render(generator.start(each)) for each in noise]
    dark = measure.stylegan(darkened(source, 0.1), kind="w", truncation=0.7)
    apart = diversity(pictures, clip=clip)
    ratio = diversity([dark.render(dark.start(each)) for each in noise], clip=clip) / apart
    assert found.diversity == pytest.approx(apart, rel=1e-4)
    assert night.kept == pytest.approx(ratio, rel=1e-3)
    assert steps == [(3, 6), (6, 6)]
    assert json.loads(json.dumps(found.told()))["domains"][1]["agrees"]["right"] == 40


def test_limner_s_own_adaptations_are_kept(own: Path, clip_folder: Path, tmp_path: Path) -> None:
    how: dict[str, Any] = dict(
        model=own, clip=str(clip_folder), judge_by=clip_folder, attributes=attributes(),
        domains=("pixel art",), count=4, steps=2, rate=0.05, folder=tmp_path / "kept",
    )  # fmt: skip
    steps: list[int] = []
    first = adapted(watch=lambda done, total: steps.append(done), **how)
    again = adapted(watch=lambda done, total: steps.append(done), **how)
    assert steps == [1, 2]
    assert replace(first.domains[0], seconds=0) == replace(again.domains[0], seconds=0)
    assert first.domains[0].kept != 1
    assert open_stylegan(tmp_path / "kept" / "pixel-art").layers == 10
    with pytest.raises(BadInput, match="begun with another rate"):
        adapted(**how | dict(rate=0.01))


@pytest.mark.parametrize(
    "wrong, match",
    [
        (dict(domains=("cubism",)), "choose of pencil sketch"),
        (dict(domains=()), "choose of pencil sketch"),
        (dict(count=1), "count 1"),
        (dict(model="/nowhere"), "no model at"),
        (dict(attributes="/nowhere"), "no model at"),
        (dict(attributes=attributes(("smile", "domain: none"))), "tells 1 domains apart"),
    ],
)
def test_refuses(wrong: dict[str, Any], match: str, own: Path) -> None:
    with pytest.raises(BadInput, match=match):
        adapted(**dict(model=own, attributes=attributes()) | wrong)
