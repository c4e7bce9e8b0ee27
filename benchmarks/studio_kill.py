"""The studio's storage under kill -9: nothing that it said yes to is lost or doubled.

    python benchmarks/studio_kill.py                       # 50 random kills, then every named point
    python benchmarks/studio_kill.py --kills 200 --passes 5 --folder DATA

One process at a time opens the data folder, puts right what the one before left, and then accepts,
paints, fails, cancels, crashes, imports, marks and deletes until it is killed: after a random time,
or when it passes one of the store's named points. What it says before and after each act is kept by
the process that watches. At last one is let run to the end of the queue, and the folder is compared
with what was said. Exit status 1 where they differ.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from _studio_ledger import Ledger, drawn, problems, wanted

from limner._cli_show import print_json
from limner.studio import Job
from limner.studio.gallery import Gallery
from limner.studio.queue import Made, Queue
from limner.studio.store import POINTS, Store

# ---- the one that is killed ------------------------------------------------------------------


@dataclass
class Life:
    """What a process does with the folder. Each act is said before and after.

    point, passes:  kill yourself when you pass the point for the so-maniest time
    """

    number: int
    folder: Path
    ear: Connection
    point: str | None
    passes: int
    asked: list[str]  # keys that nobody said yes to so far
    last: bool
    mouth: Any = field(default_factory=threading.Lock)

    def say(self, *words: Any) -> None:
        with self.mouth:
            self.ear.send(words)

    def at(self, point: str) -> None:
        if point == self.point:
            self.passes -= 1
            if self.passes == 0:
                self.say("dies", point)
                os.kill(os.getpid(), signal.SIGKILL)

    def run(self) -> None:
        self.say("begins")
        began = time.perf_counter()
        store = Store(self.folder, self.at)
        with store.locked():
            queue, gallery = Queue(store), Gallery(store)
            queue.recover()
            self.say("ready", time.perf_counter() - began)
            if self.last:
                self.ask(queue, iter(self.asked))
                while self.paint(queue):
                    pass
                self.say("drained")
                return
            keys = (f"{self.number}-{n}" for n in range(10**9))
            threading.Thread(target=self.endless, args=(queue, keys), daemon=True).start()
            while True:
                self.paint(queue)
                self.keep(gallery)

    def endless(self, queue: Queue, keys: Iterator[str]) -> None:
        self.ask(queue, iter(self.asked))
        while True:
            if queue.counts()["queued"] < 8:
                self.ask(queue, iter([next(keys)]))
            time.sleep(0.002)

    def ask(self, queue: Queue, keys: Iterator[str]) -> None:
        for key in keys:
            _, count, shape = wanted(key)
            self.say("asks", key)
            job = queue.repeated(key)
            if job is None:
                said = {"key": key, "upload": queue.store.write_upload(drawn(key).bytes())}
                job = queue.accept("generate", said, shape=shape, pictures=count, repeat=key)
            self.say("accepted", key, job.id)

    def paint(self, queue: Queue) -> int:
        worker = f"{self.number} {random.random()}"
        jobs = queue.lease(worker)
        for job in jobs:
            self.at("mid-step")
            self.end(queue, worker, job)
        return len(jobs)

    def end(self, queue: Queue, worker: str, job: Job) -> None:
        """Brings a job to its fate; which needs two crashes when that is the quarantine."""
        fate, count, _ = wanted(job.arguments["key"])
        if fate == "done":
            made = [Made(drawn(job.arguments["key"], place), 0.1) for place in range(count)]
            if queue.finish(job.id, worker, made, {"key": job.arguments["key"]}):
                ended = queue.get(job.id)
                assert ended is not None
                self.say("finished", job.id, ended.pictures)
        elif fate == "failed":
            queue.fail(job.id, worker, "error", "as it was told")
        elif fate == "cancelled":
            queue.cancel(job.id)
            queue.cancelled(job.id, worker)
        else:
            queue.crashed(worker)

    def keep(self, gallery: Gallery) -> None:
        """Brings a picture in, marks it, or deletes it again."""
        name = f"import {self.number} {random.random()}"
        self.say("brings", name)
        kept = gallery.bring(drawn(name).bytes(), name)
        self.say("brought", name, kept.id)
        if random.random() < 0.5:
            gallery.favourite(kept.id)
            gallery.collect(kept.id, "kept")
            self.say("marked", kept.id)
        else:
            self.say("deletes", name)
            gallery.delete(kept.id)
            self.say("deleted", kept.id)


def live(*said: Any) -> None:
    Life(*said).run()


# ---- the one that watches --------------------------------------------------------------------


def one_life(said: argparse.Namespace, ledger: Ledger, number: int, point: str | None) -> None:
    """Runs one to its death, or to the queue's end when `point` is "". Raises when it ends else."""
    context = multiprocessing.get_context("forkserver")
    ear, mouth = context.Pipe(duplex=False)
    passes = random.randint(1, said.passes) if point != "mid-recover" else 1
    told = (number, said.folder, mouth, point, passes, ledger.asked(), point == "")
    child = context.Process(target=live, args=told)
    child.start()
    mouth.close()
    ledger.add(ear.recv())  # it begins
    if point is None:
        killer = threading.Timer(random.uniform(0, said.seconds), child.kill)
        killer.start()
    ledger.hear(ear)
    child.join()
    expected = 0 if point == "" else -signal.SIGKILL
    if child.exitcode != expected:
        raise SystemExit(f"life {number} ({point}) ended with {child.exitcode}, not {expected}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50, help="at random moments")
    parser.add_argument("--seconds", type=float, default=0.5, help="within which they come")
    parser.add_argument("--passes", type=int, default=3, help="of a point, at the most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="is kept; else a temporary one")
    said = parser.parse_args()
    random.seed(said.seed)
    # What takes seconds to import is imported once, in the process that the others are forked from.
    multiprocessing.get_context("forkserver").set_forkserver_preload(
        ["limner._cli_show", "limner.studio.gallery"]
    )
    keep, said.folder = said.folder is not None, said.folder or Path(tempfile.mkdtemp()) / "data"
    ledger = Ledger()
    for number, point in enumerate([*[None] * said.kills, *POINTS, ""]):
        one_life(said, ledger, number, point)
    found = problems(said.folder, ledger)
    reached = {point for (point,) in ledger.said["dies"]}
    print_json(
        {
            "random kills": said.kills,
            "points": f"{len(reached)} of {len(POINTS)}",
            "accepted": len(ledger.said["accepted"]),
            "finished": len(ledger.said["finished"]),
            "brought": len(ledger.said["brought"]),
            "ready, seconds at most": max(seconds for (seconds,) in ledger.said["ready"]),
            "problems": found,
        }
    )
    if not keep:
        shutil.rmtree(said.folder.parent)
    sys.exit(1 if found or len(reached) < len(POINTS) else 0)


if __name__ == "__main__":
    main()
