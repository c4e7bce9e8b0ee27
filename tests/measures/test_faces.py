from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from limner.errors import BadInput
from limner.measures.faces import faces, verified

Get = Callable[[str], Path]


def turned(angles: list[float]) -> torch.Tensor:
    angle = torch.tensor(angles, dtype=torch.float64)
    return torch.stack([angle.cos(), angle.sin()], 1)


def test_people_far_from_each_other_are_told_apart() -> None:
    first = turned([0, 1, 2, 3, 4, 5])
    same, threshold = verified(first, turned([0.1, 1.1, 2.1, 3.1, 4.1, 5.1]))
    assert (same.right, same.n) == (6, 6) and np.cos(1.1) < threshold < np.cos(0.1)


def test_the_threshold_is_of_the_first_half_alone() -> None:
    """The second half's people look more alike, two of them, than the first half's one."""
    first, second = turned([0, 1.5, 0, 0.2]), turned([0.5, 2.0, 0.05, 0.25])
    same, threshold = verified(first, second)
    assert np.cos(2.0) < threshold < np.cos(0.5)
    assert (same.right, same.n) == (2, 4)  # both pairs of one person, none of two


def test_too_few_people_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="3 people"):
        verified(turned([0, 1, 2]), turned([0, 1, 2]))


def test_the_world_s_own_answers_are_what_is_right(faces_folder: Get, monkeypatch) -> None:
    """A network that always says yes, and never anything but the first domain."""
    from limner.models.faces import Attributes, open_attributes
    from limner.worlds._faces_truths import truths
    from limner.worlds.faces import World

    asked = open_attributes(faces_folder("attributes"))
    monkeypatch.setattr(
        Attributes, "probabilities", lambda self, pictures: torch.ones(len(pictures), 3)
    )
    monkeypatch.setattr(
        Attributes, "domains", lambda self, pictures: torch.tensor([[1.0, 0]] * len(pictures))
    )
    watched: list[tuple[int, int]] = []
    found = faces(
        faces_folder("identity"), asked, count=40, watch=lambda *told: watched.append(told)
    )
    world, plain = World(1, split="held_out"), World(1, split="held_out", styled=5 / 6)
    for name in ("smile", "hat", "beard"):
        answers = [truths(world.face(i))[name] for i in range(40)]
        share = found.attributes[name]
        assert (share.right, share.n) == (answers.count(True), 40 - answers.count(None))
    assert found.domains is not None and found.domains.n == 40
    assert found.domains.right == plain.draw(range(40)).styles.count(None)
    assert found.same.n == 20 and -1 <= found.apart <= 1
    assert watched[-1] == (120, 120)
    assert json.loads(json.dumps(found.told()))["same"]["n"] == 20


def test_bad_input(faces_folder: Get, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="count 7: give a whole number from 8"):
        faces(faces_folder("identity"), faces_folder("attributes"), count=7)
    with pytest.raises(BadInput, match="no network of limner train identity"):
        faces(faces_folder("attributes"), faces_folder("attributes"), count=8)


def test_on_the_command_line(run, faces_folder: Get) -> None:
    said = ("measure", "faces", "--identity", faces_folder("identity"), "--attributes",
            faces_folder("attributes"), "--count", 8)  # fmt: skip
    status, out, err = run(*said)
    assert (status, err) == (0, "")
    lines = [line.split()[0] for line in out.splitlines()]
    assert lines == ["smile", "hat", "beard", "domain", "same"]
    status, out, _ = run(*said, "--json")
    assert status == 0 and json.loads(out)["domains"]["n"] == 8
    status, _, err = run("measure", "faces", "--identity", "./nowhere")
    assert status == 2 and "no model at" in err and err.count("\n") == 1
    assert "Example: limner measure faces" in " ".join(run("measure", "faces", "--help")[1].split())
