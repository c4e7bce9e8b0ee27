"""Where a U-Net's cross-attention looks: maps over the picture, one for each token of the text.

"What the DAAM" (Tang et al. 2023, section 2.2): the softmax weights of each layer, whose pixels
answer the text's tokens, brought to the latents' size, averaged over heads and layers and summed
over steps. They are worked out beside the network by hooks, from what its layers are given: nothing
in it changes, and it is no slower when nobody records.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.errors import BadInput
from limner.models._attention import CrossAttention, Transformer
from limner.models._flow_transformer import FluxNetwork, SD3Network
from limner.models._joint_attention import joint_hooks
from limner.models._unet import UNet

__all__ = ["Recorder", "recorded"]


class Recorder:
    """What was seen since it was opened.

    texts:     text states (1 or b, n, d), one for each prompt whose maps are wanted; asked under
               any others (the empty half of guidance), the network is not listened to
    pictures:  b
    """

    def __init__(self, texts: Sequence[Tensor], pictures: int) -> None:
        self.texts, self.pictures = list(texts), pictures
        self.steps = 0  # calls of the network that were listened to
        self._sums: dict[int, Tensor] = {}  # by layer: (prompts, b, n, h, w)
        self._rows: list[slice | None] = []
        self._size, self._inner, self._layer = (0, 0), (0, 0), 0

    def maps(self, layers: Sequence[int] | None = None) -> list[Tensor]:
        """For each prompt (b, n, h, w), of the latents' size: the mean over layers of the sum over
        steps. Over all tokens they sum to `steps` at each pixel, but for what enlarging did.

        layers: as they run, from 0; all when not given
        """
        if not self._sums:
            raise BadInput("nothing was recorded: the network was not asked under these texts")
        chosen = [each for k, each in sorted(self._sums.items()) if layers is None or k in layers]
        return list(torch.stack(chosen).mean(0))

    # ---- what the hooks call ------------------------------------------------------------------

    def begin(self, x: Tensor, states: Tensor) -> None:
        """A call of the network: x (k·b, c, h, w) under states (k·b, n, d)."""
        self._size, self._layer = (x.shape[2], x.shape[3]), 0
        self._rows = [self._rows_of(states, text) for text in self.texts]
        self.steps += any(rows is not None for rows in self._rows)

    def _rows_of(self, states: Tensor, text: Tensor) -> slice | None:
        """The rows of one batch that is asked under the text, the last where there are several:
        guidance asks first without it."""
        b = self.pictures
        for start in range(len(states) - b, -1, -b):
            part = states[start : start + b]
            if part.shape[1:] == text.shape[1:] and torch.equal(part, text.expand_as(part)):
                return slice(start, start + b)
        return None

    def enter(self, x: Tensor) -> None:
        """A transformer over a feature map (…, c, h, w)."""
        self._inner = (x.shape[-2], x.shape[-1])

    def look(self, queries: Tensor, keys: Tensor, scale: float, tokens: int | None = None) -> None:
        """Queries (k·b, heads, h·w, c) over keys (k·b or one for all, heads, n, c), of which the
        first `tokens` are the text's; all when not given."""
        for prompt, rows in enumerate(self._rows):
            if rows is None:
                continue
            heads = zip(queries[rows].float().unbind(1), keys[rows].float().unbind(1))
            # One head after the other: where pixels look at pixels, too, all are much memory.
            each = [(q @ k.mT * scale).softmax(2)[:, :, :tokens] for q, k in heads]
            small = torch.stack(each).mean(0).transpose(1, 2).unflatten(2, self._inner)
            large = functional.interpolate(small, self._size, mode="bicubic").clamp(min=0).cpu()
            if self._layer not in self._sums:
                shape = (len(self.texts), *large.shape)
                self._sums[self._layer] = torch.zeros(shape)
            self._sums[self._layer][prompt] += large
        self._layer += 1


@contextmanager
def recorded(unet: nn.Module, texts: Sequence[Tensor], pictures: int) -> Iterator[Recorder]:
    """While it is open, every call of the U-Net under one of the texts is recorded.

    Raises BadInput for a network whose cross-attention cannot be read.
    """
    recorder = Recorder(texts, pictures)
    hooks = list(_hooks(unet, recorder))
    try:
        yield recorder
    finally:
        for hook in hooks:
            hook.remove()


def _hooks(unet: nn.Module, recorder: Recorder) -> Iterator[Any]:
    if isinstance(unet, (SD3Network, FluxNetwork)):
        yield unet.register_forward_pre_hook(_beginning(recorder), with_kwargs=True)
        yield from joint_hooks(unet, recorder)
    else:
        yield from _own(unet, recorder) if isinstance(unet, UNet) else _library(unet, recorder)


def _own(unet: UNet, recorder: Recorder) -> Iterator[Any]:
    """Hooks in limner's own U-Net."""

    def look(module: CrossAttention, given: tuple[Tensor, ...]) -> None:
        tokens, keys, _ = given
        q, k = (x.unflatten(2, (module.heads, -1)) for x in (module.to_q(tokens), keys))
        recorder.look(q.transpose(1, 2), k.transpose(1, 2), q.shape[-1] ** -0.5)

    yield unet.register_forward_pre_hook(_beginning(recorder), with_kwargs=True)
    for module in unet.modules():
        if isinstance(module, Transformer):
            yield module.register_forward_pre_hook(lambda _, given: recorder.enter(given[0]))
        if isinstance(module, CrossAttention):
            yield module.register_forward_pre_hook(look)


def _library(unet: nn.Module, recorder: Recorder) -> Iterator[Any]:
    """Hooks in diffusers' UNet2DConditionModel."""
    from diffusers.models.attention_processor import Attention
    from diffusers.models.transformers.transformer_2d import Transformer2DModel

    def look(module: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        tokens = given[0] if given else named["hidden_states"]
        text = given[1] if len(given) > 1 else named.get("encoder_hidden_states")
        if text is None:
            return  # over itself
        text = module.norm_encoder_hidden_states(text) if module.norm_cross else text
        q, k = (
            x.unflatten(2, (module.heads, -1)).transpose(1, 2)
            for x in (module.to_q(tokens), module.to_k(text))
        )
        q = q if module.norm_q is None else module.norm_q(q)
        k = k if module.norm_k is None else module.norm_k(k)
        recorder.look(q, k, module.scale)

    within = [
        (transformer, [each for each in transformer.modules() if isinstance(each, Attention)])
        for transformer in unet.modules()
        if isinstance(transformer, Transformer2DModel)
    ]
    if not within:
        raise BadInput(
            "this model's U-Net has no transformers to look into: give another (--model)"
        )
    yield unet.register_forward_pre_hook(_beginning(recorder), with_kwargs=True)
    for transformer, layers in within:
        yield transformer.register_forward_pre_hook(
            lambda _, given, named: recorder.enter(given[0] if given else named["hidden_states"]),
            with_kwargs=True,
        )
        for layer in layers:
            yield layer.register_forward_pre_hook(look, with_kwargs=True)


def _beginning(recorder: Recorder) -> Any:
    def begin(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        recorder.begin(given[0], named["encoder_hidden_states"])

    return begin
