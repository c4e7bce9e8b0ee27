"""The recipe of ``limner train prior``: from captions to a CLIP's embeddings of their pictures.

unCLIP's diffusion prior (Ramesh et al. 2022, "DALL·E 2", section 2.2): a transformer that sees the
text's tokens, the text's embedding, the time and the noisy embedding of the picture, each what is
before it, and says the clean one in a last place of its own; mean squared error, cosine schedule.
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
from limner.denoisers.cfg import CFG
from limner.denoisers.network import Network, Plain
from limner.errors import BadInput
from limner.levels import alpha_bars, vp_levels
from limner.models.clip import Clip, open_clip
from limner.models.prior import CARD, RECIPE, said_of, told_of
from limner.noise import Noise
from limner.samplers.ddpm import ddpm
from limner.tasks._checks import check_whole
from limner.training._data import Captioned, drawing
from limner.training._faces import note
from limner.training._pictured import Pictured, pictured
from limner.training._processes import processes
from limner.training._quiet import quiet
from limner.training.loop import Plan, Progress, flush_denormals, open_run, train

__all__ = ["Prior", "prior"]

_NO_TEXT = 0.1  # the share of captions left out, section 2.2
_STEPS, _SCALE = 25, 2.0  # of sampling, as the model's card says
_HEAD = 32  # numbers of a state that one head of attention sees
_MEASURED = 64  # unseen captions


class Prior:
    """Recipe.

    Args:
        data: embeddings and captions.
        network: a PriorTransformer; its ``clip_mean`` and ``clip_std`` are set here.
        clip: of the embeddings, and of the words' states.
    """

    def __init__(self, data: Pictured, network: Any, clip: Clip, *, seed: int = 0) -> None:
        self.data, self.network, self.clip, self.seed = data, network, clip, seed
        self.order, self.table = Captioned(data, seed), alpha_bars("cosine")
        for name, values in zip(("clip_mean", "clip_std"), _spread(data), strict=True):
            getattr(network, name).requires_grad_(False).copy_(values)
        self.players: Mapping[str, nn.Module] = {RECIPE: network}
        clip.towers.to(processes().device)
        network.to(processes().device)

    def batch(self, step: int, size: int, rank: int, ranks: int) -> dict[str, Any]:
        """Embeddings, their noise, timesteps and words, those left out that are."""
        rows, captions = self.order.step(step, size, rank, ranks)
        rng = drawing(self.seed, step, rank, RECIPE)
        embeddings = self.data.rows("embeddings", rows)
        told = rng.random(size) >= _NO_TEXT
        return {
            "embeddings": torch.from_numpy(embeddings),
            "noise": torch.from_numpy(rng.standard_normal(embeddings.shape, np.float32)),
            "timesteps": torch.from_numpy(rng.integers(len(self.table), size=size)),
            "words": [text if kept else "" for text, kept in zip(captions, told, strict=True)],
        }

    def learn(
        self,
        player: str,
        batch: dict[str, Any],
        step: int,
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor]:
        device, timesteps = self.network.device, batch["timesteps"]
        x0 = self._standard(batch["embeddings"].to(device))
        alpha_bar = self.table[timesteps].to(x0)[:, None]
        x = alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * batch["noise"].to(device)
        told = told_of(self.clip, batch["words"])
        said = said_of(self.network, x, timesteps.to(device), told)
        loss = F.mse_loss(said.float(), x0)
        backward(loss)
        return {"loss": loss.detach()}

    def _standard(self, embeddings: Tensor) -> Tensor:
        """Each number less its mean, over its spread."""
        standard: Tensor = (embeddings - self.network.clip_mean) / self.network.clip_std
        return standard

    def sample(self, texts: list[str], steps: int = _STEPS, scale: float = _SCALE) -> Tensor:
        """Embeddings (b, d) of length 1 of pictures that texts may have."""
        device = self.network.device
        network = Network(
            Plain(
                lambda x, times, told: said_of(self.network, x[..., 0, 0], times, told).view_as(x)
            ),
            "sample",
            self.table,
        )
        told, nothing = told_of(self.clip, texts), told_of(self.clip, [""])
        levels = vp_levels(self.table, steps, "linspace")
        noise = Noise(self.seed, range(len(texts)))
        x = noise.normal((told.shape[2], 1, 1)).to(device)
        for state in ddpm(CFG(network, told, nothing, scale), x, levels, noise=noise):
            x = state.x
        return F.normalize(self.network.post_process_latents(x[..., 0, 0]).float(), dim=1)

    def measured(self, count: int = _MEASURED) -> dict[str, float]:
        """How near samples for unseen captions come to the pictures' embeddings (mean cosine), and
        the share of them that is nearest to its own picture; and the same of the texts' own."""
        rows, captions = self.order.unseen(min(count, self.order.kept))
        wanted = torch.from_numpy(self.data.rows("embeddings", rows)).to(self.network.device)
        said = {"prior": self.sample(captions), "text": self.clip.embed_texts(captions)}
        told = {}
        for name, each in said.items():
            products = each.to(wanted) @ wanted.T
            own = products.diagonal()
            told[f"{name}_cosine"] = round(float(own.mean()), 4)
            told[f"{name}_first"] = round(float((own >= products.amax(1)).float().mean()), 4)
        return told

    def preview(self, step: int, folder: Path) -> None:
        """A line of ``measured.jsonl``; a step that is learned again overwrites its line."""
        note(folder / "measured.jsonl", step, self.measured())

    def export(self, folder: Path) -> None:
        """A folder that PriorTransformer and `limner.models.prior.open_prior` open."""
        with quiet():
            self.network.save_pretrained(folder)
        _scheduler().save_pretrained(folder / "scheduler")
        told = {"name": self.clip.name, "fingerprint": self.clip.fingerprint}
        card = {"recipe": RECIPE, "clip": told, "steps": _STEPS, "guidance_scale": _SCALE}
        (folder / CARD).write_text(json.dumps(card | {"measured": self.measured()}, indent=1))


