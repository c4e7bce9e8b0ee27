"""Flow-matching transformers over picture and text together, asked as a U-Net is.

The networks are diffusers'. What they need beside the prompt's states comes as the first row of the
condition, see `TextEncoder`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.errors import BadInput

__all__ = ["FluxNetwork", "SD3Network"]

_TIMES = 1000  # what `Network` tells a flow model is 1000 · t; Flux is told t


class _Said(NamedTuple):
    sample: Tensor


class SD3Network(nn.Module):
    """Stable Diffusion 3's (Esser et al. 2024, figure 2): diffusers' SD3Transformer2DModel.

    Called with x (b, c, h, w), 1000 · t (b,) and the packed text; `sample` is n − x0.
    """

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        self.transformer = transformer
        said = transformer.config
        self.patch: int = said.patch_size
        self.pooled: int = said.pooled_projection_dim
        self.largest: int = said.pos_embed_max_size * said.patch_size

    def forward(self, x: Tensor, timesteps: Tensor, *, encoder_hidden_states: Tensor) -> _Said:
        height, width = x.shape[2:]
        if max(height, width) > self.largest:
            raise BadInput(
                f"latents of {width}x{height}: this model knows places up to {self.largest} a "
                "side; give a smaller --size"
            )
        said = self.transformer(
            hidden_states=_filled(x, self.patch),
            encoder_hidden_states=encoder_hidden_states[:, 1:],
            pooled_projections=encoder_hidden_states[:, 0, : self.pooled],
            timestep=timesteps,
        ).sample
        return _Said(said[:, :, :height, :width])


class FluxNetwork(nn.Module):
    """Flux's: diffusers' FluxTransformer2DModel over patches of 2×2 latents.

    Called with x (b, c, h, w), 1000 · t (b,), the packed text, and the guidance scale where the
    network was distilled from it (dev); `sample` is n − x0.
    """

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        self.transformer = transformer
        self.patch = 2
        self.pooled: int = transformer.config.pooled_projection_dim

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        *,
        encoder_hidden_states: Tensor,
        guidance: float | None = None,
    ) -> _Said:
        height, width = x.shape[2:]
        patches = functional.pixel_unshuffle(_filled(x, self.patch), 2)
        places = _places(patches.shape[2], patches.shape[3], x.device)
        states = encoder_hidden_states[:, 1:]
        said = self.transformer(
            hidden_states=patches.flatten(2).transpose(1, 2),
            encoder_hidden_states=states,
            pooled_projections=encoder_hidden_states[:, 0, : self.pooled],
            timestep=timesteps / _TIMES,
            img_ids=places,
            txt_ids=torch.zeros(states.shape[1], 3, device=x.device),
            guidance=None if guidance is None else torch.full_like(timesteps, guidance),
        ).sample
        whole = said.transpose(1, 2).unflatten(2, patches.shape[2:])
        return _Said(functional.pixel_shuffle(whole, 2)[:, :, :height, :width])


def _filled(x: Tensor, by: int) -> Tensor:
    """x (b, c, h, w) brought to multiples of `by` by repeating its last row and column."""
    down, across = (-side % by for side in x.shape[2:])
    return functional.pad(x, (0, across, 0, down), mode="replicate") if down or across else x


def _places(height: int, width: int, device: torch.device) -> Tensor:
    """(h·w, 3): nothing, then the row and the column of each patch."""
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    down, across = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([torch.zeros_like(down), down, across], 2).flatten(0, 1).float()
