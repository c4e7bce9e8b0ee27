"""What a CLIP sees of views, in float32 and in bfloat16."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from limner.judges._embedding import embedded
from limner.models._towers import Towers
from limner.nets.resnet_tower import ResNetTower


@pytest.fixture(params=["vit", "resnet"])
def each(request, clip):
    """The tiny CLIP, and the same with a tower of convolutions and batch norms."""
    if request.param == "vit":
        return clip
    torch.manual_seed(2)
    tower = ResNetTower(16, 8, (1, 1, 1, 1), 32).eval().requires_grad_(False)
    towers = Towers(tower, clip.towers.texts, 32, 24)
    torch.nn.init.zeros_(towers.logit_scale)
    return replace(clip, towers=towers)


def test_bfloat16_gives_nearly_the_same_embeddings_and_gradients(each, random_pictures):
    wanted = functional.normalize(torch.linspace(-1, 1, 16), dim=0)
    seen, slopes = [], []
    for dtype in (torch.float32, torch.bfloat16):
        views = random_pictures(4, 32, 32).requires_grad_()
        embedding = embedded(replace(each, judges_in=dtype), views)
        (embedding @ wanted).sum().backward()
        seen.append(embedding.detach())
        slopes.append(views.grad.flatten(1))
    assert seen[1].dtype == slopes[1].dtype == torch.float32
    assert torch.allclose(seen[1].norm(dim=1), torch.ones(4), atol=1e-6)  # not rounded to 8 bits
    assert 1e-6 < float((seen[0] - seen[1]).abs().max()) < 0.03
    assert float(functional.cosine_similarity(*slopes).min()) > 0.95
