"""Models opened from disk or from the hub: read safely, each with its licence.

A member opens one layout; `open_model` (in `_open.py`) chooses. What they give is a TextToImage.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

__all__ = ["Embedder", "Painter"]


class Painter(Protocol):
    """Text → states → (a denoiser, elsewhere) → latents → pictures."""

    name: str
    licence: str

    def encode_text(self, prompts: Sequence[str]) -> Tensor:
        """Prompts → states (b, n, d), one n for all."""
        ...

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1] → latents (b, c, h/f, w/f) of about unit variance."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (b, c, h, w) → pictures (b, 3, f·h, f·w) in [0, 1], float32."""
        ...


class Embedder(Protocol):
    """Pictures and texts in one space: both methods give (b, d) of length 1."""

    def embed_pictures(self, pictures: Tensor) -> Tensor: ...
    def embed_texts(self, texts: Sequence[str]) -> Tensor: ...
