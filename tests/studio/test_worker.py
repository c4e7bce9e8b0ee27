"""The worker, in this process: what it makes of jobs, alone and several at once."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from limner import generate, open_model, replay
from limner.errors import BadInput, LimnerError
from limner.picture import load, psnr
from limner.studio import Job
from limner.studio._models import aliases
from limner.studio._wire import Outgoing
from limner.studio.forms import Form
from limner.studio.queue import Queue
from limner.studio.store import NoSpace, Store
from limner.studio.worker import Worker

SMALL: dict[str, Any] = dict(steps=3, size="32x32", precision="float32")


class Bench:
    """A worker on a data folder of its own, with a tiny model, and what it told the server."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.store, self.said = Store(folder), io.BytesIO()
        self.queue = Queue(self.store)
        self.worker = Worker(self.store, "worker-a", Outgoing(self.said), [str(model)])
        (self.model,) = aliases([str(model)])
        self.path = str(model)

    def ask(self, task: str = "generate", /, **said: Any) -> Job:
        form: Form = self.worker.forms[task]
        usual = SMALL | {"model": self.model} if task == "generate" else {}
        uploads = {name: said.pop(name) for name in form.uploads if name in said}
        arguments = form.checked(usual | said)
        shape, pictures = form.shape(arguments), form.pictures(arguments)
        return self.queue.accept(task, arguments | uploads, shape=shape, pictures=pictures)

    def job(self, job: Job) -> Job:
        found = self.queue.get(job.id)
        assert found is not None
        return found

    def files(self, job: Job) -> list[Path]:
        return [self.store.picture(id) for id in self.job(job).pictures]

    def heard(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.said.getvalue().splitlines()]


@pytest.fixture
def bench(
    tmp_path: Path, sd_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    found = Bench(tmp_path / "data", sd_folder("own"))
    monkeypatch.setattr(found.worker, "_embed", lambda most: 0)  # CLIP is the gallery's test's
    monkeypatch.chdir(tmp_path / "data")
    yield found
    found.store.close()


def test_a_job_alone(bench: Bench) -> None:
    job = bench.ask(prompt="a red cube", seed=3, count=2)
    assert bench.worker.turn()
    done = bench.job(job)
    assert done.state == "done" and len(done.pictures) == 2 and done.error is None
    for k, file in enumerate(bench.files(job)):
        picture = load(file)
        assert picture.recipe is not None and picture.recipe["sample"] == k
        assert bench.path not in str(picture.recipe)
        assert replay(file, model=bench.path).identical
    events = [each["event"] for each in bench.heard()]
    assert events[0] == "started" and events[-1] == "finished" and "progress" in events
    assert not bench.worker.turn()


def test_several_share_a_pass_and_each_is_as_if_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from limner.tasks import _side_by_side

    passes: list[int] = []
    real = _side_by_side.paint_together

    def counted(requests: Any, watches: Any) -> Any:
        passes.append(len(requests))
        return real(requests, watches)

    monkeypatch.setattr(_side_by_side, "paint_together", counted)
    asked: list[dict[str, Any]] = [
        dict(prompt="a red cube", seed=3),
        dict(prompt="a cat", seed=8, count=3),
        dict(prompt="a dog", seed=3, first=4, negative="red"),
        dict(prompt=" ".join(["cat"] * 40), seed=3),  # two windows of text: a pass of its own
    ]
    jobs = [bench.ask(**each) for each in asked]
    assert bench.worker.turn() and passes == [3]
    model = open_model(bench.path)
    for each, job in zip(asked, jobs):
        assert bench.job(job).state == "done"
        alone = generate(**each, model=model, steps=3, size=(32, 32), precision="float32")
        for file, picture in zip(bench.files(job), alone, strict=True):
            assert psnr(load(file).pixels, picture.pixels) >= 50
            assert replay(file, model=bench.path).identical


def test_a_cancelled_one_of_a_pass_is_dropped_and_the_rest_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [bench.ask(prompt="a cat", seed=k) for k in range(3)]
    steps: list[str] = []

    def at() -> None:
        steps.append(bench.job(jobs[1]).state)
        if len(steps) == 3:  # after the first step of all three
            bench.worker.hear({"cancel": jobs[1].id})

    monkeypatch.setattr(bench.worker.painting, "at", at)
    bench.worker.turn()
    assert [bench.job(job).state for job in jobs] == ["done", "cancelled", "done"]
    assert steps[5:] == ["cancelled"] * 4, "it was to end within a step"
    assert bench.job(jobs[1]).pictures == () and len(list(bench.store.pictures.iterdir())) == 2
    ends = [each["event"] for each in bench.heard() if each.get("job") == jobs[1].id]
    assert ends[-1] == "cancelled" and "finished" not in ends


@pytest.mark.parametrize("count", [1, 2])
def test_cancelled_within_a_step(bench: Bench, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    jobs = [bench.ask(prompt="a cat", seed=k) for k in range(count)]
    steps: list[int] = []

    def at() -> None:
        steps.append(1)
        for job in jobs:
            bench.worker.hear({"cancel": job.id})

    monkeypatch.setattr(bench.worker.painting, "at", at)
    bench.worker.turn()
    assert {bench.job(job).state for job in jobs} == {"cancelled"} and len(steps) == count
    ended = [each for each in bench.heard() if each["event"] == "cancelled"]
    assert [each["job"] for each in ended] == [job.id for job in jobs]
    assert bench.worker.painting._cancelled == set()
    assert not list(bench.store.pictures.iterdir())


ERRORS = [
    (MemoryError(), "out_of_memory"),
    (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
    (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "out_of_memory"),
    (BadInput("the picture '/root/secret/x.png' is 3x4"), "bad_input"),
    (LimnerError("the model is damaged"), "error"),
    (ZeroDivisionError("/root/secret"), "internal"),
    (RuntimeError("shapes differ at /root/secret/limner.py"), "internal"),
]


@pytest.mark.parametrize(("error", "code"), ERRORS)
def test_a_failed_job_says_why_and_the_next_succeeds(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    first = bench.ask(prompt="a cat", steps=2)
    real = bench.worker.painting.at

    def at() -> None:
        monkeypatch.setattr(bench.worker.painting, "at", real)
        raise error

    monkeypatch.setattr(bench.worker.painting, "at", at)
    second = bench.ask(prompt="a dog")
    bench.worker.turn(), bench.worker.turn()
    failed = bench.job(first)
    assert failed.state == "failed" and failed.error is not None and failed.error["code"] == code
    assert "/" not in failed.error["message"] and "\n" not in failed.error["message"]
    assert bench.job(second).state == "done"


def test_one_of_a_pass_that_fails_takes_none_with_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from limner.tasks import _side_by_side

    jobs = [bench.ask(prompt="a cat", seed=k) for k in range(3)]

    def broken(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(_side_by_side, "paint_together", broken)
    bench.worker.turn()
    assert {bench.job(job).state for job in jobs} == {"done"}


def test_an_upload_is_painted_from_and_called_by_its_parameter(bench: Bench) -> None:
    png = generate("a cat", model=open_model(bench.path), steps=1, size=(64, 64))[0].bytes()
    name = bench.store.write_upload(png)
    said = dict(model=bench.model, steps=2, precision="float32", prompt="a dog")
    good = bench.ask("restyle", **said, picture=name)
    bad = bench.ask("inpaint", **said, adapter="none", picture=name, mask=name)
    bench.worker.turn(), bench.worker.turn()
    (file,) = bench.files(good)
    recipe = load(file).recipe
    assert recipe is not None and recipe["arguments"]["picture"] == f"uploads/{name}"
    assert replay(file, model=bench.path).identical  # from the data folder
    error = bench.job(bad).error
    assert error is not None and error["code"] == "bad_input"
    assert "'mask'" in error["message"] and name not in error["message"]


def test_what_limner_warns_of_reaches_the_asker(bench: Bench) -> None:
    jobs = [bench.ask(prompt="a sphere"), bench.ask(prompt="a zeppelin")]
    alone = bench.ask(prompt="a zeppelin", steps=2)
    bench.worker.turn(), bench.worker.turn()
    assert bench.job(jobs[0]).result is None
    for job in (jobs[1], alone):
        result = bench.job(job).result
        assert result is not None and "zeppelin" in result["notices"][0]


def test_a_full_disk_keeps_what_was_painted_until_there_is_room(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    import limner.studio.worker as module

    job, real, tries = bench.ask(prompt="a cat"), bench.worker.queue.finish, []

    def finish(*said: Any) -> bool:
        tries.append(said[2])
        if len(tries) < 3:
            raise NoSpace
        return real(*said)

    monkeypatch.setattr(module, "_ROOM", 0.0)
    monkeypatch.setattr(bench.worker.queue, "finish", finish)
    bench.worker.turn()
    assert bench.job(job).state == "done" and len(tries) == 3 and tries[0] is tries[2]


def test_previews_only_where_somebody_looks(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from limner.studio import _painting

    monkeypatch.setattr(_painting, "_BETWEEN_PREVIEWS", 0.0)
    jobs = [bench.ask(prompt="a cat", seed=k) for k in range(2)]
    bench.worker.hear({"look": jobs[1].id})
    bench.worker.turn()
    shown = [each["job"] for each in bench.heard() if "preview" in each]
    assert shown == [jobs[1].id] * 3


def test_stopped_between_passes_it_leaves_the_rest(bench: Bench) -> None:
    first = bench.ask(prompt="a cat")
    long = bench.ask(prompt=" ".join(["cat"] * 40))
    bench.worker.hear({"stop": True})
    bench.worker.turn()
    assert bench.job(first).state == "done" and bench.job(long).state == "running"
    bench.queue.release("worker-a")
    assert bench.job(long).state == "queued" and bench.job(long).crashes == 0


def test_junk_on_the_wire_is_passed_over(bench: Bench) -> None:
    from limner.studio._wire import incoming

    lines = b'{"wake": true}\nnot json\n[1]\n"x"\n\n\xff\xfe\n{"cancel": 7}\n{"look": null}\n'
    messages = list(incoming(io.BytesIO(lines)))
    assert messages == [{"wake": True}, {"cancel": 7}, {"look": None}]
    for message in messages:
        bench.worker.hear(message)
    assert bench.worker.painting._cancelled == set()
