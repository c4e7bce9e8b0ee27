"""One way in: a name, a folder or a hub id → a model."""

from __future__ import annotations

import math
import os
import re
from dataclasses import replace
from pathlib import Path

import torch

from limner.errors import BadInput
from limner.models._bounds import refusing
from limner.models._folder import tensors
from limner.models._shelf import to_files
from limner.models._stored import loading
from limner.models._text_to_image import TextToImage
from limner.models.adapter import open_adapter
from limner.models.checkpoint import checkpoint_parts, is_checkpoint
from limner.models.diffusers import Parts, built, diffusers, parts_of
from limner.models.embedded import embedded, folder
from limner.models.lora import is_lora, with_lora
from limner.models.taesd import taken_out, with_taesd
from limner.models.textual_inversion import is_word, with_word

__all__ = [
    "PRECISIONS",
    "number_type",
    "open_model",
    "opened_for",
    "parted",
    "placed",
    "split_added",
]

PRECISIONS = ("auto", "float32", "bfloat16", "int8")

# FILE.safetensors or FILE.safetensors:0.8, and whatever comes behind the next plus
_ADDED = re.compile(r"(.+?\.safetensors)(?::([^+]*))?(?:\+(.*))?")


@refusing
def open_model(
    name: str | Path = "embedded",
    *,
    dtype: torch.dtype = torch.float32,
    low_memory: bool = False,
    rounded: bool = False,
) -> TextToImage:
    """Opens "embedded", a folder in diffusers' layout, a hub id, or a checkpoint in one file
    (.safetensors by Stable Diffusion's first names), or what the shelf has by a name; float32, on
    the CPU.

    What is added to it is named after a plus: "embedded+student", "embedded+runs/student/model" an
    adapter; "MODEL+style.safetensors:0.8+cat.safetensors" LoRAs, each with its weight, and words;
    "MODEL+taesd" a TAESD in place of its autoencoder, "MODEL+taesd:preview" one for previews alone.

    dtype:       what its networks run in, read straight from the file; with an adapter, and where
                 it is limner's own, by way of float32
    low_memory:  each network has its weights only while it runs, and pictures are decoded one by
                 one in tiles; stays on the CPU
    rounded:     large weights are kept in eight bits

    Only safetensors are read. Raises BadInput when it is missing, pickled, broken or of a layout
    other than docs/models.md names, or what is added is another model's.
    """
    base, rest = parted(name)
    base = to_files(base) if isinstance(base, str) else base
    plain = split_added(taken_out(to_files(rest))[1])[1] == "" and base != "embedded"
    if (dtype, low_memory, rounded) == (torch.float32, False, False) or not plain:
        opened = _opened(base, rest, name).to("cpu", dtype)
        return replace(opened, low_memory=True) if low_memory else opened
    with loading(dtype, one_at_a_time=low_memory, rounded=rounded):
        opened = _opened(base, rest, name)
    return replace(opened, dtype=dtype, low_memory=low_memory, rounded=rounded)


def _opened(base: str | Path, rest: str, name: str | Path) -> TextToImage:
    """A model and what is added to it."""
    quick, rest = taken_out(to_files(rest))
    added, adapter = split_added(rest)
    if not added and not is_checkpoint(base):
        opened = embedded() if base == "embedded" else diffusers(base)
    else:
        parts = _parts(base)
        for file, weight in added:
            parts = _with(parts, file, weight)
        opened = built(parts, str(name))
    if adapter:
        opened = open_adapter(adapter, opened)
    for each in quick:
        opened = with_taesd(opened, each)
    named = [str(base), rest, *(each.name for each in quick if not each.previews)]
    return replace(opened, name="+".join(filter(None, named))) if adapter or quick else opened


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


def opened_for(
    model: str | Path | TextToImage, precision: str | None = None, low_memory: bool = False
) -> TextToImage:
    """A model as it will be `placed`, which then costs nothing; one that is open, as it is.

    precision:  None: float32, for whoever changes its weights first
    """
    if not isinstance(model, (str, Path)):
        return model
    rounded = precision == "int8"
    if precision is None or (torch.cuda.is_available() and not low_memory and not rounded):
        return open_model(model, low_memory=low_memory)
    return open_model(
        model, dtype=number_type(precision, "cpu"), low_memory=low_memory, rounded=rounded
    )


def placed(model: TextToImage, precision: str = "auto", compile: bool = False) -> TextToImage:
    """The model where this machine runs it fastest: the GPU if there is one, bfloat16 if it has it.

    precision: float32 is exact, bfloat16 is forced, auto is bfloat16 where it is faster; int8 as
               auto, of a model that was opened with its weights in eight bits.
    compile:   its network is compiled

    Raises BadInput for what does not go together.
    """
    if model.low_memory or model.rounded:
        if compile:
            raise BadInput("a model with low memory or int8 weights is not compiled: leave one out")
        return model
    if precision == "int8":
        raise BadInput("int8 is for a model given by name, not for limner's own and its adapters")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    there = model.to(device, number_type(precision, device))
    return there.compiled() if compile else there


def number_type(precision: str, device: str) -> torch.dtype:
    """What a precision means on this device. Raises BadInput for one that there is not."""
    if precision not in PRECISIONS:
        raise BadInput(f"precision {precision!r}: choose one of {', '.join(PRECISIONS)}")
    usual = precision in ("auto", "int8") and _has_bfloat16(device)
    half = precision == "bfloat16" or usual
    return torch.bfloat16 if half else torch.float32


def _has_bfloat16(device: str) -> bool:
    """Whether matrix products in bfloat16 run in hardware; emulated, they are slower."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    with_ops = torch.backends.mkldnn.is_available()
    return with_ops and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )
