"""Levels of noise and the schedules that list them, in one form for VP, VE and flow models.

    x = α·x0 + σ·n,   n ~ N(0, 1)

Variance preserving (VP) means α² + σ² = 1, variance exploding (VE) α = 1, flow α + σ = 1. A
schedule is a list of levels from noisy to clean; `steps` is always the number of steps that run,
so a schedule holds steps + 1 levels and ends at CLEAN. A *table* is ᾱ = α² of a VP model at its
training timesteps 0 … T−1, float64, falling.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from limner.errors import BadInput

__all__ = [
    "CLEAN",
    "PREDICTIONS",
    "SCHEDULES",
    "SPACINGS",
    "Level",
    "Prediction",
    "Schedule",
    "Shift",
    "Spacing",
    "alpha_bars",
    "distilled_levels",
    "flow_levels",
    "geometric_levels",
    "karras_levels",
    "level_at",
    "levels_of",
    "timestep_of",
    "vp_level",
    "vp_levels",
    "zero_terminal",
]

# What a network says of x = α·x0 + σ·n: ε is n; v is α·n − σ·x0 (Salimans & Ho 2022, VP only);
# sample is x0; flow is n − x0 (Lipman et al. 2023, flow levels only).
Prediction = Literal["epsilon", "v_prediction", "sample", "flow"]
PREDICTIONS: tuple[str, ...] = ("epsilon", "v_prediction", "sample", "flow")
Schedule = Literal["linear", "scaled_linear", "cosine", "offset_cosine"]
Spacing = Literal["leading", "trailing", "linspace", "karras"]
SCHEDULES: tuple[str, ...] = ("linear", "scaled_linear", "cosine", "offset_cosine")
SPACINGS: tuple[str, ...] = ("leading", "trailing", "linspace", "karras")

# Where a table ends in pure noise its log-SNR is −∞; interpolation needs it finite. e^−30 is past
# what float32 can tell from nothing.
_LOG_SNR_LIMIT = 30.0


class Level(NamedTuple):
    """How much picture (α ≥ 0) and how much noise (σ ≥ 0) x = α·x0 + σ·n holds."""

    alpha: float
    sigma: float

    @property
    def ratio(self) -> float:
        """σ/α: the noise's standard deviation once the picture is at scale 1. ∞ at α = 0."""
        return self.sigma / self.alpha if self.alpha > 0 else math.inf

    @property
    def log_snr(self) -> float:
        """ln(α²/σ²), from −∞ (pure noise) to ∞ (clean)."""
        if self.alpha <= 0:
            return -math.inf
        return 2 * math.log(self.alpha / self.sigma) if self.sigma > 0 else math.inf

    @property
    def time(self) -> float:
        """σ/(α+σ): the flow time in [0, 1] with the same signal-to-noise ratio; 1 is pure noise."""
        return self.sigma / (self.alpha + self.sigma)


CLEAN = Level(1.0, 0.0)


def alpha_bars(name: str, steps: int = 1000) -> Tensor:
    """The table (steps,) float64 of a named schedule.

    linear: β from 1e-4 to .02 at 1000 steps (Ho et al. 2020, §4); scaled_linear: √β linear from
    √.00085 to √.012 (Rombach et al. 2022); cosine: Nichol & Dhariwal 2021, eq. 17, with
    s = .008 and β ≤ .999; offset_cosine: the angle runs evenly from cos⁻¹ .95 to cos⁻¹ .02 (Béres
    2022, Keras' DDIM example). For other numbers of steps β is scaled by 1000/steps (Nichol &
    Dhariwal's code), so that the ends stay where they are.
    """
    if steps < 1:
        raise BadInput(f"a schedule of {steps} steps: give at least 1")
    if name == "offset_cosine":
        angle = torch.linspace(math.acos(0.95), math.acos(0.02), steps, dtype=torch.float64)
        return torch.cos(angle) ** 2
    if name == "linear":
        betas = torch.linspace(1e-4, 0.02, steps, dtype=torch.float64) * (1000 / steps)
    elif name == "scaled_linear":
        roots = torch.linspace(0.00085**0.5, 0.012**0.5, steps, dtype=torch.float64)
        betas = roots**2 * (1000 / steps)
    elif name == "cosine":
        time = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        squared = torch.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2
        betas = 1 - squared[1:] / squared[:-1]
    else:
        raise BadInput(f"no schedule is called {name!r}: choose one of {', '.join(SCHEDULES)}")
    return torch.cumprod(1 - betas.clamp(max=0.999), 0)


