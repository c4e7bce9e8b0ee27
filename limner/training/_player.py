"""What learns: a module with its optimiser and the exponential average of its weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from limner.training._checkpoint import optimiser_tensors, restore_optimiser
from limner.training._plan import Plan, learning_rate

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["Player", "averaged"]

PARTS = ("weights", "ema", "optimiser")


class Player:
    """One module of a recipe. Frozen parameters stay as they are."""

    def __init__(self, module: nn.Module, plan: Plan) -> None:
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        named.sort(key=lambda item: item[1].ndim <= 1)  # matrices first: only they decay
        self.module, self.names = module, [name for name, _ in named]
        self.parameters = [p for _, p in named]
        matrices = [p for p in self.parameters if p.ndim > 1]
        rest = [p for p in self.parameters if p.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": plan.weight_decay},
            {"params": rest, "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(
            groups, lr=plan.learning_rate, betas=plan.betas, fused=True
        )
        self.average = [p.detach().clone() for p in self.parameters]

    def move(self, step: int, plan: Plan, accelerator: Accelerator, factor: float = 1.0) -> Tensor:
        """One optimiser step on the mean gradient of all processes; returns its norm.

        ``factor`` is on the plan's learning rate.

        A player whose recipe gave it no gradient stays where it is.
        """
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if gradients and accelerator.num_processes > 1:
            flat = accelerator.reduce(torch.cat([g.flatten() for g in gradients]), "mean")
            parts = flat.split([g.numel() for g in gradients])
            for gradient, part in zip(gradients, parts, strict=True):
                gradient.copy_(part.view_as(gradient))
        norm = nn.utils.clip_grad_norm_(self.parameters, plan.clip_norm)
        for group in self.optimiser.param_groups:
            group["lr"] = factor * learning_rate(step, plan)
        self.optimiser.step()
        # an average over the last tenth of a young run, over 1/(1-ema) steps of an old one
        keep = min(plan.ema, (1 + step) / (10 + step))
        if self.average:  # torch takes no empty list
            torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - keep)
        return norm.to(accelerator.device)

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """All of its state, by part."""
        return {
            "weights": dict(self.module.state_dict()),
            "ema": dict(zip(self.names, self.average, strict=True)),
            "optimiser": optimiser_tensors(self.optimiser, self.names),
        }

    def restore(self, stored: dict[str, dict[str, Tensor]]) -> None:
        """Undo ``tensors``. RuntimeError or KeyError where they are another network's."""
        self.module.load_state_dict(stored["weights"])
        for name, average in zip(self.names, self.average, strict=True):
            average.copy_(stored["ema"][name])
        restore_optimiser(self.optimiser, self.names, stored["optimiser"])

    def swap(self) -> None:
        """Exchange the weights and their average."""
        for parameter, average in zip(self.parameters, self.average, strict=True):
            kept = parameter.detach().clone()
            parameter.detach().copy_(average)
            average.copy_(kept)


@contextmanager
def averaged(players: Mapping[str, Player]) -> Iterator[None]:
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
