"""Latents of a source's pictures, encoded once and kept on disk: training reads them many times."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from limner.data import CaptionedPictures
from limner.training._data import to_tensor

__all__ = ["Latents", "encode"]


class Latents:
    """Scaled latents with captions: ``batch`` gives float32 (b, c, h, w) and captions."""

    def __init__(self, folder: Path) -> None:
        self.values = np.load(folder / "latents.npy", mmap_mode="r")
        lines = (folder / "captions.jsonl").read_text().splitlines()
        self.captions: list[str] = [json.loads(line) for line in lines]
        self.size = self.values.shape[-1]

    def __len__(self) -> int:
        return len(self.captions)

    def batch(self, indices: Sequence[int]) -> tuple[np.ndarray, list[str]]:
        rows = np.asarray(indices)
        return self.values[rows].astype(np.float32), [self.captions[row] for row in rows.tolist()]


@torch.no_grad()
def encode(
    source: CaptionedPictures, autoencoder: nn.Module, folder: Path, count: int, *, chunk: int = 32
) -> Iterator[int]:
    """Encode the first ``count`` pictures into ``folder``, yielding how many are done.

    Latents are posterior means times the autoencoder's scaling factor, float16. What an earlier,
    interrupted call wrote is kept: it goes on after the last whole chunk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draft, texts, final = (
        folder / "latents.partial",
        folder / "captions.jsonl",
        folder / "latents.npy",
    )
    if final.exists():
        yield count
        return
    count = min(count, len(source))
    device = next(autoencoder.parameters()).device
    scale = autoencoder.config.scaling_factor
    done = len(texts.read_text().splitlines()) if texts.exists() and draft.exists() else 0
    done -= done % chunk
    kept = texts.read_text().splitlines()[:done] if done else []
    texts.write_text("".join(line + "\n" for line in kept))
    values: np.ndarray | None = None
    while done < count:
        pictures, captions = source.batch(range(done, min(done + chunk, count)))
        scaled = to_tensor(pictures).to(device).float() / 127.5 - 1
        scaled = scaled.contiguous(memory_format=torch.channels_last)
        latent = (autoencoder.encode(scaled).latent_dist.mean * scale).half().cpu().numpy()
        if values is None:
            shape = (count, *latent.shape[1:])
            values = np.lib.format.open_memmap(
                draft, mode="r+" if done else "w+", dtype=np.float16, shape=None if done else shape
            )
        values[done : done + len(latent)] = latent
        values.flush()
        with texts.open("a") as file:
            file.writelines(json.dumps(caption) + "\n" for caption in captions)
        done += len(latent)
        yield done
    draft.rename(final)