def zero_terminal(table: Tensor) -> Tensor:
    """The table with √ᾱ shifted and scaled so that the first stays and the last is exactly 0.

    Lin et al. 2024, "Common diffusion noise schedules and sample steps are flawed", algorithm 1.
    Needs a v or x0 network: ε says nothing about the picture at α = 0.
    """
    roots = table.double().sqrt()
    return ((roots - roots[-1]) * (roots[0] / (roots[0] - roots[-1]))) ** 2


def vp_level(alpha_bar: float) -> Level:
    """The variance-preserving level (√ᾱ, √(1−ᾱ))."""
    return Level(math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar))


def levels_of(table: Tensor | None, steps: int) -> list[Level]:
    """steps + 1 levels of a network, from its noisiest to CLEAN: by its table, a VP network's, with
    "trailing" spacing; of a flow network, which has none, evenly in time."""
    return flow_levels(steps) if table is None else vp_levels(table, steps, "trailing")


def vp_levels(
    table: Tensor,
    steps: int,
    spacing: str = "trailing",
    offset: int = 0,
) -> list[Level]:
    """steps + 1 levels of a VP model, the last CLEAN (Lin et al. 2024, table 2).

    leading: every ⌊T/steps⌋-th timestep from `offset` up (so the noisiest is left out; `offset`
    counts only here); trailing: from T−1 down (so the noisiest is in); linspace: both ends in,
    rounded to timesteps; karras: between the table's ends, evenly in (σ/α)^(1/7), see
    `karras_levels`.
    """
    total = len(table)
    if not 1 <= steps <= total:
        raise BadInput(f"{steps} steps on a schedule of {total}: give 1 to {total}")
    if spacing == "karras":
        if float(table[-1]) <= 0:
            raise BadInput("karras spacing needs a schedule that does not end in pure noise")
        ends = [vp_level(float(table[i])).ratio for i in (0, -1)]
        return [_vp_of_ratio(level.sigma) for level in karras_levels(steps, *ends)]
    if spacing == "leading":
        chosen = np.arange(steps)[::-1] * (total // steps) + offset
    elif spacing == "trailing":
        chosen = np.round(np.arange(steps, 0, -1) * (total / steps)).astype(int) - 1
    elif spacing == "linspace":
        chosen = np.round(np.linspace(total - 1, 0, steps)).astype(int)
    else:
        raise BadInput(f"no spacing is called {spacing!r}: choose one of {', '.join(SPACINGS)}")
    if not 0 <= chosen.min() <= chosen.max() < total:
        raise BadInput(f"offset {offset} leads out of a schedule of {total}: give 0 or 1")
    return [*(vp_level(float(table[i])) for i in chosen), CLEAN]


def distilled_levels(table: Tensor, steps: int, origin: int, strength: float = 1.0) -> list[Level]:
    """steps + 1 levels of a latent consistency model, the last CLEAN.

    It was distilled at `origin` timesteps (Luo et al. 2023, section 4.3), evenly spread up to the
    noisiest; of the share `strength` of them, the cleaner ones, every so manieth is taken.
    """
    total = len(table)
    known = max(1, math.floor(min(origin, total) * strength))
    if not 1 <= steps <= known:
        raise BadInput(f"{steps} steps: the model knows {known} levels here, give 1 to {known}")
    places = known - np.floor(np.linspace(0, known, steps, endpoint=False)).astype(int)
    chosen = places * (total // min(origin, total)) - 1
    return [*(vp_level(float(table[i])) for i in chosen), CLEAN]


def karras_levels(
    steps: int,
    sigma_min: float,
    sigma_max: float,
    rho: float = 7.0,
) -> list[Level]:
    """steps + 1 VE levels from sigma_max to sigma_min, evenly in σ^(1/ρ), then CLEAN.

    Karras et al. 2022, "Elucidating the design space of diffusion-based generative models", eq. 5.
    """
    if not 0 < sigma_min <= sigma_max < math.inf:
        raise BadInput(f"σ from {sigma_max} to {sigma_min}: give 0 < sigma_min ≤ sigma_max < ∞")
    if steps < 1:
        raise BadInput(f"{steps} steps: give at least 1")
    roots = np.linspace(sigma_max ** (1 / rho), sigma_min ** (1 / rho), steps)
    return [*(Level(1.0, float(root**rho)) for root in roots), CLEAN]


def geometric_levels(steps: int, sigma_min: float, sigma_max: float) -> list[Level]:
    """steps + 1 VE levels from sigma_max to sigma_min, evenly in ln σ, then CLEAN.

    Song et al. 2021, "Score-based generative modeling through stochastic differential equations",
    appendix C, the VE SDE.
    """
    if not 0 < sigma_min <= sigma_max < math.inf or steps < 1:
        raise BadInput(
            f"{steps} steps of σ from {sigma_max} to {sigma_min}: give at least 1, and "
            "0 < sigma_min ≤ sigma_max < ∞"
        )
    ratios = np.geomspace(sigma_max, sigma_min, steps)
    return [*(Level(1.0, float(sigma)) for sigma in ratios), CLEAN]


def flow_levels(steps: int, shift: float = 1.0, start: float = 1.0) -> list[Level]:
    """steps + 1 flow levels (1−t, t) from `start`, 1 is pure noise, to CLEAN, evenly in time before
    it is shifted; shift > 1 dwells on the noise.

    t' = s·t / (1 + (s−1)·t): Esser et al. 2024, "Scaling rectified flow transformers", eq. 23.
    """
    if steps < 1 or not 0 < shift < math.inf:
        raise BadInput(f"{steps} steps with shift {shift}: give at least 1 and a shift above 0")
    times = [start * (1 - i / steps) for i in range(steps + 1)]
    shifted = [shift * t / (1 + (shift - 1) * t) for t in times]
    return [Level(1 - t, t) for t in shifted]


class Shift(NamedTuple):
    """A flow model's shift, which may grow with the picture (Esser et al. 2024, §5.3.2: what the
    same noise leaves to be seen is more the more pixels there are).

    low, high:   at `few` and at `many` tokens; from there on in the same way, or one shift for all
    pixels:      of a token's side
    geometric:   ln shift is a straight line over the tokens, as in Flux; else the shift itself
    """

    low: float = 1.0
    high: float = 1.0
    few: int = 256
    many: int = 4096
    pixels: int = 16
    geometric: bool = True

    def at(self, width: int, height: int) -> float:
        """Of a picture of this size in pixels."""
        if self.low == self.high:
            return self.low
        tokens = math.ceil(width / self.pixels) * math.ceil(height / self.pixels)
        share = (tokens - self.few) / (self.many - self.few)
        if self.geometric:
            return self.low * (self.high / self.low) ** share
        return self.low + (self.high - self.low) * share


def level_at(table: Tensor, timestep: float) -> Level:
    """The VP level of a timestep in [0, T−1]; between two entries the log-SNR is interpolated."""
    low = min(max(math.floor(timestep), 0), len(table) - 1)
    if timestep <= low or low == len(table) - 1:
        return vp_level(float(table[low]))
    log_snr = float(np.interp(timestep - low, [0, 1], _log_snrs(table[low : low + 2])))
    return _vp_of_ratio(math.exp(-log_snr / 2))


def timestep_of(table: Tensor, level: Level) -> float:
    """The timestep in [0, T−1] with the level's signal-to-noise ratio; whole at the table's levels.

    Between entries the log-SNR is interpolated; beyond the ends it is the end.
    """
    wanted = min(max(level.log_snr, -_LOG_SNR_LIMIT), _LOG_SNR_LIMIT)
    rising = _log_snrs(table)[::-1]
    timestep = float(np.interp(wanted, rising, np.arange(len(rising))[::-1]))
    whole = round(timestep)
    return float(whole) if abs(timestep - whole) < 1e-6 else timestep


def _log_snrs(table: Tensor) -> np.ndarray:
    """ln(ᾱ/(1−ᾱ)) of every entry, kept finite."""
    odds = table.double().numpy(force=True)
    with np.errstate(divide="ignore"):
        return np.clip(np.log(odds) - np.log1p(-odds), -_LOG_SNR_LIMIT, _LOG_SNR_LIMIT)


def _vp_of_ratio(ratio: float) -> Level:
    """The VP level with σ/α = ratio."""
    alpha = 1 / math.hypot(1, ratio)
    return Level(alpha, ratio * alpha)
