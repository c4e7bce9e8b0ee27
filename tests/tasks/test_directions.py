"""Directions: a linear world gives its own back; the cache; the pairs."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from limner.noise import Noise
from limner.tasks import _directions, _spaces
from limner.tasks._attributes import ATTRIBUTES
from limner.tasks._directions import direction, mean_difference
from limner.worlds.faces import World, paint

sys.path.insert(0, str(Path(__file__).parent))
from _toys import linear_space

OWN = {  # what an attribute may change
    "smile": {"smile"}, "glasses": {"glasses"}, "beard": {"beard"}, "age": {"age"},
    "hair": {"hair"},
}  # fmt: skip


def test_a_linear_world_gives_its_direction_back() -> None:
    """Pictures M·(z + d) and M·z, whatever z is."""
    space, generator = linear_space(_spaces._encoded)
    true = torch.tensor([[0.5, -1.0, 0.0, 2.0, 0.25]])

    def batches():  # of unequal length
        for seed, count in ((0, 3), (1, 1)):
            z = Noise(seed, range(count)).normal((5,))
            yield generator.render({"z": z}), generator.render({"z": z + true})

    found = mean_difference(space.inverted, batches())
    assert found["z"].shape == (1, 5)
    torch.testing.assert_close(found["z"], true, atol=1e-5, rtol=1e-5)


def test_rows_weigh_the_same_in_batches_of_any_length() -> None:
    """Differences 1, 1, 1 and 5: their mean is 2."""
    ones, five = torch.ones(3, 3, 1, 1), torch.full((1, 3, 1, 1), 5.0)
    found = mean_difference(lambda x: {"x": x}, [(0 * ones, ones), (0 * five, five)])
    assert float(found["x"].mean()) == 2.0


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_a_pair_differs_in_the_attribute_alone(name: str) -> None:
    world = World(0)
    for i in range(12):
        without, given = ATTRIBUTES[name].pair(world.face(i))
        changed = {key for key, value in asdict(given).items() if asdict(without)[key] != value}
        assert changed == OWN[name]
    assert (paint(without)[0] != paint(given)[0]).any()


def test_what_was_measured_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    space, _ = linear_space(_spaces._encoded)
    asked, done = [], []
    true = _directions.mean_difference
    monkeypatch.setattr(
        _directions, "mean_difference", lambda *given: asked.append(1) or true(*given)
    )
    first = direction(space, "smile", pairs=5, seed=0, report=done.append)
    again = direction(space, "smile", pairs=5, seed=0, report=done.append)
    assert torch.equal(first["z"], again["z"]) and len(asked) == 1
    assert done == [4, 5, 5, 5]
    other = direction(space, "smile", pairs=5, seed=1, report=done.append)
    assert not torch.equal(other["z"], first["z"]) and len(asked) == 2
    assert not torch.equal(
        direction(space, "age", pairs=5, seed=0, report=done.append)["z"], again["z"]
    )
    for file in (tmp_path / "limner" / "directions").iterdir():
        file.write_bytes(b"broken")
    mended = direction(space, "smile", pairs=5, seed=0, report=done.append)
    assert torch.equal(mended["z"], first["z"])


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "limner").write_text("a file where the folder would be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    space, _ = linear_space(_spaces._encoded)
    assert direction(space, "smile", pairs=2, seed=0, report=lambda done: None)["z"].shape == (1, 5)
