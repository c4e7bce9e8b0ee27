"""ControlNets (Zhang et al. 2023, "Adding conditional control to text-to-image diffusion models"):
a network beside the U-Net, which a picture of edges, depth, a pose tells where things are to be.

It opens as diffusers keeps it, a folder whose config.json says ControlNetModel, and as a file by
its first names, of Stable Diffusion 1.x, 2.x and XL. What it says is added to what the U-Net passes
on from its way down.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limner.errors import BadInput
from limner.models import _folder
from limner.models._bounds import refusing
from limner.models._original_control import control_of_original, is_original_control
from limner.models._shelf import to_files
from limner.models._stored import loading
from limner.models._text_encoder import moved
from limner.models._text_to_image import TextToImage
from limner.models._times import time_ids
from limner.models.checkpoint import is_checkpoint

__all__ = ["Control", "ControlNet", "Residuals", "check_fits", "open_controlnet"]

_CLASS = "ControlNetModel"
_BGR = "controlnet_conditioning_channel_order"
# What a config may say of the things that are left out here; the first is diffusers' default.
_ALLOWED: dict[str, tuple[Any, ...]] = {
    "addition_embed_type": (None, "text", "text_time"),
    "class_embed_type": (None,),
    "conditioning_channels": (3,),
    "encoder_hid_dim_type": (None,),
    "global_pool_conditions": (False,),
    "num_class_embeds": (None, 0),
    _BGR: ("rgb", "bgr"),
}


@dataclass(frozen=True)
class Control:
    """A picture that a ControlNet paints by.

    model:       a folder in diffusers' layout, a hub id, a .safetensors file, or what
                 `open_controlnet` gave
    picture:     a PNG, JPEG or WebP; it is brought to the size that is painted
    weight:      how strongly it steers
    begin, end:  the shares of the steps, from noise to picture, between which it does
    prepare:     what is made of the picture first: none (it is edges, depth, a pose already) or
                 canny, which finds its edges
    """

    model: str | Path | ControlNet
    picture: str | Path
    weight: float = 1.0
    begin: float = 0.0
    end: float = 1.0
    prepare: str = "none"


@dataclass(frozen=True, eq=False)
class ControlNet:
    """What `open_controlnet` gives. Nothing changes it: `to` gives another."""

    name: str
    network: Residuals
    files: tuple[Path, ...]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over its files: what a recipe remembers it by."""
        return _folder.fingerprint(self.files)

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> ControlNet:
        """On a device in a floating type; itself where it is so, and the last one is kept."""
        if (device, dtype) == (self.device, self.dtype):
            return self
        last: ControlNet | None = vars(self).get("_moved")
        if last is None or (device, dtype) != (last.device, last.dtype):
            there = moved(self.network, device, dtype)
            last = replace(self, network=there, device=device, dtype=dtype)
            vars(last)["fingerprint"] = self.fingerprint
            vars(self)["_moved"] = last
        return last


