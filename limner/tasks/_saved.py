"""A search in a file with what it was begun with: the same command alone goes on with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from limner.errors import BadInput
from limner.generators import Latent
from limner.searches import State
from limner.searches._memory import load, save

__all__ = ["BETWEEN_SAVES", "keep", "kept"]

BETWEEN_SAVES = 5.0  # seconds
_BEGUN = "begun"  # among a saved state's memory: the bytes of what it was begun with, as JSON


def keep(path: Path, state: State, begun: Mapping[str, Any]) -> None:
    """Writes the state, and what decides its meaning."""
    said = torch.tensor(list(json.dumps(begun).encode()), dtype=torch.uint8)
    save(path, replace(state, memory=state.memory | {_BEGUN: said}))


def kept(path: Path, begun: Mapping[str, Any], like: Latent) -> State:
    """A state that `keep` wrote of this very search, whose latent is one like this.

    Raises BadInput, which says in what another search differs.
    """
    state = load(path)
    memory = dict(state.memory)
    try:
        then = json.loads(bytes(memory.pop(_BEGUN, torch.empty(0)).tolist()))
    except (ValueError, TypeError):
        then = None
    if not isinstance(then, dict):
        raise BadInput(f"{str(path)!r} was not saved by this task: give a file that it wrote")
    now = json.loads(json.dumps(begun))
    others = [key for key in now if then.get(key) != now[key]]
    if others:
        raise BadInput(
            f"the search in {str(path)!r} was begun with another {', '.join(others)}: repeat the "
            "command that it was begun with"
        )
    if _shapes(state.latent) != _shapes(like):
        raise BadInput(f"the search in {str(path)!r} is not whole: start it anew")
    return replace(state, memory=memory)


def _shapes(latent: Latent) -> dict[str, torch.Size]:
    return {name: part.shape for name, part in latent.items()}
