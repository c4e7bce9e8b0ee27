"""Many clients at once against the studio: what becomes of each job, and what the server does.

    python benchmarks/studio_load.py                       # 64 clients, 120 s, the embedded model
    python benchmarks/studio_load.py --clients 8 --seconds 10 --most 4 --steps 2

Each client asks for a picture over /v1 or, every other one, as a job, and asks again; where it is
told 429 it waits as it is told. Meanwhile /health is asked ten times a second. In the end the queue
is waited for. Right is: each accepted job in exactly one final state and with its pictures; every
refusal a 429 with Retry-After; /health within 100 ms in 99 of 100 while pictures are painted; the
server's memory, once it is warm, not more than 5% higher at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from limner._cli_show import print_json
from limner.studio import FINAL

HEALTHY = 0.1  # seconds
GROWTH = 0.05
WARM = 0.2  # the share of the time after which memory is measured


@dataclass
class Seen:
    """What clients were answered, and what the server said of itself."""

    answers: Counter[int] = field(default_factory=Counter)
    accepted: set[str] = field(default_factory=set)
    waited: list[float] = field(default_factory=list)  # seconds of a whole request over /v1
    health: list[float] = field(default_factory=list)
    memory: list[tuple[float, int]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


async def client(url: str, number: int, asked: argparse.Namespace, seen: Seen) -> None:
    """Asks until the time is over."""
    end = time.monotonic() + asked.seconds
    said = {"prompt": f"a red cube number {number}", "seed": number, "steps": asked.steps}
    async with httpx.AsyncClient(base_url=url, timeout=900) as http:
        while time.monotonic() < end:
            began = time.monotonic()
            if number % 2:
                answer = await http.post("/api/tasks/generate", json=said)
            else:
                answer = await http.post("/v1/images/generations", json=said)
            seen.answers[answer.status_code] += 1
            wait = _heard(answer, number, time.monotonic() - began, seen)
            await asyncio.sleep(wait)


def _heard(answer: httpx.Response, number: int, seconds: float, seen: Seen) -> float:
    """Notes an answer; gives the seconds until the client asks again."""
    if answer.status_code == 202:
        seen.accepted.add(answer.json()["id"])
        return 0.05
    if answer.status_code == 200:
        seen.accepted.add(answer.json()["job"])
        seen.waited.append(seconds)
        if len(answer.json()["data"]) != 1:
            seen.wrong.append("an answer without its picture")
        return 0.0
    if answer.status_code == 429 and answer.headers.get("retry-after", "").isdigit():
        return min(float(answer.headers["retry-after"]), 5.0)
    seen.wrong.append(f"client {number}: {answer.status_code} {answer.text[:200]}")
    return 1.0


async def health(url: str, process: int, seen: Seen) -> None:
    """Asks ten times a second how it is, and how much it holds, until it is cancelled."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        while True:
            began = time.monotonic()
            answer = await http.get("/health")
            seen.health.append(time.monotonic() - began)
            seen.memory.append((time.monotonic(), _held(process)))
            if answer.status_code != 200:
                seen.wrong.append(f"/health: {answer.status_code}")
            await asyncio.sleep(0.1)


def _held(process: int) -> int:
    """Bytes of resident memory (Linux)."""
    text = Path(f"/proc/{process}/status").read_text("ascii")
    return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) * 1024  # type: ignore[index]


async def loaded(url: str, process: int, asked: argparse.Namespace, seen: Seen) -> float:
    """All clients to their end, then the queue to its; gives the seconds of both."""
    began = time.monotonic()
    watching = asyncio.create_task(health(url, process, seen))
    clients = [client(url, number, asked, seen) for number in range(asked.clients)]
    await asyncio.gather(*clients)
    await _emptied(url)
    watching.cancel()
    return time.monotonic() - began


