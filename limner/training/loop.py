"""The one training loop: any recipe, one device or many (``accelerate``, ``torchrun``)."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from limner.errors import BadInput
from limner.training import Recipe, _checkpoint

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["Plan", "Progress", "flush_denormals", "learning_rate", "train"]


@dataclass(frozen=True)
class Plan:
    """How long and how fast. ``steps`` may be changed when a run is resumed."""

    steps: int = 2000
    batch_size: int = 64  # pictures a step, over all processes
    learning_rate: float = 5e-4
    warmup_steps: int = 100
    decay: float = 0.3  # the last part of the steps, in which the rate falls to zero
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    clip_norm: float = 1.0
    ema: float = 0.999
    precision: str = "no"  # "no" is float32; "bf16" where the processor has it
    save_every: int = 200
    preview_every: int = 0  # 0: never
    seed: int = 0


class Progress(NamedTuple):
    """After one step: the logged scalars, and the pictures a second of the step."""

    step: int
    steps: int
    metrics: dict[str, float]
    pictures_per_second: float


def learning_rate(step: int, plan: Plan) -> float:
    """Linear warm-up, a plateau, then linear decay to zero over the last ``decay`` of the steps."""
    rising = min(1.0, (step + 1) / max(1, plan.warmup_steps))
    falling = min(1.0, (plan.steps - step) / max(1.0, plan.decay * plan.steps))
    return plan.learning_rate * min(rising, falling)


class _Player:
    """One module with its optimiser and the exponential average of its weights."""

    def __init__(self, module: nn.Module, plan: Plan) -> None:
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        named.sort(key=lambda item: item[1].ndim <= 1)  # matrices first: only they decay
        self.module, self.names = module, [name for name, _ in named]
        self.parameters = [p for _, p in named]
        groups = [
            {
                "params": [p for p in self.parameters if p.ndim > 1],
                "weight_decay": plan.weight_decay,
            },
            {"params": [p for p in self.parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(
            groups, lr=plan.learning_rate, betas=plan.betas, fused=True
        )
        self.average = [p.detach().clone() for p in self.parameters]

    def move(self, step: int, plan: Plan, accelerator: Accelerator) -> Tensor:
        """One optimiser step on the mean gradient of all processes; returns its norm."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if accelerator.num_processes > 1:
            flat = torch.cat([g.flatten() for g in gradients])
            flat = accelerator.reduce(flat, "mean")
            for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients])):
                gradient.copy_(part.view_as(gradient))
        norm = nn.utils.clip_grad_norm_(self.parameters, plan.clip_norm)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(step, plan)
        self.optimiser.step()
        # an average over the last tenth of a young run, over 1/(1-ema) steps of an old one
        keep = min(plan.ema, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - keep)
        return norm

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        return {
            "weights": dict(self.module.state_dict()),
            "ema": dict(zip(self.names, self.average, strict=True)),
            "optimiser": _checkpoint.optimiser_tensors(self.optimiser, self.names),
        }

    def restore(self, stored: dict[str, dict[str, Tensor]]) -> None:
        self.module.load_state_dict(stored["weights"])
        for name, average in zip(self.names, self.average, strict=True):
            average.copy_(stored["ema"][name])
        _checkpoint.restore_optimiser(self.optimiser, self.names, stored["optimiser"])

    def swap(self) -> None:
        """Exchange the weights and their average."""
        for parameter, average in zip(self.parameters, self.average, strict=True):
            kept = parameter.detach().clone()
            parameter.detach().copy_(average)
            average.copy_(kept)


@contextmanager
def _averaged(players: dict[str, _Player]) -> Iterator[None]:
    """Inside, the modules hold the averaged weights and are in evaluation mode."""
    for player in players.values():
        player.swap()
        player.module.eval()
    try:
        yield
    finally:
        for player in players.values():
            player.swap()
            player.module.train()


@contextmanager
def _stop_requested() -> Iterator[list[bool]]:
    """A list that becomes non-empty on SIGTERM or Ctrl-C, so that a step is finished and saved."""
    flag: list[bool] = []
    previous = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            previous[number] = signal.signal(number, lambda *_: flag.append(True))
        except ValueError:  # not the main thread: whoever runs it there stops it by closing
            break
    try:
        yield flag
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _save(run: Path, step: int, players: dict[str, _Player], plan: Plan) -> None:
    tensors = {
        f"{name}.{part}": named
        for name, player in players.items()
        for part, named in player.tensors().items()
    }
    _checkpoint.save(run / "checkpoints", step, tensors, {"plan": asdict(plan)})


