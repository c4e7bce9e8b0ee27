"""What InfoNCE, forward and backward, holds above its embeddings, and how long it takes.

    python benchmarks/infonce_memory.py                    # the full size, then both ways at 8,192
    python benchmarks/infonce_memory.py --way streamed --pairs 32768 --width 512

Each measurement runs in a process of its own and prints one JSON line. Memory is the highest
resident set of the process (VmHWM, so Linux) minus the resident set once the embeddings are there;
their gradients, which both ways must return, are counted.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from limner.training._infonce import infonce


def plain(pictures: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Radford et al. 2021, figure 3, as written there."""
    logits = scale * pictures @ texts.T
    right = torch.arange(len(pictures))
    return (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2


def resident(key: str) -> float:
    """MiB of this process: VmRSS is now, VmHWM the highest so far."""
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def measure(way: str, pairs: int, width: int, chunk: int) -> dict[str, float | int | str]:
    generator = torch.Generator().manual_seed(0)
    pictures, texts = (
        F.normalize(torch.randn(pairs, width, generator=generator), dim=1).requires_grad_()
        for _ in range(2)
    )
    scale = torch.tensor(1 / 0.07, requires_grad=True)
    before, begin = resident("VmRSS"), time.perf_counter()
    loss = (
        plain(pictures, texts, scale) if way == "plain" else infonce(pictures, texts, scale, chunk)
    )
    loss.backward()
    seconds, after = time.perf_counter() - begin, resident("VmHWM")
    return {
        "way": way,
        "pairs": pairs,
        "width": width,
        "mib": round(after - before, 1),
        "seconds": round(seconds, 2),
        "loss": loss.item(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--way", choices=["streamed", "plain"])
    parser.add_argument("--pairs", type=int, default=32768)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--chunk", type=int, default=1024)
    given = parser.parse_args()
    if given.way:
        print(json.dumps(measure(given.way, given.pairs, given.width, given.chunk)), flush=True)
        return
    for way, pairs in [("streamed", 32768), ("streamed", 8192), ("plain", 8192)]:
        arguments = ["--way", way, "--pairs", str(pairs), "--width", str(given.width)]
        subprocess.run([sys.executable, __file__, *arguments], check=True)


if __name__ == "__main__":
    main()
