"""A search's State in a file, so that it goes on after a pause; and what states have in common."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.generators import Generator, Latent
from limner.noise import Noise
from limner.picture import save_bytes
from limner.searches import State

__all__ = ["began", "better", "copied", "load", "save"]

_KEY, _VERSION = "limner search", 1
_PARTS = ("latent", "best", "memory")


def save(path: str | Path, state: State) -> Path:
    """Writes a safetensors file, whole or not at all. Raises BadInput where it cannot be written.

    Tensors are `loss`, `best_loss`, `latent/<part>`, `best/<part>` and `memory/<name>`.
    """
    from safetensors.torch import save as to_bytes

    groups = zip(_PARTS, (state.latent, state.best, state.memory))
    tensors = {f"{group}/{name}": value for group, named in groups for name, value in named.items()}
    tensors |= {"loss": state.loss, "best_loss": state.best_loss}
    # Cloned, since safetensors takes no two tensors in one place of memory.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    said = {_KEY: json.dumps({"version": _VERSION, "step": state.step})}
    return save_bytes(Path(path), to_bytes(plain, said))


def load(path: str | Path) -> State:
    """Reads what `save` wrote, onto the CPU. Raises BadInput for anything else, or half of it."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            said = json.loads((file.metadata() or {}).get(_KEY, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, SafetensorError) as error:
        reason = str(error).splitlines()[0][:160]
        raise BadInput(f"cannot read the search {str(path)!r}: {reason}; start it anew") from None
    if not isinstance(said, dict) or said.get("version") != _VERSION:
        raise BadInput(f"{str(path)!r} is no search of this limner: give a file that it saved")
    groups: dict[str, dict[str, Tensor]] = {group: {} for group in _PARTS}
    for name, tensor in tensors.items():
        group, slash, rest = name.partition("/")
        if slash and group in groups:
            groups[group][rest] = tensor
    if not _fit(said.get("step"), groups, tensors):
        raise BadInput(f"the search in {str(path)!r} is not whole: start it anew")
    return State(said["step"], loss=tensors["loss"], best_loss=tensors["best_loss"], **groups)


def _fit(step: object, groups: dict[str, dict[str, Tensor]], tensors: dict[str, Tensor]) -> bool:
    """Whether all that a State needs is there and speaks of the same pictures."""
    latent, best = groups["latent"], groups["best"]
    losses = [tensors.get(name) for name in ("loss", "best_loss")]
    if type(step) is not int or step < 0 or not latent or latent.keys() != best.keys():
        return False
    rows = {part.shape[:1] for part in latent.values()}
    rows |= {loss.shape if loss is not None else torch.Size() for loss in losses}
    same = all(latent[name].shape == best[name].shape for name in latent)
    return same and len(rows) == 1 and rows != {torch.Size()}


def began(generator: Generator, noise: Noise, start: Latent | State | None) -> State:
    """A State as it is; else one before the first step, at `start` or where the generator begins,
    with nothing known yet. Raises BadInput when its rows are not the noise's samples.
    """
    b = len(noise.samples)
    given = start.latent if isinstance(start, State) else start
    latent = copied(generator.start(noise) if given is None else given)
    for name, part in latent.items():
        if len(part) != b:
            raise BadInput(f"the start's {name!r} has {len(part)} rows for {b} samples of noise")
    if isinstance(start, State):
        return start
    unknown = torch.full((b,), torch.inf, device=next(iter(latent.values())).device)
    return State(0, latent, unknown, copied(latent), unknown.clone(), {})


def copied(latent: Latent) -> Latent:
    """The same numbers in memory of their own."""
    return {name: part.detach().clone() for name, part in latent.items()}


def better(latent: Latent, loss: Tensor, state: State) -> tuple[Latent, Tensor]:
    """best and best_loss (b,), once `latent` was found to have `loss` (b,); NaN is never better."""
    new = loss < state.best_loss
    best = {
        name: torch.where(new.reshape(-1, *[1] * (part.ndim - 1)), part, state.best[name])
        for name, part in latent.items()
    }
    return best, torch.where(new, loss, state.best_loss)
