"""Weights put together run as the layers that they are of."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from limner.models._gather import folded, gathered, unfolded
from limner.models._layers import Upsample, attend


@pytest.mark.parametrize("size", [None, (10, 14), (9, 13), (10, 13), (5, 7), (12, 20)])
def test_an_enlarged_picture_is_convolved_on_the_small_one(size: tuple[int, int] | None) -> None:
    torch.manual_seed(1)
    plain = nn.Conv2d(6, 6, 3, padding=1).double()
    names = {f"up_blocks.0.upsamplers.0.conv.{n}": w for n, w in plain.state_dict().items()}
    weights = {name.rpartition("upsamplers.0.")[2]: w for name, w in folded(names).items()}
    layer = Upsample(6)
    layer.load_state_dict(weights)
    x = torch.randn(2, 6, 5, 7)
    wanted = plain(functional.interpolate(x.double(), size=size or (10, 14), mode="nearest"))
    said = layer(x, None if size is None else torch.Size(size))
    torch.testing.assert_close(said.double(), wanted, atol=1e-5, rtol=1e-5)
    assert torch.allclose(unfolded(weights["conv.weight"]), plain.weight.float(), atol=1e-6)


def test_only_what_is_whole_is_put_together() -> None:
    torch.manual_seed(2)
    block = "mid_block.attentions.0.transformer_blocks.0.attn1"
    state = {f"{block}.to_{each}.weight": torch.randn(4, 4) for each in "qkv"}
    whole = gathered(state)
    assert list(whole) == [f"{block}.to_qkv.weight"]
    assert torch.equal(whole[f"{block}.to_qkv.weight"], torch.cat(list(state.values())))
    del state[f"{block}.to_k.weight"]
    assert gathered(state) == state
    other = {"mid_block.attentions.0.transformer_blocks.0.attn2.to_q.weight": torch.randn(4, 4)}
    assert gathered(other) == other


def test_the_times_of_the_resnets_stand_in_the_order_in_which_they_run() -> None:
    names = [
        *(f"down_blocks.{i}.resnets.{j}" for i in range(12) for j in range(2)),
        "mid_block.resnets.0",
        "mid_block.resnets.1",
        *(f"up_blocks.{i}.resnets.0" for i in range(3)),
    ]
    shuffled = sorted(names)  # 10 before 2, as text
    state = {f"{n}.time_emb_proj.bias": torch.full((1,), float(names.index(n))) for n in shuffled}
    assert gathered(state)["time_projections.bias"].tolist() == list(range(len(names)))


@pytest.mark.parametrize("shape", [(32, 16, 8), (2, 16, 8), (16, 64, 20)])
def test_attention_is_the_same_by_products_and_fused(shape: tuple[int, int, int]) -> None:
    b, n, d = shape
    torch.manual_seed(3)
    q, k, v = (torch.randn(b, m, 4 * d, dtype=torch.bfloat16) for m in (n, 12, 12))
    heads = [part.double().unflatten(2, (4, d)).transpose(1, 2) for part in (q, k, v)]
    wanted = functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attend(q, k, v, 4).double(), wanted, atol=2e-2, rtol=2e-2)
