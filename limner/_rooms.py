"""Members of a room by file name: `samplers/heun.py` holds the sampler called heun."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from limner.errors import BadInput

__all__ = ["find", "names"]


def names(room: str) -> list[str]:
    """The room's members, in alphabetical order; files whose name begins with _ are its helpers."""
    folder = Path(__file__).parent / room
    return sorted(file.stem for file in folder.glob("*.py") if not file.name.startswith("_"))


def find(room: str, name: str) -> Any:
    """The function or class that `limner/<room>/<name>.py` is named after.

    Only listed names are imported. Capitals and underscores do not count: find("denoisers", "cfg")
    is the class CFG, find("denoisers", "gaussian_mixture") GaussianMixture.
    """
    known = names(room)
    if name not in known:
        raise BadInput(f"no {name!r} among {room}: choose one of {', '.join(known)}")
    module = importlib.import_module(f"limner.{room}.{name}")
    members = vars(module)
    if callable(members.get(name)):  # a recipe's function stands beside its class
        return members[name]
    for key, value in members.items():
        own = getattr(value, "__module__", None) == module.__name__
        if own and callable(value) and key.lower().replace("_", "") == name.replace("_", ""):
            return value
    raise TypeError(f"limner/{room}/{name}.py has no function or class of its own name")
