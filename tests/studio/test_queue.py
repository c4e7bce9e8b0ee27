"""The queue's promises: each job once, in order, to one final state."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from limner.errors import BadInput
from limner.picture import Picture, load
from limner.studio.queue import Made, Queue, QueueFull
from limner.studio.store import NotFound, Store, new_id


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(Store(tmp_path / "data"), most=20)


def made(count: int = 1) -> list[Made]:
    recipe = {"task": "generate", "arguments": {"prompt": "a cat"}}
    return [Made(Picture(torch.rand(3, 8, 8), recipe), 0.5) for _ in range(count)]


def files(queue: Queue) -> set[str]:
    return {file.stem for file in queue.store.pictures.iterdir()}


def test_a_job_from_acceptance_to_its_pictures(queue):
    job = queue.accept("generate", {"prompt": "a cat", "size": [64, 64]}, pictures=2)
    assert job == queue.get(job.id) and job.state == "queued" and queue.place(job.id) == 0
    (leased,) = queue.lease("one")
    assert leased.id == job.id and leased.state == "running" and leased.started
    assert queue.lease("two") == []
    pictures = made(2)
    assert queue.finish(job.id, "one", pictures, {"scores": [1, 2]})
    done = queue.get(job.id)
    assert done.state == "done" and done.result == {"scores": [1, 2]} and done.finished
    assert len(done.pictures) == 2 and set(done.pictures) == files(queue)
    for id, each in zip(done.pictures, pictures):
        seen = load(queue.store.picture(id))
        assert (seen.uint8() == each.picture.uint8()).all() and seen.recipe == each.picture.recipe
    assert queue.counts()["done"] == 1 and queue.typical("generate") == pytest.approx(
        done.finished - done.started
    )
    assert queue.typical("restyle") is None


def test_only_who_holds_the_lease_finishes_and_only_once(queue):
    job = queue.accept("generate", {})
    queue.lease("one")
    assert not queue.finish(job.id, "two", made())
    assert not queue.fail(job.id, "two", "error", "no") and not queue.cancelled(job.id, "two")
    assert queue.finish(job.id, "one", made())
    assert not queue.finish(job.id, "one", made())
    assert not queue.fail(job.id, "one", "error", "no")
    assert len(files(queue)) == 1


def test_a_lease_lost_while_its_files_are_written_leaves_no_file(queue):
    job = queue.accept("generate", {})
    queue.lease("one")

    def lost(point: str) -> None:
        if point == "before-row":
            queue.release("one")

    queue.store.at = lost
    assert not queue.finish(job.id, "one", made())
    assert files(queue) == set() and queue.get(job.id).state == "queued"


def test_jobs_of_one_shape_are_leased_together_and_nobody_is_overtaken(queue):
    first = queue.accept("generate", {"n": 0}, shape="a", pictures=3)
    queue.accept("generate", {"n": 1}, shape="b")
    second = queue.accept("generate", {"n": 2}, shape="a", pictures=4)
    queue.accept("generate", {"n": 3}, shape="a", pictures=2)  # would be nine
    queue.accept("generate", {"n": 4}, shape="a", pictures=1)
    assert [job.id for job in queue.lease("one", most=8)] == [first.id, second.id]
    assert [job.arguments["n"] for job in queue.lease("two")] == [1]
    assert [job.arguments["n"] for job in queue.lease("three")] == [3, 4]


def test_a_job_without_a_shape_or_larger_than_a_pass_runs_alone(queue):
    for n in range(2):
        queue.accept("edit", {"n": n})
    queue.accept("generate", {"n": 2}, shape="a", pictures=10)
    queue.accept("generate", {"n": 3}, shape="a")
    alone = [[job.arguments["n"] for job in queue.lease(str(n))] for n in range(4)]
    assert alone == [[0], [1], [2], [3]]


def test_a_key_said_again_is_the_same_job_even_when_full(queue):
    jobs = [queue.accept("generate", {"n": n}, repeat=f"key {n}") for n in range(20)]
    with pytest.raises(QueueFull, match="20 jobs are waiting") as full:
        queue.accept("generate", {})
    assert 1 <= full.value.retry_after <= 60
    assert queue.accept("generate", {"n": 3}, repeat="key 3").id == jobs[3].id
    assert queue.repeated("key 4") == jobs[4] and queue.repeated("other\ud800") is None
    queue.lease("one")
    queue.accept("generate", {}, repeat="a new one")
    assert queue.counts()["queued"] == 20 and [queue.place(jobs[n].id) for n in (0, 1, 5)] == [
        0,
        0,
        4,
    ]


def test_cancelling_a_waiting_a_running_and_a_final_job(queue):
    waiting, running = queue.accept("generate", {}), queue.accept("generate", {})
    assert queue.cancel(waiting.id).state == "cancelled"
    queue.lease("one")
    assert queue.cancel(running.id).state == "running" and queue.cancelling(running.id)
    assert queue.cancelled(running.id, "one") and not queue.cancelling(running.id)
    assert queue.cancel(running.id).state == "cancelled"
    done = queue.accept("generate", {})
    queue.lease("one")
    queue.finish(done.id, "one", [])
    assert queue.cancel(done.id).state == "done"
    for id in (new_id(), "../x", "\ud800", ""):
        assert queue.get(id) is None
        with pytest.raises(NotFound):
            queue.cancel(id)


def test_a_job_that_kills_its_worker_twice_is_quarantined_and_can_be_retried(queue):
    job = queue.accept("generate", {}, shape="a")
    queue.lease("one")
    assert [(each.state, each.crashes) for each in queue.crashed("one")] == [("queued", 1)]
    queue.lease("two")
    (job,) = queue.crashed("two")
    assert (job.state, job.crashes, job.error["code"]) == ("quarantined", 2, "crashed")
    assert queue.lease("three") == [] and queue.crashed("three") == []
    again = queue.retry(job.id)
    assert (again.state, again.crashes, again.error, again.finished) == ("queued", 0, None, None)
    with pytest.raises(BadInput, match="the job is queued"):
        queue.retry(job.id)


def test_after_a_crash_of_several_each_runs_alone_and_the_guilty_one_is_found(queue):
    jobs = [queue.accept("generate", {"n": n}, shape="a") for n in range(3)]
    assert len(queue.lease("one")) == 3
    assert [each.state for each in queue.crashed("one")] == ["queued"] * 3
    for n in range(3):
        (job,) = queue.lease(f"alone {n}")
        if job.arguments["n"] == 1:
            queue.crashed(f"alone {n}")
        else:
            assert queue.finish(job.id, f"alone {n}", made())
    assert [queue.get(job.id).state for job in jobs] == ["done", "quarantined", "done"]


def test_stopping_and_dying_servers_do_not_count_as_crashes(queue):
    job, unwanted = queue.accept("generate", {}), queue.accept("generate", {})
    for _ in range(3):
        queue.lease("one")
        assert [each.state for each in queue.release("one")] == ["queued"]
        queue.lease("two")
        queue.recover()
    queue.lease("one")
    queue.lease("two")
    queue.cancel(unwanted.id)
    queue.recover()
    assert (queue.get(job.id).state, queue.get(job.id).crashes) == ("queued", 0)
    assert queue.get(unwanted.id).state == "cancelled"


def test_lists_are_pages_the_newest_first(queue):
    jobs = [queue.accept("generate", {"n": n}) for n in range(7)]
    queue.cancel(jobs[2].id)
    assert [job.arguments["n"] for job in queue.list(limit=3)] == [6, 5, 4]
    assert [job.arguments["n"] for job in queue.list(limit=3, before=jobs[4].id)] == [3, 2, 1]
    assert [job.id for job in queue.list("cancelled")] == [jobs[2].id]
    assert queue.list(before="\ud800") == [] and queue.list("nonsense") == []


def test_many_threads_lease_each_job_once(queue):
    for n in range(20):
        queue.accept("generate", {"n": n})
    leased: list[int] = []

    def work(name: str) -> None:
        while jobs := queue.lease(name):
            leased.extend(job.arguments["n"] for job in jobs)
            queue.finish(jobs[0].id, name, [])

    threads = [threading.Thread(target=work, args=(f"{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(leased) == list(range(20)) and queue.counts()["done"] == 20
