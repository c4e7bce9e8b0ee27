"""How likely a model on pixels finds pictures that it has not seen: bits per dimension."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from limner.data._open import open_data
from limner.errors import BadInput
from limner.levels import Level, geometric_levels
from limner.measures import Watch, batches
from limner.measures._density import bits, log_density, probes_of
from limner.measures._share import checked
from limner.models.pixels import Pixels
from limner.noise import Noise
from limner.tasks._drawing import denoiser_of, placed
from limner.training._vlb import Chain

__all__ = ["WAYS", "Likelihood", "likelihood"]

WAYS = ("flow", "bound")
_AT_ONCE = 16
_GREYS = 256
_CLEAN_RATIO = 0.005  # σ/α at which the flow's pictures are taken: half the width of a grey


@dataclass(frozen=True)
class Likelihood:
    """bits: per dimension, the mean over n pictures, with its standard error."""

    bits: float
    standard_error: float
    n: int
    way: str
    model: str


def likelihood(
    model: str | Path | Pixels,
    data: str | Path,
    *,
    count: int = 64,
    way: str = "flow",
    steps: int = 50,
    probes: int = 1,
    seed: int = 0,
    watch: Watch | None = None,
) -> Likelihood:
    """Bits per dimension of pictures of 256 values, in float32.

    Args:
        model: a folder that limner train iddpm or score_sde wrote, or what open_pixels gave
        data: pictures: a folder, shards, an idx or CIFAR file; the last of them, which a training
            on the same data has not seen
        count: how many pictures
        way: flow, the probability flow's density of the pictures with noise of one grey's width
            added (Song et al. 2021, eq. 39; Theis et al. 2016, section 3.1), an estimate without
            bias of a bound; or bound, the variational one (Nichol & Dhariwal 2021), over all 1,000
            steps, of a model whose variance is learned
        steps: of the flow, each of four times the network
        probes: products by which the flow's divergence is estimated
        seed: of the noise
        watch: called with the pictures done and their number

    Raises BadInput when the model or the data cannot be opened, or the model has no such bound.
    """
    checked("count", count, 1, 1_000_000)
    checked("steps", steps, 2, 1000)
    checked("probes", probes, 1, 1000)
    opened = placed(model)
    if way not in WAYS:
        raise BadInput(f"way {way!r}: choose one of {', '.join(WAYS)}")
    if way == "bound" and not opened.card.learned:
        raise BadInput(f"{opened.name!r} learned no variance, and so has no bound: use --way flow")
    source = open_data(data, size=opened.size)
    told: list[float] = []
    for some in batches(0, min(count, len(source)), _AT_ONCE):
        drawn, _ = source.batch([len(source) - 1 - i for i in some])
        pictures = torch.from_numpy(drawn).permute(0, 3, 1, 2)
        noise = Noise(seed, some)
        found = (
            _flow(opened, pictures, noise, steps, probes)
            if way == "flow"
            else _bound(opened, pictures, noise)
        )
        told += found.tolist()
        if watch is not None:
            watch(some[-1] + 1, min(count, len(source)))
    values = torch.tensor(told)
    error = float(values.std(correction=min(1, len(told) - 1))) / len(told) ** 0.5
    return Likelihood(float(values.mean()), error, len(told), way, opened.name)


def _greys(model: Pixels, pictures: Tensor) -> Tensor:
    """uint8 (b, 3, h, w) → whole numbers 0 … 255 (b, c, h, w), as the model sees them."""
    return ((model.encode(pictures.float() / 255) + 1) * 127.5).round()


def _flow(model: Pixels, pictures: Tensor, noise: Noise, steps: int, probes: int) -> Tensor:
    """(b,) bits per dimension."""
    greys = _greys(model, pictures)
    shape = tuple(greys.shape[1:])
    within = noise.uniform(shape, purpose="within a grey")
    x = ((greys + within) / (_GREYS / 2) - 1).to(model.device)
    levels = _evenly(model, steps)
    chosen = probes_of(noise, shape, probes)
    nats = log_density(denoiser_of(model), x, levels, probes=chosen, spread=0.5)
    # of a number in [0, 256), which is 128 times as wide as one in [−1, 1)
    return bits(nats, greys[0].numel()).cpu() + 7


def _evenly(model: Pixels, steps: int) -> list[Level]:
    """From the noisiest level to almost clean, evenly in σ/α's logarithm."""
    high = model.levels(1)[0].ratio
    return geometric_levels(steps + 1, _CLEAN_RATIO, high)


@torch.no_grad()
def _bound(model: Pixels, pictures: Tensor, noise: Noise) -> Tensor:
    """(b,) bits per dimension: L_0 + … + L_T."""
    chain, ask = Chain(model.table), _asking(model)
    x0 = _greys(model, pictures) / 127.5 - 1
    total = chain.prior(x0)
    for t in range(len(model.table)):
        steps = torch.full((len(x0),), t)
        alpha, sigma = float(model.table[t]) ** 0.5, float(1 - model.table[t]) ** 0.5
        x = alpha * x0 + sigma * noise.normal(tuple(x0.shape[1:]), step=t, purpose="bound")
        eps, v = ask(x, t)
        guess = ((x - sigma * eps) / alpha).clamp(-1, 1)
        total = total + chain.term(x0, x, steps, guess, chain.log_variance(v, steps))
    return total / torch.tensor(2.0).log()


def _asking(model: Pixels) -> Callable[[Tensor, int], tuple[Tensor, Tensor]]:
    """What the network says of the noise and of the variance."""

    def ask(x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        times = torch.full((len(x),), float(t), device=model.device)
        said: Tensor = model.unet(x.to(model.device), times).sample.cpu()
        eps, v = said.chunk(2, 1)
        return eps, v

    return ask
