"""The recipe of ``limner train autoencoder``: pictures ↔ latents an eighth of their side.

diffusers' ``AutoencoderKL``, trained as in "High-Resolution Image Synthesis with Latent Diffusion
Models" (Rombach et al. 2022, section 3.1 and appendix G): pixel, perceptual and patch-adversarial
losses, the last weighted adaptively, and a slight KL penalty. The recipe is shared with
``limner train vqgan``, whose bottleneck is another.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limner.data import CaptionedPictures
from limner.errors import BadInput
from limner.picture import Picture, grid
from limner.training._coders import ClipFeatures, PatchDiscriminator, Perceptual, build_kl
from limner.training._data import Captioned, drawing, to_tensor
from limner.training._parts import open_autoencoder
from limner.training.loop import Plan, Progress, flush_denormals, open_run, train

__all__ = ["Autoencoder", "Coder", "KlCoder", "autoencoder", "check_pictures", "sharpness"]


class Coder(Protocol):
    """Pictures drawn again through a bottleneck."""

    model: Any
    """diffusers' network, with its ``encoder`` and ``decoder``."""
    player: nn.Module
    """All that is trained, and whatever a checkpoint has to hold beside it."""

    def draw(self, real: Tensor, *, learning: bool) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Pictures (b, 3, h, w) in [-1, 1] → drawn again, the bottleneck's loss, and scalars to be
        logged. ``learning``: this step is one of its own, of which a codebook takes note."""
        ...

    def measure(self, samples: Tensor) -> dict[str, float]:
        """What a preview tells beside the decibels."""
        ...

    def export(self, folder: Path, samples: Tensor) -> None:
        """Save in diffusers' form."""
        ...


class KlCoder:
    """An ``AutoencoderKL``; the loss is the divergence of its posterior from N(0, 1), weighted."""

    def __init__(self, model: Any, weight: float = 1e-6) -> None:
        self.model = self.player = model
        self.weight = weight

    def draw(self, real: Tensor, *, learning: bool) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        posterior = self.model.encode(real).latent_dist
        drawn = self.model.decode(posterior.sample()).sample
        return drawn, self.weight * posterior.kl().mean(), {}

    def measure(self, samples: Tensor) -> dict[str, float]:
        return {}

    def export(self, folder: Path, samples: Tensor) -> None:
        """With the scaling factor that gives latents unit variance."""
        latent = self.model.encode(samples).latent_dist.mean
        self.model.register_to_config(scaling_factor=round(1 / latent.std().item(), 5))
        self.model.save_pretrained(folder)


