"""BigGAN-deep by pytorch-pretrained-biggan's names (Brock et al. 2019) → limner's folder.

Its weights are divided by their spectral norms, as its layers divide them; of its statistics, 51
sets for as many truncations, those of 1 go into the generator and all are kept beside.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.models import _biggan, _folder
from limner.nets.biggan import Generator, Shape

__all__ = ["write"]

_EPS = 1e-4  # of its norms, and of limner's
_ATTENTION = {"theta": "ask", "phi": "key", "g": "value", "o_conv": "out"}


def write(state: dict[str, Tensor], folder: Path, config: Path) -> None:
    """The folder, float32. Raises BadInput where weights and config do not belong together."""
    said = _folder.read_json(config)
    layers, at = _layers(said), _number(said, "attention_layer_position")
    shape = _shape(said, layers, at)
    named = _named({name: tensor.float() for name, tensor in state.items()}, len(layers), at)
    tables = {n: t for n, t in named.items() if n.endswith(("running_mean", "running_var"))}
    if len({len(table) for table in tables.values()}) != 1:
        raise BadInput("its norms have not the same number of statistics")
    network = Generator(shape)
    wanted = network.state_dict()
    own = {n: tables[n][-1] if n in tables else t for n, t in named.items()}
    own |= {n: t for n, t in wanted.items() if n.endswith("num_batches_tracked")}
    for name in sorted(set(own) ^ set(wanted)):
        raise BadInput(f"{name!r} is {'not there' if name in wanted else 'unlike its config'}")
    for name, tensor in wanted.items():
        if own[name].shape != tensor.shape:
            raise BadInput(f"{name!r} is {tuple(own[name].shape)}, not {tuple(tensor.shape)}")
    network.load_state_dict(own)
    classes = [str(i) for i in range(shape.classes)]
    _biggan.write(folder, classes, network, None, tables)


def _layers(said: dict[str, Any]) -> list[tuple[bool, int, int]]:
    """[up, channels in, channels out] of each block, in its config's multiples."""
    rows = said.get("layers")
    if not isinstance(rows, list) or not 2 <= len(rows) <= 32 or len(rows) % 2:
        raise BadInput("its config has no list of layers, two for each side")
    for i, row in enumerate(rows):
        whole = isinstance(row, list) and len(row) == 3
        if not whole or not all(type(n) is int and 1 <= n <= 64 for n in row[1:]):
            raise BadInput(f"its config has the layer {str(row)[:60]!r}: expected [up, in, out]")
        fits = row[1] == (rows[i - 1] if i else row)[2 if i else 1]
        if bool(row[0]) != bool(i % 2) or not fits or (i % 2 == 0 and row[1] != row[2]):
            raise BadInput(
                f"its config has the layer {row} in place {i}: expected one that keeps the side, "
                "then one that doubles it"
            )
    return [(bool(up), before, after) for up, before, after in rows]


def _shape(said: dict[str, Any], layers: list[tuple[bool, int, int]], at: int) -> Shape:
    if said.get("eps") != _EPS:
        raise BadInput(f"its config says eps = {said.get('eps')!r}: expected {_EPS}")
    width = _number(said, "channel_width")
    noise = _number(said, "z_dim")
    if not 0 <= at < len(layers):
        raise BadInput(f"its config has attention in place {at} of {len(layers)}")
    return Shape(
        classes=_number(said, "num_classes"),
        channels=(width * layers[0][1], *(width * after for _, _, after in layers[1::2])),
        noise=noise,
        width=said.get("class_embed_dim", noise),
        attention=4 << at // 2,
        early=at % 2 == 0,
    )


def _number(said: dict[str, Any], key: str) -> int:
    value = said.get(key)
    if type(value) is not int or not 0 <= value <= 65536:
        raise BadInput(f"its config says {key} = {str(value)[:40]!r}: expected a whole number")
    return value


def _named(state: dict[str, Tensor], count: int, at: int) -> dict[str, Tensor]:
    """limner's names and orders; statistics are still tables (n, c)."""
    plain = _divided(state)
    named = {}
    for name, tensor in plain.items():
        found = re.fullmatch(r"generator\.layers\.(\d+)\.(.+)", name)
        if found and int(found[1]) == at:
            named[_of_attention(found[2], at)] = tensor
        elif found:
            place = int(found[1])
            named[f"blocks.{place - (place > at)}.{_of_block(found[2])}"] = tensor
        else:
            named[_of_rest(name)] = tensor
    # Theirs makes 4 × 4 places of all channels, limner's channels of 4 × 4 places.
    for part in ("weight", "bias"):
        rows = named[f"begin.{part}"]
        turned = rows.unflatten(0, (4, 4, -1)).movedim(2, 0)
        named[f"begin.{part}"] = turned.reshape(rows.shape).contiguous()
        # Of its last convolution's maps, three are the colours.
        named[f"colours.{part}"] = named[f"colours.{part}"][:3]
    strength = f"attention.{at}.strength"
    if strength in named:
        named[strength] = named[strength].reshape(())
    return named


def _divided(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights over their spectral norms σ = uᵀ W v (Miyato et al. 2018, algorithm 1)."""
    out = {}
    for name, tensor in state.items():
        stem, _, last = name.rpartition(".")
        if last in ("weight_u", "weight_v"):
            continue
        if last != "weight_orig":
            out[name] = tensor
            continue
        matrix, left = tensor.double().flatten(1), state.get(f"{stem}.weight_u")
        if left is None or left.shape != matrix.shape[:1]:
            raise BadInput(f"{name!r} has no weight_u to be divided by")
        right = state.get(f"{stem}.weight_v")
        along = left.double() @ matrix
        if right is None:  # what one step of the power iteration gives
            right = along / along.norm().clamp(min=_EPS)
        sigma = along @ right.double()
        if not torch.isfinite(1 / sigma):
            raise BadInput(f"{name!r} has the spectral norm {float(sigma)}")
        out[f"{stem}.weight"] = (tensor.double() / sigma).float()
    return out


def _of_attention(name: str, at: int) -> str:
    part, _, last = name.removeprefix("snconv1x1_").partition(".")
    inner = "strength" if part == "gamma" else f"{_ATTENTION.get(part, part)}.{last}"
    return f"attention.{at}.{inner}"


def _of_block(name: str) -> str:
    name = re.sub(r"^conv_(\d)\.", r"convs.\1.", name)
    name = re.sub(r"^bn_(\d)\.scale\.", r"norms.\1.gain.", name)
    name = re.sub(r"^bn_(\d)\.offset\.", r"norms.\1.bias.", name)
    return re.sub(r"^bn_(\d)\.running_(mean|var)s$", r"norms.\1.norm.running_\2", name)


def _of_rest(name: str) -> str:
    name = re.sub(r"^generator\.bn\.running_(mean|var)s$", r"norm.running_\1", name)
    for old, new in (
        ("embeddings.", "embedding."),
        ("generator.gen_z.", "begin."),
        ("generator.bn.", "norm."),
        ("generator.conv_to_rgb.", "colours."),
    ):
        name = new + name.removeprefix(old) if name.startswith(old) else name
    return name
