"""What guidance by CLIP costs: a step of the embedded model with it over one without, as JSON.

    python benchmarks/guidance_speed.py --threads 1
    python benchmarks/guidance_speed.py --views 8 --rounds 20 --model FOLDER

`times` is in milliseconds of processor time, the least of the rounds, in which all take turns; a
machine that does other work makes them little longer. `over_none` and `over_cfg` are how often a
step without guidance, or with classifier-free guidance, goes into a step with clip's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from limner._cli_show import print_json
from limner.denoisers import Denoiser
from limner.denoisers.judge import Judge
from limner.judges.clip import Clip
from limner.levels import Level
from limner.models._open import open_model, placed
from limner.models.clip import open_clip
from limner.noise import Noise
from limner.prompt import parse
from limner.tasks._checks import clip_names
from limner.tasks._paint import Plan, guided, levels
from limner.tasks._sight import SIGHTS, sight_of

PROMPT = "a panda in the snow"
WAYS = ("x0", "denoiser")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--clip", help="as of limner guide")
    parser.add_argument("--views", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, help="torch's own choice when not given")
    said = parser.parse_args()
    if said.threads:
        torch.set_num_threads(said.threads)
    told = measured(said.model, said.clip, said.views, said.rounds, said.precision)
    print_json(told | {"threads": torch.get_num_threads()})


@torch.no_grad()
def measured(
    name: str, clip: str | None, views: int, rounds: int, precision: str
) -> dict[str, object]:
    """Milliseconds of a step of each kind, and clip's over the others'."""
    model = placed(open_model(name), precision)
    plan = Plan(PROMPT, "", 0, 20, model.guidance_scale, (0.0, 1.0), 0.0, "ddim", (0, 0))
    free = guided(model, replace(plan, guidance_scale=1.0))
    clips = [replace(open_clip(each), judges_in=model.dtype) for each in clip_names(clip)]
    judge = Clip(clips, parse(PROMPT), views=views)
    steps: dict[str, Denoiser] = {"none": free, "cfg": guided(model, plan)}
    for sight in SIGHTS:
        seen = sight_of(sight, model)
        for way in WAYS:
            one = Judge(free, judge, seen, 100.0, Noise(0, [0]), through=way)
            steps[f"clip, {sight}, {way}"] = one
    side = model.size // model.downscale
    x, level = torch.randn(1, model.channels, side, side), levels(model, 20)[8]
    times = least(steps, x.to(model.device), level, rounds)
    clip_steps = {key: value for key, value in times.items() if key.startswith("clip")}
    return {
        "model": model.name,
        "clips": [each.name for each in clips],
        "views": views,
        "precision": str(model.dtype).removeprefix("torch."),
        "times": {key: round(value, 2) for key, value in times.items()},
        "over_none": {key: round(t / times["none"], 2) for key, t in clip_steps.items()},
        "over_cfg": {key: round(t / times["cfg"], 2) for key, t in clip_steps.items()},
    }


def least(steps: dict[str, Denoiser], x: Tensor, level: Level, rounds: int) -> dict[str, float]:
    """Milliseconds of each, the least of so many rounds; in each round a kind goes once unmeasured,
    since layers lay out their weights anew for another number of pictures."""
    clock: Callable[[], float] = time.perf_counter if x.is_cuda else time.process_time
    times = dict.fromkeys(steps, float("inf"))
    for _ in range(rounds):
        for name, step in steps.items():
            for _ in range(2):
                began = clock()
                step(x, level)
                if x.is_cuda:
                    torch.cuda.synchronize()
                taken = 1000 * (clock() - began)
            times[name] = min(times[name], taken)
    return times


if __name__ == "__main__":
    main()
