"""The U-Net of Stable Diffusion 1.x and 2.x (Rombach et al. 2022), for running, not for training.

It reads the config.json of diffusers' UNet2DConditionModel and its weights, as `_gather.py` puts
them together, and computes the same (a test holds the two together). It is here because importing
diffusers' class takes longer than painting a picture, and because what depends only on the text
(the keys and values of cross-attention, the pooled text) is worked out here once a prompt instead
of once a step.
"""

from __future__ import annotations

import copy
import math
import os
import warnings
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.models._attention import PooledText, Transformer
from limner.models._layers import Downsample, Resnet, Upsample, as_many
from limner.models._packed import Conv2d, GroupNorm, Linear
from limner.prompt import Notice

__all__ = ["COMPILER_CACHE", "UNet", "runs"]

# What a config may say of the things that this file leaves out; a config that says anything else
# is run by diffusers itself. A missing entry is diffusers' default, which is the first here.
_ALLOWED: dict[str, tuple[Any, ...]] = {
    "act_fn": ("silu", "swish"),
    "addition_embed_type": (None, "text"),
    "attention_type": ("default",),
    "center_input_sample": (False,),
    "class_embed_type": (None,),
    "conv_in_kernel": (3,),
    "conv_out_kernel": (3,),
    "cross_attention_norm": (None,),
    "downsample_padding": (1,),
    "dual_cross_attention": (False,),
    "encoder_hid_dim": (None,),
    "encoder_hid_dim_type": (None,),
    "mid_block_scale_factor": (1, 1.0),
    "mid_block_type": ("UNetMidBlock2DCrossAttn",),
    "num_attention_heads": (None,),
    "num_class_embeds": (None,),
    "only_cross_attention": (False,),
    "resnet_out_scale_factor": (1.0, 1),
    "resnet_skip_time_act": (False,),
    "resnet_time_scale_shift": ("default", "scale_shift"),
    "reverse_transformer_layers_per_block": (None,),
    "time_cond_proj_dim": (None,),
    "time_embedding_act_fn": (None,),
    "time_embedding_dim": (None,),
    "time_embedding_type": ("positional",),
    "timestep_post_act": (None,),
}
COMPILER_CACHE = "TORCHINDUCTOR_CACHE_DIR"  # where torch says that it keeps what it compiled
_DOWN = {"CrossAttnDownBlock2D": True, "DownBlock2D": False}
_UP = {"CrossAttnUpBlock2D": True, "UpBlock2D": False}


def runs(config: dict[str, Any]) -> bool:
    """Whether this file computes what the config describes."""
    plain = ("cross_attention_dim", "layers_per_block", "transformer_layers_per_block")
    return (
        all(config.get(key, allowed[0]) in allowed for key, allowed in _ALLOWED.items())
        and all(isinstance(config.get(key, 1), int) for key in plain)
        and all(isinstance(config.get(key), list) for key in ("block_out_channels",))
        and all(kind in _DOWN for kind in config.get("down_block_types", ["?"]))
        and all(kind in _UP for kind in config.get("up_block_types", ["?"]))
        and len(config["down_block_types"]) == len(config["block_out_channels"])
        and len(config["up_block_types"]) == len(config["block_out_channels"])
        and config.get("norm_num_groups", 32) is not None
    )


class Said(NamedTuple):
    """The answer, by the name that diffusers' networks give it."""

    sample: Tensor  # (b, c, h, w)


class Told(NamedTuple):
    """What a network needs to know of the text, worked out once."""

    pooled: Tensor | None  # (b, time): added to the time embedding
    states: list[
        list[tuple[Tensor, Tensor]]
    ]  # each transformer's blocks' keys and values (b, n, c)


class TimeEmbedding(nn.Module):
    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.linear_1 = Linear(inner, outer)
        self.linear_2 = Linear(outer, outer)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(functional.silu(self.linear_1(x)))


