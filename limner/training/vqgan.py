"""The recipe of ``limner train vqgan``: pictures ↔ codes of a codebook, one for each 8x8 pixels.

diffusers' ``VQModel``, trained as in "Taming Transformers for High-Resolution Image Synthesis"
(Esser et al. 2021, section 3.1): pixel, perceptual and patch-adversarial losses with the adaptive
weight of eq. 7, and a commitment to the codes. The codebook follows the encoder by averages.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limner.data import CaptionedPictures
from limner.errors import BadInput
from limner.models._folder import read_json
from limner.training import _checkpoint
from limner.training._codebook import Codebook, k_means, tokens
from limner.training._coders import ClipFeatures, build_vq, vq_of_kl
from limner.training._data import Captioned, to_tensor
from limner.training._parts import autoencoder_folder, open_autoencoder
from limner.training._quiet import open_part
from limner.training.autoencoder import Autoencoder, check_pictures
from limner.training.loop import Plan, Progress, flush_denormals, open_run, train

__all__ = ["VqCoder", "vqgan"]

# Of the first codes: pictures, how many at once, and how many of their vectors for each code.
_PICTURES, _CHUNK, _VECTORS = 256, 32, 32


class VqCoder:
    """A ``VQModel``; the loss is the commitment of z to its code (van den Oord et al. 2017, eq. 3).

    Forward it is the nearest code, the gradient goes to z as if it had been that.
    """

    def __init__(self, model: Any, commitment: float = 0.25) -> None:
        self.model, self.commitment = model, commitment
        self.codebook = Codebook(model.quantize.embedding)
        self.player: nn.Module = nn.ModuleDict({"model": model, "codebook": self.codebook})

    def draw(self, real: Tensor, *, learning: bool) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        z = self.model.encode(real).latents
        code, index = self.codebook(z)
        through = z + (code - z).detach()
        drawn = self.model.decode(through, force_not_quantize=True).sample
        loss = F.mse_loss(z, code)
        told = {"commitment": loss, "codebook_use": self._use(index)}
        if learning:
            told["revived"] = self.codebook.follow(z.detach())
        return drawn, self.commitment * loss, told

    def _use(self, index: Tensor) -> Tensor:
        share = index.unique().numel() / len(self.codebook.codes)
        return torch.tensor(share, device=index.device)

    @torch.no_grad()
    def measure(self, samples: Tensor) -> dict[str, float]:
        """The share of the codes that the samples use."""
        index = [self.codebook(self.model.encode(p).latents)[1] for p in samples.split(16)]
        return {"codebook_use": self._use(torch.cat(index)).item()}

    @torch.no_grad()
    def begin(self, data: Captioned) -> None:
        """Set the codes by k-means on z of the first pictures that are trained on."""
        steps = range(_PICTURES // _CHUNK)
        drawn = (to_tensor(data.step(step, _CHUNK, 0, 1)[0]) for step in steps)
        found = [tokens(self.model.encode(p.float() / 127.5 - 1).latents) for p in drawn]
        vectors, count = torch.cat(found), len(self.codebook.codes)
        few = torch.randperm(len(vectors))[: _VECTORS * count]
        self.codebook.begin(k_means(vectors[few], count))

    def export(self, folder: Path, samples: Tensor) -> None:
        self.model.save_pretrained(folder)


def vqgan(
    data: CaptionedPictures,
    run: Path,
    plan: Plan,
    *,
    codes: int | None = None,
    crop: int = 64,
    sharpness_weight: float = 0.5,
    clip: str | None = None,
    perceptual_weight: float = 0.1,
    adversarial_from: int | None = None,
    adversarial_weight: float = 0.1,
    start: str | None = None,
    resume: bool = False,
) -> Iterator[Progress]:
    """Train a VQGAN on pictures; ``run/model`` is a diffusers folder.

    Args:
        codes: vectors in the codebook; else 1024, or as many as the model to go on from has.
        crop: side in pixels of the crops that most steps learn from, a multiple of 8.
        sharpness_weight: weight of the difference of the gradients.
        clip: CLIP folder, or embedded, whose features make the perceptual loss; else there is none.
        perceptual_weight: its weight.
        adversarial_from: the step at which the discriminator joins; without it there is none.
        adversarial_weight: its weight, before the adaptive factor.
        start: VQModel folder to go on from; or embedded, or a folder of an AutoencoderKL or Stable
            Diffusion, whose encoder and decoder are taken, with new codes.
        resume: go on from the last checkpoint in the run's folder.
    """
    flush_denormals()
    check_pictures(data.size, crop)
    most = _PICTURES * (data.size // 8) ** 2
    if codes is not None and not 2 <= codes <= most:
        raise BadInput(f"codes {codes}: give 2 to {most}")
    torch.manual_seed(plan.seed)
    model, has_codes = _network(start, codes)
    perceptual = ClipFeatures(clip) if clip else None
    open_run(run, resume)
    coder, pictures = VqCoder(model), Captioned(data, plan.seed)
    if not has_codes and _checkpoint.newest(run / "checkpoints") is None:
        coder.begin(pictures)
    recipe = Autoencoder(
        pictures,
        coder,
        crop=crop,
        sharpness_weight=sharpness_weight,
        perceptual=perceptual,
        perceptual_weight=perceptual_weight,
        adversarial_from=adversarial_from,
        adversarial_weight=adversarial_weight,
        seed=plan.seed,
    )
    yield from train(recipe, plan, run, resume=resume)


def _network(start: str | None, codes: int | None) -> tuple[Any, bool]:
    """The VQModel to train, and whether its codes are set."""
    if start is None:
        return build_vq(codes=codes or 1024), False
    folder = autoencoder_folder(start)
    if read_json(folder / "config.json").get("_class_name") != "VQModel":
        return vq_of_kl(open_autoencoder(start), codes or 1024), False
    from diffusers.models.autoencoders.vq_model import VQModel

    model = open_part(VQModel, folder)
    has = model.config.num_vq_embeddings
    if codes not in (None, has):
        raise BadInput(f"codes {codes}: the model in {start!r} has {has}, leave --codes away")
    return model, True
