"""The U-Net of Stable Diffusion 1.x, 2.x (Rombach et al. 2022) and XL (Podell et al. 2023), for
running, not for training.

It reads the config.json of diffusers' UNet2DConditionModel and its weights, as `_gather.py` puts
them together, and computes the same (a test holds the two together). It is here because importing
diffusers' class takes longer than painting a picture, and because what depends only on the text
(the keys and values of cross-attention, the pooled text) is worked out here once a prompt instead
of once a step.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.models._attention import PooledText, Transformer
from limner.models._layers import Downsample, Resnet, Upsample, as_many, silu
from limner.models._packed import Conv2d, GroupNorm, Linear
from limner.models._times import SizedText, TimeEmbedding, waves
from limner.models._unet_config import DOWN, UP
from limner.prompt import Notice

__all__ = ["COMPILER_CACHE", "UNet"]

COMPILER_CACHE = "TORCHINDUCTOR_CACHE_DIR"  # where torch says that it keeps what it compiled


class Said(NamedTuple):
    """The answer, by the name that diffusers' networks give it."""

    sample: Tensor  # (b, c, h, w)


class Added(NamedTuple):
    """What a ControlNet adds to what the U-Net passes on (Zhang et al. 2023, figure 3)."""

    skips: Sequence[Tensor]  # (b, c, h, w) to each skip, in the order of their making
    middle: Tensor  # (b, c, h, w) to what comes out of the middle


class Told(NamedTuple):
    """What a network needs to know of the text, worked out once."""

    pooled: Tensor | None  # (b, time): added to the time embedding
    guidance: Tensor | None  # (1, width): added to the time's waves
    states: list[
        list[tuple[Tensor, Tensor]]
    ]  # each transformer's blocks' keys and values (b, n, c)


class Block(nn.Module):
    """One resolution, on the way down, in the middle or on the way up."""

    def __init__(
        self,
        widths: list[tuple[int, int]],  # in and out of each resnet
        heads: int | None,  # None: no attention
        config: dict[str, Any],
        sampler: nn.Module | None = None,
        attentions: int | None = None,  # as many as resnets; one fewer in the middle
        depth: int = 1,  # blocks of each transformer
    ) -> None:
        super().__init__()
        groups, eps = config.get("norm_num_groups", 32), config.get("norm_eps", 1e-5)
        context = config.get("cross_attention_dim", 1280)
        scales = config.get("resnet_time_scale_shift") == "scale_shift"
        resnets = [Resnet(a, b, groups, eps, scales) for a, b in widths]
        self.resnets = nn.ModuleList(resnets)
        if heads:
            count = len(widths) if attentions is None else attentions
            width = widths[-1][1]
            each = [Transformer(width, heads, context, config, depth) for _ in range(count)]
            self.attentions = nn.ModuleList(each)
        else:
            self.attentions = nn.ModuleList()
        self.downsamplers = nn.ModuleList([sampler] if isinstance(sampler, Downsample) else [])
        self.upsamplers = nn.ModuleList([sampler] if isinstance(sampler, Upsample) else [])

    def each(self) -> Iterator[tuple[nn.Module, nn.Module | None]]:
        """Its resnets, each with the transformer behind it, if any."""
        return zip_longest(self.resnets, self.attentions)