async def _emptied(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        while True:
            left = [
                (await http.get("/api/jobs", params={"state": state, "limit": 1})).json()["jobs"]
                for state in ("queued", "running")
            ]
            if not any(left):
                return
            await asyncio.sleep(0.5)


def judged(url: str, seen: Seen, seconds: float) -> dict[str, Any]:
    """The account of it, and what was wrong."""
    states = _states(url)
    lost = seen.accepted - states.keys()
    seen.wrong += [f"an accepted job is not there: {id}" for id in sorted(lost)[:5]]
    for id in seen.accepted & states.keys():
        state, pictures = states[id]
        if state not in FINAL or (state == "done") != (pictures == 1):
            seen.wrong.append(f"job {id} is {state} with {pictures} pictures")
    late = statistics.quantiles(seen.health, n=100)[98]
    growth = _growth(seen.memory)
    if late > HEALTHY:
        seen.wrong.append(f"/health took {late * 1000:.0f} ms in one of 100")
    if growth > GROWTH:
        seen.wrong.append(f"memory grew by {growth:.1%}")
    done = Counter(state for state, _ in states.values())
    return {
        "seconds": round(seconds, 1),
        "answers": {str(status): count for status, count in sorted(seen.answers.items())},
        "accepted": len(seen.accepted),
        "jobs": dict(done),
        "pictures_a_minute": round(done["done"] / seconds * 60, 1),
        "waited_median_seconds": round(statistics.median(seen.waited), 2) if seen.waited else None,
        "health_p99_ms": round(late * 1000, 1),
        "health_slowest_ms": round(max(seen.health) * 1000, 1),
        "health_asked": len(seen.health),
        "memory_mib": round(seen.memory[-1][1] / 2**20),
        "memory_growth": round(growth, 4),
        "wrong": dict(Counter(seen.wrong).most_common(20)),
    }


def _states(url: str) -> dict[str, tuple[str, int]]:
    """State and number of pictures of every job that the server knows, by id."""
    found: dict[str, tuple[str, int]] = {}
    with httpx.Client(base_url=url, timeout=60) as http:
        before: dict[str, str] = {}
        while True:
            page = http.get("/api/jobs", params={"limit": 200} | before).json()["jobs"]
            for job in page:
                if job["id"] in found:
                    raise AssertionError(f"job {job['id']} is listed twice")
                found[job["id"]] = (job["state"], len(job["pictures"]))
            if not page:
                return found
            before = {"before": page[-1]["id"]}


def _growth(memory: list[tuple[float, int]]) -> float:
    """How much more is held in the last tenth of the time than in a tenth once it was warm."""
    count = len(memory)
    tenth = max(1, count // 10)
    warm = int(count * WARM)
    early = statistics.median(held for _, held in memory[warm : warm + tenth])
    return statistics.median(held for _, held in memory[-tenth:]) / early - 1


@contextmanager
def served(asked: argparse.Namespace) -> Iterator[tuple[str, int]]:
    """`limner serve` over an empty folder: its address and process."""
    with tempfile.TemporaryDirectory() as data:
        said = [sys.executable, "-m", "limner", "serve", "--data", data, "--port", "0"]
        said += ["--most", str(asked.most), "--no-page"]
        with subprocess.Popen(said, stderr=subprocess.PIPE, text=True, env=os.environ) as child:
            assert child.stderr is not None
            line = child.stderr.readline()
            found = re.search(r"http://\S+", line)
            assert found, f"limner serve said {line!r}"
            url = found[0].rstrip("/")
            try:
                _painted(url)
                yield url, child.pid
            finally:
                child.terminate()
                child.wait(60)


def _painted(url: str) -> None:
    """Waits until a first picture is painted: from then on the model is open."""
    end = time.monotonic() + 300
    while httpx.get(f"{url}/ready", timeout=60).status_code != 200:
        assert time.monotonic() < end, "the server is never ready"
        time.sleep(0.2)
    said = {"prompt": "a cat", "steps": 1}
    httpx.post(f"{url}/v1/images/generations", json=said, timeout=300).raise_for_status()


def run(asked: argparse.Namespace) -> dict[str, Any]:
    seen = Seen()
    with served(asked) as (url, process):
        seconds = asyncio.run(loaded(url, process, asked, seen))
        return judged(url, seen, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--most", type=int, default=256, help="jobs that may wait")
    parser.add_argument("--steps", type=int, default=8, help="of each picture")
    asked = parser.parse_args()
    told = run(asked)
    print_json(told)
    sys.exit(bool(told["wrong"]))


if __name__ == "__main__":
    main()
