"""The recipe of ``limner train autoencoder``: pictures ↔ latents an eighth of their side.

diffusers' ``AutoencoderKL`` (or ``VQModel``), trained as in "High-Resolution Image Synthesis with
Latent Diffusion Models" (Rombach et al. 2022, section 3.1 and appendix G): pixel, perceptual and
patch-adversarial losses, the last weighted adaptively, and a slight KL penalty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limner.data import CaptionedPictures
from limner.errors import BadInput
from limner.picture import Picture, grid
from limner.training._data import Captioned, drawing, to_tensor
from limner.training.loop import Plan, Progress, flush_denormals, train

__all__ = ["Autoencoder", "PatchDiscriminator", "autoencoder", "build_kl", "build_vq", "sharpness"]


class Perceptual(Protocol):
    """Features of pictures in [0, 1] whose distance is what the eye sees."""

    def features(self, pictures: Tensor) -> list[Tensor]: ...


class ClipFeatures:
    """Token states of every layer of limner's own CLIP, each normalised to length 1.

    As LPIPS (Zhang et al. 2018) does with features of a classifier: distances of normalised
    activations. Pictures of any size are brought to the tower's.
    """

    def __init__(self, folder: Path) -> None:
        from limner.models.clip import open_clip

        self.clip = open_clip(folder)

    def features(self, pictures: Tensor) -> list[Tensor]:
        """(b, 3, h, w) in [0, 1] → for each layer (b, n, d)."""
        states = self.clip.hidden_states(pictures)
        return [F.normalize(state, dim=-1) for state in states]


def build_kl(widths: tuple[int, ...] = (16, 32, 64, 128), latent_channels: int = 8) -> nn.Module:
    """A small ``AutoencoderKL``: f8 with four widths, no attention so that any size works alike."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    model = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=4,
        mid_block_add_attention=False,
        sample_size=128,
    )
    _let_through(model, latent_channels)
    return model


def _let_through(model: nn.Module, latent_channels: int) -> None:
    """Start from weights through which the picture already shows.

    Convolutions on the main path begin as the identity plus noise, residual branches as zero (Zhang
    et al. 2019, Fixup): 60 steps bring 17 dB where PyTorch's defaults bring 13. The posterior starts
    quiet (σ = 0.05), or its noise would hide the picture for long.
    """
    for name, module in model.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        nn.init.zeros_(module.bias)
        if name.endswith("conv2"):
            nn.init.zeros_(module.weight)
            continue
        nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
        if not name.endswith("conv1"):
            identity = nn.init.dirac_(torch.empty_like(module.weight))
            with torch.no_grad():
                module.weight.mul_(0.7).add_(identity)
    with torch.no_grad():
        model.quant_conv.weight[latent_channels:] = 0
        model.quant_conv.bias[latent_channels:] = -6


def build_vq(widths: tuple[int, ...] = (16, 32, 64, 128), codes: int = 1024) -> nn.Module:
    """A small ``VQModel`` with a codebook of ``codes`` vectors of 8 numbers."""
    from diffusers.models.autoencoders.vq_model import VQModel

    return VQModel(
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=8,
        norm_num_groups=4,
        num_vq_embeddings=codes,
        mid_block_add_attention=False,
        sample_size=128,
    )


class PatchDiscriminator(nn.Sequential):
    """Says of each 70-pixel patch whether it is a photograph (Isola et al. 2017, appendix 6.1.2).

    Pictures (b, 3, h, w) in [-1, 1] → logits (b, 1, h/8, w/8), high for real.
    """

    def __init__(self, width: int = 32) -> None:
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for level in range(2):
            inside, outside = width * 2**level, width * 2 ** (level + 1)
            layers += [
                nn.Conv2d(inside, outside, 4, 2, 1),
                nn.GroupNorm(8, outside),
                nn.LeakyReLU(0.2),
            ]
        super().__init__(*layers, nn.Conv2d(4 * width, 1, 3, 1, 1))


