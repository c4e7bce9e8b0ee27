"""NVIDIA's StyleGAN2-ADA and StyleGAN3 (G_ema of their .pkl) → limner's folders.

Names and equations are the same, but for the scale of the mapping's weights, and that a network of
classes is told one of them here: its embedding is a constant then, which goes into a bias.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.models import _stylegan, _stylegan3
from limner.models._converted_stylegan import measure
from limner.models._families import under
from limner.nets import stylegan, stylegan3
from limner.nets._equalised import TAPS

__all__ = ["write"]

_PREFIX = "G_ema."
_RATE = 0.01  # of the mapping's learning rate, in limner's networks
_LAYER3 = r"synthesis\.(L(\d+)_\d+_\d+)\.(.+)"
_COLOURS = re.compile(r"\.torgb\.(weight|bias)$")


def write(state: dict[str, Tensor], plain: dict[str, Any], folder: Path, label: int | None) -> None:
    """The folder. Raises BadInput where the network is none of the two, or needs a label.

    plain:  the values beside the tensors, by the same names
    label:  the number of the class that a network of classes paints
    """
    own = {name: tensor.float() for name, tensor in under(state, _PREFIX).items()}
    said = under(plain, _PREFIX)
    _mapping(own, said, label)
    if "synthesis.input.freqs" in own:
        third = stylegan3.Generator(_shape3(own, said))
        _filled(third, _named3(own))
        measure(third, own["mapping.w_avg"])
        _stylegan3.write(folder, third)
        return
    second = stylegan.Generator(_shape2(own, said))
    _filled(second, _named2(own))
    measure(second, own["mapping.w_avg"])
    _stylegan.write(folder, second, None, _fixed(own, second.shape))


def _mapping(own: dict[str, Tensor], said: dict[str, Any], label: int | None) -> None:
    """The mapping's weights as limner scales them, without classes; in place."""
    width = len(own["mapping.w_avg"])
    if said.get("mapping.z_dim") != width or "mapping.fc0.weight" not in own:
        told = said.get("mapping.z_dim")
        raise BadInput(f"its z has {told} numbers, its w {width}: expected as many")
    embedded = _embedded(own, label)
    for i in _numbers(own, r"mapping\.fc(\d+)\.weight"):
        name = f"mapping.fc{i}"
        if said.get(f"{name}.activation") != "lrelu":
            raise BadInput(f"{name} has the activation {said.get(f'{name}.activation')!r}")
        weight = own[f"{name}.weight"].double()
        bias = own[f"{name}.bias"].double() * _real(said, f"{name}.bias_gain")
        weight = weight * _real(said, f"{name}.weight_gain")
        if i == 0 and embedded is not None:
            bias = bias + weight[:, width:] @ embedded
            weight = weight[:, :width]
        own[f"{name}.weight"] = (weight * math.sqrt(weight.shape[1]) / _RATE).float()
        own[f"{name}.bias"] = (bias / _RATE).float()


def _embedded(own: dict[str, Tensor], label: int | None) -> Tensor | None:
    """The class' embedding, of unit power, float64; None for a network without classes."""
    weight, bias = (own.pop(f"mapping.embed.{part}", None) for part in ("weight", "bias"))
    if weight is None or bias is None:
        if label is not None:
            raise BadInput(f"label {label}: the network knows no classes, so give none")
        return None
    classes = weight.shape[1]
    if label is None or not 0 <= label < classes:
        raise BadInput(
            f"the network paints {classes} classes: say which by --label, 0 to {classes - 1}"
        )
    y = weight[:, label].double() / math.sqrt(classes) + bias.double()
    return y * (y.square().mean() + 1e-8).rsqrt()


def _real(said: dict[str, Any], name: str) -> float:
    value = said.get(name)
    if not isinstance(value, (int, float)) or not 0 < value < 1e6:
        raise BadInput(f"it says {name} = {value!r}: expected a number")
    return float(value)


def _numbers(own: dict[str, Tensor], pattern: str) -> list[int]:
    return sorted(int(found[1]) for name in own if (found := re.fullmatch(pattern, name)))


def _clamp(said: dict[str, Any], layers: list[str]) -> float:
    """The one that all layers have; 0 where they have none."""
    found = {said.get(f"{name}.conv_clamp") for name in layers}
    value = found.pop() if len(found) == 1 else "many"
    if value is not None and (not isinstance(value, (int, float)) or value <= 0):
        raise BadInput(f"it says conv_clamp = {value!r}: expected one number, or none")
    return float(value or 0)


def _shape2(own: dict[str, Tensor], said: dict[str, Any]) -> stylegan.Shape:
    sides = _numbers(own, r"synthesis\.b(\d+)\.conv1\.weight")
    if not sides or sides != [4 << i for i in range(len(sides))]:
        raise BadInput(f"its sides are {sides}: expected a StyleGAN2 of 4, 8, 16 … pixels")
    blocks = [f"synthesis.b{side}" for side in sides]
    for block in blocks:
        if said.get(f"{block}.architecture") != "skip":
            raise BadInput(f"it is built as {said.get(f'{block}.architecture')!r}: expected 'skip'")
    convs = [f"{b}.{conv}" for b in blocks for conv in ("conv0", "conv1")][1:]
    for name in convs:
        if said.get(f"{name}.activation") != "lrelu":
            raise BadInput(f"{name} has the activation {said.get(f'{name}.activation')!r}")
    channels = tuple(own[f"{block}.conv1.weight"].shape[0] for block in blocks)
    mapping = _numbers(own, r"mapping\.fc(\d+)\.weight")
    clamp = _clamp(said, [*convs, *(f"{block}.torgb" for block in blocks)])
    return stylegan.Shape(channels, len(own["mapping.w_avg"]), len(mapping), clamp)


