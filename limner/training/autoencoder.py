"""The recipe of ``limner train autoencoder``: pictures ↔ latents an eighth of their side.

diffusers' ``AutoencoderKL`` (or ``VQModel``), trained as in "High-Resolution Image Synthesis with
Latent Diffusion Models" (Rombach et al. 2022, section 3.1 and appendix G): pixel, perceptual and
patch-adversarial losses, the last weighted adaptively, and a slight KL penalty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limner.data import CaptionedPictures
from limner.errors import BadInput
from limner.picture import Picture, grid
from limner.training._coders import (
    ClipFeatures,
    PatchDiscriminator,
    Perceptual,
    build_kl,
    build_vq,
)
from limner.training._data import Captioned, drawing, to_tensor
from limner.training._parts import open_autoencoder
from limner.training.loop import Plan, Progress, flush_denormals, open_run, train

__all__ = ["Autoencoder", "PatchDiscriminator", "autoencoder", "build_kl", "build_vq", "sharpness"]


def sharpness(drawn: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference of the pictures' gradients, which an L1 loss alone lets blur."""
    across = (drawn.diff(dim=-1) - real.diff(dim=-1)).abs().mean()
    return across + (drawn.diff(dim=-2) - real.diff(dim=-2)).abs().mean()


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
        model: ``AutoencoderKL`` or ``VQModel``.
        crop: pixels of the random crops that three steps in four learn from; the fourth takes
            whole pictures, so that borders and the statistics of a full picture are seen too.
        perceptual: features whose distance is added with ``perceptual_weight``.
        adversarial_from: the step at which the discriminator joins, or None for never.
    """

    def __init__(
        self,
        data: Captioned,
        model: Any,
        *,
        crop: int = 64,
        sharpness_weight: float = 1.0,
        kl_weight: float = 1e-6,
        perceptual: Perceptual | None = None,
        perceptual_weight: float = 0.1,
        adversarial_from: int | None = None,
        adversarial_weight: float = 0.1,
        seed: int = 0,
    ) -> None:
        self.data, self.model, self.crop, self.seed = data, model, crop, seed
        self.sharpness_weight, self.kl_weight = sharpness_weight, kl_weight
        self.perceptual, self.perceptual_weight = perceptual, perceptual_weight
        self.adversarial_from, self.adversarial_weight = adversarial_from, adversarial_weight
        self.quantised = (
            type(model).__name__ == "VQModel"
        )  # by name: the class takes long to import
        self.judge = PatchDiscriminator() if adversarial_from is not None else None
        judges: dict[str, nn.Module] = {"discriminator": self.judge} if self.judge else {}
        self.players: Mapping[str, nn.Module] = {"autoencoder": model, **judges}
        model.to(memory_format=torch.channels_last)

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

    def _reconstruct(self, real: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures drawn again, and the loss of the bottleneck (KL, or commitment to a code)."""
        if self.quantised:
            latent = self.model.encode(real).latents
            decoded = self.model.decode(latent)
            return decoded.sample, decoded.commit_loss.mean()
        posterior = self.model.encode(real).latent_dist
        drawn = self.model.decode(posterior.sample()).sample
        return drawn, self.kl_weight * posterior.kl().mean()

    def learn(
        self, player: str, batch: Tensor, step: int, backward: Callable[[Tensor], None]
    ) -> dict[str, Tensor]:
        if player == "discriminator" and not self._adversarial(step):
            return {}
        device = next(self.model.parameters()).device
        real = batch.to(device).float().contiguous(memory_format=torch.channels_last) / 127.5 - 1
        if player == "discriminator":
            return self._discriminate(real, backward)
        drawn, bottleneck = self._reconstruct(real)
        pixel = (drawn - real).abs().mean()
        loss = pixel + self.sharpness_weight * sharpness(drawn, real)
        logged = {"pixel": pixel, "psnr": 10 * torch.log10(4 / F.mse_loss(drawn, real))}
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
        last = self.model.decoder.conv_out.weight
        of_loss = torch.autograd.grad(loss, last, retain_graph=True)[0].norm()
        of_fooling = torch.autograd.grad(fooling, last, retain_graph=True)[0].norm()
        ratio = of_loss / (of_fooling + 1e-6)
        return self.adversarial_weight * ratio.clamp(0, 1e4).detach()

    def _discriminate(self, real: Tensor, backward: Callable[[Tensor], None]) -> dict[str, Tensor]:
        """Hinge loss (Lim and Ye 2017)."""
        assert self.judge is not None  # or it would be no player
        with torch.no_grad():
            drawn, _ = self._reconstruct(real)
        loss = (F.relu(1 - self.judge(real)).mean() + F.relu(1 + self.judge(drawn)).mean()) / 2
        backward(loss)
        return {"telling": loss}

    def _samples(self, count: int) -> Tensor:
        """Pictures that no step has seen, (count, 3, h, w) in [-1, 1]."""
        pictures = to_tensor(self.data.unseen(count)[0])
        return pictures.to(next(self.model.parameters()).device).float() / 127.5 - 1

    def preview(self, step: int, folder: Path) -> None:
        real = self._samples(12)
        drawn, _ = self._reconstruct(real)
        pairs = torch.stack([real, drawn], 1).flatten(0, 1) / 2 + 0.5
        grid([Picture(p) for p in pairs.clamp(0, 1).cpu()], columns=8).save(
            folder / f"step-{step:06d}.png"
        )

    def export(self, folder: Path) -> None:
        """Save in diffusers' form, with the scaling factor that gives latents unit variance."""
        if not self.quantised:
            latent = self.model.encode(self._samples(64)).latent_dist.mean
            self.model.register_to_config(scaling_factor=round(1 / latent.std().item(), 5))
        self.model.save_pretrained(folder)


