"""A frozen text-to-image model whose U-Net learns, by an adapter, to heed what it is shown.

Further channels lie below x's, as in Rombach et al. 2022, section 4.3.2; their weights begin with
zeros, and of the U-Net's other weights low-rank changes are learned (see `_low_rank.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from limner.denoisers.cfg import CFG
from limner.denoisers.network import Network
from limner.errors import BadInput
from limner.levels import levels_of
from limner.models._open import open_model, parted
from limner.models.adapter import Begun, base_of, begun_with
from limner.noise import Noise
from limner.picture import Picture, grid
from limner.samplers.dpmpp_2m import dpmpp_2m
from limner.training._data import Captioned, drawing
from limner.training._low_rank import Additions, export, widen
from limner.training._noising import Noising
from limner.training._parts import Parts, open_parts, sources
from limner.training._processes import processes
from limner.training.loop import Plan, Progress, train

__all__ = ["Base", "Conditioned", "Shown", "learn", "made_of", "open_base"]

_PREVIEWED = 9  # pictures


class Base(NamedTuple):
    """The model that is adapted; `begun`, an adapter of it from which to go on."""

    parts: Parts
    noising: Noising
    fingerprint: str
    guidance_scale: float
    begun: Begun | None = None


class Shown(Protocol):
    """Pictures, and what the U-Net is shown of each."""

    kind: str  # the adapter's
    channels: int  # that it sees below x's
    extra: Mapping[str, nn.Module]  # that learn with it
    card: dict[str, Any]  # what the adapter's card says beside
    size: int  # side of the latents

    def __len__(self) -> int: ...

    def rows(
        self, rows: np.ndarray, rng: np.random.Generator
    ) -> tuple[dict[str, Tensor], list[str]]:
        """`latents` (b, c, h, w), `weight` (b, 1, h, w), how much each counts, and what `beside`
        needs; and captions, "" where none is told.

        The weights hasten what is learned and do not change what of: the mean at each place, given
        what is shown, is the best answer under any.
        """
        ...

    def beside(self, batch: Mapping[str, Tensor]) -> Tensor:
        """(b, channels, h, w)."""
        ...

    def seen(self, batch: Mapping[str, Tensor]) -> Tensor:
        """What is shown, for people: (b, 3, h, w) in [0, 1]."""
        ...


class _Rows:
    """In the place of pictures: their numbers. So `Captioned` says which come in what order."""

    def __init__(self, count: int, size: int) -> None:
        self.count, self.size = count, size

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: Any) -> tuple[np.ndarray, list[str]]:
        return np.asarray(indices), []


class Conditioned:
    """Recipe.

    Args:
        base: what is adapted; all of it is frozen, and its U-Net changed in place.
        shown: what it learns from.
        rank: of the changes.
    """

    def __init__(self, base: Base, shown: Shown, *, rank: int = 8, seed: int = 0) -> None:
        self.base, self.shown, self.seed = base, shown, seed
        self.unet, self.text = base.parts.unet, base.parts.text_encoder.requires_grad_(False)
        self.order = Captioned(_Rows(len(shown), shown.size), seed)
        whole = widen(self.unet, shown.channels)
        self.additions = Additions(self.unet, rank, whole=whole, extra=shown.extra)
        if base.begun:
            self.additions.begin(base.begun)
        self.players: Mapping[str, nn.Module] = {"adapter": self.additions}
        self.unet.to(memory_format=torch.channels_last)
        device = processes().device
        for part in (self.unet, self.text, base.parts.autoencoder):
            part.to(device)

    def batch(self, step: int, size: int, rank: int, ranks: int) -> dict[str, Tensor]:
        """Latents, what is shown of them, their noise, timesteps and token ids."""
        rng = drawing(self.seed, step, rank, "conditioned")
        batch, captions = self.shown.rows(self.order.step(step, size, rank, ranks)[0], rng)
        noise = rng.standard_normal(batch["latents"].shape, np.float32)
        drawn = {"noise": torch.from_numpy(noise), "ids": self._ids(captions)}
        return batch | drawn | {"timesteps": self.base.noising.timesteps(size, rng)}

    def learn(
        self,
        player: str,
        batch: dict[str, Tensor],
        step: int,
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor]:
        timesteps = batch["timesteps"]
        there = {key: value.to(self.unet.device) for key, value in batch.items()}
        x, target = self.base.noising.noisy(there["latents"], there["noise"], timesteps)
        with torch.no_grad():
            states = self.text(there["ids"])[0]
        shown = torch.cat([x, self.shown.beside(there).to(x)], 1)
        shown = shown.contiguous(memory_format=torch.channels_last)
        said = self.unet(shown, there["timesteps"], encoder_hidden_states=states).sample
        counts = there["weight"] / there["weight"].mean()
        loss = (counts * (said.float() - target).square()).mean()
        backward(loss)
        return {"loss": loss.detach()}

    def _ids(self, captions: list[str]) -> Tensor:
        tokenizer = self.base.parts.tokenizer
        length = tokenizer.model_max_length
        ids: Tensor = tokenizer(
            captions, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).input_ids
        return ids

    def paint(self, batch: Mapping[str, Tensor], captions: list[str], steps: int = 20) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1] of what is shown, as the tasks paint them."""
        noising, parts = self.base.noising, self.base.parts
        device = self.unet.device
        there = {key: value.to(device) for key, value in batch.items()}
        beside = self.shown.beside(there)
        network = Network(self.unet, noising.prediction, noising.table, beside)
        levels = levels_of(noising.table, steps)
        said, nothing = (self.text(self._ids(each).to(device))[0] for each in (captions, [""]))
        denoiser = CFG(network, said, nothing.expand_as(said), self.base.guidance_scale)
        noise = Noise(self.seed, range(len(captions)))
        latent = noise.normal(tuple(batch["latents"].shape[1:])).to(device) * levels[0].sigma
        for state in dpmpp_2m(denoiser, latent, levels, noise=noise):
            latent = state.x
        drawn = parts.autoencoder.decode(latent / parts.autoencoder.config.scaling_factor).sample
        pictures: Tensor = (drawn / 2 + 0.5).clamp(0, 1)
        return pictures.float().cpu()

    def preview(self, step: int, folder: Path) -> None:
        """Each of some pictures that are not learned from: what is shown, what is painted."""
        rng = drawing(self.seed, 0, 0, "preview")
        batch, captions = self.shown.rows(self.order.unseen(_PREVIEWED)[0], rng)
        painted, seen = self.paint(batch, captions), self.shown.seen(batch)
        both = [Picture(each) for pair in zip(seen, painted, strict=True) for each in pair]
        labels = [text for caption in captions for text in ("", caption)]
        grid(both, columns=6, labels=labels).save(folder / f"step-{step:06d}.png")

    def export(self, folder: Path) -> None:
        """An adapter's folder, for `limner.models.adapter.open_adapter`."""
        config = {"in_channels": self.unet.config.in_channels}
        card = {"beside": self.shown.channels, "config": config, "licence": "MIT"}
        export(
            folder, self.additions, self.shown.kind, self.base.fingerprint, card | self.shown.card
        )


