"""Pictures a second of limner.generate beside diffusers' pipeline, as JSON.

python benchmarks/throughput.py                       # the embedded model, batches 1 and 8
python benchmarks/throughput.py --compile             # limner compiled, too
python benchmarks/throughput.py --model FOLDER --pipelines float32 --rounds 3
"""

from __future__ import annotations

import argparse

import torch

from limner._cli_show import print_json
from limner.measures.throughput import PIPELINES, throughput


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pipelines", nargs="*", choices=PIPELINES, default=list(PIPELINES))
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--threads", type=int, help="torch's own choice when not given")
    said = parser.parse_args()
    if said.threads:
        torch.set_num_threads(said.threads)
    found = throughput(
        said.model,
        batches=said.batches,
        steps=said.steps,
        rounds=said.rounds,
        precision=said.precision,
        compile=said.compile,
        pipelines=said.pipelines,
    )
    print_json(found.told())


if __name__ == "__main__":
    main()
