"""Pictures as a CLIP sees them, with their captions, kept on disk: what unCLIP's two halves learn
from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limner.data import CaptionedPictures
from limner.models.clip import Clip
from limner.training._cached import Cached, cached
from limner.training._data import to_tensor
from limner.training._latents import latents_of

__all__ = ["Pictured", "decoded", "pictured"]


class Pictured:
    """In the place of captioned pictures: their numbers, and their captions. So `Captioned` says
    which come in what order; `arrays` has their rows."""

    def __init__(self, kept: Cached, size: int) -> None:
        self.arrays, self.captions, self.size = kept.arrays, kept.told, size

    def __len__(self) -> int:
        return len(self.captions)

    def batch(self, indices: Sequence[int]) -> tuple[np.ndarray, list[str]]:
        rows = np.asarray(indices)
        return rows, [self.captions[row] for row in rows.tolist()]

    def rows(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Of an array, as float32."""
        values: np.ndarray = self.arrays[name][rows].astype(np.float32)
        return values


def pictured(
    data: CaptionedPictures,
    clip: Clip,
    folder: Path,
    count: int,
    watch: Callable[[int, int], None] | None,
    *,
    autoencoder: Any = None,  # an AutoencoderKL
    about: str = "",
) -> Pictured:
    """The first pictures' ``embeddings`` (n, e) of length 1 by a CLIP, and with an autoencoder
    their ``latents`` (n, c, h, w), float16.

    about: what else they depend on; what was made of something else is made again
    """
    count = min(count, len(data))
    first, texts = data.batch(range(min(4, count)))
    digest = hashlib.sha256(first.tobytes() + "\n".join(texts).encode()).hexdigest()
    told = {"clip": clip.fingerprint, "sha256": digest, "about": about}

    @torch.no_grad()
    def make(rows: range) -> tuple[dict[str, np.ndarray], list[Any]]:
        pictures, captions = data.batch(rows)
        embeddings = clip.embed_pictures(to_tensor(pictures).float() / 255)
        arrays = {"embeddings": embeddings.half().cpu().numpy()}
        if autoencoder is not None:
            arrays["latents"] = latents_of(autoencoder, pictures)
        return arrays, captions

    return Pictured(cached(folder, told, count, make, watch), data.size)


def decoded(autoencoder: Any, latents: Tensor) -> Tensor:
    """Latents (b, c, h, w) → pictures (b, 3, h·f, w·f) in [0, 1], float32, on the CPU."""
    drawn: Tensor = autoencoder.decode(latents / autoencoder.config.scaling_factor).sample
    return (drawn / 2 + 0.5).clamp(0, 1).float().cpu()
