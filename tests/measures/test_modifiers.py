"""What modifiers do, on painters and CLIPs of which everything is known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from limner.errors import BadInput
from limner.measures import modifiers as room
from limner.measures.modifiers import PROMPTS, modifiers
from limner.models.clip import open_clip
from limner.noise import Noise
from limner.picture import Picture, load
from limner.tasks.generate import generate
from limner.tasks.modifiers import CATALOGUE, Modifier

RED = Modifier("red", "colour", "a red {}")
NOTHING = Modifier("xylo", "nonsense", "{a}, xylo")
SOME = (RED, NOTHING)


class Plain:
    """A CLIP whose picture space is the mean colour beside a noun's own corner."""

    name, fingerprint = "plain", "0"

    def __init__(self, nouns: tuple[str, ...]) -> None:
        self.nouns = nouns

    def embed_pictures(self, pictures: torch.Tensor) -> torch.Tensor:
        colour = pictures[:, :, 4:].mean((2, 3))
        corner = pictures[:, :, :4].mean((1, 3)) > 0.5  # (b, 4): the noun's number in bits
        number = (corner * torch.tensor([1, 2, 4, 8])).sum(1)
        return self._unit(colour, number)

    def embed_texts(self, texts: list[str]) -> torch.Tensor:
        colour = torch.tensor([[float("red" in text), 0.0, 0.0] for text in texts])
        named = [next(i for i, n in enumerate(self.nouns) if n in text) for text in texts]
        return self._unit(colour, torch.tensor(named))

    def _unit(self, colour: torch.Tensor, number: torch.Tensor) -> torch.Tensor:
        one = torch.nn.functional.one_hot(number, 16).float() * 3
        return torch.nn.functional.normalize(torch.cat([colour, one], 1), dim=1)


def painter(nouns: tuple[str, ...], forget: str = "") -> Any:
    """Black, red where it is said; rows 0 to 3 are the noun's number in bits."""

    def paint(prompts: list[str]) -> list[Picture]:
        out = []
        for prompt in prompts:
            pixels = torch.zeros(3, 16, 16)
            number = next(i for i, noun in enumerate(nouns) if noun in prompt)
            number = 15 if forget and forget in prompt else number
            for bit in range(4):
                pixels[:, bit] = number >> bit & 1
            if "red" in prompt:
                pixels[0, 4:] = 1
            out.append(Picture(pixels))
        return out

    return paint


def test_a_modifier_that_does_what_it_says_and_one_that_does_nothing(
    sd_folder: Any, monkeypatch: Any
) -> None:
    nouns = (*PROMPTS[:3], "horse")
    monkeypatch.setattr(room, "_NOUNS", nouns)
    found = modifiers(
        painter(nouns), model=sd_folder("own"), clip=Plain(nouns), prompts=3, catalogue=SOME
    )  # type: ignore[arg-type]
    red, nothing = found.effects["red"], found.effects["xylo"]
    # One channel of three turns from 0 to 1 in 12 of 16 rows.
    assert red.change == pytest.approx(12 / 16 / 3) and nothing.change == 0
    assert red.direction == pytest.approx(1, abs=1e-6) and nothing.direction == 0
    assert red.direction_error == pytest.approx(0, abs=1e-6)
    assert red.kept == nothing.kept == 1 and (found.plain.right, found.plain.n) == (3, 3)
    assert (red.unseen, nothing.unseen) == ((), ("xylo",))


def test_kept_falls_where_the_thing_is_lost(sd_folder: Any, monkeypatch: Any) -> None:
    nouns = (*PROMPTS[:2], *(f"z{letter}" for letter in "abcdefghijklmn"))
    monkeypatch.setattr(room, "_NOUNS", nouns)
    paint = painter(nouns, forget=f"red {PROMPTS[0]}")
    found = modifiers(paint, model=sd_folder("own"), clip=Plain(nouns), prompts=2, catalogue=SOME)  # type: ignore[arg-type]
    assert found.effects["red"].kept == 0.5 and found.effects["xylo"].kept == 1
    assert found.effects["red"].direction < 0.9 and found.effects["red"].direction_error > 0.1


