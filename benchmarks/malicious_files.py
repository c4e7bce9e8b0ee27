"""Whether anything in a malicious checkpoint runs, and how fast and small its refusal is.

Each file goes through `limner.models.convert` (or `inspect`, for folders) in a process of this
script, and, where it is a file, through the quarantine's own child under an audit hook that ends it
at the first event that reading never causes. A file counts when it is refused with one line, within
the time and memory, with no such event and no canary.

    python benchmarks/malicious_files.py --every 1
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from _malicious import CANARY, Maker, cases

HOME = Path(__file__).resolve().parents[1]
_HOOKED = """
import sys; sys.path.append({home!r})
import json, mmap, os, resource, stat, struct, zlib
from limner.quarantine import child, flat
def hook(event, arguments):
    bad = ("import", "exec", "compile", "os.", "subprocess", "socket", "ctypes", "pickle", "shutil",
           "marshal", "code.", "webbrowser", "urllib")
    if event.startswith(bad):
        sys.stderr.write("EVENT " + event + " " + str(arguments)[:200]); sys.stderr.flush()
        leave(77)
leave = os._exit
def left(status):
    sys.stderr.write(open("/proc/self/status").read()); sys.stderr.flush()
    leave(status)
os._exit = left
sys.addaudithook(hook)
child.main()
"""


class Tried(NamedTuple):
    """How one file fared."""

    name: str
    line: str  # with which it was refused; "" where it was not
    event: str  # what ran, "" for nothing
    seconds: float
    mebibytes: float  # that this process rose by and its child took


def tried(name: str, make: Maker, folder: Path) -> Tried:
    """One file, written to a folder and given to limner."""
    from limner.errors import BadInput
    from limner.models.convert import convert
    from limner.models.inspect import inspect

    path = make(folder)
    before, began, line = _rise(), time.perf_counter(), ""
    try:
        if path.is_dir():
            inspect(path)
        else:
            convert(path, folder / "out")
    except BadInput as error:
        line = str(error)
    seconds = time.perf_counter() - began
    rise = _rise() - before
    event, child = _audited(path, folder) if path.is_file() else ("", 0.0)
    if (folder / CANARY).exists() or Path(CANARY).exists():
        event = "the canary is there"
    if "\n" in line or (folder / "out").exists():
        line = ""
    return Tried(name, line, event, seconds, rise + child)


def _rise() -> float:
    """This process' memory at its most, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _audited(path: Path, folder: Path) -> tuple[str, float]:
    """The event that ended the hooked child, if one did, and the child's memory, MiB."""
    command = [sys.executable, "-I", "-S", "-c", _HOOKED.format(home=str(HOME)), str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=30)
    event = ended.stderr.partition("EVENT ")[2]
    peak = ended.stderr.partition("VmHWM:")[2].split()
    return event, float(peak[0]) / 1024 if peak else 0.0


def main() -> None:
    said = argparse.ArgumentParser(description=__doc__)
    said.add_argument("--every", type=int, default=1, help="take each n-th file")
    said.add_argument("--seconds", type=float, default=2.0)
    said.add_argument("--mebibytes", type=float, default=256.0)
    asked = said.parse_args()
    import limner.models.convert
    import limner.models.inspect  # noqa: F401 - so that no file pays for imports

    found, wrong = [], []
    for name, make in list(cases())[:: asked.every]:
        with tempfile.TemporaryDirectory() as place:
            each = tried(name, make, Path(place))
        found.append(each)
        slow = each.seconds > asked.seconds or each.mebibytes > asked.mebibytes
        if not each.line or each.event or slow:
            wrong.append(each)
            print(f"WRONG {each}", file=sys.stderr)
    print(
        json.dumps(
            {
                "files": len(found),
                "ran anything": sum(bool(each.event) for each in found),
                "refused": sum(bool(each.line) for each in found),
                "slowest, s": max(each.seconds for each in found),
                "largest rise, MiB": max(each.mebibytes for each in found),
                "wrong": [each.name for each in wrong],
            },
            indent=1,
        )
    )
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
