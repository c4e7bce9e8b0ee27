"""The search over weights: which layers it chooses, what it moves, how it steps, where it goes."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from limner import open_clip
from limner.generators._clamp import clamp
from limner.judges._views import Camera
from limner.judges.clip import Clip
from limner.judges.direction import Direction
from limner.models.stylegan import open_stylegan
from limner.noise import Noise
from limner.prompt import Notice, Phrase
from limner.tasks._adapting import Adapting, adam, moved_most, movement, weights

sys.path.insert(0, str(Path(__file__).parent))
from _toys import stylegan_folder

WHOLE = Camera(*[0.0] * 8)


@pytest.fixture(scope="module")
def adapting(clip_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Adapting:
    """Ten rows of w+, nine of which have a convolution; four of them move in a step."""
    model = open_stylegan(stylegan_folder(tmp_path_factory.mktemp("own") / "model"))
    clips = [open_clip(clip_folder)]
    way = Direction(clips, torch.zeros(1, 3, 64, 64), "a cat", "a red cube", views=1, camera=WHOLE)
    aim = Clip(clips, [Phrase("a red cube")], "cosine", views=1, camera=WHOLE)
    return Adapting(
        model, way, aim, layers=4, choice_every=1, choice_steps=1, choice_batch=3, batch=2,
        rate=0.002, seed=5,
    )  # fmt: skip


def state_dict(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.network.state_dict().items()}


# ---- the choice of layers ----------------------------------------------------------------


@dataclass
class Weighted:
    """A picture whose one row are the numbers of w+, each layer's times a factor of its own."""

    factors: torch.Tensor
    rates = {"w+": 0.1}  # noqa: RUF012

    def start(self, noise: Noise) -> dict[str, torch.Tensor]:
        return {"w+": noise.normal((len(self.factors), 3))}

    def render(self, latent: dict[str, torch.Tensor]) -> torch.Tensor:
        return (self.factors[:, None] * latent["w+"]).flatten(1)[:, None, None].expand(-1, 3, 1, -1)

    def constrain(self, latent: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return latent


class Dark:
    """The sum of all pixels."""

    def losses(self, pictures: torch.Tensor, noise: Noise, step: int) -> Any:
        yield pictures.sum((1, 2, 3))


def test_a_row_moves_by_its_slope() -> None:
    """d loss / d w = 3·factor for each number, so n steps at .01 take it .03·n·|factor| away."""
    factors = torch.tensor([0.2, -3.0, 0.0, 1.5, -0.5])
    noise = Noise(1, range(4))
    toy = Weighted(factors)
    for steps in (1, 3):
        moved = movement(toy, Dark(), toy.start(noise), noise, steps)
        torch.testing.assert_close(moved, 0.03 * steps * factors.abs(), atol=1e-6, rtol=1e-4)
    assert moved_most(moved, 3) == [1, 3, 4]
    assert moved_most(torch.ones(5), 2) == [0, 1]


def test_layers_are_those_whose_w_has_the_steepest_slope(adapting: Adapting) -> None:
    """After one step the order is that of the mean |slope|, here by autograd alone; the last row,
    of the colours, is never chosen."""
    noise = Noise(5, range(7 * 3, 8 * 3))
    model = adapting.model
    w = model.mapping(noise.normal((8,), purpose="z"))
    w_plus = model.repeated(w).detach().clone().requires_grad_()
    maps = noise.normal((model.noise,), purpose="noise")
    pictures = clamp(model.synthesis(w_plus, maps))
    loss = sum(part.sum() for part in adapting.aim.losses(pictures, noise, 0))
    (slope,) = torch.autograd.grad(loss, w_plus)  # type: ignore[arg-type]
    steepest = slope.abs().mean((0, 2))[:9].argsort(descending=True)[:4]
    assert adapting.chosen(model, 7) == sorted(steepest.tolist())
    assert replace(adapting, layers=9).chosen(model, 7) == list(range(9))


# ---- steps ---------------------------------------------------------------------------------


def test_steps_are_adam_s_without_momentum() -> None:
    torch.manual_seed(0)
    point, square = torch.randn(4, 3), torch.zeros(4, 3)
    leaf = point.clone().requires_grad_()
    reference = torch.optim.Adam([leaf], lr=0.0016, betas=(0.0, 0.99**0.8))
    for step in range(1, 6):
        leaf.grad = torch.randn(4, 3)
        point = adam(point, leaf.grad, square, step, 0.0016)
        reference.step()
        torch.testing.assert_close(point, leaf.detach(), atol=1e-7, rtol=1e-6)


def test_what_can_move_is_every_convolution_and_nothing_else(adapting: Adapting) -> None:
    rows = weights(adapting.model.network)
    assert [sorted(row) for row in rows[:2]] == [
        [f"synthesis.{layer}.{part}" for part in ("bias", "noise_strength", "weight")]
        for layer in ("b4.conv1", "b8.conv0")
    ]
    moving = {name for row in rows for name in row}
    frozen = set(state_dict(adapting.model)) - moving
    assert len(moving) == 9 * 3
    assert all(
        any(part in name for part in ("mapping", "affine", "torgb", "const", "w_", "path"))
        for name in frozen
    )


@pytest.mark.parametrize("layers", [1, 4, 9])
def test_only_chosen_layers_move(adapting: Adapting, layers: int) -> None:
    search = replace(adapting, layers=layers)
    before, touched = state_dict(search.model), set()
    for state in search.states(search.began(), 3):
        touched |= set(state.memory["chosen"].tolist())
    assert len(touched) >= layers
    after = state_dict(search.adapted(state))
    rows = weights(search.model.network)
    moved = {name for row in touched for name in rows[row]}
    for name, weight in before.items():
        assert torch.equal(weight, after[name]) == (name not in moved), name
    assert all(
        torch.equal(a, b) for a, b in zip(before.values(), state_dict(search.model).values())
    )


def test_the_pictures_go_the_words_way(adapting: Adapting) -> None:
    """On pictures that no step has seen."""
    search = replace(adapting, batch=4, rate=0.01)
    *_, state = search.states(search.began(), 25)
    model, noise = adapting.adapted(state), Noise(99, range(6))
    w = model.repeated(model.mapping(noise.normal((8,))))
    maps = noise.normal((model.noise,), purpose="maps")
    before, after = (m.synthesis(w, maps).clamp(0, 1) for m in (adapting.model, model))
    judge = adapting.judge.at(before)
    (first,), (last,) = (list(judge.losses(p, noise, 0)) for p in (before, after))
    assert first.mean() == pytest.approx(1, abs=1e-5)
    assert last.mean() < 0.9


def test_a_choice_holds_as_long_as_it_should(adapting: Adapting) -> None:
    search = replace(adapting, choice_every=3, layers=1, rate=0.05)
    asked: list[int] = []
    chosen = [state.memory["chosen"].tolist() for state in search.states(search.began(), 7)]
    real = Adapting.chosen
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Adapting, "chosen", lambda self, model, i: asked.append(i) or real(self, model, i)
        )
        again = [state.memory["chosen"].tolist() for state in search.states(search.began(), 7)]
    assert asked == [0, 3, 6]
    assert chosen == again


