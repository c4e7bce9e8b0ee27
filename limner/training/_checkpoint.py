"""Checkpoints that survive a crash at any point.

A checkpoint is a folder ``step-00001234`` of safetensors and JSON, written under a temporary name,
synced, sealed with a SHA-256 manifest written last, then renamed. Whatever has no valid manifest
is ignored, and the newest valid one is used.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from limner.errors import LimnerError

__all__ = ["newest", "read", "replace_text", "save", "sync", "valid"]

_MANIFEST = "manifest.json"
_KEPT = 2


def sync(path: Path) -> None:
    """Ask the disk to keep what was written to a file or a folder's list of names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save(
    folder: Path, step: int, tensors: dict[str, dict[str, Tensor]], meta: dict[str, Any]
) -> Path:
    """Write one checkpoint and remove all but the last two.

    Args:
        folder: where checkpoints live; made if missing.
        tensors: file stem → named tensors.
        meta: what JSON can hold; ``step`` is added.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for draft in folder.glob(".step-*.partial"):  # of a crash
        shutil.rmtree(draft)
    final, draft = folder / f"step-{step:08d}", folder / f".step-{step:08d}.partial"
    draft.mkdir()
    for stem, named in tensors.items():
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in named.items()}
        save_file(plain, draft / f"{stem}.safetensors")
    (draft / "meta.json").write_text(json.dumps({**meta, "step": step}, indent=1))
    files = sorted(draft.iterdir())
    for path in files:
        sync(path)
    manifest = draft / _MANIFEST
    manifest.write_text(json.dumps({path.name: _digest(path) for path in files}, indent=1))
    sync(manifest)
    sync(draft)
    shutil.rmtree(final, ignore_errors=True)
    draft.rename(final)
    sync(folder)
    _forget(folder, final)
    return final


def _forget(folder: Path, last: Path) -> None:
    """Remove what is older than the last two, and what is newer: nothing whole, or it had been
    resumed."""
    kept = sorted(path for path in folder.glob("step-*") if path.name <= last.name)[-_KEPT:]
    for path in folder.glob("step-*"):
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)


def replace_text(file: Path, text: str) -> None:
    """The old text or the new one is there at any time."""
    draft = file.with_name(f".{file.name}.partial")
    draft.write_text(text)
    sync(draft)
    draft.replace(file)
    sync(file.parent)


def valid(checkpoint: Path) -> bool:
    """Whether every file is there and has the digest that the manifest gives."""
    try:
        digests = json.loads((checkpoint / _MANIFEST).read_text())
        whole = all(_digest(checkpoint / name) == digest for name, digest in digests.items())
        return whole and "meta.json" in digests
    except (OSError, ValueError, AttributeError):
        return False


def newest(folder: Path) -> Path | None:
    """The last checkpoint that is whole, or None."""
    return next((path for path in sorted(folder.glob("step-*"), reverse=True) if valid(path)), None)


def read(checkpoint: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The tensors by file stem, and the meta data. Raises LimnerError where it cannot be read."""
    try:
        meta = json.loads((checkpoint / "meta.json").read_text())
        files = sorted(checkpoint.glob("*.safetensors"))
        return {path.stem: load_file(path) for path in files}, meta
    except (OSError, ValueError, SafetensorError) as error:
        raise LimnerError(f"checkpoint {checkpoint} cannot be read: {error}") from error


def optimiser_tensors(optimiser: torch.optim.Optimizer, names: list[str]) -> dict[str, Tensor]:
    """An optimiser's state under its parameters' names: ``conv.weight/exp_avg`` …"""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    return {
        f"{name}/{key}": torch.as_tensor(value)
        for name, parameter in zip(names, parameters, strict=True)
        for key, value in optimiser.state[parameter].items()
    }


def restore_optimiser(
    optimiser: torch.optim.Optimizer, names: list[str], tensors: dict[str, Tensor]
) -> None:
    """Undo ``optimiser_tensors``."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    for name, parameter in zip(names, parameters, strict=True):
        entries = {
            k.rpartition("/")[2]: v for k, v in tensors.items() if k.rpartition("/")[0] == name
        }
        optimiser.state[parameter] = {key: _like(parameter, v) for key, v in entries.items()}


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    """On the parameter's device and in its memory's order, which fused AdamW takes for granted."""
    if value.shape != parameter.shape:  # the count of steps
        return value.to(parameter.device)
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
