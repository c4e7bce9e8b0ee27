"""kill -9 of the real server, or of its painter, at each named point of the store.

    python benchmarks/studio_points.py            # the embedded model, some minutes

Clients paint, fail, cancel, bring pictures in and delete them, all the time. For each of
`limner.studio.store.POINTS` the process that passes it first kills itself; a server that died is
started again. Right is what `studio_crash.py` calls right, and that what was brought in is there
and what was deleted is not. Exit status 1 else, or where a point was never passed.
"""

from __future__ import annotations

import argparse
import io
import sqlite3
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from studio_crash import PICTURES, READY, Served, ended, faults

from limner._cli_show import print_json
from limner.studio.store import POINTS

# A process that is told to dies at a point: the file names it, and goes so that nobody dies twice.
DIES = """
import os, pathlib, signal, sys
order = pathlib.Path({order!r})
def at(point):
    try:
        if order.read_text() == point:
            order.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
    except FileNotFoundError:
        pass
"""
WORKER = DIES + "from limner.studio.worker import main\nmain(sys.argv[1:], at)\n"
SERVER = (
    DIES
    + """
from limner.studio.crew import Crew
from limner.studio.server import Asked, serve
Crew.__init__.__kwdefaults__["command"] = (sys.executable, "-c", {worker!r})
serve(sys.argv[1], Asked(port=0, page=False, most=100000), at=at,
      listening=lambda url: print(url, flush=True))
"""
)
WAIT = 60.0  # seconds for a point to be passed
# What is passed only once somebody has died: a painter, or a server.
AFTER = {"after-crash": "painter", "mid-recover": "server"}


class Client(threading.Thread):
    """Does one thing again and again, a new number each time, at the server there is."""

    def __init__(self, town: Town, act: Any) -> None:
        super().__init__(daemon=True)
        self.town, self.act = town, act

    def run(self) -> None:
        number = 0
        while not self.town.closed.is_set():
            url = self.town.url
            if url is not None:
                with suppress(httpx.HTTPError):
                    self.act(url, number)
                    number += 1
            time.sleep(0.3)


class Town:
    """The clients and what they were told."""

    def __init__(self) -> None:
        self.url: str | None = None
        self.closed = threading.Event()
        self.kept: dict[str, str] = {}  # job by key
        self.failing: set[str] = set()
        self.brought: set[str] = set()
        self.deleted: set[str] = set()  # asked for
        self.gone: set[str] = set()  # and answered
        self.clients = [Client(self, act) for act in (self.paint, self.fail, self.bring)]

    def paint(self, url: str, number: int) -> None:
        """Every third is cancelled."""
        said = {"prompt": "a red cube", "steps": 4, "count": PICTURES, "seed": number}
        job = self._job(url, "generate", f"paint-{number}", json=said)
        if number % 3 == 2:
            httpx.post(f"{url}api/jobs/{job}/cancel").raise_for_status()

    def fail(self, url: str, number: int) -> None:
        """A mask of another size than its picture is found out by the painter."""
        key = f"fail-{number}"
        files = {"picture": _png(64, number), "mask": _png(32, number)}
        job = self._job(url, "inpaint", key, data={"prompt": "a red cube"}, files=files)
        self.failing.add(job)
        time.sleep(2)

    def bring(self, url: str, number: int) -> None:
        """Every second is deleted."""
        answer = httpx.post(f"{url}api/pictures", files={"picture": _png(48, number)})
        id = answer.raise_for_status().json()["id"]
        self.brought.add(id)
        if number % 2:
            self.deleted.add(id)
            httpx.delete(f"{url}api/pictures/{id}").raise_for_status()
            self.gone.add(id)

    def _job(self, url: str, task: str, key: str, **said: Any) -> str:
        headers = {"Idempotency-Key": key}
        answer = httpx.post(f"{url}api/tasks/{task}", headers=headers, **said)
        self.kept[key] = answer.raise_for_status().json()["id"]
        return self.kept[key]


def _png(side: int, number: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), (number % 256, number // 256 % 256, 90)).save(out, "png")
    return out.getvalue()


def visited(folder: Path, order: Path, seen: Town) -> tuple[list[str], list[float]]:
    """The points at which somebody died, and seconds until ready after each start."""
    places = {"order": str(order)}
    server = SERVER.format(**places, worker=WORKER.format(**places))
    served = Served(folder, server)
    reached, ready = [], [served.ready]
    for client in seen.clients:
        client.start()
    for point in POINTS:
        seen.url = served.url
        order.write_text(point)
        until = time.monotonic() + WAIT
        while order.exists() and time.monotonic() < until:
            if point in AFTER:
                served.kill(AFTER[point])
            if served.process.poll() is not None:
                seen.url = None
                with suppress(OSError, httpx.HTTPError):  # it may die at its start
                    served = Served(folder, server)
                    ready.append(served.ready)
                    seen.url = served.url
            time.sleep(0.2 if point not in AFTER else 3)
        reached += [] if order.exists() else [point]
        order.unlink(missing_ok=True)
        with suppress(Exception):
            served.process.wait(0.5)
        if served.process.poll() is not None:
            seen.url = None
            served = Served(folder, server)
            ready.append(served.ready)
    seen.url = served.url
    time.sleep(1)
    seen.closed.set()
    for client in seen.clients:
        client.join()
    ended(served)
    return reached, ready


def wrong(folder: Path, seen: Town) -> tuple[list[str], dict[str, int]]:
    """What is wrong in the folder, and the jobs by state."""
    found, states = faults(folder, seen.kept, seen.failing)
    opened = sqlite3.connect(folder / "studio.sqlite")
    there = {id for (id,) in opened.execute("SELECT id FROM pictures WHERE job IS NULL")}
    found += [f"{id}: was brought in and is gone" for id in seen.brought - seen.deleted - there]
    found += [f"{id}: was deleted and is there" for id in seen.gone & there]
    return found, dict(states)


def main() -> int:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    seen = Town()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        reached, ready = visited(folder, Path(name) / "order", seen)
        found, states = wrong(folder, seen)
    slow = [round(seconds, 1) for seconds in ready if seconds > READY]
    print_json(
        {
            "points": f"{len(reached)} of {len(POINTS)}",
            "never_passed": [point for point in POINTS if point not in reached],
            "answered": len(seen.kept),
            "brought": len(seen.brought),
            "jobs": states,
            "ready_longest": round(max(ready), 2),
            "wrong": found,
        }
    )
    return 1 if found or slow or len(reached) < len(POINTS) else 0


if __name__ == "__main__":
    sys.exit(main())
