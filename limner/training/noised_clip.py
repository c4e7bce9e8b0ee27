"""The recipe of ``limner train noised-clip``: a CLIP's picture tower for noisy latents.

Nichol et al. 2022, "GLIDE", §2.4: CLIP trained on noised pictures x_t and told t guides a diffusion
better than one that only knows clean ones. Here the words stay as they are: the tower joins an
existing CLIP's space, learning by InfoNCE against the embeddings of its captions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from limner.data import CaptionedPictures
from limner.errors import BadInput
from limner.models.clip import Clip, open_clip
from limner.models.noised_clip import RECIPE
from limner.nets.noised_tower import NoisedTower
from limner.training._data import Captioned, drawing
from limner.training._faces import note
from limner.training._infonce import infonce
from limner.training._latents import Latents
from limner.training._noised import TOLD_AT, begun, noised, rounded, times, write
from limner.training._parts import open_autoencoder
from limner.training._processes import processes
from limner.training.diffusion import kept_latents
from limner.training.loop import Plan, Progress, flush_denormals, open_run, train

__all__ = ["NoisedClip", "noised_clip"]

_AT_ONCE = 512  # captions that are embedded between two reports
_MOST = math.log(100)  # of the learned scale's logarithm, as CLIP's


class _Scaled(nn.Module):
    """The tower, and the factor of its products with texts as CLIP learns it."""

    def __init__(self, tower: NoisedTower) -> None:
        super().__init__()
        self.tower = tower
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))  # Radford et al. 2021

    def scale(self) -> Tensor:
        return self.logit_scale.clamp(max=_MOST).exp()


class Told:
    """Latents with their captions' embeddings: a source whose second part is rows of numbers."""

    def __init__(self, latents: Latents, texts: np.ndarray) -> None:
        self.size, self._latents, self._texts = latents.size, latents, texts

    def __len__(self) -> int:
        return len(self._latents)

    def batch(self, indices: Sequence[int]) -> tuple[np.ndarray, list[Any]]:
        values, _ = self._latents.batch(indices)
        return values, list(self._texts[np.asarray(indices)].astype(np.float32))


class NoisedClip:
    """Recipe.

    Args:
        data: ``Told``.
        tower: what is trained. shape: what its card says of it.
        clip: whose words those are; its name and fingerprint go into the card.
    """

    def __init__(
        self,
        data: Captioned,
        tower: NoisedTower,
        shape: Mapping[str, Any],
        clip: Clip,
        *,
        seed: int = 0,
    ) -> None:
        self.data, self.shape, self.clip, self.seed = data, shape, clip, seed
        self.tower, self.scaled = tower, _Scaled(tower)
        self.players: Mapping[str, nn.Module] = {"tower": self.scaled}

    def batch(self, step: int, size: int, rank: int, ranks: int) -> dict[str, Tensor]:
        """Latents, noise, flow times and text embeddings of one step."""
        latents, texts = self.data.step(step, size, rank, ranks)
        rng = drawing(self.seed, step, rank, RECIPE)
        return {
            "latents": torch.from_numpy(latents),
            "noise": torch.from_numpy(rng.standard_normal(latents.shape, np.float32)),
            "times": torch.from_numpy(times(size, rng)),
            "texts": torch.from_numpy(np.stack(texts)),
        }

    def learn(
        self,
        player: str,
        batch: dict[str, Tensor],
        step: int,
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor]:
        seen = self._seen(batch["latents"], batch["noise"], batch["times"])
        texts = batch["texts"].to(seen)
        loss = infonce(seen, texts, self.scaled.scale())
        backward(loss)
        return {"loss": loss.detach(), "matched": _matched(seen, texts)}

    def _seen(self, latents: Tensor, noise: Tensor, flow_times: Tensor) -> Tensor:
        """(b, d) of length 1, float32."""
        device = self.scaled.logit_scale.device
        x = noised(latents, noise, flow_times).to(device)
        return normalize(self.tower(x, flow_times.to(x)).float(), dim=1)

    def matched(self, count: int = 64) -> dict[str, float]:
        """The share of unseen pictures that find their own caption among so many, by flow time."""
        latents, texts = self.data.unseen(min(count, self.data.kept))
        values, told = torch.from_numpy(latents), torch.from_numpy(np.stack(texts))
        noise = torch.from_numpy(
            drawing(self.seed, 0, 0, "unseen").standard_normal(latents.shape, np.float32)
        )
        seen = (self._seen(values, noise, torch.full((len(values),), time)) for time in TOLD_AT)
        return rounded([float(_matched(each, told.to(each))) for each in seen])

    def preview(self, step: int, folder: Path) -> None:
        """A line of ``matched.jsonl``; a step that is learned again overwrites its line."""
        note(folder / "matched.jsonl", step, {"of": min(64, self.data.kept), **self.matched()})

    def export(self, folder: Path) -> None:
        """A folder that ``limner.models.noised_clip.open_noised_clip`` opens."""
        told = {"name": self.clip.name, "fingerprint": self.clip.fingerprint}
        scale = round(float(self.scaled.scale()), 4)
        card = {"recipe": RECIPE, "tower": dict(self.shape), "clip": told, "scale": scale}
        write(folder, self.tower, card | {"matched": self.matched()})


