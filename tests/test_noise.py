import math

import numpy as np
import pytest
import torch
from scipy import stats

from limner.errors import BadInput
from limner.noise import Noise


def philox(key, counter):
    """Philox4x64-10 by its paper (Salmon et al. 2011, §3.3): one block of four words."""
    a, b, c, d = counter
    low, high = key
    mask = 2**64 - 1
    for _ in range(10):
        left, right = 0xD2E7470EE14C6C93 * a, 0xCA5A826395121157 * c
        a, b, c, d = (right >> 64) ^ b ^ low, right & mask, (left >> 64) ^ d ^ high, left & mask
        low, high = (low + 0x9E3779B97F4A7C15) & mask, (high + 0xBB67AE8584CAA73B) & mask
    return a, b, c, d


def test_is_philox_and_box_muller_at_the_stated_key_and_counter():
    import hashlib

    seed, sample, step = 7, 3, 11
    named = int.from_bytes(hashlib.sha256(b"step").digest()[:8], "little")
    # numpy counts before it draws, so the first block is at position 1.
    words = philox((seed, named), (1, 0, step, sample))
    unit = [(w >> 11) / 2**53 for w in words]
    radius = [math.sqrt(-2 * math.log(1 - u)) for u in unit[:2]]
    angle = [2 * math.pi * u for u in unit[2:]]
    expected = [r * f(a) for f in (math.cos, math.sin) for r, a in zip(radius, angle)]
    noise = Noise(seed, [sample])
    got = noise.normal((1, 2, 2), step=step, purpose="step")
    np.testing.assert_allclose(got.flatten(), expected, rtol=1e-6)
    got = noise.uniform((1, 2, 2), step=step, purpose="step")
    np.testing.assert_allclose(got.flatten(), [(w >> 40) / 2**24 for w in words], rtol=0)


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_a_row_depends_on_its_own_sample_alone(kind):
    whole = getattr(Noise(7, range(8)), kind)((3, 5, 7), step=2)
    assert whole.shape == (8, 3, 5, 7) and whole.dtype == torch.float32
    shuffled = getattr(Noise(7, [6, 2]), kind)((3, 5, 7), step=2)
    assert torch.equal(shuffled[0], whole[6]) and torch.equal(shuffled[1], whole[2])


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_seed_sample_step_and_purpose_each_change_all_of_it(kind):
    draws = [
        getattr(Noise(seed, [sample]), kind)((1, 16, 16), step=step, purpose=purpose).flatten()
        for seed in (0, 1)
        for sample in (0, 1)
        for step in (0, 1)
        for purpose in ("start", "step")
    ]
    related = np.corrcoef(torch.stack(draws).numpy()) - np.eye(16)
    assert abs(related).max() < 5 / 16  # five standard errors of 256 pairs
    assert all((a != b).float().mean() > 0.99 for a in draws for b in draws if a is not b)


def test_is_normal_and_uniform():
    noise = Noise(3, range(4))
    assert stats.kstest(noise.normal((1, 128, 128)).flatten().numpy(), "norm").pvalue > 0.01
    assert stats.kstest(noise.uniform((1, 128, 128)).flatten().numpy(), "uniform").pvalue > 0.01
    assert noise.uniform((1, 128, 128)).max() < 1


def test_an_odd_number_of_values_and_none():
    assert Noise(0, [0]).normal((1, 3, 3)).isfinite().all()
    assert Noise(0, []).normal((1, 3, 3)).shape == (0, 1, 3, 3)


def test_the_largest_seed_and_numpy_numbers_are_welcome():
    noise = Noise(2**64 - 1, np.arange(2**63 - 2, 2**63 - 1))
    assert noise.normal((1, 2, 2)).isfinite().all()
    assert noise == Noise(2**64 - 1, [2**63 - 2])


@pytest.mark.parametrize("seed, samples", [(-1, [0]), (2**64, [0]), (0, [3, -1])])
def test_refuses_what_has_no_place_in_the_counter(seed, samples):
    with pytest.raises(BadInput, match="whole number from 0"):
        Noise(seed, samples)


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_runs_side_by_side_have_each_its_own_noise(kind):
    several = getattr(Noise(5, [0, 3, 3], (5, 7, 2**64 - 1)), kind)((3, 5, 7), step=2)
    for row, (seed, sample) in zip(several, [(5, 0), (7, 3), (2**64 - 1, 3)]):
        assert torch.equal(row, getattr(Noise(seed, [sample]), kind)((3, 5, 7), step=2)[0])
    with pytest.raises(BadInput, match="2 seeds for 3 samples"):
        Noise(5, [0, 1, 2], (5, 6))
    with pytest.raises(BadInput, match="seed -1"):
        Noise(5, [0, 1], (5, -1))
