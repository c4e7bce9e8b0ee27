"""StyleGAN2 by rosinality's names (github.com/rosinality/stylegan2-pytorch) → limner's folder.

Both keep weights of unit variance and scale them where they are used, with the same constants. The
generator is taken; `latent_avg` is its w̄, and how far w spreads is measured here.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.models import _stylegan
from limner.models._families import under
from limner.nets import stylegan3
from limner.nets.stylegan import Generator, Shape

__all__ = ["measure", "write"]

_MEASURED, _AT_ONCE = 10_000, 1_000  # z, as where limner trains
_LAYER = {
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "conv.weight": "weight",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
    "bias": "bias",  # to RGB's
}


def write(state: dict[str, Tensor], folder: Path) -> None:
    """The folder. Raises BadInput where the tensors are not those of a StyleGAN2."""
    own = under(state, "g_ema.")
    network = Generator(_shape(own))
    named = {new: tensor for name, tensor in own.items() if (new := _name(name))}
    wanted = network.state_dict()
    for name in ("w_avg", "w_std", "path_length"):
        named[name] = wanted[name]
    for name, tensor in wanted.items():
        given = named.get(name)
        if given is None or given.numel() != tensor.numel():
            raise BadInput(f"its generator lacks {name!r}, or has it in another size")
    network.load_state_dict({n: named[n].float().reshape(t.shape) for n, t in wanted.items()})
    measure(network, state.get("latent_avg"))
    _stylegan.write(folder, network, None)


def _shape(own: dict[str, Tensor]) -> Shape:
    """Channels of each side, and the mapping's size."""
    channels = [own[name].shape[1] for name in ("input.input",) if name in own]
    ups = _numbers(own, r"convs\.(\d+)\.conv\.weight")
    for i in ups[1::2]:
        channels.append(own[f"convs.{i}.conv.weight"].shape[1])
    mapping = _numbers(own, r"style\.(\d+)\.weight")
    if ups != list(range(len(ups))) or len(ups) % 2 or not channels:
        raise BadInput("its layers are not those of a StyleGAN2")
    return Shape(tuple(channels), own["style.1.weight"].shape[1], len(mapping))


def _numbers(own: dict[str, Tensor], pattern: str) -> list[int]:
    return sorted(int(found[1]) for name in own if (found := re.fullmatch(pattern, name)))


def _name(name: str) -> str:
    """Our name of a tensor; "" for what is none of the network's (filters, fixed noise)."""
    if found := re.fullmatch(r"style\.(\d+)\.(weight|bias)", name):
        return f"mapping.fc{int(found[1]) - 1}.{found[2]}"
    if name == "input.input":
        return "synthesis.b4.const"
    found = re.fullmatch(r"(conv1|to_rgb1|convs\.(\d+)|to_rgbs\.(\d+))\.(.+)", name)
    if not found or found[4] not in _LAYER:
        return ""
    place = {"conv1": "b4.conv1", "to_rgb1": "b4.torgb"}.get(found[1])
    if found[2]:
        place = f"b{8 << int(found[2]) // 2}.conv{int(found[2]) % 2}"
    elif found[3]:
        place = f"b{8 << int(found[3])}.torgb"
    return f"synthesis.{place}.{_LAYER[found[4]]}"


@torch.no_grad()
def measure(network: Generator | stylegan3.Generator, mean: Tensor | None) -> None:
    """Where w lies: the mean that the file says, the spread from z of a fixed seed."""
    source = torch.Generator().manual_seed(0)
    z = torch.randn(_MEASURED, network.shape.width, generator=source)
    w = torch.cat([network.mapping(part) for part in z.split(_AT_ONCE)])
    network.w_std.copy_(w.std(0))
    given = mean.float().flatten() if mean is not None else w.mean(0)
    if given.shape != network.w_avg.shape:
        raise BadInput(f"its latent_avg has {given.numel()} numbers: expected {w.shape[1]}")
    network.w_avg.copy_(given)