class Residuals(nn.Module):
    """diffusers' ControlNetModel; what it makes of the picture alone is worked out once, apart."""

    def __init__(self, config: dict[str, Any]) -> None:
        from diffusers.models.controlnets.controlnet import ControlNetModel

        super().__init__()
        network: Any = ControlNetModel.from_config(config | {_BGR: "rgb"})
        self.embedding = network.controlnet_cond_embedding
        network.controlnet_cond_embedding = nn.Identity()
        self.network = network
        self.bgr = config.get(_BGR) == "bgr"
        self.channels: int = network.config.in_channels
        self.context: int = network.config.cross_attention_dim
        self.downscale: int = 2 ** (len(network.config.conditioning_embedding_out_channels) - 1)
        self.sized = network.config.addition_embed_type == "text_time"
        self.pooled = 0
        if self.sized:
            sizes = 6 * network.config.addition_time_embed_dim
            self.pooled = network.config.projection_class_embeddings_input_dim - sizes

    def hint(self, picture: Tensor) -> Tensor:
        """(1, 3, h, w) in [0, 1] → what the network is told of it (1, c, h/f, w/f)."""
        told: Tensor = self.embedding(picture.flip(1) if self.bgr else picture)
        return told

    def forward(
        self, x: Tensor, timesteps: Tensor, *, encoder_hidden_states: Tensor, hint: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """x (b, c, h, w), of which it sees its own channels, timesteps (b,), the condition as the
        U-Net's (b, n, d), hint (1, c', h, w) → what is added to each skip, and to the middle."""
        x, states, more = x[:, : self.channels], encoder_hidden_states, None
        if self.sized:  # XL's pooled text is the first row, see `_text_encoder.packed`
            size = (x.shape[2] * self.downscale, x.shape[3] * self.downscale)
            ids = time_ids(size, states).expand(len(states), -1)
            more = {"text_embeds": states[:, 0, : self.pooled], "time_ids": ids}
            states = states[:, 1:]
        skips, middle = self.network(
            x,
            timesteps,
            encoder_hidden_states=states,
            controlnet_cond=hint,
            added_cond_kwargs=more,
            return_dict=False,
        )
        return skips, middle

    def outline(self) -> list[int]:
        """The channels of what it adds, in order, the middle's last."""
        blocks = [*self.network.controlnet_down_blocks, self.network.controlnet_mid_block]
        return [int(block.weight.shape[0]) for block in blocks]


@refusing
def open_controlnet(name: str | Path, dtype: torch.dtype = torch.float32) -> ControlNet:
    """Opens a folder, a hub id or a file, on the CPU. Raises BadInput for what does not fit."""
    if dtype == torch.float32:
        return _opened(name)
    with loading(dtype):
        return replace(_opened(name), dtype=dtype)


def _opened(name: str | Path) -> ControlNet:
    file = to_files(str(name))
    if is_checkpoint(file):
        return _of_file(Path(file).expanduser(), str(name))
    folder = _folder.find_folder(name)
    config = _folder.read_json(folder / "config.json")
    said = config.get("_class_name")
    if said != _CLASS:
        raise BadInput(
            f"{str(name)!r} is {said or 'no network of diffusers'}: expected a {_CLASS}, of Stable "
            "Diffusion 1.x, 2.x or XL"
        )
    for key, allowed in _ALLOWED.items():
        if config.get(key, allowed[0]) not in allowed:
            raise BadInput(f"the ControlNet {str(name)!r} says {key} = {config[key]!r}: not known")
    network = _folder.assembled(Residuals, config, _renamed(_folder.weights(folder)), folder)
    return ControlNet(str(name), network, (folder / "config.json", *_folder.weight_files(folder)))


def _of_file(path: Path, name: str) -> ControlNet:
    """One by its first names, in a safetensors file."""
    state = _folder.tensors([path])
    if not is_original_control(state):
        raise BadInput(
            f"{name!r} holds no ControlNet by its first names: give its diffusers folder"
        )
    if "difference" in state:
        raise BadInput(f"{name!r} holds a ControlNet's difference from one model: give a whole one")
    try:
        config, weights = control_of_original(state)
    except BadInput as error:
        raise BadInput(f"{name!r} is no whole ControlNet: {error}") from None
    return ControlNet(name, _folder.assembled(Residuals, config, _renamed(weights), path), (path,))


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights by the names of `Residuals`."""
    old = "controlnet_cond_embedding."
    return {
        name.replace(old, "embedding.", 1) if name.startswith(old) else f"network.{name}": value
        for name, value in state.items()
    }


def check_fits(control: ControlNet, model: TextToImage) -> None:
    """Raises BadInput unless the ControlNet was made for U-Nets like the model's."""
    network, of = control.network, f"the ControlNet {control.name!r}"
    unet = _unet_in(model.unet)
    if unet is None:
        raise BadInput(f"{of} is for U-Nets, and {model.name!r} has none: give another model")
    sized = model.text_encoder.offset == 1
    if network.sized != sized:
        kinds = ("Stable Diffusion 1.x or 2.x", "Stable Diffusion XL")
        raise BadInput(
            f"{of} is for {kinds[network.sized]}, and {model.name!r} is {kinds[sized]}: give one "
            "that was made for it"
        )
    mine = {
        "a text of width": (network.context, _context(unet)),
        "latents of channels": (network.channels, model.channels),
        "pixels to a latent": (network.downscale, model.downscale),
        "feature maps of channels": (network.outline(), _outline(unet)),
    }
    for what, (its, wanted) in mine.items():
        if its != wanted:
            raise BadInput(
                f"{of} is for {what} {its}, and {model.name!r} has {wanted}: give one that was "
                "made for it"
            )


def _unet_in(module: nn.Module) -> nn.Module | None:
    """The U-Net itself, in whatever wraps it."""
    found = (each for each in module.modules() if "down_blocks" in dict(each.named_children()))
    return next(found, None)


def _context(unet: nn.Module) -> int | None:
    found = (w.shape[1] for n, w in unet.named_parameters() if n.endswith("attn2.to_k.weight"))
    return next(found, None)


def _outline(unet: nn.Module) -> list[int]:
    """The channels of what it passes on, in order, the middle's last."""
    state = dict(unet.named_modules())

    def wide(name: str) -> Iterator[int]:
        if name in state:
            yield int(state[name].weight.shape[0])  # type: ignore[index, union-attr]

    out = list(wide("conv_in"))
    for i in range(len(list(unet.get_submodule("down_blocks").children()))):
        block = f"down_blocks.{i}"
        for j in range(len(list(unet.get_submodule(f"{block}.resnets").children()))):
            out += wide(f"{block}.resnets.{j}.conv2")
        out += wide(f"{block}.downsamplers.0.conv")
    return [*out, *wide("mid_block.resnets.0.conv2")]
