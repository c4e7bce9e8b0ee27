"""Steps a second of VQGAN+CLIP by search, beside the loop of the popular scripts; and its memory.

    python benchmarks/search_speed.py                  # speed, then memory
    python benchmarks/search_speed.py --only speed --rounds 7 --clip FOLDER

The classic loop is written out below as those scripts run it: float32, one kornia pipeline over the
views, one picture at a time. Both search with the same VQGAN, CLIP, views and steps, and take turns
in one process. Memory is how much higher the resident set of a process of its own gets (VmHWM, so
Linux) while it searches.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner._cli_show import print_json
from limner.generators.vqgan import vqgan
from limner.judges.clip import Clip
from limner.models._open import PRECISIONS, number_type
from limner.models.clip import open_clip
from limner.models.embedded import folder
from limner.models.vqgan import open_vqgan
from limner.noise import Noise
from limner.prompt import parse
from limner.searches.descend import descend

PROMPT = "a red apple on the grass"
SIZE, RATE = 128, 0.1  # pixels of a side; Adam's rate on z
ENDLESS = 10_000  # steps: more than are timed


# ---- the classic loop ------------------------------------------------------------------------


class Views(nn.Module):
    """The whole picture, pooled to CLIP's side, once for each view; one pipeline over all of them;
    noise of its own strength in each."""

    def __init__(self, side: int, views: int) -> None:
        from kornia import augmentation

        super().__init__()
        self.views = views
        self.mean, self.max = nn.AdaptiveAvgPool2d(side), nn.AdaptiveMaxPool2d(side)
        self.changes = nn.Sequential(
            augmentation.RandomAffine(degrees=15, translate=(0.1, 0.1), p=0.7),
            augmentation.RandomPerspective(distortion_scale=0.7, p=0.7),
            augmentation.ColorJitter(0.1, 0.1, 0.1, 0.1, p=0.7),
            augmentation.RandomErasing(scale=(0.1, 0.4), ratio=(0.3, 1 / 0.3), p=0.7),
        )

    def forward(self, picture: Tensor) -> Tensor:
        cut = [(self.mean(picture) + self.max(picture)) / 2 for _ in range(self.views)]
        batch = self.changes(torch.cat(cut))
        strength = torch.empty(self.views, 1, 1, 1).uniform_(0, 0.1)
        return batch + strength * torch.randn_like(batch)


def classic(clip_folder: str | Path, views: int, seed: int) -> Iterator[None]:
    """One picture's search, a step at a time."""
    from diffusers import VQModel
    from transformers import CLIPModel

    torch.manual_seed(seed)
    model = VQModel.from_pretrained(folder("vqgan")).eval().requires_grad_(False)
    clip = CLIPModel.from_pretrained(clip_folder).eval().requires_grad_(False)
    opened = open_clip(clip_folder)  # for its tokens and constants alone
    goal = opened.embed_texts([PROMPT])
    mean, std = (torch.tensor(each)[:, None, None] for each in (opened.mean, opened.std))
    codes = model.quantize.embedding.weight
    low, high = (bound[:, None, None] for bound in codes.aminmax(dim=0))
    side = SIZE // 2 ** (len(model.config.block_out_channels) - 1)
    drawn = torch.randint(len(codes), (1, side, side))
    z = codes[drawn].permute(0, 3, 1, 2).clone().requires_grad_()
    optimiser, look = torch.optim.Adam([z], lr=RATE), Views(opened.side, views)
    while True:
        rows = z.permute(0, 2, 3, 1).flatten(0, 2)
        nearest = codes[torch.cdist(rows, codes).argmin(1)].view(1, side, side, -1)
        code = z + (nearest.permute(0, 3, 1, 2) - z).detach()
        picture = model.decode(code, force_not_quantize=True).sample.add(1).div(2).clamp(0, 1)
        seen = clip.visual_projection(clip.vision_model((look(picture) - mean) / std).pooler_output)
        apart = functional.normalize(seen, dim=-1) - goal
        loss = apart.norm(dim=-1).div(2).arcsin().square().mul(2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            z.copy_(z.clamp(low, high))
        yield


# ---- limner ----------------------------------------------------------------------------------


def limner(
    clip_folder: str | Path, views: int, at_once: int | None, pictures: int, precision: str
) -> Iterator[object]:
    """A batch's searches as `limner paint` has them, a step at a time."""
    dtype = number_type(precision, "cpu")
    generator = vqgan(open_vqgan().to("cpu", dtype), (SIZE, SIZE))
    clip = replace(open_clip(clip_folder), judges_in=dtype)
    judge = Clip([clip], parse(PROMPT), views=views, views_at_once=at_once)
    return descend(generator, judge, noise=Noise(0, range(pictures)), steps=ENDLESS)


# ---- measuring -------------------------------------------------------------------------------


def seconds(search: Iterator[object], steps: int) -> float:
    begin = time.perf_counter()
    for _ in range(steps):
        next(search)
    return time.perf_counter() - begin


def speed(said: argparse.Namespace) -> dict[str, object]:
    """Each turn is as many steps of as many pictures on both sides."""
    searches: Mapping[str, tuple[Iterator[object], int]] = {
        "limner": (limner(said.clip, said.views, None, said.pictures, said.precision), 1),
        "classic": (classic(said.clip, said.views, 0), said.pictures),
    }
    for search, turns in searches.values():
        seconds(search, said.warm_up * turns)
    times: dict[str, list[float]] = {name: [] for name in searches}
    for i in range(said.rounds):
        for name in list(searches)[:: 1 - 2 * (i % 2)]:
            search, turns = searches[name]
            times[name].append(seconds(search, said.steps * turns))
    done = said.pictures * said.steps
    ratios = [theirs / ours for ours, theirs in zip(times["limner"], times["classic"])]
    return {
        "pictures": said.pictures,
        "views": said.views,
        "precision": str(number_type(said.precision, "cpu")),
        "threads": torch.get_num_threads(),
        "steps of one picture a second": {
            name: done / statistics.median(each) for name, each in times.items()
        },
        "ratio": statistics.median(ratios),
        "ratios": ratios,
    }


def resident(key: str) -> float:
    """MiB of this process: VmRSS is now, VmHWM the highest so far."""
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def peak(said: argparse.Namespace) -> None:
    """Of this process, which does nothing else."""
    search = limner(said.clip, said.views, said.views_at_once, said.pictures, said.precision)
    before = resident("VmRSS")
    seconds(search, said.steps)
    print(json.dumps({"views": said.views, "before": before, "peak": resident("VmHWM")}))


def memory(said: argparse.Namespace) -> dict[str, object]:
    peaks = {}
    for views in (said.views, 4 * said.views):
        given = {
            "--only": "peak",
            "--views": views,
            "--views-at-once": said.views_at_once,
            "--clip": said.clip,
            "--pictures": said.pictures,
            "--precision": said.precision,
            "--steps": said.steps,
        }
        flags = [str(part) for pair in given.items() for part in pair]
        run = subprocess.run(
            [sys.executable, __file__, *flags], check=True, capture_output=True, text=True
        )
        peaks[views] = json.loads(run.stdout)["peak"]
    few, many = peaks.values()
    return {"views_at_once": said.views_at_once, "peak MiB": peaks, "growth": many / few - 1}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", choices=["speed", "memory", "peak"])
    parser.add_argument("--clip", default=str(folder("clip")), help="a CLIPModel's folder")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of limner")
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--views", type=int, default=32)
    parser.add_argument("--views-at-once", type=int, default=16)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    said = parser.parse_args()
    if said.only == "peak":
        peak(said)
        return
    parts = {"speed": speed, "memory": memory}
    print_json({name: run(said) for name, run in parts.items() if said.only in (None, name)})


if __name__ == "__main__":
    main()
