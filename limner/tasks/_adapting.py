"""StyleGAN-NADA (Gal et al. 2021): a generator's weights move, led by CLIP, beside a frozen twin.

A State's latent is the weights that can move, one row of them; its loss is that of the step's own
pictures, so its best is always its last.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from limner.generators import Generator, Latent
from limner.generators.stylegan import stylegan
from limner.judges import Judge
from limner.judges.direction import Direction
from limner.models.stylegan import StyleGAN
from limner.nets import stylegan as nets
from limner.noise import Noise
from limner.prompt import Notice
from limner.searches import State
from limner.searches.descend import descend

__all__ = ["Adapting", "adam", "moved_most", "movement", "weights"]

# The paper's code takes Adam's .002, 0 and .99 to the power of or times 4/5, as StyleGAN2 does
# (Karras et al. 2020, appendix B, lazy regularisation): rate .0016, decay .992.
_DECAY, _EPS = 0.99**0.8, 1e-8
# Of a convolution; its affine layer stays, as the mapping network, to RGB and the constant do.
_MOVING = ("weight", "bias", "noise_strength")
# Of plain descent on w+ (the paper's code). Under the first step only the order of layers counts.
_CHOICE_RATE = 0.01


def weights(network: nets.Generator) -> list[dict[str, nn.Parameter]]:
    """What can move, by name, for each row of w+: of the convolution that the row steers.

    The last row steers only the last colours and has none.
    """
    named = dict(network.named_parameters())
    return [
        {name: named[name] for name in (f"synthesis.b{side}.conv{1 - i % 2}.{w}" for w in _MOVING)}
        for i, side in enumerate(network.shape.sides)
    ]


def movement(
    generator: Generator, judge: Judge, latent: Latent, noise: Noise, steps: int
) -> Tensor:
    """How much each row of w+ is moved by so many steps downhill: mean |Δw| over samples and
    numbers, (layers,)."""
    moved = latent
    for state in descend(
        generator,
        judge,
        noise=noise,
        steps=steps,
        start=latent,
        optimiser="sgd",
        rate=_CHOICE_RATE / generator.rates["w+"],
        ramp=(0.0, 0.0),
    ):
        moved = state.latent
    return (moved["w+"] - latent["w+"]).abs().mean((0, 2))


def moved_most(movement: Tensor, count: int) -> list[int]:
    """The rows that moved most, in ascending order; of equals the coarser."""
    return sorted(movement.argsort(descending=True, stable=True)[:count].tolist())


def adam(point: Tensor, gradient: Tensor, square: Tensor, step: int, rate: float) -> Tensor:
    """Adam (Kingma and Ba 2015, algorithm 1) with β₁ = 0, its step number `step` from 1 on: the
    point afterwards. Changes `square`, the running mean of the gradient's squares."""
    square.mul_(_DECAY).add_(gradient.square(), alpha=1 - _DECAY)
    return point - rate * gradient / ((square / (1 - _DECAY**step)).sqrt() + _EPS)


