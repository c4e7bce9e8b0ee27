"""Between two latents, and of two latents' layers: closed forms, scipy, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import geometric_slerp

from limner import BadInput
from limner.noise import Noise
from limner.tasks._blend import between, chosen, crossed, spherical, stepped

SIDES = [4, 8, 8, 16, 16, 32, 32, 64, 64, 64]  # of 64 pixels


def test_the_arc_is_scipy_s() -> None:
    a, b = (row / row.norm() for row in Noise(0, range(2)).normal((7,)).double())
    for t in (0.0, 0.2, 0.5, 1.0):
        theirs = geometric_slerp(a.numpy(), b.numpy(), t)
        np.testing.assert_allclose(spherical(a[None], b[None], t)[0], theirs, atol=1e-12)


def test_on_the_arc_noise_keeps_its_length_and_on_a_line_it_does_not() -> None:
    a, b = Noise(0, range(2)).normal((4000,)).split(1)
    middle = spherical(a, b, 0.5)
    assert abs(float(middle.std()) - 1) < 0.03
    assert float(between({"w": a}, {"w": b}, 0.5, ())["w"].std()) < 0.75


def test_rows_without_an_arc_take_the_line() -> None:
    a = torch.tensor([[0.0, 0.0], [1.0, 2.0], [1.0, 2.0]])
    b = torch.tensor([[3.0, 1.0], [2.0, 4.0], [-1.0, -2.0]])
    torch.testing.assert_close(spherical(a, b, 0.25), 0.75 * a + 0.25 * b)


def test_the_ends_are_the_latents_themselves() -> None:
    a, b = ({"z": row, "noise": row.flip(1)} for row in Noise(0, range(2)).normal((99,)).split(1))
    for t, end in ((0.0, a), (1.0, b)):
        got = between(a, b, t, ("noise",))
        assert all(torch.equal(got[name], end[name]) for name in end)


def test_a_line_is_linear() -> None:
    a, b = Noise(0, range(2)).normal((9,)).split(1)
    torch.testing.assert_close(between({"z": a}, {"z": b}, 0.3, ())["z"], 0.7 * a + 0.3 * b)
    torch.testing.assert_close(stepped({"z": a}, {"z": b}, -2.0)["z"], a - 2 * b)


def test_crossing_takes_exactly_those_layers() -> None:
    a, b = ({"w+": w, "noise": w.flatten(1)} for w in Noise(0, range(2)).normal((10, 8)).split(1))
    got = crossed(a, b, [2, 5, 9])
    for i in range(10):
        assert torch.equal(got["w+"][:, i], (b if i in (2, 5, 9) else a)["w+"][:, i])
    assert torch.equal(got["noise"], a["noise"])
    assert not torch.equal(a["w+"], got["w+"]), "what was given is left as it was"


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("4-9", [4, 5, 6, 7, 8, 9]),
        ("0, 2,5-7", [0, 2, 5, 6, 7]),
        ("coarse", [0, 1, 2]),
        ("Middle", [3, 4, 5, 6]),
        ("fine", [7, 8, 9]),
        ("fine,0,coarse", [0, 1, 2, 7, 8, 9]),
    ],
)
def test_layers_are_read(text: str, layers: list[int]) -> None:
    assert chosen(text, SIDES) == layers


@pytest.mark.parametrize("text", ["", "x", "4-", "-1", "9-4", "3-10", "4--9", "1,,2", "1.5"])
def test_layers_that_are_not_there(text: str) -> None:
    with pytest.raises(BadInput, match="layers"):
        chosen(text, SIDES)


def test_a_small_net_has_no_fine_layers() -> None:
    with pytest.raises(BadInput, match="no fine layers: the model paints 16 pixels"):
        chosen("fine", [4, 8, 8, 16, 16, 16])
