"""What an adapter learns: low-rank changes of a frozen U-Net, and whole small layers of it.

LoRA (Hu et al. 2022, section 4.1): W + scale · B·A in place of W, B zero at first, so that training
begins with what the U-Net can do. The format that is written is told in `limner/models/adapter.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from limner.errors import BadInput
from limner.models.adapter import CARD, DOWN, UP, WEIGHTS, Begun

__all__ = ["Additions", "export", "widen"]

_README = """---
license: mit
library_name: limner
tags: [limner, lora]
---
# limner's adapter: {kind}

Low-rank changes (LoRA, rank {rank}) of the U-Net of a text-to-image model, and nothing of its own
to run: `limner.models.adapter.open_adapter(folder, model)` adds them to the model's weights. The
names in `adapter.safetensors` are those of diffusers and peft. It is of use with the very U-Net
that it was trained on, whose SHA-256 `adapter.json` says.
"""


class _LowRank(nn.Module):
    """A parametrisation: weight (out, in …) → weight + scale · B·A."""

    def __init__(self, weight: Tensor, rank: int, scale: float) -> None:
        super().__init__()
        ones = (1,) * (weight.ndim - 2)
        self.down = nn.Parameter(torch.empty(rank, *weight.shape[1:]))
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank, *ones))
        self.scale = scale
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))  # as torch begins any layer

    def forward(self, weight: Tensor) -> Tensor:
        change = (self.up.flatten(1) @ self.down.flatten(1)).view_as(weight)
        return weight + self.scale * change.to(weight.dtype)


class Additions(nn.Module):
    """What is learned of a U-Net: the player of a recipe, which holds no frozen weight.

    Args:
        unet: diffusers' UNet2DConditionModel. It is frozen but for this, and changed in place: its
            matrices and convolutions run as W + scale · B·A from now on.
        whole: names of the U-Net's weights that are learned as they are: small layers, or new ones.
        extra: further modules that learn with it, by name, which are not the U-Net's.
    """

    def __init__(
        self,
        unet: nn.Module,
        rank: int = 8,
        scale: float = 1.0,
        whole: Iterable[str] = (),
        extra: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.rank, self.scale = rank, scale
        unet.requires_grad_(False)
        weights = dict(unet.named_parameters())
        self.whole = nn.ParameterDict({_key(name): weights[name] for name in whole})
        for weight in self.whole.values():
            weight.requires_grad_(True)
        self.changes = nn.ModuleDict()
        for name, layer in list(unet.named_modules()):
            if isinstance(layer, nn.Linear | nn.Conv2d) and f"{name}.weight" not in whole:
                change = _LowRank(layer.weight, rank, scale)
                parametrize.register_parametrization(layer, "weight", change)
                self.changes[_key(name)] = change
        self.extra = nn.ModuleDict(extra or {})

    def tensors(self) -> dict[str, Tensor]:
        """All that was learned, by the names of an adapter's file."""
        return {name: each.detach().cpu().contiguous() for name, each in self._learned().items()}

    @torch.no_grad()
    def begin(self, begun: Begun) -> None:
        """Takes over what an adapter has learned; of a lower rank, the rest begins at nothing.

        Raises BadInput where it is of another shape.
        """
        own = self._learned()
        given = {name: tuple(each.shape) for name, each in begun.tensors.items()}
        shapes = {name: _cut(name, tuple(own[name].shape), given.get(name, ())) for name in own}
        apart = sorted(name for name in {*shapes, *given} if shapes.get(name) != given.get(name))
        if apart or begun.card.get("scale", 1.0) != self.scale:
            name = apart[0] if apart else "scale"
            raise BadInput(
                f"the adapter {begun.name!r} differs from what is to be trained in {name}: it has "
                f"{given.get(name, begun.card.get('scale'))}, expected "
                f"{shapes.get(name, self.scale)}; give the options that it was trained with"
            )
        for name, place in own.items():
            taken = begun.tensors[name]
            place[tuple(slice(size) for size in taken.shape)] = taken.to(place)

    def _learned(self) -> dict[str, Tensor]:
        """What is learned itself, by the names of an adapter's file."""
        out: dict[str, Tensor] = {
            f"unet.{_name(key)}": weight for key, weight in self.whole.items()
        }
        for key, change in self.changes.items():
            assert isinstance(change, _LowRank)  # what `__init__` puts there
            out[f"unet.{_name(key)}{DOWN}"] = change.down
            out[f"unet.{_name(key)}{UP}"] = change.up
        return out | self.extra.state_dict()


def widen(unet: Any, beside: int) -> tuple[str, ...]:
    """Lets a U-Net see so many channels more, in place: of no effect at first, their weights being
    zero. The names of the weights that are to be learned whole."""
    old = unet.conv_in
    new = nn.Conv2d(old.in_channels + beside, old.out_channels, 3, padding=1)
    with torch.no_grad():
        new.weight.zero_()
        new.weight[:, : old.in_channels] = old.weight
    new.bias = nn.Parameter(old.bias.detach().clone())
    unet.conv_in = new
    unet.register_to_config(in_channels=new.in_channels)
    return "conv_in.weight", "conv_in.bias"


def export(folder: Path, additions: Additions, kind: str, base: str, card: dict[str, Any]) -> None:
    """Writes an adapter's folder.

    Args:
        base: `limner.models.adapter.base_of` the model whose U-Net was changed.
        card: beside, config, steps, … and what else the kind needs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file(additions.tensors(), folder / WEIGHTS, metadata={"format": "pt"})
    told = {"kind": kind, "base": base, "rank": additions.rank, "scale": additions.scale}
    (folder / CARD).write_text(json.dumps(told | {"beside": 0} | card, indent=1))
    (folder / "README.md").write_text(_README.format(kind=kind, rank=additions.rank))


def _cut(name: str, shape: tuple[int, ...], given: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a weight's part whose rank is that of what is given, or its own if less."""
    axis = 0 if name.endswith(DOWN) else 1 if name.endswith(UP) else None
    if axis is None or len(given) != len(shape):
        return shape
    return (*shape[:axis], min(shape[axis], given[axis]), *shape[axis + 1 :])


def _key(name: str) -> str:
    """A module's name may have no dots."""
    return name.replace(".", "/")


def _name(key: str) -> str:
    return key.replace("/", ".")