class UNet(nn.Module):
    """x (b, c, h, w) at timesteps (b,) under text states (b, n, d) → what the network says of x."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        widths: list[int] = config["block_out_channels"]
        layers, context = config.get("layers_per_block", 2), config.get("cross_attention_dim", 1280)
        said = config.get("attention_head_dim", 8)  # by this name the configs give numbers of heads
        heads = said if isinstance(said, list) else [said] * len(widths)
        deep = config.get("transformer_layers_per_block", 1)
        depths = deep if isinstance(deep, list) else [deep] * len(widths)
        groups, time = config.get("norm_num_groups", 32), 4 * widths[0]
        self.flip = bool(config.get("flip_sin_to_cos", True))
        self.shift = config.get("freq_shift", 0)
        self.width = widths[0]
        self.conv_in = Conv2d(config.get("in_channels", 4), widths[0], 3, padding=1)
        self.time_embedding = TimeEmbedding(widths[0], time, config.get("time_cond_proj_dim"))
        self.downscale: int = config.get("downscale", 8)  # pixels to x's; no entry of diffusers'
        self.add_embedding: PooledText | SizedText | None = None
        if config.get("addition_embed_type") == "text":
            count = config.get("addition_embed_type_num_heads", 64)
            self.add_embedding = PooledText(config.get("encoder_hid_dim") or context, time, count)
        if config.get("addition_embed_type") == "text_time":
            self.add_embedding = SizedText(config, time)
        self.down_blocks, skips = nn.ModuleList(), [widths[0]]
        for i, (kind, width) in enumerate(zip(config["down_block_types"], widths)):
            last = i == len(widths) - 1
            pairs = [(widths[max(i - 1, 0)] if j == 0 else width, width) for j in range(layers)]
            down = None if last else Downsample(width, padded=True)
            own = heads[i] if DOWN[kind] else None
            self.down_blocks.append(Block(pairs, own, config, down, depth=depths[i]))
            skips += [width] * (layers if last else layers + 1)
        middle = [(widths[-1], widths[-1])] * 2
        self.mid_block = Block(middle, heads[-1], config, attentions=1, depth=depths[-1])
        self.up_blocks, below = nn.ModuleList(), widths[-1]
        for i, (kind, width) in enumerate(zip(config["up_block_types"], widths[::-1])):
            pairs = []
            for _ in range(layers + 1):
                pairs.append((below + skips.pop(), width))
                below = width
            up = None if i == len(widths) - 1 else Upsample(width)
            own = heads[-1 - i] if UP[kind] else None
            self.up_blocks.append(Block(pairs, own, config, up, depth=depths[-1 - i]))
        self.conv_norm_out = GroupNorm(groups, widths[0], config.get("norm_eps", 1e-5))
        self.conv_out = Conv2d(widths[0], config.get("out_channels", 4), 3, padding=1)
        self.told = [cast(Resnet, resnet).told for block in self._all() for resnet in block.resnets]
        self.time_projections = Linear(time, sum(self.told))
        self._last: tuple[Tensor, tuple[Any, ...], Told] | None = None
        self._said: Callable[[Tensor, Tensor, Told, Added | None], Tensor] = self.say

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        *,
        encoder_hidden_states: Tensor,
        guidance: float | None = None,
        down_block_additional_residuals: Sequence[Tensor] | None = None,
        mid_block_additional_residual: Tensor | None = None,
    ) -> Said:
        """x (b, c, h, w), timesteps (b,) of 0 … T−1, text (b, n, d) → its like (b, c, h, w).

        XL's text has the pooled one as its first row. guidance: the scale, told to one that was
        distilled from it.
        The residuals are a ControlNet's, by diffusers' names, both or none: see `Added`.
        """
        skips, middle = down_block_additional_residuals, mid_block_additional_residual
        added = None if skips is None or middle is None else Added(tuple(skips), middle)
        size = x.shape[2] * self.downscale, x.shape[3] * self.downscale
        told = self._told(encoder_hidden_states, size, guidance)
        return Said(self._said(_once(x), timesteps, told, added))

    def compiled(self) -> UNet:
        """Its twin on the same weights, with all that a step does compiled: slow at first, and
        again for each new size. On a CPU in bfloat16 its large layers run in eight bits.

        Where it cannot be (no C++ compiler, a damaged cache) it runs on as it is, with a Notice.
        """
        import torch.ao.quantization.fx._decomposed  # the operators of `_eight_bits`
        from torch._inductor import config

        twin = copy.copy(self)
        compiled = torch.compile(twin.say, dynamic=False)

        def said(x: Tensor, timesteps: Tensor, told: Told, added: Added | None = None) -> Tensor:
            try:
                with config.patch(freezing=True):  # weights are constants, in the kernels' layout
                    return compiled(x, timesteps, told, added)
            except torch._dynamo.exc.TorchDynamoException as error:
                reason = str(error).strip().split("\n")[0][:200]
                text = f"painting without compiling, which failed ({reason}); its cache is at"
                warnings.warn(f"{text} {os.environ.get(COMPILER_CACHE)}", Notice, stacklevel=2)
                twin._said = twin.say
                return twin.say(x, timesteps, told, added)

        twin._said = said
        return twin

    def __deepcopy__(self, known: dict[int, Any]) -> UNet:
        """A copy that is not compiled and remembers nothing."""
        twin = copy.copy(self)
        known[id(self)] = twin
        twin._modules = copy.deepcopy(self._modules, known)
        twin._last, twin._said = None, twin.say
        return twin

    def _told(self, text: Tensor, size: tuple[int, int], guidance: float | None) -> Told:
        """`tell`, kept for as long as the same is asked for: all steps of a picture."""
        if text.requires_grad or torch.is_grad_enabled():
            return self.tell(text, size, guidance)
        last, beside = self._last, (size, guidance)
        if last is None or last[1] != beside or not _same(last[0], text):
            self._last = last = (text, beside, self.tell(text, size, guidance))
        return last[2]

    def tell(self, text: Tensor, size: tuple[int, int], guidance: float | None = None) -> Told:
        """All that depends on the text (b, n, d), the picture's height and width and the guidance
        scale alone."""
        pooled = None
        if isinstance(self.add_embedding, SizedText):
            pooled, text = self.add_embedding(text[:, 0], size), text[:, 1:]
        elif self.add_embedding is not None:
            pooled = self.add_embedding(text)
        scale = None if guidance is None else self.time_embedding.guidance(guidance, text)
        return Told(pooled, scale, [layer.told(text) for layer in self._transformers()])

    def _transformers(self) -> Iterator[Transformer]:
        for block in self._all():
            for attention in block.attentions:
                yield cast(Transformer, attention)

    def _all(self) -> list[Block]:
        """Its blocks, as they run."""
        return [*_blocks(self.down_blocks), self.mid_block, *_blocks(self.up_blocks)]

    def say(self, x: Tensor, timesteps: Tensor, told: Told, added: Added | None = None) -> Tensor:
        """What the network predicts of x (b, c, h, w), or of x (b/2, c, h, w) twice."""
        own = waves(timesteps, self.width, self.shift, self.flip).to(x.dtype)
        time = self.time_embedding(own, told.guidance)
        time = functional.silu(time if told.pooled is None else time + told.pooled)
        states, times = iter(told.states), iter(self.time_projections(time).split(self.told, 1))
        x = self.conv_in(x.contiguous(memory_format=torch.channels_last))
        skips = [as_many(x, len(time))]
        for block in _blocks(self.down_blocks):
            for resnet, attention in block.each():
                x = resnet(x, next(times))
                x = x if attention is None else attention(x, next(states))
                skips.append(x)
            for downsample in block.downsamplers:
                x = downsample(x)
                skips.append(x)
        for resnet, attention in self.mid_block.each():
            x = resnet(x, next(times))
            x = x if attention is None else attention(x, next(states))
        if added is not None:
            skips = [skip + more for skip, more in zip(skips, added.skips, strict=True)]
            x = x + added.middle
        for block in _blocks(self.up_blocks):
            for resnet, attention in block.each():
                x = resnet(torch.cat([x, skips.pop()], 1), next(times))
                x = x if attention is None else attention(x, next(states))
            for upsample in block.upsamplers:
                x = upsample(x, skips[-1].shape[2:])
        return self.conv_out(silu(self.conv_norm_out(x)))


def _blocks(modules: nn.ModuleList) -> list[Block]:
    return [cast(Block, block) for block in modules]


def _once(x: Tensor) -> Tensor:
    """x without its second half, where that is the first again: so guidance asks."""
    half = len(x) // 2
    twice = not torch.is_grad_enabled() and half > 0 and _same(x[:half], x[half:])
    return x[:half] if twice else x


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)
