"""One way in: a name, a folder or a hub id → a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from limner.errors import BadInput
from limner.models._text_to_image import TextToImage
from limner.models.adapter import open_adapter
from limner.models.diffusers import diffusers
from limner.models.embedded import embedded

__all__ = ["PRECISIONS", "number_type", "open_model", "parted", "placed"]

PRECISIONS = ("auto", "float32", "bfloat16")


def open_model(name: str | Path = "embedded") -> TextToImage:
    """Opens "embedded", a folder in diffusers' layout, or a hub id; float32, on the CPU.

    An adapter of it is named after a plus: "embedded+student", "embedded+runs/student/model".

    Only safetensors are read. Raises BadInput when it is missing, pickled, broken or of a layout
    other than Stable Diffusion 1.x or 2.x, or the adapter is another model's.
    """
    base, adapter = parted(name)
    opened = embedded() if base == "embedded" else diffusers(base)
    return replace(open_adapter(adapter, opened), name=str(name)) if adapter else opened


def parted(name: str | Path) -> tuple[str | Path, str]:
    """A model's name and its adapter's, which is empty where there is none."""
    if "+" not in str(name) or Path(name).is_dir():
        return name, ""
    base, _, adapter = str(name).partition("+")
    return base, adapter


def placed(model: TextToImage, precision: str = "auto", compile: bool = False) -> TextToImage:
    """The model where this machine runs it fastest: the GPU if there is one, bfloat16 if it has it.

    precision: float32 is exact, bfloat16 is forced, auto is bfloat16 where it is faster.
    compile:   its network is compiled
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    there = model.to(device, number_type(precision, device))
    return there.compiled() if compile else there


def number_type(precision: str, device: str) -> torch.dtype:
    """What a precision means on this device. Raises BadInput for one that there is not."""
    if precision not in PRECISIONS:
        raise BadInput(f"precision {precision!r}: choose one of {', '.join(PRECISIONS)}")
    half = precision == "bfloat16" or (precision == "auto" and _has_bfloat16(device))
    return torch.bfloat16 if half else torch.float32


def _has_bfloat16(device: str) -> bool:
    """Whether matrix products in bfloat16 run in hardware; emulated, they are slower."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    with_ops = torch.backends.mkldnn.is_available()
    return with_ops and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )
