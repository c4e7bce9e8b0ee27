"""A little of benchmarks/studio_fuzz.py, against a server whose crew is one thread."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import studio_fake as fake
import studio_fuzz as fuzz
from studio_house import opened_elsewhere


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with fake.served(tmp_path_factory.mktemp("data"), pause=0.001) as (url, _, _):
        yield url


def test_what_schemathesis_generates(url):
    report = fuzz.Report()
    paths = "^/(v1/images|api/tasks/inpaint$|api/jobs$|api/pictures/search)"
    fuzz.cases(url, 30, report, seed=0, paths=paths)
    assert report.wrong == [] and report.sent["case"] >= 10


def test_broken_forms_and_pictures(url):
    report = fuzz.Report()
    fuzz.forms(url, 60, report, seed=0)
    fuzz.pictures(url, 30, report, seed=0)
    assert report.wrong == [] and report.sent == {"form": 60, "picture": 30}


def test_bombs_are_refused_at_once(url):
    report = fuzz.Report()
    fuzz.explosions(url, report)
    assert report.wrong == [] and report.sent["bomb"] == 30


def test_hostile_names(url, tmp_path):
    report = fuzz.Report()
    fuzz.hostile(url, 80, report, seed=0, canary=tmp_path / "canary.png")
    assert report.wrong == []


def test_the_judge_sees_what_is_wrong():
    def answer(status, **more):
        found = httpx.Response(status, **more)
        found.elapsed = timedelta(seconds=2)
        return found

    def error(message):
        return {"error": {"message": message, "type": "x", "param": None, "code": None}}

    for bad in (
        answer(500, json=error("no")),
        answer(404, json={"detail": "no"}),
        answer(400, text="no"),
        answer(400, json=error("in /home/me/x")),
        answer(400, json=error('File "x.py"')),
    ):
        report = fuzz.Report()
        report.judge("x", bad)
        assert len(report.wrong) == 1
    report = fuzz.Report()
    report.judge("x", answer(400, json=error("prompt '/home/me' names a file")), own=("/home/me",))
    assert report.wrong == []
    report.judge("x", answer(200), quick=True)
    assert "2.00 s" in report.wrong[0]


def test_the_log_of_what_was_opened_is_read_rightly(tmp_path):
    data, canary, log = tmp_path / "data", tmp_path / "canary.png", tmp_path / "log"
    right = [f"open\0{data}/x\0wb\0 0", f"open\0{sys.prefix}/x.json\0r\0 0"]
    right += [f"os.listdir\0{data}", "open\0/proc/12/statm\0r\0 0"]
    wrong = [
        f"open\0{canary}\0rb\0 0",
        f"open\0{tmp_path}/other\0r\0 0",
        f"open\0{sys.prefix}/lib/x\0w\0 0",
        f"open\0{data}/../other\0r\0 0",
        f"os.remove\0{tmp_path}/other",
        "socket.connect\0x\0y",
        "subprocess.Popen\0sh",
    ]
    log.write_text("\n".join(right + wrong) + "\n", "utf-8")
    assert len(opened_elsewhere(log, 0, data, canary)) == len(wrong)
