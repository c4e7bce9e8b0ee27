"""Latents of a source's pictures, encoded once and kept on disk: training reads them many times."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limner.data import CaptionedPictures
from limner.training._checkpoint import replace_text
from limner.training._data import to_tensor

__all__ = ["Latents", "encode", "latents_of"]

_LATENTS, _DRAFT, _CAPTIONS = "latents.npy", "latents.partial", "captions.jsonl"
_MADE_OF = "made_of.json"


class Latents:
    """Scaled latents with captions: ``batch`` gives float32 (b, c, h, w) and captions."""

    def __init__(self, folder: Path) -> None:
        self.values = np.load(folder / _LATENTS, mmap_mode="r")
        lines = (folder / _CAPTIONS).read_text().splitlines()
        self.captions: list[str] = [json.loads(line) for line in lines]
        self.size = self.values.shape[-1]

    def __len__(self) -> int:
        return len(self.captions)

    def batch(self, indices: Sequence[int]) -> tuple[np.ndarray, list[str]]:
        rows = np.asarray(indices)
        return self.values[rows].astype(np.float32), [self.captions[row] for row in rows.tolist()]


@torch.no_grad()
def encode(
    source: CaptionedPictures,
    autoencoder: Any,  # an AutoencoderKL
    folder: Path,
    count: int,
    *,
    chunk: int = 32,
) -> Iterator[int]:
    """Encode the first ``count`` pictures into ``folder``, yielding how many are done.

    Latents are posterior means times the autoencoder's scaling factor, float16. What an earlier,
    interrupted call wrote is kept, and it goes on after the last whole chunk; what was made of
    other pictures or by another autoencoder is made again.
    """
    count = min(count, len(source))
    _keep_own(folder, _made_of(source, autoencoder, count))
    if (folder / _LATENTS).exists():
        yield count
        return
    done = _kept_captions(folder, chunk)
    values: np.memmap[Any, Any] | None = None
    while done < count:
        pictures, captions = source.batch(range(done, min(done + chunk, count)))
        latent = latents_of(autoencoder, pictures)
        if values is None:
            mode: Any = "r+" if done else "w+"
            shape = (count, *latent.shape[1:])
            values = np.lib.format.open_memmap(folder / _DRAFT, mode, np.float16, shape)
        values[done : done + len(latent)] = latent
        values.flush()
        with (folder / _CAPTIONS).open("a") as file:
            file.writelines(json.dumps(caption) + "\n" for caption in captions)
        done += len(latent)
        yield done
    (folder / _DRAFT).rename(folder / _LATENTS)


def latents_of(autoencoder: Any, pictures: np.ndarray) -> np.ndarray:
    """uint8 (b, h, w, 3) → float16 (b, c, h/f, w/f)."""
    device = next(autoencoder.parameters()).device
    scaled = to_tensor(pictures).to(device).float() / 127.5 - 1
    scaled = scaled.contiguous(memory_format=torch.channels_last)
    mean: Tensor = autoencoder.encode(scaled).latent_dist.mean
    latents: np.ndarray = (mean * autoencoder.config.scaling_factor).half().cpu().numpy()
    return latents


def _made_of(source: CaptionedPictures, autoencoder: Any, count: int) -> str:
    """SHA-256 of the autoencoder's weights and the first pictures, and how many there are."""
    digest = hashlib.sha256(str(autoencoder.config.scaling_factor).encode())
    for weight in autoencoder.state_dict().values():
        digest.update(weight.detach().float().cpu().contiguous().numpy().tobytes())
    pictures, captions = source.batch(range(min(4, count)))
    digest.update(pictures.tobytes())
    digest.update("\n".join(captions).encode())
    return json.dumps({"pictures": count, "sha256": digest.hexdigest()})


def _keep_own(folder: Path, made_of: str) -> None:
    """Remove what ``folder`` has of other pictures or another autoencoder."""
    told = folder / _MADE_OF
    if told.exists() and told.read_text() != made_of:
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    replace_text(told, made_of)


def _kept_captions(folder: Path, chunk: int) -> int:
    """How many whole chunks of an interrupted call are there; captions beyond them are cut off."""
    texts = folder / _CAPTIONS
    lines = texts.read_text().split("\n")[:-1] if texts.exists() else []  # what ends in a line feed
    done = len(lines) - len(lines) % chunk if (folder / _DRAFT).exists() else 0
    replace_text(texts, "".join(line + "\n" for line in lines[:done]))
    return done
