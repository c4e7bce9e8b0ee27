"""What a picture remembers of how it was made: enough to make it again."""

from __future__ import annotations

from typing import Any, Protocol

import torch

import limner

__all__ = ["Network", "recipe_of", "told"]


class Network(Protocol):
    """An opened model: where it came from, and SHA-256 over its files."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...


def told(network: Network) -> dict[str, str]:
    """A model as recipes name it."""
    return {"name": network.name, "fingerprint": network.fingerprint}


def recipe_of(
    task: str,
    arguments: dict[str, Any],
    model: Network | None,
    *,
    precision: str = "float32",
    device: str = "cpu",
) -> dict[str, Any]:
    """What the recipes of all tasks have; a task adds what else it read, and which picture of a
    run it is."""
    return {
        "task": task,
        "arguments": arguments,
        "model": None if model is None else told(model),
        "precision": precision,
        "device": device,
        "limner": limner.__version__,
        "torch": torch.__version__,
    }
