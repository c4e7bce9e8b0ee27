"""RePaint's way back and forth: where it goes, that its noise is other noise, that it is pure."""

import pytest
import torch

from limner._rooms import find, names
from limner.denoisers.gaussian_mixture import GaussianMixture
from limner.errors import BadInput
from limner.levels import flow_levels
from limner.noise import Noise
from limner.samplers._resampled import journey, jump_of, resampled

PEAK = GaussianMixture(torch.full((1, 1, 3000, 1), 0.7), torch.tensor([0.5]), torch.ones(1))


def papers_times(total: int, length: int, samples: int) -> list[int]:
    """Lugmayr et al. 2022, appendix: its schedule, from T − 1 to 0."""
    jumps = {j: samples - 1 for j in range(0, total - length, length)}
    time, times = total, []
    while time >= 1:
        time -= 1
        times.append(time)
        if jumps.get(time, 0) > 0:
            jumps[time] -= 1
            for _ in range(length):
                time += 1
                times.append(time)
    return times


@pytest.mark.parametrize("steps, rounds, jump", [(20, 4, 1), (25, 10, 5), (7, 3, 2), (250, 10, 10)])
def test_the_journey_is_the_papers(steps, rounds, jump):
    """Its times count from T − 1, where it begins, to 0, the least noisy; one more step is clean.
    Its jumps up are `jump` small ones, of the same distribution as one."""
    places, at = [0], 0
    for place in journey(steps, rounds, jump):
        places += [place] if place > at else range(at - 1, place - 1, -1)
        at = place
    assert [steps - 1 - place for place in places] == [*papers_times(steps, jump, rounds), -1]


def test_the_journey_in_short():
    assert journey(3, 2, 1) == [1, 0, 1, 2, 1, 2, 3]
    assert journey(4, 1, 2) == [1, 2, 3, 4]
    assert [jump_of(steps) for steps in (1, 20, 50, 250)] == [1, 1, 2, 10]
    for wrong in ((3, 0, 1), (3, 2, 4), (3, 2, 0)):
        with pytest.raises(BadInput, match="give at least 1"):
            journey(*wrong)


@pytest.mark.parametrize("sampler", names("samplers"))
def test_without_a_mask_going_back_changes_no_distribution(sampler):
    """The forward process leads from the marginal of one level to that of another."""
    noise = Noise(2, [0])
    run = resampled(
        find("samplers", sampler), PEAK, noise.normal((1, 3000, 1)), flow_levels(40), noise=noise,
        rounds=3,
    )  # fmt: skip
    *_, end = run
    plain = find("samplers", sampler)
    *_, once = plain(PEAK, noise.normal((1, 3000, 1)), flow_levels(40), noise=noise)
    assert float(end.x.mean()) == pytest.approx(0.7, abs=0.03)
    if sampler in ("ddim", "dpmpp_2m", "dpmpp_sde", "euler", "heun"):
        # The others shrink the spread with 40 steps of any kind; each round as much again.
        assert float(end.x.std()) == pytest.approx(0.5, abs=0.05)
    assert (end.x - once.x).abs().max() > 0.1


def test_each_turn_has_noise_of_its_own_whatever_the_batch():
    drawn = []

    class Watched(Noise):
        def normal(self, shape, **options):
            drawn.append((self.seed, *options.values()))
            return super().normal(shape, **options)

    ddpm, levels = find("samplers", "ddpm"), flow_levels(6)
    for state in resampled(
        ddpm, PEAK, torch.zeros(1, 1, 3000, 1), levels, noise=Noise(5, [3]), rounds=3
    ):
        alone = state.x
    x = torch.zeros(5, 1, 3000, 1)
    *_, state = resampled(ddpm, PEAK, x, levels, noise=Noise(5, range(5)), rounds=3)
    torch.testing.assert_close(alone[0], state.x[3])
    import limner.samplers._resampled as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Noise", Watched)
        list(resampled(ddpm, PEAK, x[:1], levels, noise=Watched(5, [3]), rounds=3))
    assert len(drawn) == len(set(drawn)) > 15
