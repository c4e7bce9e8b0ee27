"""The server as a process: where it listens, whom it refuses, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import pytest

from limner.cli import main
from limner.errors import BadInput
from limner.studio.server import Asked, serve
from limner.studio.store import data_folder

HERE = Path(__file__).parent
PROCESS = """
import sys
sys.path.insert(0, sys.argv[1])
import studio_fake, limner.studio.studio as house
from limner.studio.server import Asked, serve
house.Crew = lambda store, queue, **more: studio_fake.FakeCrew(house_of(queue), pause=0.3)
class house_of:
    def __init__(self, queue): self.queue = queue
serve(sys.argv[2], Asked(port=0, page=False), listening=lambda url: print(url, flush=True))
"""


@pytest.fixture
def process(tmp_path):
    """A server, whose painter takes 0.3 s a step, and its address."""
    said = [sys.executable, "-c", PROCESS, str(HERE), str(tmp_path / "data")]
    with subprocess.Popen(said, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield running, running.stdout.readline().strip()
        finally:
            running.kill()


def test_told_to_stop_it_is_not_ready_at_once_finishes_what_runs_and_keeps_the_rest(process):
    running, url = process
    with httpx.Client(base_url=url, timeout=20) as client:
        got = []
        asking = threading.Thread(
            target=lambda: got.append(
                httpx.post(f"{url}v1/images/generations", json={"prompt": "a cat"}, timeout=20)
            )
        )
        asking.start()
        while client.get("api/jobs?state=running").json()["jobs"] == []:
            time.sleep(0.01)
        waits = client.post("api/tasks/generate", json={"prompt": "later"}).json()["id"]
        began = time.monotonic()
        running.send_signal(signal.SIGTERM)
        time.sleep(0.05)
        assert client.get("ready").status_code == 503
        assert client.get("health").status_code == 200
        assert client.post("api/tasks/generate", json={"prompt": "no"}).status_code == 503
        asking.join(15)
        assert got[0].status_code == 200 and len(got[0].json()["data"]) == 1
    assert running.wait(15) == 0 and time.monotonic() - began < 15
    from limner.studio.queue import Queue
    from limner.studio.store import Store

    queue = Queue(Store(running.args[-1]))
    assert queue.get(waits).state == "queued"
    assert queue.counts()["done"] == 1


def test_what_is_no_http_gets_an_error_of_the_same_shape(process):
    _, url = process
    for said in (
        b"\x16\x03\x01\x02\x00\x01\x00 a TLS hello\r\n\r\n",
        b"GET /health\r\n\r\n",
        b"POST /api/tasks/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: much\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", httpx.URL(url).port), timeout=20) as line:
            line.sendall(said)
            head, body = b"".join(iter(lambda: line.recv(4096), b"")).split(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ") and b"content-type: application/json" in head
        error = json.loads(body)["error"]
        assert set(error) == {"message", "type", "param", "code"} and error["code"] == "bad_input"


def test_a_second_signal_ends_it_at_once(process):
    running, url = process
    httpx.post(f"{url}api/tasks/generate", json={"prompt": "a cat"})
    time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    assert running.wait(2) == 130


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "example.org"])
def test_open_to_others_it_needs_a_token(tmp_path, host):
    with pytest.raises(BadInput, match="give a --token"):
        serve(tmp_path, Asked(host=host))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("token", ["", "short", "with a space", "päßwörter", "new\nline-here"])
def test_tokens_that_cannot_be_sent_or_are_guessed_are_refused(tmp_path, token):
    with pytest.raises(BadInput, match="token"):
        serve(tmp_path, Asked(token=token))


@pytest.fixture(autouse=True)
def own_places(monkeypatch):
    """What serve() sets for its process ends with the test."""
    for name in ("TMPDIR", "GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setattr("tempfile.tempdir", tempfile.gettempdir())


def test_an_address_that_is_taken_and_a_folder_that_is(tmp_path):
    taken = socket.create_server(("127.0.0.1", 0))
    with taken, pytest.raises(BadInput, match=r"cannot listen at 127\.0\.0\.1"):
        serve(tmp_path, Asked(port=taken.getsockname()[1]))
    from limner.studio.store import Store

    with Store(tmp_path).locked(), pytest.raises(BadInput, match="another limner serves"):
        serve(tmp_path, Asked(port=0))


def test_the_folder_is_the_user_s_own_unless_said(monkeypatch, tmp_path):
    for name in ("LIMNER_DATA", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder() == tmp_path / ".local" / "share" / "limner"
    monkeypatch.setenv("XDG_DATA_HOME", "/elsewhere")
    assert data_folder() == Path("/elsewhere/limner")
    monkeypatch.setenv("LIMNER_DATA", "~/pictures")
    assert data_folder() == tmp_path / "pictures"


def test_the_command_refuses_in_one_line(capsys, tmp_path):
    assert main(["serve", "--data", str(tmp_path), "--host", "0.0.0.0"]) == 2
    told = capsys.readouterr().err
    assert "--token" in told and len(told.splitlines()) == 1
    assert main(["serve", "--port", "70000"]) == 2


def test_without_what_it_needs_the_command_says_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve"]) == 2
    assert "pip install 'limner[serve]'" in capsys.readouterr().err


def test_limner_itself_needs_none_of_it():
    said = "import sys, limner.cli; print([m for m in ('fastapi','uvicorn') if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
