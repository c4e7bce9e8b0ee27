"""VQGAN: pictures ↔ codes of a codebook (Esser et al. 2021), from diffusers' VQModel folders.

With Gumbel quantisation (`GumbelVQ` here and in taming; Jang et al. 2017) the encoder says a logit
for each code, and the code of the greatest is taken: no distance, so no VQModel holds it. Its z is
the code itself, and a search moves that among the codes as it does any VQGAN's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from limner.errors import BadInput
from limner.models import _autoencoder, _folder
from limner.models._bounds import refusing
from limner.models._gather import folded
from limner.models._packed import Conv2d
from limner.models._text_to_image import moved
from limner.models.embedded import folder as embedded_folder

__all__ = ["Codec", "Vqgan", "is_vqgan", "open_vqgan"]

_CLASSES = ("VQModel", "GumbelVQ")


class Codec(Protocol):
    """Pictures in [-1, 1] ↔ z, before it is brought to codes."""

    def encode(self, pictures: Tensor) -> Tensor: ...
    def decode(self, z: Tensor) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Vqgan:
    """What `open_vqgan` gives. Nothing changes it: `to` gives another."""

    name: str
    codec: Codec
    codebook: Tensor  # (n, d), at least float32: near codes are told apart
    size: int  # pixels of a side that it was trained on
    downscale: int  # pixels to a side of z
    licence: str
    files: tuple[Path, ...]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    chooser: nn.Module | None = None  # GumbelVQ's: (b, d, h, w) that is encoded → logits (b, n, …)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the model's files."""
        return _folder.fingerprint(self.files)

    def to(self, device: str | torch.device, dtype: torch.dtype = torch.float32) -> Vqgan:
        """The model on a device in a floating type; itself where it is so already."""
        device = torch.device(device)
        if (device, dtype) == (self.device, self.dtype):
            return self
        assert isinstance(self.codec, nn.Module)
        codec = moved(self.codec, device, dtype)
        exact = torch.promote_types(dtype, torch.float32)
        return replace(
            self,
            codec=codec,
            codebook=self.codebook.to(device, exact),
            chooser=self.chooser and moved(self.chooser, device, exact),
            device=device,
            dtype=dtype,
        )

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1] → z (b, d, h/f, w/f), float32, near the codes; where
        codes are chosen by logits, the codes."""
        if self.chooser is not None:
            return self.looked_up(self.codes(pictures)).float()
        return self._encoded(pictures).float()

    @torch.no_grad()
    def codes(self, pictures: Tensor) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1] → the codes' numbers (b, h/f, w/f)."""
        if self.chooser is None:
            return self.quantise(self.encode(pictures))[1]
        logits: Tensor = self.chooser(self._encoded(pictures).to(self.codebook.dtype))
        return logits.argmax(1)

    def _encoded(self, pictures: Tensor) -> Tensor:
        return self.codec.encode(pictures.to(self.device, self.dtype) * 2 - 1)

    @torch.no_grad()
    def quantise(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z (b, d, h, w) → each place's nearest code, (b, d, h, w), and its number (b, h, w).

        One picture after another: rounding in a batch could tell codes apart that are as near.
        """
        rows = z.to(self.codebook).permute(0, 2, 3, 1)
        found = [torch.cdist(row.flatten(0, 1), self.codebook).argmin(1) for row in rows]
        index = torch.stack(found).view(rows.shape[:3])
        return self.looked_up(index).to(z), index.to(z.device)

    def looked_up(self, index: Tensor) -> Tensor:
        """The codes of these numbers: (b, h, w) → (b, d, h, w)."""
        return self.codebook[index.to(self.device)].permute(0, 3, 1, 2)

    def decode(self, z: Tensor) -> Tensor:
        """z or codes (b, d, h, w) → pictures (b, 3, f·h, f·w), about [0, 1], in z's type.

        With gradients, and not clamped, so that they reach what is out of range.
        """
        return self.codec.decode(z.to(self.device, self.dtype)).to(z.dtype).div(2).add(0.5)


@refusing
def open_vqgan(name: str | Path = "embedded") -> Vqgan:
    """Opens "embedded", or a folder or hub id of a diffusers VQModel, or a GumbelVQ that `limner
    convert` wrote; float32, on the CPU.

    Only safetensors are read. Raises BadInput when it is missing, pickled or broken.
    """
    folder = embedded_folder("vqgan") if name == "embedded" else _folder.find_folder(name)
    if not (folder / "config.json").is_file():
        _folder.refuse_pickled(folder)
    config = _folder.read_json(folder / "config.json")
    if config.get("_class_name") not in _CLASSES:
        raise BadInput(f"{str(folder)!r} is a {config.get('_class_name')!r}: expected a VQModel")
    card = _folder.read_json(folder / "limner.json", missing={})
    state = _autoencoder.renamed(_folder.weights(folder))
    chooser = _chooser(config, state, folder) if config["_class_name"] == "GumbelVQ" else None
    codec: _Codec | _Library
    if _autoencoder.runs(config) and config.get("norm_type", "group") == "group":
        codec = _folder.assembled(_Codec, config, folded(state), folder)
    else:
        codec = _Library(_folder.assembled(_library, config, state, folder))
    return Vqgan(
        name=str(name),
        codec=codec,
        codebook=state["quantize.embedding.weight"].float(),
        size=_whole(config.get("sample_size", 32), folder),
        downscale=2 ** (len(config.get("block_out_channels", [64])) - 1),
        licence=str(card.get("licence", "see the model's own page")),
        files=(*_folder.weight_files(folder), folder / "config.json"),
        chooser=chooser,
    )


def is_vqgan(name: str | Path) -> bool:
    """Whether this is a folder that `open_vqgan` opens."""
    config = Path(name) / "config.json"
    return config.is_file() and _folder.read_json(config).get("_class_name") in _CLASSES


def _chooser(config: dict[str, Any], state: dict[str, Tensor], folder: Path) -> nn.Module:
    """taming's `quantize.proj`, taken out of a GumbelVQ's weights."""
    prefix = "quantize.proj."
    own = {n.removeprefix(prefix): state.pop(n) for n in list(state) if n.startswith(prefix)}

    def made(said: dict[str, Any]) -> nn.Module:
        return Conv2d(said["vq_embed_dim"], said["num_vq_embeddings"], 1)

    return _folder.assembled(made, config, own, folder)


def _whole(value: Any, folder: Path) -> int:
    if not isinstance(value, int) or not 1 <= value <= 65536:
        raise BadInput(f"{str(folder)!r} says sample_size = {value!r}: expected a whole number")
    return value


class _Codec(nn.Module):
    """A VQModel's networks, for running; see `_autoencoder.py`."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        latent, groups = config.get("latent_channels", 3), config.get("norm_num_groups", 32)
        widths, layers = config.get("block_out_channels", [64]), config.get("layers_per_block", 1)
        attends = config.get("mid_block_add_attention", True)
        width = config.get("vq_embed_dim") or latent
        self.encoder = _autoencoder.Encoder(widths, layers, latent, groups, attends)
        self.decoder = _autoencoder.Decoder(widths, layers, latent, groups, attends)
        self.quant_conv, self.post_quant_conv = Conv2d(latent, width, 1), Conv2d(width, latent, 1)
        codebook = nn.Embedding(config.get("num_vq_embeddings", 256), width)
        self.quantize = nn.ModuleDict({"embedding": codebook})

    def encode(self, pictures: Tensor) -> Tensor:
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        return self.quant_conv(self.encoder(pictures))

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(self.post_quant_conv(z.contiguous(memory_format=torch.channels_last)))


def _library(config: dict[str, Any]) -> nn.Module:
    from diffusers.models.autoencoders.vq_model import VQModel

    model = VQModel.from_config(config)
    assert isinstance(model, nn.Module)
    return model


class _Library(nn.Module):
    """diffusers' VQModel with a _Codec's methods, for configs left out above."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def encode(self, pictures: Tensor) -> Tensor:
        return self.model.encode(pictures).latents

    def decode(self, z: Tensor) -> Tensor:
        """As the model's own, whose decoder may look at the codes once more."""
        spatial = self.model.config.norm_type == "spatial"
        return self.model.decoder(self.model.post_quant_conv(z), z if spatial else None)
