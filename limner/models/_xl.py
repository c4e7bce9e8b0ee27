"""What Stable Diffusion XL has that 1.x and 2.x have not (Podell et al. 2023, section 2.1): two
text encoders, whose last states but one go side by side, and the second's pooled text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from limner.models._projected import ProjectedTower
from limner.models._text_encoder import cut_words, moved, packed, windows_of
from limner.models._times import time_ids, told_scale
from limner.models._tokenizer import Tokenizer
from limner.models._transformer import TextTower

__all__ = ["LibraryXL", "TwoTowers"]


@dataclass(frozen=True, eq=False)
class TwoTowers:
    """Prompts as XL reads them: the pooled text as the first row, then the states.

    zeros:  the empty prompt is all zeros, as in the training (force_zeros_for_empty_prompt)
    """

    first: TextTower
    tokenizer: Tokenizer
    second: ProjectedTower
    tokenizer_2: Tokenizer
    zeros: bool
    offset: int = 1

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Prompts → (b, 1 + n, d). A long one goes on in further windows, as in 1.x; the pooled
        text is its first window's."""
        ids = windows_of(self.tokenizer, prompts)
        other = windows_of(self.tokenizer_2, prompts, ids.shape[1])
        if other.shape[1] > ids.shape[1]:
            ids = windows_of(self.tokenizer, prompts, other.shape[1])
        *_, states, _ = self._states(ids.flatten(0, 1))
        more, pooled = self.second(other.flatten(0, 1).to(self._device))
        states = torch.cat([states, more], 2).unflatten(0, ids.shape[:2]).flatten(1, 2)
        out = packed(pooled.unflatten(0, ids.shape[:2])[:, 0], states)
        if self.zeros:
            out[[row for row, prompt in enumerate(prompts) if not prompt]] = 0
        return out

    def pooled(self, phrases: Sequence[str]) -> Tensor:
        """The second encoder's projected state at their ends."""
        said: Tensor = self.second(self.tokenizer_2.batch(phrases).to(self._device))[1]
        return said

    def cut_words(self, prompt: str) -> list[str]:
        return cut_words(self.tokenizer, prompt)

    def to(self, device: torch.device, dtype: torch.dtype) -> TwoTowers:
        first, second = moved(self.first, device, dtype), moved(self.second, device, dtype)
        return replace(self, first=first, second=second)

    @property
    def _device(self) -> torch.device:
        return self.first.final_layer_norm.weight.device

    def _states(self, ids: Tensor) -> list[Tensor]:
        return self.first.encoder.states(self.first.embeddings(ids.to(self._device)))


class LibraryXL(nn.Module):
    """diffusers' UNet2DConditionModel, where `_unet.py` does not know its config: called as that
    is, with the pooled text as the condition's first row, and a guidance scale."""

    def __init__(self, unet: nn.Module, downscale: int) -> None:
        super().__init__()
        self.unet: Any = unet
        self.downscale = downscale

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        *,
        encoder_hidden_states: Tensor,
        guidance: float | None = None,
        **more: Any,
    ) -> Any:
        states, config = encoder_hidden_states, self.unet.config
        if config.addition_embed_type == "text_time":
            ids = time_ids((x.shape[2] * self.downscale, x.shape[3] * self.downscale), x)
            taken = config.projection_class_embeddings_input_dim
            pooled = states[:, 0, : taken - len(ids) * config.addition_time_embed_dim]
            ids = ids.to(x).expand(len(states), -1)
            more["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": ids}
            states = states[:, 1:]
        if guidance is not None:
            more["timestep_cond"] = told_scale(guidance, config.time_cond_proj_dim, x)
        return self.unet(x, timesteps, encoder_hidden_states=states, **more)