def _matched(seen: Tensor, texts: Tensor) -> Tensor:
    """The share of rows nearest to their own text, or one that is the same."""
    products = seen.detach() @ texts.T
    own = (seen.detach() * texts).sum(1)
    return (own >= products.amax(1) - 1e-5).float().mean()


def noised_clip(
    data: CaptionedPictures,
    run: Path,
    plan: Plan,
    *,
    clip: str = "embedded",
    autoencoder: str = "embedded",
    width: int = 48,
    latents: int = 30_000,
    resume: bool = False,
    watch: Callable[[int, int], None] | None = None,
) -> Iterator[Progress]:
    """Train a CLIP's picture tower on noisy latents; ``run/model`` guides `limner guide`.

    Args:
        clip: folder of the CLIP whose words stay as they are and whose space it joins, or embedded.
        autoencoder: AutoencoderKL folder, or a text-to-image model's, or embedded: that of the
            model that is to be guided.
        width: of the tower's first blocks, a multiple of 8.
        latents: how many pictures are encoded beforehand and learned from in turn.
        resume: go on from the last checkpoint in the run's folder.
    """
    flush_denormals()
    check_sizes(width, latents)
    words, vae = open_clip(clip), open_autoencoder(autoencoder).eval().requires_grad_(False)
    open_run(run, resume)
    kept = kept_latents(data, vae, run / "latents", latents, watch)
    texts = _texts(words, kept.captions, run, watch)
    torch.manual_seed(plan.seed)
    tower, shape = begun(vae.config.latent_channels, texts.shape[1], width)
    told: Any = Told(kept, texts)
    recipe = NoisedClip(Captioned(told, plan.seed), tower, shape, words, seed=plan.seed)
    yield from train(recipe, plan, run, resume=resume)


def check_sizes(width: int, latents: int) -> None:
    """Raises BadInput."""
    if width < 8 or width % 8:
        raise BadInput(f"width {width}: give a multiple of 8")
    if latents < 2:
        raise BadInput(f"latents {latents}: give at least 2")


def _texts(
    clip: Clip, captions: list[str], run: Path, watch: Callable[[int, int], None] | None
) -> np.ndarray:
    """Embeddings of the captions (n, d) float16, kept in the run's folder."""
    file = run / f"texts-{clip.fingerprint[:12]}.npy"
    here = processes()
    with here.main_process_first():
        if here.is_main_process and not (file.exists() and len(np.load(file)) == len(captions)):
            parts = []
            for first in range(0, len(captions), _AT_ONCE):
                parts.append(clip.embed_texts(captions[first : first + _AT_ONCE]).half().numpy())
                if watch:
                    watch(min(first + _AT_ONCE, len(captions)), len(captions))
            draft = file.with_name("texts.partial.npy")
            np.save(draft, np.concatenate(parts))
            draft.replace(file)
    texts: np.ndarray = np.load(file)
    return texts
