"""kill -9 of the server, of the process that paints, or of both, while jobs come in.

    python benchmarks/studio_crash.py                 # 50 kills, the embedded model
    python benchmarks/studio_crash.py --kills 6

(`studio_kill.py` does it to the store alone, at its named points too.) Jobs are sent all the time,
each under a key of its own, and those that were answered are remembered. In the end the queue is
let run empty. Right is: each remembered job in one final state, each that is done with all of its
pictures, whole; one job for each key; no file without a row; ready within ten seconds of a start.
A job is quarantined only if the process that painted died under it twice. Exit status 1 else.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import httpx
from PIL import Image

from limner._cli_show import print_json
from limner.studio import FINAL

SERVER = """
import sys
from limner.studio.server import Asked, serve
serve(sys.argv[1], Asked(port=0, page=False, most=100000),
      listening=lambda url: print(url, flush=True))
"""
READY = 10.0  # seconds
PICTURES = 2  # of each job


class Served:
    """A server over the folder; `ready` is the seconds until it said so."""

    def __init__(self, folder: Path, server: str = SERVER) -> None:
        began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-c", server, str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        while httpx.get(f"{self.url}ready").status_code != 200:
            time.sleep(0.02)
        self.ready = time.monotonic() - began

    def painter(self) -> int | None:
        """The process id of its child."""
        task = Path(f"/proc/{self.process.pid}/task")
        found = [
            int(pid) for each in task.iterdir() for pid in (each / "children").read_text().split()
        ]
        return found[0] if found else None

    def kill(self, which: str) -> None:
        painter = self.painter()
        if painter is not None and which in ("painter", "both"):
            with suppress(ProcessLookupError):
                os.kill(painter, signal.SIGKILL)
        if which in ("server", "both"):
            self.process.kill()
            self.process.wait()


class Asking(threading.Thread):
    """Sends jobs as fast as they are answered, and remembers which were."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.url: str | None = None
        self.kept: dict[str, str] = {}  # job by key
        self.ended = threading.Event()
        self.key = 0

    def run(self) -> None:
        while not self.ended.is_set():
            url, said = self.url, {"prompt": "a red cube", "steps": 4, "count": PICTURES}
            if url is None:
                time.sleep(0.01)
                continue
            with suppress(httpx.HTTPError):  # killed meanwhile: the same key once more
                answer = httpx.post(
                    f"{url}api/tasks/generate",
                    json=said | {"seed": self.key},
                    headers={"Idempotency-Key": f"key-{self.key}"},
                )
                if answer.status_code == 202:
                    self.kept[f"key-{self.key}"] = answer.json()["id"]
                    self.key += 1
            time.sleep(0.3)


def killed(folder: Path, kills: int, rng: random.Random) -> tuple[Asking, list[float], int]:
    """Jobs sent, seconds until ready after each start, and how often the painter alone died."""
    asking, ready, painters = Asking(), [], 0
    asking.start()
    served: Served | None = None
    for _ in range(kills):
        if served is None:
            served = Served(folder)
            ready.append(served.ready)
            asking.url = served.url
        time.sleep(rng.uniform(0.2, 4))
        which = rng.choice(("server", "painter", "both"))
        painters += which == "painter"
        if which != "painter":
            asking.url = None
        served.kill(which)
        served = served if which == "painter" else None
    served = served or Served(folder)
    ready.append(served.ready)
    asking.url = served.url
    time.sleep(1)
    asking.ended.set()
    asking.join()
    ended(served)
    return asking, ready, painters


def ended(served: Served) -> None:
    """Lets its queue run empty, and it end."""
    while _left(served.url):
        time.sleep(0.5)
    served.process.terminate()
    served.process.wait()


def _left(url: str) -> bool:
    states = ("queued", "running")
    asked = [httpx.get(f"{url}api/jobs", params={"state": s, "limit": 1}).json() for s in states]
    return any(each["jobs"] for each in asked)


def faults(
    folder: Path, kept: dict[str, str], failing: Collection[str] = ()
) -> tuple[list[str], Counter[str]]:
    """What is wrong in the folder, and the jobs by state; `failing` are to fail."""
    opened = sqlite3.connect(folder / "studio.sqlite")
    jobs = {
        row[0]: row[1:] for row in opened.execute("SELECT id, state, crashes, repeat FROM jobs")
    }
    pictures = [row for row in opened.execute("SELECT id, job FROM pictures")]
    of_job = Counter(job for _, job in pictures)
    wrong = [f"{key}: its job is gone" for key, id in kept.items() if id not in jobs]
    wrong += [f"{id}: {jobs[id][0]}" for id in jobs if jobs[id][0] not in FINAL]
    for id, (state, crashes, _) in jobs.items():
        if of_job[id] != (PICTURES if state == "done" else 0):
            wrong.append(f"{id}: {state} with {of_job[id]} pictures")
        if (state == "failed") > (id in failing) or (state == "quarantined" and crashes < 2):
            wrong.append(f"{id}: {state} after {crashes} crashes")
    if len({key for *_, key in jobs.values()}) != len(jobs):
        wrong.append("two jobs of one key")
    files = {file.stem: file for file in (folder / "pictures").rglob("*") if file.is_file()}
    if set(files) != {id for id, _ in pictures}:
        wrong.append("files and rows differ")
    for file in files.values():
        Image.open(io.BytesIO(file.read_bytes())).load()
    return wrong, Counter(state for state, *_ in jobs.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        asking, ready, painters = killed(folder, asked.kills, random.Random(asked.seed))
        wrong, states = faults(folder, asking.kept)
    slow = [round(seconds, 1) for seconds in ready if seconds > READY]
    print_json(
        {
            "kills": asked.kills,
            "of_the_painter_alone": painters,
            "answered": len(asking.kept),
            "jobs": dict(states),
            "ready_longest": round(max(ready), 2),
            "ready_over_10_s": slow,
            "wrong": wrong,
        }
    )
    return 1 if wrong or slow else 0


if __name__ == "__main__":
    sys.exit(main())
