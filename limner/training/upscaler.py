"""The recipe of ``limner train upscaler``: small pictures into twice as large ones.

SR3 (Saharia et al. 2021) of what the enlarged picture lacks, see ``limner.models.upscaler``: crops
of a picture at its size and at half of it, made small by half; noise of a random amount, which the
network is told, on what it is shown (Ho et al. 2021, "Cascaded Diffusion Models", section 4.2), so
that it can go on from what it made itself. v-prediction with zero terminal SNR: what is said of
pure noise is the mean.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limner.data import CaptionedPictures
from limner.errors import BadInput
from limner.models.upscaler import (
    MOST_AUGMENT,
    RECIPE,
    Upscaler,
    built,
    doubled,
    halved,
    open_upscaler,
)
from limner.noise import Noise
from limner.picture import Picture, grid, psnr
from limner.tasks._upscaled import Doubling
from limner.training._crops import Crops
from limner.training._data import Captioned, drawing, to_tensor
from limner.training._noised import write
from limner.training._noising import Noising
from limner.training._pool import pooled
from limner.training.loop import Plan, Progress, flush_denormals, open_run, train

__all__ = ["UpscalerRecipe", "upscaler"]

_CLEAN = 0.5  # the share of small pictures without noise on them
_OF_NOISE = 0.25  # the share of levels that are pure noise: there the mean is learned
_MEASURED = 256  # crops of which the spread of what they lack is taken, and the gain
_SHOWN = 6


class UpscalerRecipe:
    """Recipe.

    Args:
        data: crops of an even side.
        shape: of the network, see ``built``.
        begun: an upscaler of that shape to go on from.
    """

    def __init__(
        self,
        data: Captioned,
        shape: Mapping[str, Any],
        *,
        begun: Upscaler | None = None,
        seed: int = 0,
    ) -> None:
        self.data, self.shape, self.seed = data, dict(shape), seed
        network = built(shape)
        if begun:
            network.load_state_dict(begun.network.state_dict())
        self.model = Upscaler(RECIPE, network, begun.spread if begun else _spread(data))
        self.noising = Noising("v_prediction", self.model.alpha_bars)
        self.players: Mapping[str, nn.Module] = {RECIPE: network}

    def batch(self, step: int, size: int, rank: int, ranks: int) -> dict[str, Tensor]:
        """Crops uint8 (b, 3, 2h, 2w), turned and mirrored; noise, timesteps and augmentation."""
        crops = to_tensor(self.data.step(step, size, rank, ranks)[0])
        rng = drawing(self.seed, step, 0, RECIPE)  # of all processes; this one has its rows
        total, own = size * ranks, slice(rank * size, (rank + 1) * size)
        half = self.data.size // 2
        noise = rng.standard_normal((total, 15, half, half), np.float32)[own]
        timesteps = self.noising.timesteps(total, rng)
        timesteps[rng.random(total) < _OF_NOISE] = len(self.model.alpha_bars) - 1
        augment = MOST_AUGMENT * rng.random(total) * (rng.random(total) >= _CLEAN)
        ways = rng.integers(0, 8, total)[own].tolist()
        return {
            "large": torch.stack([_turned(*each) for each in zip(crops, ways)]),
            "noise": torch.from_numpy(noise),
            "timesteps": timesteps[own],
            "augment": torch.from_numpy(augment[own].astype(np.float32)),
        }

    def learn(
        self,
        player: str,
        batch: dict[str, Tensor],
        step: int,
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor]:
        device = next(self.model.network.parameters()).device
        large, noise = batch["large"].to(device).float() / 255, batch["noise"].to(device)
        augment = batch["augment"].to(device)
        small = halved(large) + augment.view(-1, 1, 1, 1) * noise[:, 12:]
        lacking = self.model.cells(large, small)
        x, target = self.noising.noisy(lacking, noise[:, :12], batch["timesteps"])
        shown, timesteps = torch.cat([x, small * 2 - 1], 1), batch["timesteps"].to(device)
        said = self.model.ask(shown, timesteps, augment / MOST_AUGMENT)
        loss = F.mse_loss(said.float(), target)
        backward(loss)
        return {"loss": loss.detach()}

    def _doubled(self, large: Tensor, *, steps: int = 1, detail: float = 0.0) -> Tensor:
        """Crops made small and painted again, as `limner upscale` does."""
        device = next(self.model.network.parameters()).device
        here = Upscaler(RECIPE, self.model.network, self.model.spread, device=device)
        small = halved(large).to(device)
        noise = Noise(self.seed, range(len(large)))
        *_, last = Doubling(here, small, steps=steps, detail=detail).states(noise)
        return last().cpu()

    def _unseen(self, count: int) -> Tensor:
        """Crops that no step has seen, (count, 3, h, w) in [0, 1]."""
        return to_tensor(self.data.unseen(count)[0]).float() / 255

    def gain(self) -> dict[str, float]:
        """Decibels of unseen crops, enlarged and painted: of the mean, and of a sample."""
        large = self._unseen(min(_MEASURED, self.data.kept))
        ways = {
            "bicubic": doubled(halved(large)).clamp(0, 1),
            "mean": self._doubled(large),
            "sample": self._doubled(large, steps=4, detail=1.0),
        }
        return {name: round(psnr(pixels, large), 3) for name, pixels in ways.items()}

    def preview(self, step: int, folder: Path) -> None:
        """Unseen crops: small, enlarged, the mean, a sample, the truth; and `gain` beside them."""
        large = self._unseen(_SHOWN)
        ways = {
            "small": F.interpolate(halved(large), scale_factor=2.0),
            "bicubic": doubled(halved(large)).clamp(0, 1),
            "mean": self._doubled(large),
            "sample": self._doubled(large, steps=4, detail=1.0),
            "truth": large,
        }
        cells = [Picture(pixels) for row in ways.values() for pixels in row]
        labels = [name for name in ways for _ in range(_SHOWN)]
        name = folder / f"step-{step:06d}.png"
        grid(cells, columns=_SHOWN, labels=labels).save(name)
        name.with_suffix(".json").write_text(json.dumps({"step": step, **self.gain()}) + "\n")

    def export(self, folder: Path) -> None:
        """A folder that ``limner.models.upscaler.open_upscaler`` opens."""
        card = {"recipe": RECIPE, "network": self.shape, "spread": self.model.spread}
        write(folder, self.model.network, card | {"psnr": self.gain()})


def _spread(data: Captioned) -> float:
    """The standard deviation of what crops lack when they are made small and enlarged again."""
    count = min(_MEASURED, data.trained)
    large = to_tensor(data.step(0, count, 0, 1)[0]).float() / 255
    lacking = large - doubled(halved(large))
    return max(1e-3, round(float(lacking.square().mean().sqrt()), 4))


def _turned(crop: Tensor, way: int) -> Tensor:
    """One of the eight symmetries of a square, of (c, s, s)."""
    crop = crop.flip(-1) if way & 1 else crop
    crop = crop.flip(-2) if way & 2 else crop
    return crop.transpose(-1, -2) if way & 4 else crop


def upscaler(
    data: CaptionedPictures,
    run: Path,
    plan: Plan,
    *,
    crop: int = 64,
    crops: int = 20_000,
    width: int = 40,
    start: str | None = None,
    resume: bool = False,
    watch: Callable[[int, int], None] | None = None,
) -> Iterator[Progress]:
    """Train an upscaler on pictures that are sharp at their full size; `run/model` is its folder.

    Args:
        crop: side in pixels of what is learned from, a multiple of 8.
        crops: how many are cut out beforehand and learned from in turn.
        width: of the network's first blocks; later ones' follow. With a start its own.
        start: folder of an upscaler to go on from, or embedded.
        resume: go on from the last checkpoint in the run's folder.
    """
    flush_denormals()
    if crop % 8 or not 16 <= crop <= data.size:
        raise BadInput(f"crop {crop}: give a multiple of 8 from 16 to {data.size}, their side")
    if crops < 2 or not 4 <= width <= 512:
        raise BadInput(f"crops {crops}, width {width}: give at least 2, and from 4 to 512")
    begun = open_upscaler(start) if start else None
    open_run(run, resume)
    pool = pooled(Crops(data, crop, plan.seed), run / "crops", crops, watch)
    torch.manual_seed(plan.seed)
    shape = {"widths": [width, width * 7 // 5, 2 * width], "depth": 2, "heard": 64}
    shape = begun.shape if begun else shape
    recipe = UpscalerRecipe(Captioned(pool, plan.seed), shape, begun=begun, seed=plan.seed)
    yield from train(recipe, plan, run, resume=resume)
