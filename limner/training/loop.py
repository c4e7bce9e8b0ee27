"""The one training loop: any recipe, one device or many (``accelerate``, ``torchrun``)."""

from __future__ import annotations

import json
import math
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from limner.errors import BadInput, LimnerError
from limner.training import Recipe, _checkpoint
from limner.training._plan import Plan, learning_rate
from limner.training._player import PARTS, Player, averaged
from limner.training._processes import accelerator

__all__ = ["Plan", "Progress", "flush_denormals", "learning_rate", "open_run", "train"]

PATIENCE = 3.0  # seconds after a request to stop in which another one says nothing new


class Progress(NamedTuple):
    """After one step: the logged scalars, and the pictures a second of the step."""

    step: int
    steps: int
    metrics: dict[str, float]
    pictures_per_second: float


def flush_denormals() -> None:
    """Let numbers under 1e-38 be zero: on CPUs they make a step five times slower.

    Threads take this over when they start, so it comes before a process's first tensor work.
    """
    torch.set_flush_denormal(True)


def open_run(run: Path, resume: bool) -> Path:
    """The folder of a training, made if missing, before anything is written into it.

    Raises BadInput where it cannot be written, or holds another training and ``resume`` is False.
    """
    if not resume and (run / "checkpoints").exists():
        raise BadInput(f"{run} already holds a training: add --resume, or name another folder")
    try:
        run.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=run).close()
    except OSError as error:
        reason = error.strerror or error
        raise BadInput(f"cannot write into {str(run)!r} ({reason}): name another folder") from None
    return run


def train(recipe: Recipe, plan: Plan, run: Path, *, resume: bool = False) -> Iterator[Progress]:
    """Train and yield after every step.

    ``run`` holds ``checkpoints/``, ``log.jsonl``, ``previews/`` and at the end ``model/``. Closing
    the generator, Ctrl-C and SIGTERM save a checkpoint first; Ctrl-C again, a few seconds later,
    does not wait. A player that the resumed checkpoint lacks starts anew.

    Raises BadInput where ``run`` holds another training and ``resume`` was not asked for, where it
    cannot be written, or where its network is another; LimnerError when a number is not finite or
    the disk is full. The last good checkpoint stays.
    """
    training = _Training(recipe, plan, open_run(Path(run), resume))
    step = saved = training.resume()
    whole = True  # False while weights are between two steps, and not worth saving
    with _stop_requested() as stop, ThreadPoolExecutor(1) as pool:
        upcoming: Future[Any] = pool.submit(training.fetch, step)
        try:
            while step < plan.steps and not training.anywhere(stop):
                began = time.perf_counter()
                batch = upcoming.result()
                upcoming = pool.submit(training.fetch, step + 1)
                whole = False
                metrics = training.learn(batch, step)
                step, whole = step + 1, True
                if plan.preview_every and step % plan.preview_every == 0:
                    training.preview(step)
                if step % plan.save_every == 0:
                    saved = step
                    training.save(step)
                speed = plan.batch_size / (time.perf_counter() - began)
                yield Progress(step, plan.steps, metrics, speed)
        finally:
            if whole and saved != step:
                training.save(step)
    if step >= plan.steps:
        training.export()


