"""vqgan: CLIP leads a VQGAN's codes, from the picture's own (Crowson et al. 2022)."""

from __future__ import annotations

from torch import Tensor

from limner.generators.vqgan import vqgan
from limner.models.vqgan import Vqgan, open_vqgan
from limner.tasks._editing import Order, Report, Usual, repainted

__all__ = ["USUAL", "edit"]

USUAL = Usual(steps=100, strength=0.8, opens=open_vqgan)


def edit(order: Order, report: Report) -> Tensor:
    """See `repainted`."""
    model = order.model
    assert isinstance(model, Vqgan)  # open_vqgan gives it
    small = order.fitted(by=model.downscale)
    generator = vqgan(model, (small[0].shape[3], small[0].shape[2]))
    return repainted(order, generator, small, report)
