"""How much faster the studio paints for many clients when their requests share a pass.

Each client asks for one picture, waits for it, and asks again; the worker is the studio's own, with
the embedded model, once with up to 8 pictures in a pass and once with one.

    python benchmarks/studio_batching.py --clients 16 --jobs 160
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from limner.studio import Job
from limner.studio.studio import Studio

THINGS = (
    "red cube",
    "blue sphere",
    "cat",
    "dog",
    "rocket",
    "green cone",
    "penguin",
    "yellow torus",
)
PLACES = ("on the grass", "at night", "in the snow", "on the beach", "")


async def client(studio: Studio, number: int, jobs: int, said: dict[str, Any]) -> list[float]:
    """Seconds that each of its jobs took, from asking to its end."""
    seconds = []
    for k in range(jobs):
        thing, place = THINGS[(number + k) % len(THINGS)], PLACES[(number * 3 + k) % len(PLACES)]
        began = time.perf_counter()
        asked = said | {"prompt": f"a {thing} {place}".strip(), "seed": number * 1000 + k}
        job = await asyncio.to_thread(studio.submit, "generate", asked)
        async for each in studio.crew.watch(job.id):
            if isinstance(each, Job) and each.state != "done":
                raise SystemExit(f"a job ended {each.state}: {each.error}")
        seconds.append(time.perf_counter() - began)
    return seconds


def measured(at_once: int, clients: int, jobs: int, said: dict[str, Any]) -> dict[str, float]:
    """Pictures a second, and the seconds that a client waits: the median and the longest."""
    with tempfile.TemporaryDirectory() as folder:
        studio = Studio(folder)
        worker = (sys.executable, "-m", "limner.studio.worker", "--at-once", str(at_once))
        studio.crew.command = worker
        studio.open()
        try:

            async def all_of(count: int, each: int) -> list[float]:
                found = await asyncio.gather(*(client(studio, n, each, said) for n in range(count)))
                return sorted(second for some in found for second in some)

            asyncio.run(all_of(min(clients, at_once), 1))  # opens the model, warms it up
            began = time.perf_counter()
            seconds = asyncio.run(all_of(clients, jobs // clients))
            took = time.perf_counter() - began
        finally:
            studio.close()
    middle, last = seconds[len(seconds) // 2], seconds[-1]
    return {"pictures_per_second": len(seconds) / took, "median": middle, "longest": last}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--jobs", type=int, default=160, help="of all clients together")
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--steps", type=int, help="the model's own number when not given")
    parser.add_argument("--size", help="such as 64x64; the model's own when not given")
    asked = parser.parse_args(arguments)
    said = {name: value for name in ("steps", "size") if (value := getattr(asked, name))}
    alone, shared = (
        measured(at_once, asked.clients, asked.jobs, said) for at_once in (1, asked.at_once)
    )
    times = shared["pictures_per_second"] / alone["pictures_per_second"]
    found = {"clients": asked.clients, "jobs": asked.jobs, "one": alone, "shared": shared}
    print(json.dumps(found | {"times": round(times, 2)}, indent=2))
    return found | {"times": times}


if __name__ == "__main__":
    main()
