"""How long and how fast a training goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from limner.errors import BadInput

__all__ = ["Plan", "learning_rate"]


@dataclass(frozen=True)
class Plan:
    """How long and how fast. ``steps`` may be changed when a run is resumed.

    Raises BadInput for a value that no training can have.
    """

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
    rates: Mapping[str, float] = field(default_factory=dict)  # factors, by player; else 1

    def __post_init__(self) -> None:
        for name, fits, expected in (
            ("steps", self.steps >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("learning_rate", self.learning_rate > 0, "more than 0"),
            ("warmup_steps", self.warmup_steps >= 0, "at least 0"),
            ("decay", 0 <= self.decay <= 1, "0 to 1"),
            ("weight_decay", self.weight_decay >= 0, "at least 0"),
            ("betas", all(0 <= beta < 1 for beta in self.betas), "0 to less than 1"),
            ("clip_norm", self.clip_norm > 0, "more than 0"),
            ("ema", 0 <= self.ema < 1, "0 to less than 1"),
            ("precision", self.precision in ("no", "bf16"), "no or bf16"),
            ("save_every", self.save_every >= 1, "at least 1"),
            ("preview_every", self.preview_every >= 0, "at least 0, which is never"),
            ("rates", all(factor > 0 for factor in self.rates.values()), "factors of more than 0"),
            ("seed", 0 <= self.seed < 2**32, "0 to 2^32-1"),
        ):
            if not fits:
                raise BadInput(f"{name} is {getattr(self, name)!r}: give {expected}")


def learning_rate(step: int, plan: Plan) -> float:
    """Linear warm-up, a plateau, then linear decay to zero over the last ``decay`` of the steps."""
    rising = min(1.0, (step + 1) / max(1, plan.warmup_steps))
    falling = min(1.0, (plan.steps - step) / max(1.0, plan.decay * plan.steps))
    return plan.learning_rate * min(rising, falling)
