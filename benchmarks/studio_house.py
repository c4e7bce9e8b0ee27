"""A server in a process of its own, audited: what it and its painter open is written down.

For studio_fuzz.py. `python studio_house.py --serve DATA [--flat-painter]` is that server, and
`python studio_house.py --paint-flat DATA --name NAME` a painter of flat pictures.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import httpx
from studio_hostile import encoded

__all__ = ["House", "house", "opened_elsewhere"]

HERE = Path(__file__).resolve()


# ---- what is opened meanwhile --------------------------------------------------------------------

# Runs in the server and in its painter: each writes what it opens as a line, from its first moment.
HOOK = """
import os, sys
_log = os.open(os.environ["LIMNER_AUDIT"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
_MANY = ("open", "os.listdir", "os.scandir", "os.remove", "os.rename", "os.mkdir", "os.rmdir",
         "os.symlink", "os.link", "os.chmod", "os.truncate", "sqlite3.connect", "socket.connect",
         "subprocess.Popen", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.chdir")
def _hook(event, arguments, _write=os.write):
    if event in _MANY:
        said = [str(each)[:300] for each in arguments[:3]]
        if event == "open" and isinstance(arguments[0], int):
            return
        if event not in ("socket.connect", "subprocess.Popen", "os.system") and said:
            said[0] = os.path.abspath(said[0])
        line = "\\0".join([event, *said]).replace("\\n", " ") + "\\n"
        _write(_log, line.encode("utf-8", "replace"))
sys.addaudithook(_hook)
"""


@contextmanager
def audited(folder: Path) -> Iterator[tuple[dict[str, str], Path]]:
    """The environment in which each Python process writes what it opens, and where to."""
    place, log = folder / "hook", folder / "opened.log"
    place.mkdir()
    (place / "sitecustomize.py").write_text(HOOK, "utf-8")
    paths = os.pathsep.join([str(place), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    yield os.environ | {"PYTHONPATH": paths, "LIMNER_AUDIT": str(log)}, log


_WRITES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.chmod",
           "os.truncate")  # fmt: skip
_FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.chdir",
              "socket.connect")  # fmt: skip


def opened_elsewhere(log: Path, began: int, data: Path, canary: Path) -> list[str]:
    """Lines of the log, from a byte on, that tell of anything outside the data folder but reading
    the code and the models that limner consists of."""
    import limner

    own = [Path(sys.prefix), Path(sys.base_prefix), Path(limner.__file__).parent, HERE.parent]
    code = tuple(str(each.resolve()) for each in own)
    wrong = Counter[str]()
    with open(log, encoding="utf-8", errors="replace") as file:
        file.seek(began)
        for line in file:
            event, *said = line.rstrip("\n").split("\0")
            path = os.path.realpath(said[0]) if said else ""
            inside = path == str(data) or path.startswith(f"{data}/")
            writes = event in _WRITES or (event == "open" and _is_writing(said))
            known = path.startswith((*code, "/usr/share/", "/usr/lib/", "/sys/"))
            known = known or re.fullmatch(r"/proc/(self|\d+)/\w+", path) is not None
            known = known or path in ("/dev/null", "/dev/urandom", "/etc/mime.types")
            at_home = inside or (known and not writes and canary.name not in path)
            if event in _FORBIDDEN or (said and not at_home and not _is_cache(path, writes)):
                wrong[" ".join([event, *said])[:200]] += 1
    return [f"{line} ({count} times)" for line, count in wrong.most_common(20)]


def _is_cache(path: str, writes: bool) -> bool:
    """Python's own compiled files."""
    return path.endswith(".pyc") or "/__pycache__" in path or (not writes and path.endswith(".py"))


def _is_writing(said: list[str]) -> bool:
    mode, flags = (*said[1:], "None", "0")[:2]
    if mode not in ("None", ""):
        return any(letter in mode for letter in "wax+")
    return flags.isdigit() and bool(int(flags) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


# ---- the server ----------------------------------------------------------------------------------


@dataclass
class House:
    """A server in a process of its own."""

    url: str
    process: int
    data: Path
    log: Path
    canary: Path

    def memory(self, name: str = "VmRSS") -> int:
        """Bytes; VmHWM is the most since calm()."""
        text = Path(f"/proc/{self.process}/status").read_text("ascii")
        return int(re.search(rf"{name}:\s+(\d+) kB", text)[1]) * 1024  # type: ignore[index]

    def calm(self) -> None:
        Path(f"/proc/{self.process}/clear_refs").write_text("5", "ascii")


@contextmanager
def house(flat: bool) -> Iterator[House]:
    """A server over an empty folder. flat: it paints flat pictures, at once."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary).resolve()
        canary = root / "canary.png"
        canary.write_bytes(encoded("PNG", Random(0)))
        with audited(root) as (environment, log):
            said = [sys.executable, str(HERE), "--serve", str(root / "data")]
            said += ["--flat-painter"] if flat else []
            with subprocess.Popen(
                said, stdout=subprocess.PIPE, text=True, env=environment
            ) as child:
                assert child.stdout is not None
                url = child.stdout.readline().strip()
                try:
                    _wait_ready(url)
                    yield House(url, child.pid, root / "data", log, canary)
                finally:
                    child.terminate()
                    child.wait(60)


def _wait_ready(url: str) -> None:
    end = time.monotonic() + 120
    while httpx.get(f"{url}/ready", timeout=60).status_code != 200:
        assert time.monotonic() < end, "the server is never ready"
        time.sleep(0.2)


def serve_here(data: str, flat: bool) -> None:
    """This process becomes the server."""
    from functools import partial

    import limner.studio.studio as studio
    from limner.studio.crew import Crew
    from limner.studio.server import Asked, serve

    if flat:
        command = (sys.executable, str(HERE), "--paint-flat")
        studio.Crew = partial(Crew, command=command)  # type: ignore[assignment,misc]
    address = partial(print, flush=True)
    serve(data, Asked(port=0, page=False), listening=lambda url: address(url.rstrip("/")))


def paint_flat(data: str, name: str) -> None:
    """This process becomes a painter whose pictures are flat, and told as the real one tells."""
    import threading

    import torch

    from limner.picture import Picture
    from limner.studio._wire import Outgoing, incoming, own_stdout
    from limner.studio.queue import Made, Queue
    from limner.studio.store import Store

    told = Outgoing(own_stdout())
    queue, woken, stopping = Queue(Store(data)), threading.Event(), threading.Event()

    def hear() -> None:
        for message in incoming(sys.stdin.buffer):
            if message.get("stop"):
                stopping.set()
            woken.set()
        os._exit(0)

    threading.Thread(target=hear, daemon=True).start()
    told.say(event="ready")
    while not stopping.is_set():
        woken.clear()
        for job in queue.lease(name, 1):
            recipe = {"task": job.task, "arguments": job.arguments}
            made = [Made(Picture(torch.full((3, 16, 16), 0.5), recipe), 0.01)]
            queue.finish(job.id, name, made)
            told.say(event="finished", job=job.id)
            woken.set()
        woken.wait(0.5)
    os._exit(0)  # the thread that hears is not waited for


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve")
    parser.add_argument("--flat-painter", action="store_true")
    parser.add_argument("--paint-flat")
    parser.add_argument("--name")
    asked = parser.parse_args()
    if asked.serve:
        serve_here(asked.serve, asked.flat_painter)
    else:
        paint_flat(asked.paint_flat, asked.name)


if __name__ == "__main__":
    main()
