"""The processes of one training, as ``torchrun`` starts them; alone without it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from accelerate import Accelerator, PartialState

__all__ = ["accelerator", "processes"]


def processes() -> PartialState:
    """Which of how many this one is; ``with processes().main_process_first():`` lines them up.

    They wait for one another up to a day, as one of them may have 30,000 pictures to encode.
    """
    from accelerate import PartialState  # takes a second to import

    return PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(days=1))


def accelerator() -> Accelerator:
    """Of float32: accelerate holds one precision a process, and each training has its own."""
    processes()
    from accelerate import Accelerator

    return Accelerator(mixed_precision="no", cpu=not torch.cuda.is_available())
