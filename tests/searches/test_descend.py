"""descend against torch.optim run by hand, and what becomes of rows that break."""

from __future__ import annotations

import math
import warnings

import pytest
import torch

from limner.errors import BadInput
from limner.noise import Noise
from limner.prompt import Notice
from limner.searches.descend import descend

KINDS = {
    "adam": torch.optim.Adam,
    "AdamW": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "rprop": torch.optim.Rprop,
    "asgd": torch.optim.ASGD,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "adamax": torch.optim.Adamax,
    "adadelta": torch.optim.Adadelta,
}
NOISE = Noise(3, [0, 4])


def by_hand(kind, toy, judge, steps, rate, ramp):
    """Through the picture at once, with one optimiser for all steps."""
    leaves = {n: part.requires_grad_() for n, part in toy.start(NOISE).items()}
    groups = [{"params": [leaf], "lr": toy.rates[n]} for n, leaf in leaves.items()]
    optimiser = kind(groups)
    for i in range(steps):
        factor = rate * min(1, (i + 1) / (ramp[0] * steps)) if ramp[0] else rate
        fall = min(1, (1 - i / steps) / ramp[1]) if ramp[1] else 1
        factor *= 0.5 - 0.5 * math.cos(math.pi * fall)
        for group, name in zip(optimiser.param_groups, leaves):
            group["lr"] = toy.rates[name] * factor
        optimiser.zero_grad()
        sum(judge.losses(toy.render(leaves), NOISE, i)).sum().backward()
        optimiser.step()
        with torch.no_grad():
            leaves["cells"].clamp_(-3, 3)
    return leaves


@pytest.mark.parametrize("name", KINDS)
def test_is_torch_optim_run_by_hand(name, toy, sphere):
    for rate, ramp in ((1.0, (0.0, 0.25)), (0.5, (0.3, 0.0))):
        wanted = by_hand(KINDS[name], toy, sphere(restless=0.3), 8, rate, ramp)
        *_, end = descend(
            toy, sphere(restless=0.3), noise=NOISE, steps=8, optimiser=name, rate=rate, ramp=ramp
        )
        assert all(torch.equal(end.latent[n], wanted[n]) for n in wanted)
        assert not torch.equal(end.latent["tint"], toy.start(NOISE)["tint"])


def test_goes_downhill_and_keeps_the_best(toy, sphere):
    states = list(descend(toy, sphere(), noise=NOISE, steps=60))
    assert [state.step for state in states] == list(range(1, 61))
    assert bool((states[-1].loss < 0.2 * states[0].loss).all())
    losses = torch.stack([state.loss for state in states])
    assert torch.equal(states[-1].best_loss, losses.min(0).values)
    restless = list(descend(toy, sphere(restless=3.0), noise=NOISE, steps=30, rate=9.0))
    losses, place = torch.stack([state.loss for state in restless]).min(0)
    assert torch.equal(restless[-1].best_loss, losses) and int(place.max()) < 29
    for row, step in enumerate(place.tolist()):
        # The loss is of the picture before the step.
        before = restless[step - 1].latent if step else toy.start(NOISE)
        assert torch.equal(restless[-1].best["cells"][row], before["cells"][row])


