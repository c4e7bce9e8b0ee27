"""The server's side, with a real process that paints: killed, stopped, cancelled, watched."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from limner.errors import BadInput
from limner.studio import FINAL, Job
from limner.studio.crew import Live
from limner.studio.studio import Studio

SMALL: dict[str, Any] = dict(prompt="a cat", size="32x32", precision="float32")
LONG: dict[str, Any] = SMALL | dict(steps=200, size="128x128")
PATIENCE = 60.0  # seconds, on a machine with other work


@pytest.fixture(scope="module")
def studio(
    tmp_path_factory: pytest.TempPathFactory, sd_folder: Callable[[str], Path]
) -> Iterator[Studio]:
    made = Studio(tmp_path_factory.mktemp("data"), models=[str(sd_folder("own"))])
    # As the package's own, without the seconds that opening the embedded model takes.
    cold = "from limner.studio import worker; worker.Worker._warm = worker.Worker._embed = "
    cold += "lambda *_: 0; worker.main()"
    made.crew.command = (sys.executable, "-c", cold)
    SMALL["model"] = LONG["model"] = next(iter(made.models))
    made.open()
    yield made
    made.close(within=0.0)


def until(said: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE
    while not (found := said()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found


def state(studio: Studio, job: Job) -> str:
    found = studio.queue.get(job.id)
    assert found is not None
    return found.state


def painting(studio: Studio, job: Job) -> bool:
    live = studio.crew.live(job.id)
    return live is not None and live.step > 0


async def watched(studio: Studio, job: Job) -> list[Live | Job]:
    return [each async for each in studio.crew.watch(job.id)]


def test_a_job_is_watched_to_its_end_by_many(studio: Studio) -> None:
    job = studio.submit("generate", SMALL | {"steps": 40})

    async def many() -> list[list[Live | Job]]:
        return await asyncio.gather(*(watched(studio, job) for _ in range(3)))

    for seen in asyncio.run(asyncio.wait_for(many(), PATIENCE)):
        *lives, last = seen
        assert isinstance(last, Job) and last.state == "done" and len(last.pictures) == 1
        steps = [each.step for each in lives if isinstance(each, Live)]
        assert steps == sorted(set(steps)) and len(steps) == len(lives) > 0
        assert all(isinstance(each, Live) and each.total == 40 for each in lives)
        shown = [each.preview for each in lives if isinstance(each, Live) and each.preview]
        assert shown and shown[-1].startswith(b"\xff\xd8")
    assert studio.crew.live(job.id) is None and studio.crew.ready
    assert asyncio.run(watched(studio, Job("nobody", "generate", {}, "queued", 0.0))) == []


def test_a_running_job_is_cancelled_within_a_step_and_a_waiting_one_at_once(
    studio: Studio,
) -> None:
    running, waiting = (
        studio.submit("generate", LONG),
        studio.submit("generate", LONG | {"steps": 9}),
    )
    until(lambda: painting(studio, running))
    assert studio.crew.cancel(waiting.id).state == "cancelled"
    assert studio.crew.cancel(running.id).state == "running"
    (last,) = [each for each in asyncio.run(watched(studio, running)) if isinstance(each, Job)]
    assert last.state == "cancelled" and last.pictures == ()
    with pytest.raises(BadInput):
        studio.crew.cancel("../../etc/passwd")


def test_signals_are_the_servers_to_decide_about(studio: Studio) -> None:
    until(lambda: studio.crew.ready)
    child = studio.crew._child
    assert child is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(child.pid, number)
    job = studio.submit("generate", SMALL | {"steps": 2})
    until(lambda: state(studio, job) in FINAL)
    assert studio.crew._child is child and child.poll() is None


def test_a_job_whose_worker_dies_twice_is_quarantined_and_the_next_is_done(studio: Studio) -> None:
    job = studio.submit("generate", LONG)
    for crashes in (1, 2):
        until(lambda: painting(studio, job))
        child = studio.crew._child
        assert child is not None and child.stdin is not None
        if crashes == 1:
            os.kill(child.pid, signal.SIGKILL)
        else:
            child.stdin.close()  # as the kernel does for a killed server: it exits at once
        until(lambda crashes=crashes: studio.queue.get(job.id).crashes == crashes)
        assert until(lambda child=child: child.poll() is not None)
    found = studio.queue.get(job.id)
    assert found is not None and found.state == "quarantined" and found.error is not None
    assert "/" not in found.error["message"]
    other = studio.submit("generate", SMALL | {"steps": 2})
    until(lambda: state(studio, other) == "done")


@pytest.mark.parametrize(("within", "ends"), [(PATIENCE, "done"), (0.0, "queued")])
def test_stopped_it_finishes_the_running_job_or_puts_it_back(
    studio: Studio, within: float, ends: str
) -> None:
    studio.crew.start() if not studio.crew.ready else None
    job = studio.submit("generate", LONG | {"steps": 20 if ends == "done" else 200})
    until(lambda: painting(studio, job))
    waiting = studio.submit("generate", SMALL | {"steps": 2})
    studio.crew.stop(within)
    assert not studio.crew.ready
    found = studio.queue.get(job.id)
    assert found is not None and (found.state, found.crashes) == (ends, 0)
    assert state(studio, waiting) == "queued"
    for each in (job, waiting):
        studio.queue.cancel(each.id)
