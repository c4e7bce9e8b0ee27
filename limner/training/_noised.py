"""What the recipes share whose towers look at noisy latents: their levels, their noise, folders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file
from torch import Tensor, nn

from limner.levels import Level, vp_level
from limner.models._noised import CARD, WEIGHTS
from limner.nets.noised_tower import NoisedTower
from limner.training._noising import Noising
from limner.training._parts import schedule

__all__ = ["TOLD_AT", "begun", "noised", "rounded", "times", "vp", "write"]

TOLD_AT = (0.1, 0.3, 0.5, 0.7, 0.9)  # flow times at which previews measure


def times(count: int, rng: np.random.Generator) -> np.ndarray:
    """Flow times (count,), drawn as `limner train diffusion` draws its levels."""
    noising = Noising("v_prediction", schedule())
    alpha, sigma = noising.level(noising.timesteps(count, rng))
    drawn: np.ndarray = (sigma / (alpha + sigma)).numpy()
    return drawn


def noised(latents: Tensor, noise: Tensor, flow_times: Tensor) -> Tensor:
    """α·x0 + σ·n at the variance-preserving levels of these flow times (b,)."""
    alpha, sigma = 1 - flow_times, flow_times
    length = (alpha**2 + sigma**2).sqrt()
    alpha, sigma = ((each / length).to(latents)[:, None, None, None] for each in (alpha, sigma))
    return alpha * latents + sigma * noise


def vp(flow_time: float) -> Level:
    """The variance-preserving level of a flow time."""
    alpha, sigma = 1 - flow_time, flow_time
    return vp_level(alpha**2 / (alpha**2 + sigma**2))


def begun(channels: int, outputs: int, width: int) -> tuple[NoisedTower, dict[str, Any]]:
    """A new tower, and what its card says of it. width: of its first blocks; later ones' follow."""
    widths = [width, 2 * width, max(8, round(10 * width / 3 / 8) * 8)]
    shape = {"channels": channels, "outputs": outputs, "widths": widths, "depth": 1}
    return NoisedTower(channels, outputs, widths, 1), shape


def write(folder: Path, tower: nn.Module, card: dict[str, Any]) -> None:
    """A folder that `limner.models` opens."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().contiguous() for name, tensor in tower.state_dict().items()}
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CARD).write_text(json.dumps(card, indent=1))


def rounded(shares: Sequence[float]) -> dict[str, float]:
    """By the times of TOLD_AT, for the log."""
    return {f"{time:g}": round(share, 4) for time, share in zip(TOLD_AT, shares)}