class _Training:
    """A recipe at work in a run's folder, in one of perhaps several processes."""

    def __init__(self, recipe: Recipe, plan: Plan, run: Path) -> None:
        self.recipe, self.plan, self.run = recipe, plan, run
        self.accelerator = accelerator()
        self.rank, self.ranks = self.accelerator.process_index, self.accelerator.num_processes
        self.main = self.accelerator.is_main_process
        if plan.batch_size % self.ranks:
            raise BadInput(
                f"batch_size is {plan.batch_size} over {self.ranks} processes: give a multiple"
            )
        for module in recipe.players.values():
            module.to(self.accelerator.device).train()
        self.players = {name: Player(module, plan) for name, module in recipe.players.items()}

    def fetch(self, step: int) -> Any:
        return self.recipe.batch(step, self.plan.batch_size // self.ranks, self.rank, self.ranks)

    def anywhere(self, stop: list[float]) -> bool:
        """Whether any process was asked to stop: all stop after the same step."""
        if self.ranks == 1:
            return bool(stop)
        asked = torch.tensor(float(bool(stop)), device=self.accelerator.device)
        return bool(self.accelerator.reduce(asked, "sum"))

    def learn(self, batch: Any, step: int) -> dict[str, float]:
        """Every player learns from the batch in turn; what they log, means over all processes."""
        torch.manual_seed((self.plan.seed * 1_000_003 + step) * 4099 + self.rank)
        device = self.accelerator.device.type
        logged: dict[str, Tensor] = {}
        for name, player in self.players.items():
            for module in self.recipe.players.values():  # one's loss may reach another's weights
                module.zero_grad(set_to_none=True)
            half = torch.autocast(device, torch.bfloat16, enabled=self.plan.precision == "bf16")
            with half, _attention(device):
                logged |= self.recipe.learn(name, batch, step, self.accelerator.backward)
            factor = self.plan.rates.get(name, 1.0)
            logged[f"{name}_gradient"] = player.move(step, self.plan, self.accelerator, factor)
        values = torch.stack([value.detach().float() for value in logged.values()])
        means = self.accelerator.reduce(values, "mean").tolist()
        metrics: dict[str, float] = dict(zip(logged, means, strict=True))
        bad = [key for key, value in metrics.items() if not math.isfinite(value)]
        if bad:
            raise LimnerError(
                f"step {step}: {', '.join(bad)} is not finite; the last checkpoint stays as it is: "
                "resume it with a lower learning_rate"
            )
        if self.main:
            with _writing(self.run), (self.run / "log.jsonl").open("a") as log:
                log.write(json.dumps({"step": step, **metrics}) + "\n")
        return metrics

    def save(self, step: int) -> None:
        if not self.main:
            return
        tensors = {
            f"{name}.{part}": named
            for name, player in self.players.items()
            for part, named in player.tensors().items()
        }
        with _writing(self.run):
            _checkpoint.sync(self.run / "log.jsonl")
            _checkpoint.save(self.run / "checkpoints", step, tensors, {"plan": asdict(self.plan)})

    def resume(self) -> int:
        """Load the newest whole checkpoint, cut the log back to it; the step to go on from."""
        checkpoint = _checkpoint.newest(self.run / "checkpoints")
        step = 0
        if checkpoint is not None:
            tensors, meta = _checkpoint.read(checkpoint)
            step = int(meta["step"])
            for name, player in self.players.items():
                if f"{name}.weights" in tensors:
                    self._restore(player, {part: tensors[f"{name}.{part}"] for part in PARTS})
        log = self.run / "log.jsonl"
        if self.main:
            lines = log.read_text(errors="replace").splitlines() if log.exists() else []
            kept = [line for line in lines if _step_of(line) < step]
            with _writing(self.run):
                _checkpoint.replace_text(log, "".join(line + "\n" for line in kept))
        return step

    def _restore(self, player: Player, stored: dict[str, dict[str, Tensor]]) -> None:
        try:
            player.restore(stored)
        except (RuntimeError, KeyError) as error:
            told = [line.strip() for line in str(error).splitlines() if line.strip()][-1]
            raise BadInput(
                f"{self.run} holds a training of another network ({told[:200]}): "
                "give the options that it began with, or name another folder"
            ) from None

    def preview(self, step: int) -> None:
        if self.main:
            folder = self.run / "previews"
            with _writing(self.run), averaged(self.players), torch.no_grad():
                folder.mkdir(exist_ok=True)
                self.recipe.preview(step, folder)

    def export(self) -> None:
        """Write the model's folder under another name first, so that it is whole or not there."""
        if self.main:
            draft, final = self.run / ".model.partial", self.run / "model"
            shutil.rmtree(draft, ignore_errors=True)
            with _writing(self.run), averaged(self.players), torch.no_grad():
                self.recipe.export(draft)
                shutil.rmtree(final, ignore_errors=True)
                draft.rename(final)
        self.accelerator.wait_for_everyone()


def _attention(device: str) -> AbstractContextManager[Any]:
    """On a CPU, plain products: the fused attention's backward makes steps 12% longer."""
    return sdpa_kernel(SDPBackend.MATH) if device == "cpu" else nullcontext()


def _step_of(line: str) -> float:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):  # half a line, from a crash
        return math.inf


@contextmanager
def _writing(run: Path) -> Iterator[None]:
    """A disk that is full, or gone, is told in one line."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise LimnerError(f"cannot write into {str(run)!r} ({error}): make room, resume") from error


@contextmanager
def _stop_requested() -> Iterator[list[float]]:
    """When SIGTERM or Ctrl-C came: a list to look at between steps, so that one is finished."""
    asked: list[float] = []

    def ask(number: int, frame: object) -> None:
        # torchrun hands on what the terminal has sent already: that is not a second Ctrl-C
        if asked and time.monotonic() - asked[0] > PATIENCE:
            raise KeyboardInterrupt
        asked.append(time.monotonic())

    previous = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            previous[number] = signal.signal(number, ask)
        except ValueError:  # not the main thread: whoever runs it there stops it by closing
            break
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