def autoencoder(
    data: CaptionedPictures,
    run: Path,
    plan: Plan,
    *,
    kind: str = "kl",
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
        kind: kl (AutoencoderKL) or vq (VQModel).
        latent_channels: numbers for each 8x8 pixels (kl).
        crop: side in pixels of the crops that most steps learn from, a multiple of 8.
        sharpness_weight: weight of the difference of the gradients.
        clip: CLIP folder, or embedded, whose features make the perceptual loss; else there is none.
        perceptual_weight: its weight.
        adversarial_from: the step at which the discriminator joins; without it there is none.
        adversarial_weight: its weight, before the adaptive factor.
        start: AutoencoderKL or Stable Diffusion folder to go on from (kl), or embedded.
        encoder_learns: train the encoder, too; else the latents stay as they are, and with them
            whatever was trained on them.
        resume: go on from the last checkpoint in the run's folder.
    """
    flush_denormals()
    if kind not in ("kl", "vq"):
        raise BadInput(f"kind {kind!r}: give kl or vq")
    if data.size % 8:
        raise BadInput(f"pictures of {data.size} pixels: bring them to a multiple of 8")
    if crop % 8 or not 16 <= crop <= data.size:
        raise BadInput(f"crop {crop}: give a multiple of 8 from 16 to {data.size}, their side")
    if latent_channels < 1:
        raise BadInput(f"latent_channels {latent_channels}: give at least 1")
    if start and kind != "kl":
        raise BadInput(f"start {start!r} with kind {kind}: only kl can go on from a folder")
    begun = open_autoencoder(start) if start else None
    perceptual = ClipFeatures(clip) if clip else None
    open_run(run, resume)
    torch.manual_seed(plan.seed)
    new = build_vq() if kind == "vq" else build_kl(latent_channels=latent_channels)
    model = begun or new
    if not encoder_learns:
        for part in (model.encoder, model.quant_conv):
            part.requires_grad_(False)
    recipe = Autoencoder(
        Captioned(data, plan.seed),
        model,
        crop=crop,
        sharpness_weight=sharpness_weight,
        perceptual=perceptual,
        perceptual_weight=perceptual_weight,
        adversarial_from=adversarial_from,
        adversarial_weight=adversarial_weight,
        seed=plan.seed,
    )
    yield from train(recipe, plan, run, resume=resume)
