"""Which patches of a picture an embedding speaks of (Chefer, Gur & Wolf 2021)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from limner.models._towers import Towers
from limner.models._transformer import Block

__all__ = ["relevancy"]


@torch.enable_grad()
def relevancy(towers: Towers, pictures: Tensor, wanted: Tensor) -> Tensor:
    """Normalised pictures (b, 3, side, side), wanted (d,) or (b, d) of length 1 → (b, n, n), ≥ 0.

    "Generic attention-model explainability", eqs. 5 and 6 for self-attention: R = 1 at first, and
    R ← R + mean over heads of (∇A ⊙ A)⁺ · R after each layer, A its attention and ∇A the gradient
    of the cosine with `wanted`. Of R the class token's row over the patches is told.
    """
    vit = towers.vit()
    tower = vit.tower
    x = tower.pre_layrnorm(tower.embeddings(pictures)).detach().requires_grad_()
    count, attentions = x.shape[1], []
    for layer in tower.encoder.layers:
        assert isinstance(layer, Block)
        x, attention = _layer(layer, x)
        attentions.append(attention)
    found = vit.projection(tower.post_layernorm(x[:, 0]))
    cosine = (functional.normalize(found, dim=1) * wanted.to(found)).sum()
    reached = torch.eye(count).to(found).expand(len(pictures), -1, -1)
    for attention, slope in zip(attentions, torch.autograd.grad(cosine, attentions)):
        reached = reached + (attention.detach() * slope).clamp(min=0).mean(1) @ reached
    side = round((count - 1) ** 0.5)
    return reached[:, 0, 1:].unflatten(1, (side, side))


def _layer(layer: Block, x: Tensor) -> tuple[Tensor, Tensor]:
    """What the layer makes of x (b, n, d), and its attention (b, heads, n, n) written out."""
    attend, seen = layer.self_attn, layer.layer_norm1(x)
    q, k, v = (
        project(seen).unflatten(2, (attend.heads, -1)).transpose(1, 2)
        for project in (attend.q_proj, attend.k_proj, attend.v_proj)
    )
    attention = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)
    x = x + attend.out_proj((attention @ v).transpose(1, 2).flatten(2))
    return x + layer.mlp(layer.layer_norm2(x)), attention
