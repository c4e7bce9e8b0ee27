"""Contrastive batches of any size in the memory of a small one.

Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup",
section 3: (1) embed the batch in small parts without a graph, (2) the loss of all embeddings and
its gradient with respect to them, (3) embed each part again, now with a graph, and hand it its
share of that gradient. Parameters end up with the gradients of the whole batch, as long as a row's
embedding depends on that row alone (batch normalisation sees the small part, and updates its
running averages twice).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

__all__ = ["cached_backward"]


def cached_backward(
    encode: Callable[..., tuple[Tensor, ...]],  # some rows → (m, d) each, or () of all
    inputs: Sequence[Tensor],  # (n, …) each, cut along the first dimension
    loss: Callable[..., Tensor],  # all of encode's outputs, (n, d) each or () → ()
    *,
    micro_batch: int = 64,  # rows embedded at a time
    backward: Callable[[Tensor], object] = torch.Tensor.backward,  # accelerate's, for scaled losses
    no_sync: Callable[[], AbstractContextManager[object]] = nullcontext,  # DDP's: all parts but one
) -> Tensor:
    """Add the gradients of loss(*encode(*inputs)) to the parameters and return the loss, a bare ().

    An output of encode without dimensions is one value for the batch, like CLIP's logit_scale; it
    must not depend on the rows. Each part meets the same random numbers (dropout) both times,
    and afterwards the generators are where one pass over the parts, and the loss, leave them.

    >>> def encode(pictures, ids):
    ...     return picture_tower(pictures), text_tower(ids), log_scale.exp()
    >>> cached_backward(encode, (pictures, ids), infonce, micro_batch=64)  # doctest: +SKIP

    Raises ValueError when the inputs hold different numbers of rows, or none.
    """
    rows = [len(each) for each in inputs]
    if not rows or rows.count(rows[0]) != len(rows) or not rows[0]:
        raise ValueError(f"inputs hold {rows} rows; expected the same number of each, at least 1")
    if micro_batch < 1:
        raise ValueError(f"micro_batch is {micro_batch}; expected at least 1")
    parts = list(zip(*(each.split(micro_batch) for each in inputs)))

    states, embedded = [], []
    with torch.no_grad():
        for part in parts:
            states.append(_random_states())
            embedded.append(encode(*part))
    outputs = [_join(pieces).requires_grad_() for pieces in zip(*embedded)]
    value = loss(*outputs)
    backward(value)
    after = _random_states()

    for i, (part, state) in enumerate(zip(parts, states)):
        last = i == len(parts) - 1
        # Casts of weights that autocast may have kept from the first pass have no graph.
        torch.clear_autocast_cache()
        _set_random_states(state)
        with nullcontext() if last else no_sync():
            again = encode(*part)
            own = slice(i * micro_batch, (i + 1) * micro_batch)
            _hand_down(again, [_share(each, own, last) for each in outputs])
    _set_random_states(after)
    return value.detach()


def _join(pieces: tuple[Tensor, ...]) -> Tensor:
    """All rows (n, d); a shared value () stays one."""
    return torch.cat(pieces) if pieces[0].ndim else pieces[0].clone()


def _share(output: Tensor, own: slice, last: bool) -> Tensor | None:
    """The part's own rows of an output's gradient, or None.

    A shared value's is given once, to the last part, in which DDP expects every parameter.
    """
    if output.grad is None:
        return None
    if output.ndim:
        return output.grad[own]
    return output.grad if last else None


def _hand_down(outputs: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Backward from each output that can learn and was given a gradient."""
    given = [(o, g) for o, g in zip(outputs, gradients) if g is not None and o.requires_grad]
    if given:
        torch.autograd.backward([o for o, _ in given], [g for _, g in given])


def _random_states() -> list[Tensor]:
    """Of the CPU's generator, and of the accelerator's where there is one."""
    states = [torch.get_rng_state()]
    if torch.accelerator.is_available():
        states.append(torch.get_device_module().get_rng_state())
    return states


def _set_random_states(states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if len(states) > 1:
        torch.get_device_module().set_rng_state(states[1])