def _spread(data: Pictured) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (1, d) of the embeddings."""
    values = torch.from_numpy(np.asarray(data.arrays["embeddings"], np.float32))
    return values.mean(0, keepdim=True), values.std(0, keepdim=True).clamp(min=1e-4)


def build(size: int, length: int, width: int, layers: int) -> Any:
    """A new PriorTransformer for embeddings of `size` numbers and texts of `length` tokens."""
    from diffusers.models.transformers.prior_transformer import PriorTransformer

    network = PriorTransformer(
        num_attention_heads=width // _HEAD,
        attention_head_dim=_HEAD,
        num_layers=layers,
        embedding_dim=size,
        num_embeddings=length,
        additional_embeddings=4,
    )
    for place in (network.positional_embedding, network.prd_embedding):
        nn.init.normal_(place, std=0.02)  # as Radford et al. 2021 begin theirs
    return network


def _scheduler() -> Any:
    """diffusers' scheduler of what is learned here."""
    from diffusers import UnCLIPScheduler

    return UnCLIPScheduler(clip_sample=False, prediction_type="sample")


def prior(
    data: CaptionedPictures,
    run: Path,
    plan: Plan,
    *,
    clip: str = "embedded",
    width: int = 128,
    layers: int = 5,
    pictures: int = 20_000,
    resume: bool = False,
    watch: Callable[[int, int], None] | None = None,
) -> Iterator[Progress]:
    """Learn which embeddings a CLIP has of the pictures that captions tell of; ``run/model``.

    Args:
        clip: folder of the CLIP, or embedded: that of the decoder that is to paint.
        width: of the transformer, a multiple of 32.
        layers: of the transformer.
        pictures: how many are looked at beforehand and learned from in turn.
        resume: go on from the last checkpoint in the run's folder.
    """
    flush_denormals()
    if width < _HEAD or width % _HEAD:
        raise BadInput(f"width {width}: give a multiple of {_HEAD}")
    check_whole({"layers": (layers, 1, 64), "pictures": (pictures, 2, 10**9)})
    eye = open_clip(clip)
    size = told_of(eye, ["a"]).shape[2]
    open_run(run, resume)
    torch.manual_seed(plan.seed)
    network = build(size, eye.tokenizer.length, width, layers)
    kept = pictured(data, eye, run / "pictures", pictures, watch)
    yield from train(Prior(kept, network, eye, seed=plan.seed), plan, run, resume=resume)
