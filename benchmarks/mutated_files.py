"""Whether models whose files are spoilt crash limner, hang it or take its memory.

    python benchmarks/mutated_files.py                  # 20,000 files
    python benchmarks/mutated_files.py --count 200      # as the tests do

Small models of every family are built; one file of one of them is spoilt (bits, lengths, numbers,
types, names, nests, lies) by a number that makes the same file again, and the model is opened in a
child process with limits of time and memory. Right is that it opens or is refused in one line.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from _mutations import mutated
from _small_models import FAMILIES, built

SECONDS, WAITS = 10.0, 300.0  # of a processor and of waiting, for one file; a whole model takes .1
RISE = 512 * 2**20  # bytes of data that a child may have above what it began with
_LIBRARY = ("AutoencoderKL", "UNet2DConditionModel", "VQModel")
_KINDS = (".json", ".safetensors", ".txt")


def spoilt(model: Path, number: int, place: Path) -> tuple[Path, str]:
    """A copy of a model with one file spoilt, and that file's name."""
    files = sorted(file for file in model.rglob("*") if file.suffix in _KINDS)
    random = Random(number)
    chosen = random.choice(files)
    for file in sorted(each for each in model.rglob("*") if each.is_file()):
        to = place / file.relative_to(model)
        to.parent.mkdir(parents=True, exist_ok=True)
        if file == chosen:
            to.write_bytes(mutated(file.name, file.read_bytes(), random))
        else:
            os.link(file, to)
    return place, str(chosen.relative_to(model))


def tried(family: str, model: Path, number: int) -> dict[str, Any]:
    """How one of them fares: what is wrong, or "" and the line with which it was refused."""
    from limner.errors import BadInput

    work = Path(tempfile.mkdtemp(dir=model.parent))
    began, line, wrong, name = time.perf_counter(), "", "", ""
    try:
        place, name = spoilt(model, number, work / "model")
        began = time.perf_counter()
        FAMILIES[family].open(place)
    except BadInput as error:
        line = str(error)
        wrong = "more than a line" if "\n" in line or not line else ""
    except BaseException as error:
        wrong = f"{type(error).__name__}: {str(error)[:200]}"
    seconds = time.perf_counter() - began
    shutil.rmtree(work)
    return {
        "family": family, "number": number, "file": name, "line": line, "wrong": wrong,
        "seconds": seconds,
    }  # fmt: skip


def _there(models: Path) -> list[str]:
    """The families that were built here."""
    return sorted(folder.name for folder in models.iterdir() if folder.name in FAMILIES)


def child(models: Path) -> None:
    """Reads "family number" lines and answers each with a line of JSON."""
    import resource
    import warnings

    import diffusers
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for name in _there(models):  # whatever is imported, is
        FAMILIES[name].open(models / name)
    for name in _LIBRARY:  # what a config that limner's own networks do not know is given to
        getattr(diffusers, name)
    held = 1024 * int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0])
    resource.setrlimit(resource.RLIMIT_DATA, (held + RISE, held + RISE))
    print("ready", flush=True)
    for line in sys.stdin:
        family, _, number = line.strip().rpartition(" ")
        print(json.dumps(tried(family, models / family, int(number))), flush=True)


class Child:
    """A process that opens models, started anew where it ends or hangs."""

    def __init__(self, models: Path) -> None:
        command = [sys.executable, __file__, "--child", str(models)]
        env = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - until it is closed
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=self.errors, text=True, env=env
        )
        assert self.process.stdout is not None
        if self.process.stdout.readline().strip() != "ready":
            self.errors.seek(0)
            raise SystemExit(f"the child does not open the whole models: {self.errors.read()}")

    def ask(self, family: str, number: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{family} {number}\n")
        self.process.stdin.flush()

    def answer(self, family: str, number: int) -> dict[str, Any]:
        """What it says of the file; where it says nothing, that it crashed or hung."""
        assert self.process.stdout is not None
        began, used = time.monotonic(), self._used()
        ready: list[Any] = []
        while not ready and self._used() - used < SECONDS and time.monotonic() - began < WAITS:
            ready, _, _ = select.select([self.process.stdout], [], [], 1)
        line = self.process.stdout.readline() if ready else ""
        if line:
            said: dict[str, Any] = json.loads(line)
            return said
        wrong = "hangs"
        if ready:
            self.errors.seek(0)
            wrong = f"crash {self.process.wait()}: {self.errors.read()[-300:]}"
        return {"family": family, "number": number, "wrong": wrong, "seconds": SECONDS, "line": ""}

    def _used(self) -> float:
        """Seconds of a processor that it has had; a machine may be busy with other things."""
        try:
            said = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended, which its silence will tell
            return 0.0
        return (int(said[11]) + int(said[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.errors.close()


def trials(models: Path, first: int, count: int, children: int) -> Iterator[dict[str, Any]]:
    """Each file's fate. File n is of family n modulo their number, for any number of children."""
    names = _there(models)
    running = [Child(models) for _ in range(children)]
    try:
        for start in range(first, first + count, children):
            asked = list(zip(range(start, min(start + children, first + count)), running))
            for number, each in asked:
                each.ask(names[number % len(names)], number)
            for place, (number, each) in enumerate(asked):
                said = each.answer(names[number % len(names)], number)
                if said["wrong"].startswith(("crash", "hangs")):
                    each.close()
                    running[place] = Child(models)
                yield said
    finally:
        for each in running:
            each.close()


def main() -> None:
    said = argparse.ArgumentParser(description=__doc__)
    said.add_argument("--count", type=int, default=20_000)
    said.add_argument("--first", type=int, default=0, help="number of the first file")
    said.add_argument("--children", type=int, default=2)
    said.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    said.add_argument("--show", action="store_true", help="print every refusal")
    said.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    asked = said.parse_args()
    if asked.child:
        child(asked.child)
        return
    fates: Counter[str] = Counter()
    wrong, slowest = [], {"seconds": 0.0}
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as work:
        for name in asked.families:
            built(name, Path(work) / name)
        for each in trials(Path(work), asked.first, asked.count, asked.children):
            fates["wrong" if each["wrong"] else "refused" if each["line"] else "opened"] += 1
            slowest = max(slowest, each, key=lambda one: one["seconds"])
            if each["wrong"]:
                wrong.append(each)
            if each["wrong"] or asked.show:
                print(json.dumps(each), file=sys.stderr, flush=True)
    told = {"files": asked.count, "families": len(asked.families), **fates, "slowest": slowest}
    print(json.dumps(told | {"wrong ones": [each["number"] for each in wrong]}, indent=1))
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
