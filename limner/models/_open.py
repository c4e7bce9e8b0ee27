"""One way in: a name, a folder or a hub id → a model."""

from __future__ import annotations

import math
import os
import re
from dataclasses import replace
from pathlib import Path

import torch

from limner.errors import BadInput
from limner.models._folder import tensors
from limner.models._text_to_image import TextToImage
from limner.models.adapter import open_adapter
from limner.models.checkpoint import checkpoint_parts, is_checkpoint
from limner.models.diffusers import Parts, built, diffusers, parts_of
from limner.models.embedded import embedded, folder
from limner.models.lora import is_lora, with_lora
from limner.models.textual_inversion import is_word, with_word

__all__ = ["PRECISIONS", "number_type", "open_model", "parted", "placed", "split_added"]

PRECISIONS = ("auto", "float32", "bfloat16")

# FILE.safetensors or FILE.safetensors:0.8, and whatever comes behind the next plus
_ADDED = re.compile(r"(.+?\.safetensors)(?::([^+]*))?(?:\+(.*))?")


def open_model(name: str | Path = "embedded") -> TextToImage:
    """Opens "embedded", a folder in diffusers' layout, a hub id, or a checkpoint in one file
    (.safetensors by Stable Diffusion's first names); float32, on the CPU.

    What is added to it is named after a plus: "embedded+student", "embedded+runs/student/model" an
    adapter; "MODEL+style.safetensors:0.8+cat.safetensors" LoRAs, each with its weight, and words.

    Only safetensors are read. Raises BadInput when it is missing, pickled, broken or of a layout
    other than Stable Diffusion 1.x or 2.x, or what is added is another model's.
    """
    base, rest = parted(name)
    added, adapter = split_added(rest)
    if not added and not is_checkpoint(base):
        opened = embedded() if base == "embedded" else diffusers(base)
    else:
        parts = _parts(base)
        for file, weight in added:
            parts = _with(parts, file, weight)
        opened = built(parts, str(name))
    return replace(open_adapter(adapter, opened), name=str(name)) if adapter else opened


def parted(name: str | Path) -> tuple[str | Path, str]:
    """A model's name and its adapter's, which is empty where there is none."""
    if "+" not in str(name) or is_checkpoint(name) or os.path.isdir(name):
        return name, ""
    base, _, adapter = str(name).partition("+")
    return base, adapter


def _parts(base: str | Path) -> Parts:
    if is_checkpoint(base):
        return checkpoint_parts(base)
    return parts_of(folder("diffusion") if base == "embedded" else base)


def split_added(rest: str) -> tuple[list[tuple[str, float]], str]:
    """What comes after the first plus: files with their weights, and an adapter's name or ""."""
    files: list[tuple[str, float]] = []
    while found := _ADDED.fullmatch(rest):
        files.append((found[1], _weight(found[2], found[1])))
        rest = found[3] or ""
    return files, rest


def _with(parts: Parts, file: str, weight: float) -> Parts:
    """The parts with what a file adds: a LoRA, or a word."""
    held = tensors([Path(file).expanduser()])
    if is_lora(held):
        return with_lora(parts, file, weight)
    if not is_word(held):
        raise BadInput(f"{file!r} is neither a LoRA nor a learned word: it cannot be added")
    if weight != 1:
        raise BadInput(f"{file!r} is a word: give no weight here, but in the prompt")
    return with_word(parts, file)


def _weight(said: str | None, file: str) -> float:
    try:
        weight = 1.0 if said is None else float(said)
    except ValueError:
        weight = math.nan
    if not -100 <= weight <= 100:
        raise BadInput(f"{file!r} has the weight {said!r}: give a number, as {file}:0.8")
    return weight


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