def sharpness(drawn: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference of the pictures' gradients, which an L1 loss alone lets blur."""
    across = (drawn.diff(dim=-1) - real.diff(dim=-1)).abs().mean()
    return across + (drawn.diff(dim=-2) - real.diff(dim=-2)).abs().mean()


def decibels(drawn: Tensor, real: Tensor) -> Tensor:
    """PSNR of pictures in [-1, 1]."""
    return 10 * torch.log10(4 / F.mse_loss(drawn, real))


def _distance(perceptual: Perceptual, drawn: Tensor, real: Tensor) -> Tensor:
    """Of two batches in [0, 1], summed over layers (Zhang et al. 2018, eq. 1, without weights)."""
    with torch.no_grad():
        wanted = perceptual.features(real)
    pairs = zip(perceptual.features(drawn), wanted, strict=True)
    return torch.stack([(a - b).square().sum(-1).mean() for a, b in pairs]).sum()


class Autoencoder:
    """Recipe.

    Args:
        data: captioned pictures; the captions are not used.
        coder: the network and its bottleneck.
        crop: pixels of the random crops that three steps in four learn from; the fourth takes
            whole pictures, so that borders and the statistics of a full picture are seen too.
        perceptual: features whose distance is added with ``perceptual_weight``.
        adversarial_from: the step at which the discriminator joins, or None for never.
    """

    def __init__(
        self,
        data: Captioned,
        coder: Coder,
        *,
        crop: int = 64,
        sharpness_weight: float = 1.0,
        perceptual: Perceptual | None = None,
        perceptual_weight: float = 0.1,
        adversarial_from: int | None = None,
        adversarial_weight: float = 0.1,
        seed: int = 0,
    ) -> None:
        self.data, self.coder, self.crop, self.seed = data, coder, crop, seed
        self.sharpness_weight = sharpness_weight
        self.perceptual, self.perceptual_weight = perceptual, perceptual_weight
        self.adversarial_from, self.adversarial_weight = adversarial_from, adversarial_weight
        self.judge = PatchDiscriminator() if adversarial_from is not None else None
        judges: dict[str, nn.Module] = {"discriminator": self.judge} if self.judge else {}
        self.players: Mapping[str, nn.Module] = {"autoencoder": coder.player, **judges}
        coder.model.to(memory_format=torch.channels_last)

    def batch(self, step: int, size: int, rank: int, ranks: int) -> Tensor:
        """uint8 (b, 3, h, w): ``size`` crops, or as many whole pictures as have their pixels."""
        if step % 4 == 3:
            share = max(1, size * self.crop**2 // self.data.size**2)
            return to_tensor(self.data.step(step, share, rank, ranks)[0])
        share = -(-size // 2)  # two crops of each picture: drawing costs too
        pictures, _ = self.data.step(step, share, rank, ranks)
        rng = drawing(self.seed, step, 0, "crop")  # of all processes, of which this has its rows
        corners = rng.integers(0, self.data.size - self.crop + 1, (ranks, size, 2))[rank]
        crops = [
            pictures[row // 2, y : y + self.crop, x : x + self.crop]
            for row, (y, x) in enumerate(corners.tolist())
        ]
        return to_tensor(np.stack(crops))

    def learn(
        self, player: str, batch: Tensor, step: int, backward: Callable[[Tensor], None]
    ) -> dict[str, Tensor]:
        if player == "discriminator" and not self._adversarial(step):
            return {}
        real = batch.to(self._device()).float() / 127.5 - 1
        real = real.contiguous(memory_format=torch.channels_last)
        if player == "discriminator":
            return self._discriminate(real, backward)
        drawn, bottleneck, told = self.coder.draw(real, learning=True)
        pixel = (drawn - real).abs().mean()
        loss = pixel + self.sharpness_weight * sharpness(drawn, real)
        logged = {"pixel": pixel, "psnr": decibels(drawn, real), **told}
        if self.perceptual is not None:
            logged["perceptual"] = _distance(self.perceptual, drawn / 2 + 0.5, real / 2 + 0.5)
            loss = loss + self.perceptual_weight * logged["perceptual"]
        if self.judge and self._adversarial(step):
            logged["fooling"] = -self.judge(drawn).mean()
            loss = loss + self._adaptive(loss, logged["fooling"]) * logged["fooling"]
        backward(loss + bottleneck)
        return logged

    def _adversarial(self, step: int) -> bool:
        return self.adversarial_from is not None and step >= self.adversarial_from

    def _adaptive(self, loss: Tensor, fooling: Tensor) -> Tensor:
        """λ = ‖∇L‖ / (‖∇G‖ + δ) at the decoder's last layer, at most 10⁴, times the weight of G.

        Esser et al. 2021, eq. 7, and δ = 10⁻⁶ from there.
        """
        last = self.coder.model.decoder.conv_out.weight
        of_loss = torch.autograd.grad(loss, last, retain_graph=True)[0].norm()
        of_fooling = torch.autograd.grad(fooling, last, retain_graph=True)[0].norm()
        ratio = of_loss / (of_fooling + 1e-6)
        return self.adversarial_weight * ratio.clamp(0, 1e4).detach()

    def _discriminate(self, real: Tensor, backward: Callable[[Tensor], None]) -> dict[str, Tensor]:
        """Hinge loss (Lim and Ye 2017)."""
        assert self.judge is not None  # or it would be no player
        with torch.no_grad():
            drawn, _, _ = self.coder.draw(real, learning=False)
        loss = (F.relu(1 - self.judge(real)).mean() + F.relu(1 + self.judge(drawn)).mean()) / 2
        backward(loss)
        return {"telling": loss}

    def _device(self) -> torch.device:
        return next(self.coder.model.parameters()).device

    def _samples(self, count: int) -> Tensor:
        """Pictures that no step has seen, (count, 3, h, w) in [-1, 1]."""
        pictures = to_tensor(self.data.unseen(count)[0])
        return pictures.to(self._device()).float() / 127.5 - 1

    def preview(self, step: int, folder: Path) -> None:
        """Sixteen unseen pictures, originals above what was drawn, and of four times as many the
        decibels and what the coder tells, in one line of JSON beside them."""
        real = self._samples(64)
        drawn = torch.cat([self.coder.draw(p, learning=False)[0] for p in real.split(16)])
        rows = torch.stack([real[:16].unflatten(0, (2, 8)), drawn[:16].unflatten(0, (2, 8))], 1)
        shown = rows.flatten(0, 2) / 2 + 0.5
        name = folder / f"step-{step:06d}.png"
        grid([Picture(p) for p in shown.clamp(0, 1).cpu()], columns=8).save(name)
        each = [decibels(a.clamp(-1, 1), b).item() for a, b in zip(drawn, real, strict=True)]
        told = {"step": step, "psnr": sum(each) / len(each), **self.coder.measure(real)}
        name.with_suffix(".json").write_text(json.dumps(told) + "\n")

    def export(self, folder: Path) -> None:
        self.coder.export(folder, self._samples(64))


def check_pictures(size: int, crop: int) -> None:
    """Whether pictures of a side and crops of theirs halve three times; else BadInput."""
    if size % 8:
        raise BadInput(f"pictures of {size} pixels: bring them to a multiple of 8")
    if crop % 8 or not 16 <= crop <= size:
        raise BadInput(f"crop {crop}: give a multiple of 8 from 16 to {size}, their side")


def autoencoder(
    data: CaptionedPictures,
    run: Path,
    plan: Plan,
    *,
    latent_channels: int = 8,
    crop: int = 64,
    sharpness_weight: float = 0.5,
    clip: str | None = None,
    perceptual_weight: float = 0.1,
    adversarial_from: int | None = None,
    adversarial_weight: float = 0.1,
    start: str | None = None,
    encoder_learns: bool = True,
    resume: bool = False,
) -> Iterator[Progress]:
    """Train an autoencoder on pictures; ``run/model`` is a diffusers folder.

    Args:
        latent_channels: numbers for each 8x8 pixels.
        crop: side in pixels of the crops that most steps learn from, a multiple of 8.
        sharpness_weight: weight of the difference of the gradients.
        clip: CLIP folder, or embedded, whose features make the perceptual loss; else there is none.
        perceptual_weight: its weight.
        adversarial_from: the step at which the discriminator joins; without it there is none.
        adversarial_weight: its weight, before the adaptive factor.
        start: AutoencoderKL or Stable Diffusion folder to go on from, or embedded.
        encoder_learns: train the encoder, too; else the latents stay as they are, and with them
            whatever was trained on them.
        resume: go on from the last checkpoint in the run's folder.
    """
    flush_denormals()
    check_pictures(data.size, crop)
    if latent_channels < 1:
        raise BadInput(f"latent_channels {latent_channels}: give at least 1")
    begun = open_autoencoder(start) if start else None
    perceptual = ClipFeatures(clip) if clip else None
    open_run(run, resume)
    torch.manual_seed(plan.seed)
    model = begun or build_kl(latent_channels=latent_channels)
    if not encoder_learns:
        for part in (model.encoder, model.quant_conv):
            part.requires_grad_(False)
    recipe = Autoencoder(
        Captioned(data, plan.seed),
        KlCoder(model),
        crop=crop,
        sharpness_weight=sharpness_weight,
        perceptual=perceptual,
        perceptual_weight=perceptual_weight,
        adversarial_from=adversarial_from,
        adversarial_weight=adversarial_weight,
        seed=plan.seed,
    )
    yield from train(recipe, plan, run, resume=resume)