def test_it_goes_on_from_a_file_bit_for_bit(adapting: Adapting, tmp_path: Path) -> None:
    from limner.searches._memory import load, save

    search = replace(adapting, choice_every=2)
    states = list(search.states(search.began(), 5))
    save(tmp_path / "half.safetensors", states[2])
    *_, last = search.states(load(tmp_path / "half.safetensors"), 5)
    assert last.step == 5
    assert last.memory.keys() == states[-1].memory.keys()
    for one, other in ((last.latent, states[-1].latent), (last.memory, states[-1].memory)):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_states_do_not_change_afterwards(adapting: Adapting) -> None:
    states = adapting.states(adapting.began(), 2)
    first = next(states)
    kept = {name: part.clone() for name, part in {**first.latent, **first.memory}.items()}
    next(states)
    now = {**first.latent, **first.memory}
    assert all(torch.equal(part, now[name]) for name, part in kept.items())


def test_a_gradient_that_is_no_number_moves_nothing(adapting: Adapting) -> None:
    class Broken(Direction):
        def losses(self, pictures: torch.Tensor, noise: Noise, step: int) -> Any:
            yield pictures.sum((1, 2, 3)) * (float("nan") if step == 1 else 1.0)

    way = adapting.judge
    broken = Broken(way.clips, way.reference, "a cat", "a red cube", views=1, camera=WHOLE)
    search = replace(adapting, judge=broken)
    with pytest.warns(Notice, match="no finite gradient"):
        first, second, third = search.states(search.began(), 3)
    same = [torch.equal(first.latent[n], second.latent[n]) for n in first.latent]
    assert all(same)
    assert not all(torch.equal(third.latent[n], second.latent[n]) for n in first.latent)
