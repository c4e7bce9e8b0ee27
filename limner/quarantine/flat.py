"""A nest of dictionaries, lists and objects → tensors and plain values under dotted names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from limner.quarantine.values import Made, Named, Refused, View

__all__ = ["LEFT_OUT", "plain_in", "tensors_in"]

# What a training keeps for its next step; at the top of a checkpoint only.
LEFT_OUT = frozenset(
    {
        "callbacks", "d_optim", "g_optim", "grad_scaler", "loops", "lr_schedulers",
        "native_amp_scaling_state", "optimizer", "optimizer_states", "optimizers", "rng_state",
        "scaler",
    }
)  # fmt: skip
_MOST_VALUES, _DEEPEST, _LONGEST_NAME = 150_000, 24, 400
_MOST_SAID = 2000  # plain values; a StyleGAN3 has 700
_PLAIN = (str, int, float, bool, type(None))


def tensors_in(value: Any) -> Iterator[tuple[str, View]]:
    """Every tensor by its dotted name, in order; one shared by names comes under each."""
    return ((name, found) for name, found in _leaves(value) if isinstance(found, View))


def plain_in(value: Any) -> dict[str, Any]:
    """The first plain values by their dotted names, text cut short."""
    out: dict[str, Any] = {}
    for name, found in _leaves(value):
        if isinstance(found, _PLAIN) and len(out) < _MOST_SAID:
            out[name] = found[:300] if isinstance(found, str) else found
    return out


def _leaves(value: Any) -> Iterator[tuple[str, Any]]:
    """Depth first. Raises Refused where it has no end, or would take too long."""
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    for _ in range(_MOST_VALUES):
        if not waiting:
            return
        name, here, depth = waiting.pop()
        inner = _inner(here)
        if inner is None:
            if not isinstance(here, (*_PLAIN, View, Named, bytes, memoryview)):
                raise Refused("its pickle is broken")
            yield name, here
            continue
        if depth == _DEEPEST or len(waiting) + len(inner) > _MOST_VALUES:
            raise Refused("its values are nested without an end, as in a bomb")
        for key, each in reversed(inner):
            if depth == 0 and key in LEFT_OUT:
                continue
            full = f"{name}.{key}" if name else str(key)
            if len(full) > _LONGEST_NAME:
                raise Refused("a tensor's name is too long")
            waiting.append((full, each, depth + 1))
    raise Refused("it has too many values, as in a bomb")


def _inner(value: Any) -> list[tuple[Any, Any]] | None:
    """What a container holds, with its keys; None for what is none."""
    if isinstance(value, Made):
        value = value.state
    if isinstance(value, dict):
        return [(key.name if isinstance(key, Named) else key, v) for key, v in value.items()]
    if isinstance(value, (list, tuple)):
        return list(enumerate(value))
    return None