def sharpness(drawn: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference of the pictures' gradients, which an L1 loss alone lets blur."""
    across = (drawn.diff(dim=-1) - real.diff(dim=-1)).abs().mean()
    return across + (drawn.diff(dim=-2) - real.diff(dim=-2)).abs().mean()


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
        model: nn.Module,
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
        self.players: dict[str, nn.Module] = {"autoencoder": model}
        if adversarial_from is not None:
            self.players["discriminator"] = PatchDiscriminator()
        model.to(memory_format=torch.channels_last)

    def batch(self, step: int, size: int, rank: int, ranks: int) -> Tensor:
        """uint8 (b, 3, h, w): ``size`` crops, or as many whole pictures as have their pixels."""
        if step % 4 == 3:
            share = max(1, size * self.crop**2 // self.data.size**2)
            return to_tensor(self.data.step(step, share, rank, ranks)[0])
        share = max(1, size // 2)  # two crops of each picture: drawing costs too
        pictures, _ = self.data.step(step, share, rank, ranks)
        rng = drawing(self.seed, step, rank, "crop")
        corners = rng.integers(0, self.data.size - self.crop + 1, (2 * share, 2))
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
        device = next(self.model.parameters()).device
        real = batch.to(device).float().contiguous(memory_format=torch.channels_last) / 127.5 - 1
        if player == "discriminator":
            return self._discriminate(real, step, backward)
        drawn, bottleneck = self._reconstruct(real)
        pixel = (drawn - real).abs().mean()
        loss = pixel + self.sharpness_weight * sharpness(drawn, real)
        logged = {"pixel": pixel, "psnr": 10 * torch.log10(4 / F.mse_loss(drawn, real))}
        if self.perceptual is not None:
            pairs = zip(
                self.perceptual.features(drawn / 2 + 0.5),
                self.perceptual.features(real / 2 + 0.5),
                strict=True,
            )
            logged["perceptual"] = torch.stack([F.mse_loss(a, b) for a, b in pairs]).sum()
            loss = loss + self.perceptual_weight * logged["perceptual"]
        if self.adversarial_from is not None and step >= self.adversarial_from:
            logged["fooling"] = -self.players["discriminator"](drawn).mean()
            loss = loss + self._adaptive(loss, logged["fooling"]) * logged["fooling"]
        backward(loss + bottleneck)
        return logged

    def _adaptive(self, loss: Tensor, fooling: Tensor) -> Tensor:
        """λ = ‖∇L‖ / ‖∇G‖ at the decoder's last layer (Esser et al. 2021, eq. 7), at most 10⁴."""
        last = self.model.decoder.conv_out.weight
        of_loss = torch.autograd.grad(loss, last, retain_graph=True)[0].norm()
        of_fooling = torch.autograd.grad(fooling, last, retain_graph=True)[0].norm()
        ratio = of_loss / (of_fooling + 1e-4)
        return self.adversarial_weight * ratio.clamp(0, 1e4).detach()

    def _discriminate(
        self, real: Tensor, step: int, backward: Callable[[Tensor], None]
    ) -> dict[str, Tensor]:
        """Hinge loss (Lim and Ye 2017)."""
        judge = self.players["discriminator"]
        with torch.no_grad():
            drawn, _ = self._reconstruct(real)
        loss = (F.relu(1 - judge(real)).mean() + F.relu(1 + judge(drawn)).mean()) / 2
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
    resume: bool = False,
) -> Iterator[Progress]:
    """Train an autoencoder on pictures; ``run/model`` is a diffusers folder.

    Args:
        kind: kl (AutoencoderKL) or vq (VQModel).
        latent_channels: numbers for each 8x8 pixels (kl).
        crop: side in pixels of the crops that most steps learn from.
        sharpness_weight: weight of the difference of the gradients.
        clip: CLIP folder whose features make the perceptual loss; without it there is none.
        perceptual_weight: its weight.
        adversarial_from: the step at which the discriminator joins; without it there is none.
        adversarial_weight: its weight, before the adaptive factor.
    """
    flush_denormals()
    if kind not in ("kl", "vq"):
        raise BadInput(f"kind {kind!r}: give kl or vq")
    if not 16 <= crop <= data.size:
        raise BadInput(f"crop {crop}: give 16 to {data.size}, the side of the pictures")
    torch.manual_seed(plan.seed)
    model = build_kl(latent_channels=latent_channels) if kind == "kl" else build_vq()
    perceptual = ClipFeatures(Path(clip)) if clip else None
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