class Block(nn.Module):
    """One resolution, on the way down, in the middle or on the way up."""

    def __init__(
        self,
        widths: list[tuple[int, int]],  # in and out of each resnet
        heads: int | None,  # None: no attention
        config: dict[str, Any],
        sampler: nn.Module | None = None,
        attentions: int | None = None,  # as many as resnets; one fewer in the middle
    ) -> None:
        super().__init__()
        groups, eps = config.get("norm_num_groups", 32), config.get("norm_eps", 1e-5)
        context = config.get("cross_attention_dim", 1280)
        scales = config.get("resnet_time_scale_shift") == "scale_shift"
        resnets = [Resnet(a, b, groups, eps, scales) for a, b in widths]
        self.resnets = nn.ModuleList(resnets)
        if heads:
            count = len(widths) if attentions is None else attentions
            each = [Transformer(widths[-1][1], heads, context, config) for _ in range(count)]
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
        groups, time = config.get("norm_num_groups", 32), 4 * widths[0]
        self.flip = bool(config.get("flip_sin_to_cos", True))
        self.shift = config.get("freq_shift", 0)
        self.width = widths[0]
        self.conv_in = Conv2d(config.get("in_channels", 4), widths[0], 3, padding=1)
        self.time_embedding = TimeEmbedding(widths[0], time)
        self.add_embedding = None
        if config.get("addition_embed_type") == "text":
            count = config.get("addition_embed_type_num_heads", 64)
            self.add_embedding = PooledText(config.get("encoder_hid_dim") or context, time, count)
        self.down_blocks, skips = nn.ModuleList(), [widths[0]]
        for i, (kind, width) in enumerate(zip(config["down_block_types"], widths)):
            last = i == len(widths) - 1
            pairs = [(widths[max(i - 1, 0)] if j == 0 else width, width) for j in range(layers)]
            down = None if last else Downsample(width, padded=True)
            own = heads[i] if _DOWN[kind] else None
            self.down_blocks.append(Block(pairs, own, config, down))
            skips += [width] * (layers if last else layers + 1)
        middle = [(widths[-1], widths[-1])] * 2
        self.mid_block = Block(middle, heads[-1], config, attentions=1)
        self.up_blocks, below = nn.ModuleList(), widths[-1]
        for i, (kind, width) in enumerate(zip(config["up_block_types"], widths[::-1])):
            pairs = []
            for _ in range(layers + 1):
                pairs.append((below + skips.pop(), width))
                below = width
            up = None if i == len(widths) - 1 else Upsample(width)
            own = heads[-1 - i] if _UP[kind] else None
            self.up_blocks.append(Block(pairs, own, config, up))
        self.conv_norm_out = GroupNorm(groups, widths[0], config.get("norm_eps", 1e-5))
        self.conv_out = Conv2d(widths[0], config.get("out_channels", 4), 3, padding=1)
        self.told = [cast(Resnet, resnet).told for block in self._all() for resnet in block.resnets]
        self.time_projections = Linear(time, sum(self.told))
        self._last: tuple[Tensor, Told] | None = None
        self._said: Callable[[Tensor, Tensor, Told], Tensor] = self.say

    def forward(self, x: Tensor, timesteps: Tensor, *, encoder_hidden_states: Tensor) -> Said:
        """x (b, c, h, w), timesteps (b,) of 0 … T−1, text (b, n, d) → its like (b, c, h, w)."""
        return Said(self._said(_once(x), timesteps, self._told(encoder_hidden_states)))

    def compiled(self) -> UNet:
        """Its twin on the same weights, with all that a step does compiled: slow at first, and
        again for each new size. On a CPU in bfloat16 its large layers run in eight bits.

        Where it cannot be (no C++ compiler, a damaged cache) it runs on as it is, with a Notice.
        """
        import torch.ao.quantization.fx._decomposed  # the operators of `_eight_bits`
        from torch._inductor import config

        twin = copy.copy(self)
        compiled = torch.compile(twin.say, dynamic=False)

        def said(x: Tensor, timesteps: Tensor, told: Told) -> Tensor:
            try:
                with config.patch(freezing=True):  # weights are constants, in the kernels' layout
                    return compiled(x, timesteps, told)
            except torch._dynamo.exc.TorchDynamoException as error:
                reason = str(error).strip().split("\n")[0][:200]
                text = f"painting without compiling, which failed ({reason}); its cache is at"
                warnings.warn(f"{text} {os.environ.get(COMPILER_CACHE)}", Notice, stacklevel=2)
                twin._said = twin.say
                return twin.say(x, timesteps, told)

        twin._said = said
        return twin

    def __deepcopy__(self, known: dict[int, Any]) -> UNet:
        """A copy that is not compiled and remembers nothing."""
        twin = copy.copy(self)
        known[id(self)] = twin
        twin._modules = copy.deepcopy(self._modules, known)
        twin._last, twin._said = None, twin.say
        return twin

    def _told(self, text: Tensor) -> Told:
        """`tell`, kept for as long as the same text is asked for: all steps of a picture."""
        if text.requires_grad or torch.is_grad_enabled():
            return self.tell(text)
        last = self._last
        if last is None or not _same(last[0], text):
            self._last = last = (text, self.tell(text))
        return last[1]

    def tell(self, text: Tensor) -> Told:
        """All that depends on the text (b, n, d) alone."""
        pooled = None if self.add_embedding is None else self.add_embedding(text)
        return Told(pooled, [layer.told(text) for layer in self._transformers()])

    def _transformers(self) -> Iterator[Transformer]:
        for block in self._all():
            for attention in block.attentions:
                yield cast(Transformer, attention)

    def _all(self) -> list[Block]:
        """Its blocks, as they run."""
        return [*_blocks(self.down_blocks), self.mid_block, *_blocks(self.up_blocks)]

    def say(self, x: Tensor, timesteps: Tensor, told: Told) -> Tensor:
        """What the network predicts of x (b, c, h, w), or of x (b/2, c, h, w) twice."""
        time = self.time_embedding(self._waves(timesteps).to(x.dtype))
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
        for block in _blocks(self.up_blocks):
            for resnet, attention in block.each():
                x = resnet(torch.cat([x, skips.pop()], 1), next(times))
                x = x if attention is None else attention(x, next(states))
            for upsample in block.upsamplers:
                x = upsample(x, skips[-1].shape[2:])
        return self.conv_out(functional.silu(self.conv_norm_out(x)))

    def _waves(self, timesteps: Tensor) -> Tensor:
        """(b,) → (b, width): sines and cosines of falling frequency (Vaswani et al. 2017)."""
        half = self.width // 2
        numbers = torch.arange(half, dtype=torch.float32, device=timesteps.device)
        angles = timesteps[:, None] * torch.exp(numbers * (-math.log(10_000) / (half - self.shift)))
        waves = [angles.sin(), angles.cos()]
        return torch.cat(waves[::-1] if self.flip else waves, 1)


def _blocks(modules: nn.ModuleList) -> list[Block]:
    return [cast(Block, block) for block in modules]


def _once(x: Tensor) -> Tensor:
    """x without its second half, where that is the first again: so guidance asks."""
    half = len(x) // 2
    twice = not torch.is_grad_enabled() and half > 0 and _same(x[:half], x[half:])
    return x[:half] if twice else x


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)