@dataclass(frozen=True, eq=False)
class Adapting:
    """A search over a StyleGAN's weights.

    model:         the twin that stays
    judge:         the way that pictures are to go; its reference is set in each step
    aim:           by what w+ is moved when layers are chosen: CLIP's distance from the target
    layers:        how many are moved in a step
    choice_every:  steps between choices
    choice_steps:  downhill on w+, for a choice
    choice_batch:  samples that a choice is made by
    batch:         samples in a step
    """

    model: StyleGAN
    judge: Direction
    aim: Judge
    layers: int
    choice_every: int
    choice_steps: int
    choice_batch: int
    batch: int
    rate: float
    seed: int

    def began(self) -> State:
        """Before the first step."""
        latent = _taken(self.model.stylegan2)
        unknown = torch.full((1,), torch.inf)
        return State(0, latent, unknown, latent, unknown, {})

    def adapted(self, state: State) -> StyleGAN:
        """A model of its own with a State's weights."""
        network = copy.deepcopy(self.model.stylegan2)
        _put(network, state.latent)
        name = f"{self.model.name}, adapted"
        return replace(self.model, name=name, network=network, discriminator=None, files=())

    def states(self, state: State, steps: int) -> Iterator[State]:
        """From a State to after step `steps`; the same from any State of the way."""
        model = self.adapted(state)
        rows, told = weights(model.stylegan2), False
        for i in range(state.step, steps):
            memory = dict(state.memory)
            if i % self.choice_every == 0:
                memory["chosen"] = torch.tensor(self.chosen(model, i))
            moving = {n: p for row in memory["chosen"].tolist() for n, p in rows[row].items()}
            loss, slopes = self.slopes(model, moving, i)
            if all(bool(slope.isfinite().all()) for slope in slopes):
                _step(moving, slopes, memory, self.rate)
            elif not told:
                told = True
                warnings.warn("no finite gradient, so no step", Notice, stacklevel=2)
            latent = _taken(model.stylegan2)
            state = State(i + 1, latent, loss, latent, loss, memory)
            yield state

    def chosen(self, model: StyleGAN, step: int) -> list[int]:
        """The layers to move (section 4.3 of the paper): those whose w moves most when w+ is led to
        the target."""
        if self.layers == len(model.network.shape.sides):
            return list(range(self.layers))
        first = step * self.choice_batch
        noise = Noise(self.seed, range(first, first + self.choice_batch))
        generator = stylegan(model, kind="w+", truncation=1.0)
        start = generator.start(noise)
        moved = movement(generator, self.aim, start, noise, self.choice_steps)
        return moved_most(moved[:-1], self.layers)

    def slopes(
        self, model: StyleGAN, moving: dict[str, nn.Parameter], step: int
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The loss (1,) of a step, and its gradient by what moves.

        The judge's parts meet at the pictures, so that one of them is held at a time.
        """
        noise = Noise(self.seed, range(self.batch))
        z = noise.normal((model.width,), step=step, purpose="adapt")
        maps = noise.normal((model.noise,), step=step, purpose="adapt, noise")
        with torch.no_grad():
            latent = {"w": model.mapping(z), "noise": maps}
            before = stylegan(self.model, kind="w").render(latent)
        with torch.enable_grad():
            for parameter in moving.values():
                parameter.requires_grad_()
            pictures = stylegan(model, kind="w").render(latent)
            seen = pictures.detach().requires_grad_()
            loss, slope = torch.zeros(len(seen)), torch.zeros_like(seen)
            for part in self.judge.at(before).losses(seen, noise, step):
                slope += torch.autograd.grad(part.sum(), seen)[0]
                loss += part.detach()
            slopes = torch.autograd.grad(pictures, list(moving.values()), slope / self.batch)
        model.network.requires_grad_(False)
        return loss.mean()[None], slopes


def _taken(network: nets.Generator) -> Latent:
    """What can move, copied: each (1, …), laid out as a file has it."""
    named = {name: weight for row in weights(network) for name, weight in row.items()}
    return {name: _plain(weight)[None] for name, weight in named.items()}


@torch.no_grad()
def _put(network: nets.Generator, latent: Latent) -> None:
    for row in weights(network):
        for name, weight in row.items():
            weight.copy_(latent[name][0])


@torch.no_grad()
def _step(
    moving: dict[str, nn.Parameter],
    slopes: tuple[Tensor, ...],
    memory: dict[str, Tensor],
    rate: float,
) -> None:
    """Move, each by its own count of steps; memory has the counts and the mean squares."""
    for (name, weight), slope in zip(moving.items(), slopes):
        count = memory.get(f"steps/{name}", torch.tensor(0)) + 1
        square = memory.get(f"square/{name}", torch.zeros_like(_plain(weight))).clone()
        weight.copy_(adam(_plain(weight), _plain(slope), square, int(count), rate))
        memory |= {f"steps/{name}": count, f"square/{name}": square}


def _plain(tensor: Tensor) -> Tensor:
    """A contiguous copy: sums in another order of memory could differ in the last bit."""
    return tensor.detach().clone(memory_format=torch.contiguous_format)