def _named2(own: dict[str, Tensor]) -> dict[str, Tensor]:
    """limner's names. Raises BadInput for a filter of other taps."""
    taps = torch.tensor(TAPS) / sum(TAPS)
    named = {}
    for name, tensor in own.items():
        last = name.rsplit(".", 1)[-1]
        if last == "resample_filter":
            if tensor.shape != (4, 4) or not torch.allclose(tensor, torch.outer(taps, taps)):
                raise BadInput(f"{name} is no filter of 1 3 3 1: expected StyleGAN2's own")
        elif last != "noise_const":  # which is kept beside
            named[name] = _coloured(tensor) if _COLOURS.search(name) else tensor
    for name in [n for n in named if re.search(r"\.conv[01]\.weight$", n)]:
        named.setdefault(f"{name.removesuffix('weight')}noise_strength", torch.zeros(()))
    return named


def _coloured(tensor: Tensor) -> Tensor:
    """What makes one grey makes three that are as grey."""
    return tensor.expand(3, *tensor.shape[1:]) if tensor.shape[0] == 1 else tensor


def _fixed(own: dict[str, Tensor], shape: stylegan.Shape) -> Tensor | None:
    """The noise that NVIDIA's scripts paint with by default, (1, `shape.noise`), or None."""
    names = [f"synthesis.b{4 << i}.conv{j}" for i in range(len(shape.channels)) for j in (0, 1)][1:]
    maps = [own.get(f"{name}.noise_const") for name in names]
    sides = shape.sides
    whole = [each for each, side in zip(maps, sides) if each is not None and len(each) == side]
    if len(whole) < len(sides):
        return None
    flat = torch.cat([each.flatten() for each in whole])
    return flat[None] if len(flat) == shape.noise else None


def _shape3(own: dict[str, Tensor], said: dict[str, Any]) -> stylegan3.Shape:
    found = {int(m[2]): m[1] for n in own if (m := re.fullmatch(_LAYER3, n))}
    if sorted(found) != list(range(len(found))) or not found:
        raise BadInput("its layers are not those of a StyleGAN3")
    names = [f"synthesis.{found[i]}" for i in range(len(found))]
    colours = [said.get(f"{name}.is_torgb") for name in names]
    if colours != [False] * (len(names) - 1) + [True]:
        raise BadInput("its last layer alone must make colours, as a StyleGAN3's does")
    source = "synthesis.input"
    return stylegan3.Shape(
        tuple(_layer3(own, said, name) for name in names),
        _whole(said, f"{source}.size.0"),
        _real(said, f"{source}.sampling_rate"),
        _real(said, f"{source}.bandwidth"),
        len(own["mapping.w_avg"]),
        len(_numbers(own, r"mapping\.fc(\d+)\.weight")),
        _clamp(said, names),
        _real(said, "synthesis.output_scale"),
    )


def _layer3(own: dict[str, Tensor], said: dict[str, Any], name: str) -> stylegan3.Layer:
    outer, inner, side, _ = own[f"{name}.weight"].shape
    up, down = (own.get(f"{name}.{way}_filter") for way in ("up", "down"))
    padding = [_whole(said, f"{name}.padding.{i}") for i in range(4)]
    if padding[:2] != padding[2:] or (up is not None and up.ndim != 1):
        raise BadInput(f"{name} is not the same along both sides: expected a square StyleGAN3")
    return stylegan3.Layer(
        inner,
        3 if said.get(f"{name}.is_torgb") and outer == 1 else outer,
        side,
        _whole(said, f"{name}.up_factor"),
        _whole(said, f"{name}.down_factor"),
        1 if up is None else len(up),
        1 if down is None else len(down),
        (padding[0], padding[1]),
        down is not None and down.ndim == 2,
    )


def _whole(said: dict[str, Any], name: str) -> int:
    value = said.get(name)
    if type(value) is not int:
        raise BadInput(f"it says {name} = {value!r}: expected a whole number")
    return value


def _named3(own: dict[str, Tensor]) -> dict[str, Tensor]:
    """limner's names."""
    named, last = {}, max(_numbers(own, r"synthesis\.L(\d+)_.*\.weight"))
    for name, tensor in own.items():
        found = re.fullmatch(_LAYER3, name)
        if found and int(found[2]) == last and found[3] in ("weight", "bias"):
            tensor = _coloured(tensor)
        named[f"synthesis.layers.{found[2]}.{found[3]}" if found else name] = tensor
    return named


def _filled(network: torch.nn.Module, named: dict[str, Tensor]) -> None:
    """All of them, and no others."""
    named = {"w_avg" if name == "mapping.w_avg" else name: each for name, each in named.items()}
    wanted = network.state_dict()
    for name in ("w_std", "path_length"):
        if name in wanted:
            named[name] = wanted[name]
    for name in sorted(set(named) ^ set(wanted)):
        what = "lacks" if name in wanted else "has"
        raise BadInput(f"its generator {what} {name[:80]!r}, unlike a StyleGAN's: it is of another")
    for name, tensor in wanted.items():
        if named[name].shape != tensor.shape:
            raise BadInput(
                f"{name!r} is {tuple(named[name].shape)}: expected {tuple(tensor.shape)}"
            )
    network.load_state_dict(named)
