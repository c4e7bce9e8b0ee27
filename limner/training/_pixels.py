"""What the recipes on pixels share: small pictures without words, diffusers' UNet2DModel.

What a step learns by is the objective's: see ``iddpm.py`` and ``score_sde.py``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from limner.data import CaptionedPictures
from limner.errors import BadInput
from limner.models.pixels import Card, Pixels, tables
from limner.noise import Noise
from limner.picture import Picture, grid
from limner.samplers.dpmpp_2m import dpmpp_2m
from limner.tasks._drawing import painter_of
from limner.training._data import Captioned, drawing, to_tensor
from limner.training._quiet import quiet
from limner.training.loop import Plan, Progress, flush_denormals, open_run, train

__all__ = ["Objective", "OnPixels", "build_unet", "check_unet", "on_pixels"]

SHOWN, STEPS = 16, 25  # pictures of a preview, and the sampler's steps
_NARROWEST = 8  # groups of each norm, which every width is a multiple of


class Objective(Protocol):
    """What is asked of the network. Timesteps are told as in the card's table, of 1000."""

    card: Card

    def timesteps(self, count: int, rng: np.random.Generator) -> Tensor:
        """(count,) float64."""

    def alpha_bar(self, timesteps: Tensor) -> Tensor:
        """ᾱ (b,) float64 at timesteps (b,)."""

    def losses(self, x0: Tensor, n: Tensor, timesteps: Tensor, said: Tensor) -> dict[str, Tensor]:
        """Scalars, of which the first is the loss: x0 and the noise n (b, c, h, w), and what the
        network said of √ᾱ·x0 + √(1−ᾱ)·n (b, c or 2·c, h, w)."""


class OnPixels:
    """Recipe.

    Args:
        data: pictures; captions are not read. grey: one channel of them.
    """

    def __init__(
        self, data: Captioned, unet: Any, objective: Objective, *, grey: bool, seed: int = 0
    ) -> None:
        self.data, self.unet, self.objective, self.seed = data, unet, objective, seed
        self.players: Mapping[str, nn.Module] = {"denoiser": unet}
        card = objective.card
        self.model = Pixels("in training", unet, card, tables(card), 1 if grey else 3, data.size)

    def batch(self, step: int, size: int, rank: int, ranks: int) -> dict[str, Tensor]:
        """Pictures in [−1, 1], their noise and timesteps of one step."""
        drawn, _ = self.data.step(step, size, rank, ranks)
        rng = drawing(self.seed, step, 0, "pixels")  # of all processes; this one has its rows
        total, own = size * ranks, slice(rank * size, (rank + 1) * size)
        x0 = self.model.encode(to_tensor(drawn).float() / 255)
        noise = rng.standard_normal((total, *x0.shape[1:]), np.float32)[own]
        timesteps = self.objective.timesteps(total, rng)[own]
        return {"x0": x0, "noise": torch.from_numpy(noise), "timesteps": timesteps}

    def learn(
        self,
        player: str,
        batch: dict[str, Tensor],
        step: int,
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor]:
        device = next(self.unet.parameters()).device
        x0, n = batch["x0"].to(device), batch["noise"].to(device)
        timesteps = batch["timesteps"]
        kept = self.objective.alpha_bar(timesteps)
        alpha, sigma = (v.to(x0).view(-1, 1, 1, 1) for v in (kept.sqrt(), (1 - kept).sqrt()))
        said = self.unet(alpha * x0 + sigma * n, timesteps.to(device, torch.float32)).sample
        losses = self.objective.losses(x0, n, timesteps, said.float())
        backward(next(iter(losses.values())))
        return {name: value.detach() for name, value in losses.items()}

    def preview(self, step: int, folder: Path) -> None:
        device = next(self.unet.parameters()).device
        noise, levels = Noise(self.seed, range(SHOWN)), self.model.levels(STEPS)
        denoiser = painter_of(replace(self.model, device=device), noise)
        shape = (self.model.channels, self.model.size, self.model.size)
        x = noise.normal(shape).to(device) * math.hypot(*levels[0])
        for state in dpmpp_2m(denoiser, x, levels, noise=noise):
            x = state.x
        shown = [Picture(pixels) for pixels in self.model.decode(x).cpu()]
        grid(shown).save(folder / f"step-{step:06d}.png")

    def export(self, folder: Path) -> None:
        """A folder that diffusers' UNet2DModel opens, with limner's card in it."""
        with quiet():
            self.unet.save_pretrained(folder)
        (folder / "limner.json").write_text(json.dumps(asdict(self.objective.card), indent=1))


def build_unet(
    side: int, channels: int, said: int, width: int, layers: int, *, told: bool = False
) -> Any:
    """Convolutions at three sizes, attention at the lower two, after Nichol & Dhariwal 2021.

    said: channels of what it says
    told: it is told 4·width numbers beside the time, as class_labels, which are added to the
          time's: so they scale and shift every norm (AdaGN, Dhariwal & Nichol 2021, section 3)
    """
    from diffusers.models.unets.unet_2d import UNet2DModel

    return UNet2DModel(
        sample_size=side,
        in_channels=channels,
        out_channels=said,
        layers_per_block=layers,
        block_out_channels=(width, 2 * width, 2 * width),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=2 * width // 4,
        norm_num_groups=_NARROWEST,
        resnet_time_scale_shift="scale_shift",
        class_embed_type="identity" if told else None,
    )


def check_unet(width: int, layers: int, side: int) -> None:
    """BadInput for what `build_unet` cannot build."""
    if width % _NARROWEST or not _NARROWEST <= width <= 1024:
        raise BadInput(f"width {width}: give a multiple of {_NARROWEST} up to 1024")
    if not 1 <= layers <= 8:
        raise BadInput(f"layers {layers}: give 1 to 8")
    if side % 4:
        raise BadInput(f"pixels {side}: give a multiple of 4, such as 32")


def on_pixels(
    data: CaptionedPictures,
    run: Path,
    plan: Plan,
    objective: Objective,
    *,
    width: int,
    layers: int,
    grey: bool,
    resume: bool,
) -> Iterator[Progress]:
    """Trains a U-Net for an objective; the other arguments as in ``iddpm``."""
    flush_denormals()
    check_unet(width, layers, data.size)
    open_run(run, resume)
    torch.manual_seed(plan.seed)
    channels = 1 if grey else 3
    said = channels * (2 if objective.card.learned else 1)
    unet = build_unet(data.size, channels, said, width, layers)
    recipe = OnPixels(Captioned(data, plan.seed), unet, objective, grey=grey, seed=plan.seed)
    yield from train(recipe, plan, run, resume=resume)