def _resume(run: Path, players: dict[str, _Player]) -> int:
    """Load the newest whole checkpoint and cut the log back to it; the step to go on from."""
    checkpoint = _checkpoint.newest(run / "checkpoints")
    log = run / "log.jsonl"
    if checkpoint is None:
        log.write_text("")
        return 0
    tensors, meta = _checkpoint.read(checkpoint)
    for name, player in players.items():
        parts = ("weights", "ema", "optimiser")
        player.restore({part: tensors[f"{name}.{part}"] for part in parts})
    lines = log.read_text().splitlines() if log.exists() else []
    kept = [line for line in lines if _step_of(line) < meta["step"]]
    log.write_text("".join(line + "\n" for line in kept))
    return int(meta["step"])


def _step_of(line: str) -> float:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):  # half a line, from a crash
        return math.inf


def _accelerator(plan: Plan) -> Accelerator:
    from accelerate import Accelerator  # takes a second to import

    return Accelerator(mixed_precision=plan.precision, cpu=not torch.cuda.is_available())


def flush_denormals() -> None:
    """Let numbers under 1e-38 be zero: on CPUs they make a step five times slower.

    Threads take this over when they start, so it comes before a process's first tensor work.
    """
    torch.set_flush_denormal(True)


def train(recipe: Recipe, plan: Plan, run: Path, *, resume: bool = False) -> Iterator[Progress]:
    """Train and yield after every step.

    ``run`` holds ``checkpoints/``, ``log.jsonl``, ``previews/`` and at the end ``model/``. Closing
    the generator, Ctrl-C and SIGTERM save a checkpoint first. Raises BadInput where ``run`` holds
    another training and ``resume`` was not asked for.
    """
    run = Path(run)
    if not resume and (run / "checkpoints").exists():
        raise BadInput(f"{run} already holds a training: add --resume, or name another folder")
    run.mkdir(parents=True, exist_ok=True)
    accelerator = _accelerator(plan)
    for module in recipe.players.values():
        module.to(accelerator.device).train()
    players = {name: _Player(module, plan) for name, module in recipe.players.items()}
    start = _resume(run, players)
    rank, ranks = accelerator.process_index, accelerator.num_processes

    def fetch(step: int) -> Any:
        return recipe.batch(step, plan.batch_size // ranks, rank, ranks)

    main = accelerator.is_main_process
    with _stop_requested() as stop, ThreadPoolExecutor(1) as pool:
        upcoming: Future[Any] = pool.submit(fetch, start)
        step = saved = start
        try:
            while step < plan.steps and not stop:
                began = time.perf_counter()
                batch = upcoming.result()
                upcoming = pool.submit(fetch, step + 1)
                metrics = _one_step(recipe, players, batch, step, plan, accelerator)
                if main:
                    with (run / "log.jsonl").open("a") as log:
                        log.write(json.dumps({"step": step, **metrics}) + "\n")
                step += 1
                if main and plan.preview_every and step % plan.preview_every == 0:
                    (run / "previews").mkdir(exist_ok=True)
                    with _averaged(players), torch.no_grad():
                        recipe.preview(step, run / "previews")
                if main and step % plan.save_every == 0:
                    _save(run, step, players, plan)
                    saved = step
                yield Progress(
                    step, plan.steps, metrics, plan.batch_size / (time.perf_counter() - began)
                )
        finally:
            if main and saved != step:
                _save(run, step, players, plan)
    accelerator.wait_for_everyone()
    if main and step >= plan.steps:
        with _averaged(players), torch.no_grad():
            recipe.export(run / "model")


def _one_step(
    recipe: Recipe,
    players: dict[str, _Player],
    batch: Any,
    step: int,
    plan: Plan,
    accelerator: Accelerator,
) -> dict[str, float]:
    """Every player learns from the batch in turn; the means over all processes of what they log."""
    torch.manual_seed((plan.seed * 1_000_003 + step) * 4099 + accelerator.process_index)
    logged: dict[str, Tensor] = {}
    for name, player in players.items():
        for module in recipe.players.values():  # one player's loss may reach into another's weights
            module.zero_grad(set_to_none=True)
        with accelerator.autocast():
            logged |= recipe.learn(name, batch, step, accelerator.backward)
        logged[f"{name}_gradient"] = player.move(step, plan, accelerator)
    keys = list(logged)
    values = torch.stack([logged[key].detach().float() for key in keys])
    values = accelerator.reduce(values, "mean")
    metrics = dict(zip(keys, values.tolist(), strict=True))
    bad = [key for key, value in metrics.items() if not math.isfinite(value)]
    if bad:
        raise FloatingPointError(
            f"step {step}: {', '.join(bad)} is not finite; lower learning_rate"
        )
    return metrics
