"""The recipe of ``limner train diffusion-autoencoder``: what a picture shows, and the rest.

Preechakul et al. 2022, "Diffusion autoencoders": an encoder says z of a picture, and a diffusion of
pixels is told it; both learn by ε's squared error (eq. 9). Linear schedule, all timesteps alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from limner.data import CaptionedPictures
from limner.generators.diffusion_autoencoder import diffusion_autoencoder as generator_of
from limner.models.diffusion_autoencoder import CARD, ENCODER, RECIPE, DiffusionAutoencoder, table
from limner.nets.diffusion_autoencoder import Decoder, SemanticEncoder
from limner.noise import Noise
from limner.picture import Picture, grid
from limner.tasks._checks import check_whole
from limner.training._data import Captioned, drawing, to_tensor
from limner.training._pixels import build_unet, check_unet
from limner.training._quiet import quiet
from limner.training.loop import Plan, Progress, flush_denormals, open_run, train

__all__ = ["RecipeOfDiffusionAutoencoder", "diffusion_autoencoder"]

_SHOWN = 8  # pictures of a preview
_MEASURED, _AT_ONCE = 512, 64  # pictures of which z's mean and deviation are taken


class RecipeOfDiffusionAutoencoder:
    """Recipe.

    Args:
        data: pictures; captions are not read.
        encoder, decoder: what is trained.
        shape: of the encoder, as the card says it.
    """

    def __init__(
        self,
        data: Captioned,
        encoder: SemanticEncoder,
        decoder: Decoder,
        shape: Mapping[str, Any],
        *,
        seed: int = 0,
    ) -> None:
        self.data, self.shape, self.seed = data, dict(shape), seed
        both = nn.ModuleDict({"encoder": encoder, "decoder": decoder})
        self.players: Mapping[str, nn.Module] = {"autoencoder": both}
        self.table = table()
        self.model = DiffusionAutoencoder(
            RECIPE, encoder, decoder, shape["channels"], data.size, shape["code"]
        )

    def batch(self, step: int, size: int, rank: int, ranks: int) -> dict[str, Tensor]:
        """Pictures in [−1, 1], their noise and timesteps."""
        drawn, _ = self.data.step(step, size, rank, ranks)
        rng = drawing(self.seed, step, 0, RECIPE)  # of all processes; this one has its rows
        total, own = size * ranks, slice(rank * size, (rank + 1) * size)
        x0 = self.model.encode(to_tensor(drawn).float() / 255)
        noise = rng.standard_normal((total, *x0.shape[1:]), np.float32)[own]
        timesteps = torch.from_numpy(rng.integers(len(self.table), size=total))[own]
        return {"x0": x0, "noise": torch.from_numpy(noise), "timesteps": timesteps}

    def learn(
        self,
        player: str,
        batch: dict[str, Tensor],
        step: int,
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor]:
        device = self.model.encoder.mean.device
        x0, n = batch["x0"].to(device), batch["noise"].to(device)
        kept = self.table[batch["timesteps"]]
        alpha, sigma = (v.to(x0).view(-1, 1, 1, 1) for v in (kept.sqrt(), (1 - kept).sqrt()))
        timesteps = batch["timesteps"].to(device, torch.float32)
        said = self.model.decoder(alpha * x0 + sigma * n, timesteps, self.model.encoder(x0))
        loss = F.mse_loss(said.float(), n)
        backward(loss)
        return {"loss": loss.detach()}

    def _unseen(self, count: int) -> Tensor:
        """(count, 3, h, w) in [0, 1]."""
        return to_tensor(self.data.unseen(count)[0]).float() / 255

    def preview(self, step: int, folder: Path) -> None:
        """Unseen pictures; painted again; of what they show with other noise; between the first
        and each."""
        model = replace(self.model, device=self.model.encoder.mean.device)
        generator, pictures = generator_of(model), self._unseen(_SHOWN)
        *_, latent = generator.inverting(pictures)
        noise = Noise(self.seed, range(_SHOWN)).normal(tuple(latent["noise"].shape[1:]))
        halfway = {"z": latent["z"].lerp(latent["z"][:1], 0.5), "noise": latent["noise"]}
        rows = [pictures, *map(generator.render, (latent, latent | {"noise": noise}, halfway))]
        shown = [Picture(pixels.cpu()) for row in rows for pixels in row]
        grid(shown, columns=_SHOWN).save(folder / f"step-{step:06d}.png")

    def _measure(self) -> None:
        """Sets z's mean and deviation, from pictures that were learned from."""
        encoder = self.model.encoder
        found = []
        for place in range(min(_MEASURED, self.data.trained) // _AT_ONCE or 1):
            drawn = self.data.step(place, min(_AT_ONCE, self.data.trained), 0, 1)[0]
            pictures = self.model.encode(to_tensor(drawn).float() / 255)
            found.append(encoder(pictures.to(encoder.mean.device)).float())
        z = torch.cat(found)
        encoder.mean.copy_(z.mean(0))
        encoder.deviation.copy_(z.std(0).clamp(min=1e-4))

    def export(self, folder: Path) -> None:
        """A folder for `limner.models.diffusion_autoencoder`; its U-Net opens in diffusers."""
        self._measure()
        decoder = self.model.decoder
        assert isinstance(decoder, Decoder)
        with quiet():
            decoder.unet.save_pretrained(folder)
        parts = {"encoder": self.model.encoder, "heard": decoder.heard}
        weights = {
            f"{part}.{name}": weight.detach().cpu().contiguous()
            for part, module in parts.items()
            for name, weight in module.state_dict().items()
        }
        save_file(weights, folder / ENCODER, metadata={"format": "pt"})
        card = {"recipe": RECIPE, "encoder": self.shape, "licence": "MIT"}
        (folder / CARD).write_text(json.dumps(card, indent=1))


def diffusion_autoencoder(
    data: CaptionedPictures,
    run: Path,
    plan: Plan,
    *,
    code: int = 512,
    width: int = 64,
    layers: int = 2,
    grey: bool = False,
    resume: bool = False,
) -> Iterator[Progress]:
    """Train a diffusion autoencoder on small pictures; ``run/model`` is for `limner invert`,
    `interpolate` and `arithmetic` with --generator diffusion_autoencoder.

    Args:
        code: numbers of z, what a picture shows.
        width: channels at the pictures' own size; twice as many below, and four times in the
            encoder.
        layers: resnets at each size of the U-Net; the encoder has half as many.
        grey: one channel of grey instead of three of colour.
        resume: go on from the last checkpoint in the run's folder.
    """
    flush_denormals()
    check_unet(width, layers, data.size)
    check_whole({"code": (code, 1, 4096)})
    open_run(run, resume)
    torch.manual_seed(plan.seed)
    channels = 1 if grey else 3
    widths = [width, 2 * width, 4 * width]
    shape = {"channels": channels, "code": code, "widths": widths, "layers": max(1, layers // 2)}
    unet = build_unet(data.size, channels, channels, width, layers, told=True)
    recipe = RecipeOfDiffusionAutoencoder(
        Captioned(data, plan.seed),
        SemanticEncoder(channels, code, widths, max(1, layers // 2)),
        Decoder(unet, code),
        shape,
        seed=plan.seed,
    )
    yield from train(recipe, plan, run, resume=resume)
