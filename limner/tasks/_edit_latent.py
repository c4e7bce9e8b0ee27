"""latent: CLIP leads the latent of a text-to-image model's autoencoder, from the picture's own."""

from __future__ import annotations

from torch import Tensor

from limner.generators.latent import latent
from limner.models._open import open_model
from limner.models._text_to_image import TextToImage
from limner.tasks._editing import Order, Report, Usual, repainted

__all__ = ["USUAL", "edit"]

USUAL = Usual(steps=100, strength=0.8, opens=open_model)


def edit(order: Order, report: Report) -> Tensor:
    """See `repainted`."""
    model = order.model
    assert isinstance(model, TextToImage)  # open_model gives it
    small = order.fitted(by=model.downscale)
    generator = latent(model, (small[0].shape[3], small[0].shape[2]))
    return repainted(order, generator, small, report)