def test_parts_of_the_loss_add_up(toy, sphere):
    *_, one = descend(toy, sphere(parts=1), noise=NOISE, steps=9)
    *_, four = descend(toy, sphere(parts=4), noise=NOISE, steps=9)
    torch.testing.assert_close(four.latent, one.latent, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(four.loss, one.loss)


def test_a_prior_adds_to_the_loss_what_the_latent_itself_should_be(toy, sphere):
    """As a judge of the same would: here the toy's picture is its latent, squeezed."""
    leaves = {n: part.requires_grad_() for n, part in toy.start(NOISE).items()}
    adam = torch.optim.Adam([{"params": [leaves[n]], "lr": toy.rates[n]} for n in leaves])
    judge = sphere(restless=0.3)

    def prior(latent):
        return 3 * latent["cells"].square().flatten(1).mean(1)

    for i in range(5):
        adam.zero_grad()
        loss = sum(judge.losses(toy.render(leaves), NOISE, i)) + prior(leaves)
        loss.sum().backward()
        adam.step()
        with torch.no_grad():
            leaves["cells"].clamp_(-3, 3)
    *_, end = descend(toy, judge, noise=NOISE, steps=5, ramp=(0.0, 0.0), prior=prior)
    torch.testing.assert_close(end.latent, {n: part.detach() for n, part in leaves.items()})
    torch.testing.assert_close(end.loss, loss.detach())


def test_holds_one_part_at_a_time_and_renders_once_a_step(toy, sphere):
    alive, rendered = [], []

    class Counting(type(toy)):
        def render(self, latent):
            rendered.append(1)
            return super().render(latent)

    class Parts:
        def losses(self, pictures, noise, step):
            for _ in range(3):
                alive.append(1)
                marked = (pictures * 1.0).square()
                marked.register_hook(lambda _: alive.clear())  # its graph is gone through
                yield marked.flatten(1).sum(1)
                assert not alive

    list(descend(Counting(), Parts(), noise=NOISE, steps=4))
    assert len(rendered) == 4


@pytest.mark.parametrize("options", [{}, {"ema": 0.9}, {"clip_norm": 0.1}, {"optimiser": "sgd"}])
def test_rows_are_the_same_alone_and_in_a_batch(options, toy, sphere):
    judge = sphere(restless=0.5)
    *_, together = descend(toy, judge, noise=Noise(3, [5, 0, 8]), steps=7, **options)
    for row, sample in enumerate([5, 0, 8]):
        *_, alone = descend(toy, judge, noise=Noise(3, [sample]), steps=7, **options)
        for name in alone.latent:
            assert torch.equal(alone.latent[name][0], together.latent[name][row])
            assert torch.equal(alone.best[name][0], together.best[name][row])
        assert torch.equal(alone.loss[0], together.loss[row])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_row_without_a_finite_gradient_stays_and_is_told_of_once(bad, toy, sphere):
    class Broken:
        def losses(self, pictures, noise, step):
            factor = torch.ones(len(noise.samples))
            factor[noise.samples.index(4)] = bad if step >= 2 else 1
            yield from (part * factor for part in sphere().losses(pictures, noise, step))

    noise = Noise(3, [1, 4, 2])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        states = list(descend(toy, Broken(), noise=noise, steps=6))
    (one,) = said
    assert one.category is Notice and str(one.message).endswith("left where they are: samples 4")
    for state in states[2:]:
        for name in state.latent:
            assert torch.equal(state.latent[name][1], states[1].latent[name][1])
            assert torch.equal(state.best[name][1], states[0].latent[name][1])
    *_, fine = descend(toy, sphere(), noise=noise, steps=6)
    for row in (0, 2):
        assert torch.equal(fine.latent["cells"][row], states[-1].latent["cells"][row])


def test_a_row_goes_on_when_its_gradient_is_finite_again(toy, sphere):
    class Hiccup:
        def losses(self, pictures, noise, step):
            yield from (part * (math.nan if step == 1 else 1) for part in sphere().losses(
                pictures, noise, step
            ))  # fmt: skip

    with pytest.warns(Notice, match="samples 0, 4"):
        first, second, third = descend(toy, Hiccup(), noise=NOISE, steps=3)
    assert torch.equal(first.latent["cells"], second.latent["cells"])
    assert bool(third.loss.isfinite().all())
    assert not torch.equal(third.latent["cells"], second.latent["cells"])


def test_a_row_s_gradient_is_clipped_over_all_its_parts(toy, sphere):
    gradients = {n: p.requires_grad_() for n, p in toy.start(NOISE).items()}
    sum(sphere().losses(toy.render(gradients), NOISE, 0)).sum().backward()
    norm = torch.cat([p.grad.flatten(1) for p in gradients.values()], 1).norm(dim=1)
    low, high = sorted(norm.tolist())
    most = (low + high) / 2
    (state,) = descend(
        toy, sphere(), noise=NOISE, steps=1, optimiser="sgd", clip_norm=most, ramp=(0, 0)
    )
    for row in range(2):
        factor = min(1.0, most / float(norm[row]))
        for name, part in gradients.items():
            wanted = part[row] - toy.rates[name] * factor * part.grad[row]
            torch.testing.assert_close(state.latent[name][row], wanted.detach().clamp(-3, 3))


def test_ema_is_the_running_average_of_the_latents(toy, sphere):
    judge = sphere(restless=1.0)
    plain = list(descend(toy, judge, noise=NOISE, steps=12))
    smooth = list(descend(toy, judge, noise=NOISE, steps=12, ema=0.8))
    average = torch.zeros(2, 3, 5, 7)
    for i, (one, other) in enumerate(zip(plain, smooth)):
        kept = min(0.8, i / (i + 1))
        average = kept * average + (1 - kept) * one.latent["cells"]
        torch.testing.assert_close(other.latent["cells"], average)
        assert torch.equal(other.memory["point/cells"], one.latent["cells"])
        assert torch.equal(other.best["cells"], one.best["cells"])
    torch.testing.assert_close(
        smooth[3].latent["cells"], torch.stack([one.latent["cells"] for one in plain[:4]]).mean(0)
    )


def test_a_part_that_the_picture_does_not_need_stays(toy, sphere):
    class Idle(type(toy)):
        def render(self, latent):
            return latent["cells"].tanh() / 2 + 0.5

    *_, end = descend(Idle(), sphere(), noise=NOISE, steps=3)
    assert torch.equal(end.latent["tint"], toy.start(NOISE)["tint"])


def test_starts_from_a_latent_and_leaves_it_as_it_is(toy, sphere):
    start = toy.start(Noise(9, [0, 1]))
    kept = {name: part.clone() for name, part in start.items()}
    with torch.no_grad():  # whatever the caller is in
        first, second = descend(toy, sphere(), noise=NOISE, steps=2, start=start)
    assert all(torch.equal(start[name], kept[name]) for name in start)
    assert torch.equal(first.best["cells"], kept["cells"])
    assert not torch.equal(second.latent["cells"], kept["cells"])
    assert not any(part.requires_grad for part in second.latent.values())


@pytest.mark.parametrize(
    "wrong, match",
    [
        ({"optimiser": "lbfgs"}, "optimiser 'lbfgs'.*adam"),
        ({"optimiser": "adafactor"}, "keeps rows apart"),
        ({"rate": 0.0}, "rate 0.0"),
        ({"ramp": (0.0, 1.5)}, "ramp"),
        ({"ema": 1.0}, "ema 1.0"),
        ({"clip_norm": 0.0}, "clip_norm 0.0"),
    ],
)
def test_refuses(wrong, match, toy, sphere):
    with pytest.raises(BadInput, match=match):
        list(descend(toy, sphere(), noise=NOISE, steps=1, **wrong))


def test_refuses_the_state_of_another_optimiser(toy, sphere):
    (state,) = descend(toy, sphere(), noise=NOISE, steps=1)
    with pytest.raises(BadInput, match="of Adam, not of rmsprop"):
        list(descend(toy, sphere(), noise=NOISE, steps=2, start=state, optimiser="rmsprop"))