def open_base(start: str, pixels: int, kind: str = "", rank: int = 8) -> Base:
    """The model to adapt: embedded, or a folder in Stable Diffusion's layout; after a plus, an
    adapter of this kind and rank to go on from; or BadInput."""
    name, adapter = parted(start)
    model = open_model(name)
    if model.beside or model.adapter:
        raise BadInput(f"{start!r} is shown something beside x already: give a plain model")
    if pixels % model.downscale:
        raise BadInput(f"pixels {pixels}: {start!r} paints multiples of {model.downscale}")
    return Base(
        open_parts(sources(None, None, str(name)), pixels),
        Noising(model.prediction, model.alpha_bars),
        base_of(model),
        model.guidance_scale,
        begun_with(adapter, model, kind, rank) if adapter else None,
    )


def made_of(base: Base, pictures: np.ndarray, **more: Any) -> dict[str, Any]:
    """What is kept was made of: this autoencoder, pictures that begin with these, and so on."""
    digest = hashlib.sha256(pictures.tobytes())
    for weight in base.parts.autoencoder.state_dict().values():
        digest.update(weight.detach().float().cpu().contiguous().numpy().tobytes())
    return {"sha256": digest.hexdigest(), **more}


def learn(
    base: Base, shown: Shown, plan: Plan, run: Path, rank: int, resume: bool
) -> Iterator[Progress]:
    """Train the adapter; `run/model` is its folder."""
    if rank < 1:
        raise BadInput(f"rank {rank}: give at least 1")
    recipe = Conditioned(base, shown, rank=rank, seed=plan.seed)
    yield from train(recipe, plan, run, resume=resume)
