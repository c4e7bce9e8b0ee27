"""The recipe of ``limner train decoder``: a text-to-image model learns to paint what a CLIP saw.

unCLIP's decoder (Ramesh et al. 2022, "DALL·E 2", section 2.1): the embedding of a picture is
projected to four tokens that follow those of the text; it is left out in a tenth of the steps'
pictures and the text in half of them, so that guidance may pull by either. Here they join a model
that knows the words already, and what is learned is an adapter of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limner.data import CaptionedPictures
from limner.denoisers.cfg import CFG
from limner.denoisers.network import Network
from limner.errors import BadInput
from limner.levels import levels_of
from limner.models.clip import Clip, open_clip
from limner.models.decoder import KIND, PROJECTION, tokens_of
from limner.noise import Noise
from limner.picture import Picture, grid
from limner.samplers.dpmpp_2m import dpmpp_2m
from limner.tasks._checks import check_whole
from limner.training._conditioned import Base, made_of, open_base
from limner.training._data import Captioned, drawing
from limner.training._low_rank import Additions, export
from limner.training._pictured import Pictured, decoded, pictured
from limner.training._processes import processes
from limner.training.loop import Plan, Progress, flush_denormals, open_run, train

__all__ = ["Decoder", "decoder"]

_NO_PICTURE, _NO_TEXT = 0.1, 0.5  # shares left out, section 2.1
_PREVIEWED = 8  # pictures
_SPREAD = 0.1  # of the tokens about those of an empty text, at first
_SCALE = 2.0  # of guidance, as decoders are usually run: small, since a picture says so much


class Decoder:
    """Recipe.

    Args:
        base: what is adapted; all of it is frozen, and its U-Net changed in place.
        data: latents, embeddings and captions.
        clip: whose embeddings those are; its name and fingerprint go into the card.
        tokens: that an embedding becomes.
        rank: of the changes.
    """

    def __init__(
        self,
        base: Base,
        data: Pictured,
        clip: Clip,
        *,
        tokens: int = 4,
        rank: int = 8,
        seed: int = 0,
    ) -> None:
        self.base, self.data, self.clip, self.tokens = base, data, clip, tokens
        self.unet, self.seed = base.parts.unet, seed
        self.text = base.parts.text_encoder.requires_grad_(False)
        self.order = Captioned(data, seed)
        width = self.text.config.hidden_size
        self.projection = nn.Linear(data.arrays["embeddings"].shape[1], tokens * width)
        self.additions = Additions(self.unet, rank, extra={PROJECTION: self.projection})
        self.players: Mapping[str, nn.Module] = {"adapter": self.additions}
        self.unet.to(memory_format=torch.channels_last)
        for part in (self.unet, self.text, base.parts.autoencoder):
            part.to(processes().device)
        self._begin()
        if base.begun:
            self.additions.begin(base.begun)

    @torch.no_grad()
    def _begin(self) -> None:
        """The tokens are near those that fill up an empty text, which the U-Net does not mind; near
        and not the same, or all would stay alike."""
        filling = self._states([""])[0, -self.tokens :].cpu()
        self.projection.bias.copy_(filling.flatten())
        nn.init.normal_(
            self.projection.weight, std=_SPREAD / math.sqrt(self.projection.in_features)
        )

    def batch(self, step: int, size: int, rank: int, ranks: int) -> dict[str, Any]:
        """Latents, their noise, timesteps, embeddings and words, those left out that are."""
        rows, captions = self.order.step(step, size, rank, ranks)
        rng = drawing(self.seed, step, rank, KIND)
        latents, embeddings = (self.data.rows(each, rows) for each in ("latents", "embeddings"))
        embeddings[rng.random(size) < _NO_PICTURE] = 0
        told = rng.random(size) >= _NO_TEXT
        return {
            "latents": torch.from_numpy(latents),
            "noise": torch.from_numpy(rng.standard_normal(latents.shape, np.float32)),
            "timesteps": self.base.noising.timesteps(size, rng),
            "embeddings": torch.from_numpy(embeddings),
            "words": [text if kept else "" for text, kept in zip(captions, told, strict=True)],
        }

    def learn(
        self,
        player: str,
        batch: dict[str, Any],
        step: int,
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor]:
        device, timesteps = self.unet.device, batch["timesteps"]
        latents, noise = batch["latents"].to(device), batch["noise"].to(device)
        x, target = self.base.noising.noisy(latents, noise, timesteps)
        states = self._told(batch["words"], batch["embeddings"])
        said = self.unet(x, timesteps.to(device), encoder_hidden_states=states).sample
        loss = F.mse_loss(said.float(), target)
        backward(loss)
        return {"loss": loss.detach()}

    def _told(self, words: Sequence[str], embeddings: Tensor) -> Tensor:
        """Words (b), embeddings (b, e), zeros for no picture → what the U-Net attends to."""
        weight, bias = self.projection.weight, self.projection.bias
        tokens = tokens_of(embeddings.to(weight), weight, bias, self.tokens)
        return torch.cat([self._states(words), tokens], 1)

    @torch.no_grad()
    def _states(self, words: Sequence[str]) -> Tensor:
        """The text's states (b, n, d)."""
        tokenizer = self.base.parts.tokenizer
        ids = tokenizer(
            list(words),
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        states: Tensor = self.text(ids.to(self.text.device))[0]
        return states

    def vary(self, embeddings: Tensor, steps: int = 20) -> Tensor:
        """Embeddings (b, e) → pictures (b, 3, h, w) in [0, 1], as `limner vary` paints them."""
        noising, device = self.base.noising, self.unet.device
        network = Network(self.unet, noising.prediction, noising.table)
        levels = levels_of(noising.table, steps)
        blank, nothing = [""] * len(embeddings), torch.zeros_like(embeddings)
        with_, without = self._told(blank, embeddings), self._told(blank, nothing)
        noise = Noise(self.seed, range(len(embeddings)))
        x = noise.normal(self.data.arrays["latents"].shape[1:]).to(device) * levels[0].sigma
        for state in dpmpp_2m(CFG(network, with_, without, _SCALE), x, levels, noise=noise):
            x = state.x
        return decoded(self.base.parts.autoencoder, x)

    def preview(self, step: int, folder: Path) -> None:
        """A row of pictures that are not learned from, and a row of their variations."""
        rows, captions = self.order.unseen(_PREVIEWED)
        latents, embeddings = (
            torch.from_numpy(self.data.rows(name, rows)) for name in ("latents", "embeddings")
        )
        seen = decoded(self.base.parts.autoencoder, latents.to(self.unet.device))
        both = [Picture(each) for each in torch.cat([seen, self.vary(embeddings)])]
        labels = [*captions, *[""] * len(captions)]
        grid(both, columns=len(captions), labels=labels).save(folder / f"step-{step:06d}.png")

    def export(self, folder: Path) -> None:
        """An adapter's folder, for `limner.models.decoder.decoder_of`."""
        told = {"name": self.clip.name, "fingerprint": self.clip.fingerprint}
        card = {"tokens": self.tokens, "clip": told, "guidance_scale": _SCALE, "licence": "MIT"}
        export(folder, self.additions, KIND, self.base.fingerprint, card)


def decoder(
    data: CaptionedPictures,
    run: Path,
    plan: Plan,
    *,
    start: str = "embedded",
    clip: str = "embedded",
    tokens: int = 4,
    rank: int = 8,
    latents: int = 16_000,
    resume: bool = False,
    watch: Callable[[int, int], None] | None = None,
) -> Iterator[Progress]:
    """Teach a text-to-image model to paint what a CLIP saw; ``run/model`` is an adapter.

    Args:
        start: the model that learns: embedded, or a folder in Stable Diffusion's layout; with an
            adapter of it to go on from after a plus: embedded+decoder, embedded+RUN/model.
        clip: folder of the CLIP whose embeddings it learns to read, or embedded.
        tokens: that an embedding becomes, beside those of the text.
        rank: of the changes of each matrix; more learns more and is larger.
        latents: how many pictures are encoded beforehand and learned from in turn.
        resume: go on from the last checkpoint in the run's folder.
    """
    flush_denormals()
    check_whole(
        {"tokens": (tokens, 1, 16), "rank": (rank, 1, 1024), "latents": (latents, 2, 10**9)}
    )
    base, eye = open_base(start, data.size, KIND, rank), open_clip(clip)
    _check_clip(base, eye)
    open_run(run, resume)
    torch.manual_seed(plan.seed)
    autoencoder = base.parts.autoencoder
    autoencoder.to(processes().device, memory_format=torch.channels_last)
    about = str(made_of(base, data.batch(range(1))[0])["sha256"])
    kept = pictured(
        data, eye, run / "pictures", latents, watch, autoencoder=autoencoder, about=about
    )
    recipe = Decoder(base, kept, eye, tokens=tokens, rank=rank, seed=plan.seed)
    yield from train(recipe, plan, run, resume=resume)


def _check_clip(base: Base, clip: Clip) -> None:
    """BadInput where the decoder to go on from reads another CLIP's embeddings."""
    told = base.begun.card.get("clip") if base.begun else None
    if base.begun and (not isinstance(told, dict) or told.get("fingerprint") != clip.fingerprint):
        raise BadInput(
            f"the decoder {base.begun.name!r} was trained with another CLIP than {clip.name!r}: "
            "give that one (--clip)"
        )
