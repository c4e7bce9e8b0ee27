"""Where a transformer over picture and text together looks: its pixels' part of the attention.

The text is among the keys beside the picture itself, so that a pixel's shares of all the words sum
to less than 1: the rest is what it gives to the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from limner.models._flow_transformer import FluxNetwork, SD3Network

if TYPE_CHECKING:
    from limner.models._attended import Recorder

__all__ = ["joint_hooks"]


def joint_hooks(network: SD3Network | FluxNetwork, recorder: Recorder) -> Iterator[Any]:
    """Hooks in each layer in which the picture looks at the text."""
    tokens = 0  # of the text, in the call that runs

    def begin(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        nonlocal tokens
        tokens = named["encoder_hidden_states"].shape[1] - 1  # the first row is packed
        recorder.enter(given[0][:, :, :: network.patch, :: network.patch])

    def look(module: Any, _: tuple[Any, ...], named: dict[str, Any]) -> None:
        queries, keys = _asked(module, named, tokens)
        recorder.look(queries, keys, queries.shape[-1] ** -0.5, tokens)

    yield network.register_forward_pre_hook(begin, with_kwargs=True)
    transformer: Any = network.transformer
    blocks = [*transformer.transformer_blocks]
    if isinstance(network, FluxNetwork):
        blocks += transformer.single_transformer_blocks
    for block in blocks:
        yield block.attn.register_forward_pre_hook(look, with_kwargs=True)


def _asked(module: Any, named: dict[str, Any], tokens: int) -> tuple[Tensor, Tensor]:
    """The pixels' queries (b, heads, h·w, c), and the keys of text and pixels (b, heads, n, c)."""
    picture, text = named["hidden_states"], named.get("encoder_hidden_states")
    queries = _normed(module.norm_q, _split(module, module.to_q(picture)))
    keys = _normed(module.norm_k, _split(module, module.to_k(picture)))
    if text is None:  # Flux's later layers take both as one, the text first
        whole = queries
    else:
        of_text = _normed(module.norm_added_k, _split(module, module.add_k_proj(text)))
        keys = torch.cat([of_text, keys], 2)
        whole = torch.cat([torch.zeros_like(of_text), queries], 2)
    turned = named.get("image_rotary_emb")
    if turned is not None:
        from diffusers.models.embeddings import apply_rotary_emb

        turn: Any = apply_rotary_emb
        whole, keys = turn(whole, turned), turn(keys, turned)
    return whole[:, :, tokens:], keys


def _split(module: Any, x: Tensor) -> Tensor:
    """(b, n, d) → (b, heads, n, d/heads)."""
    return x.unflatten(2, (module.heads, -1)).transpose(1, 2)


def _normed(norm: Any, x: Tensor) -> Tensor:
    out: Tensor = x if norm is None else norm(x)
    return out