def test_figures_are_those_of_plain_numpy(sd_folder: Any, clip_folder: Path) -> None:
    """Every step again, of pictures that limner.generate paints from the same noise."""
    model, clip = sd_folder("own"), open_clip(clip_folder)
    found = modifiers(model=model, clip=clip, prompts=2, steps=2, seed=5, catalogue=SOME)
    cosines, changes = [], []
    for i, noun in enumerate(PROMPTS[:2]):
        words = [f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}", RED.applied(noun)]
        without, made = (
            generate(prompt, model=model, steps=2, seed=5, first=i)[0].pixels for prompt in words
        )
        a, b = clip.embed_pictures(torch.stack([without, made])).double().numpy()
        c, d = clip.embed_texts(words).double().numpy()
        cosines.append((b - a) @ (d - c) / np.linalg.norm(b - a) / np.linalg.norm(d - c))
        changes.append(float((made - without).abs().mean()))
    effect = found.effects["red"]
    assert effect.change == pytest.approx(np.mean(changes), rel=1e-5) and effect.change > 1e-3
    assert effect.direction == pytest.approx(np.mean(cosines), abs=1e-5)
    assert effect.direction_error == pytest.approx(np.std(cosines, ddof=1) / math.sqrt(2), abs=1e-5)


def test_pictures_are_kept_and_not_painted_again(
    sd_folder: Any, clip_folder: Path, tmp_path: Path
) -> None:
    painted: list[str] = []

    def paint(prompts: list[str]) -> list[Picture]:
        painted.extend(prompts)
        return [Picture(Noise(1, [len(each)]).uniform((3, 16, 16))[0]) for each in prompts]

    given = dict(model=sd_folder("own"), clip=clip_folder, prompts=2, catalogue=SOME)
    said: list[tuple[int, int]] = []
    watch = lambda done, total: said.append((done, total))  # noqa: E731
    first = modifiers(paint, folder=tmp_path, watch=watch, **given)
    assert len(painted) == 6 and said[-1] == (6, 6)
    assert modifiers(paint, folder=tmp_path, **given) == first and len(painted) == 6
    assert {load(file).pixels.shape for file in tmp_path.glob("*.png")} == {(3, 16, 16)}
    with pytest.raises(BadInput, match="give another"):
        modifiers(paint, folder=tmp_path, seed=1, **given)


def test_what_is_told_is_what_the_task_reads(
    sd_folder: Any, clip_folder: Path, tmp_path: Path
) -> None:
    import json

    import limner

    found = modifiers(
        painter(PROMPTS), model=sd_folder("own"), clip=clip_folder, prompts=2, catalogue=SOME
    )
    file = tmp_path / "effects.json"
    file.write_text(json.dumps(found.told()))
    read = limner.modifiers(file=file, model=sd_folder("own"))
    assert read.effects == found.effects
    assert read.source["prompts"] == list(PROMPTS[:2])


def test_bad_input(sd_folder: Any) -> None:
    for given, message in (
        ({"prompts": 1}, "prompts 1: give a whole number from 2 to 12"),
        ({"prompts": 13}, "prompts 13"),
        ({"steps": 0}, "steps 0"),
        ({"clip": "./nowhere"}, "no model at"),
        ({"model": "./nowhere"}, "no model at"),
    ):
        with pytest.raises(BadInput, match=message):
            modifiers(**({"model": sd_folder("own")} | given))


def test_the_prompts_are_nouns_of_the_world() -> None:
    assert set(PROMPTS) <= set(room._NOUNS) and len(set(PROMPTS)) == len(PROMPTS)
    assert len(CATALOGUE) >= 40
