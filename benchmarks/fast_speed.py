"""Seconds a picture takes with `--fast` and without, by turns in one process.

python benchmarks/fast_speed.py [--model embedded] [--rounds 7]
"""

from __future__ import annotations

import argparse
import statistics
import time

import limner
from limner._cli_show import print_json

PROMPT = "a panda on the beach"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", default="embedded", help="with limner's student, or one of yours"
    )
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    opened = {name: limner.open_model(given.model + name) for name in ("", "+student")}
    times: dict[str, list[float]] = {name: [] for name in opened}
    for seed in range(given.rounds + 1):
        for name, model in opened.items():
            began = time.perf_counter()
            limner.generate(PROMPT, model=model, seed=seed)
            times[name].append(time.perf_counter() - began)
    slow, fast = (each[1:] for each in times.values())  # the first round warms up
    ratio = statistics.median(a / b for a, b in zip(slow, fast, strict=True))
    medians = {"model": statistics.median(slow), "student": statistics.median(fast)}
    print_json({"seconds": medians, "ratio": ratio})


if __name__ == "__main__":
    main()
