import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from limner.nets.resnet_tower import ResNetTower, _AttentionPool, _Bottleneck


def counted(width, layers, output_dim, input_size):
    """Parameters by arithmetic alone: convolutions k²·in·out, normalisations 2·out, the pooling."""
    half = width // 2
    total = 9 * 3 * half + 9 * half * half + 9 * half * width + 2 * (half + half + width)
    inside = width
    for stage, blocks in enumerate(layers):
        w = width * 2**stage
        for _ in range(blocks):
            total += inside * w + 9 * w * w + 4 * w * w + 2 * (w + w + 4 * w)
            if inside != 4 * w:
                total += 4 * inside * w + 2 * 4 * w
            inside = 4 * w
    d = 32 * width
    return total + ((input_size // 32) ** 2 + 1) * d + 3 * (d * d + d) + d * output_dim + output_dim


@pytest.mark.parametrize(
    ("width", "layers", "output_dim", "input_size", "published"),
    [
        (64, (3, 4, 6, 3), 1024, 224, 38_316_896),
        (64, (3, 4, 23, 3), 512, 224, 56_259_936),
        (80, (4, 6, 10, 6), 640, 288, 87_137_080),
    ],
)
def test_has_the_published_number_of_parameters(width, layers, output_dim, input_size, published):
    with torch.device("meta"):
        tower = ResNetTower(output_dim, width, layers, input_size)
    assert sum(p.numel() for p in tower.parameters()) == published
    assert counted(width, layers, output_dim, input_size) == published


def test_names_and_shapes_are_those_of_the_published_checkpoints():
    with torch.device("meta"):
        state = ResNetTower(1024).state_dict()
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = {f"conv{i}.weight" for i in (1, 2, 3)} | {f"bn{i}.{x}" for i in (1, 2, 3) for x in norm}
    for stage, blocks in enumerate((3, 4, 6, 3), start=1):
        for block in range(blocks):
            at = f"layer{stage}.{block}"
            names |= {f"{at}.conv{i}.weight" for i in (1, 2, 3)}
            names |= {f"{at}.bn{i}.{x}" for i in (1, 2, 3) for x in norm}
        at = f"layer{stage}.0.downsample"
        names |= {f"{at}.0.weight"} | {f"{at}.1.{x}" for x in norm}
    names |= {f"attnpool.{x}_proj.{y}" for x in "kqvc" for y in ("weight", "bias")}
    assert set(state) == names | {"attnpool.positional_embedding"}
    assert state["conv3.weight"].shape == (64, 32, 3, 3)
    assert state["layer1.0.downsample.0.weight"].shape == (256, 64, 1, 1)
    assert state["layer4.2.conv2.weight"].shape == (512, 512, 3, 3)
    assert state["attnpool.positional_embedding"].shape == (50, 2048)
    assert state["attnpool.c_proj.weight"].shape == (1024, 2048)
    assert not any(re.search(r"conv\d\.bias", name) for name in state)


def small(**changes):
    torch.manual_seed(0)
    shape = {"output_dim": 24, "width": 8, "layers": (1, 2, 1, 1), "input_size": 64}
    return ResNetTower(**shape | changes)


def test_gives_one_vector_a_picture_and_a_gradient_to_every_parameter():
    tower = small()
    for module in tower.modules():
        if isinstance(module, _Bottleneck):  # at the start these are zero and stop the gradient
            nn.init.ones_(module.bn3.weight)
    pictures = torch.randn(3, 3, 64, 64, requires_grad=True)
    vectors = tower(pictures)
    assert vectors.shape == (3, 24)
    (vectors**3).sum().backward()
    assert pictures.grad.abs().sum() > 0
    for name, parameter in tower.named_parameters():
        if name != "attnpool.k_proj.bias":  # adds the same to every answer, softmax drops it
            assert parameter.grad.abs().sum() > 0, name


def test_a_row_does_not_depend_on_its_batch_in_evaluation():
    tower = small().eval()
    pictures = torch.randn(4, 3, 64, 64)
    torch.testing.assert_close(tower(pictures)[2:3], tower(pictures[2:3]), atol=1e-5, rtol=1e-4)


def test_a_fresh_block_is_the_identity_of_what_relu_keeps():
    block = _Bottleneck(32, 8)
    x = torch.randn(2, 32, 4, 4)
    torch.testing.assert_close(block(x), x.relu())


def test_striding_is_pooling_so_a_shift_by_the_stride_shifts_the_output():
    """Before a convolution of stride 1 on pooled maps, a 2-pixel shift is a 1-cell shift."""
    torch.manual_seed(0)
    block = _Bottleneck(16, 8, stride=2).eval()
    nn.init.ones_(block.bn3.weight)
    x = torch.randn(1, 16, 16, 16)
    moved = block(x.roll(2, dims=3))
    torch.testing.assert_close(moved[..., 3:-2], block(x).roll(1, dims=3)[..., 3:-2])
    assert block(x).shape == (1, 32, 8, 8)
    straight = block.downsample(F.avg_pool2d(x, 2))
    y = block.bn1(block.conv1(x)).relu()
    y = F.avg_pool2d(block.bn2(block.conv2(y)).relu(), 2)
    torch.testing.assert_close(block(x), (straight + block.bn3(block.conv3(y))).relu())


def test_attention_pooling_agrees_with_torchs_multi_head_attention():
    torch.manual_seed(0)
    pool = _AttentionPool(3, 128, 20)
    for layer in (pool.k_proj, pool.q_proj, pool.v_proj, pool.c_proj):
        nn.init.normal_(layer.bias)
    x = torch.randn(2, 128, 3, 3)
    cells = x.reshape(2, 128, 9).permute(2, 0, 1)
    cells = torch.cat([cells.mean(0, keepdim=True), cells]) + pool.positional_embedding[:, None]
    reference = nn.MultiheadAttention(128, 2)
    projections = (pool.q_proj, pool.k_proj, pool.v_proj)
    reference.in_proj_weight.data = torch.cat([p.weight for p in projections])
    reference.in_proj_bias.data = torch.cat([p.bias for p in projections])
    reference.out_proj.weight.data, reference.out_proj.bias.data = torch.eye(128), torch.zeros(128)
    answer, _ = reference(cells[:1], cells, cells)
    torch.testing.assert_close(pool(x), pool.c_proj(answer[0]), atol=1e-5, rtol=1e-4)


def test_says_what_is_wrong():
    with pytest.raises(ValueError, match=r"\(2, 3, 32, 32\); expected \(b, 3, 64, 64\)"):
        small()(torch.zeros(2, 3, 32, 32))
    for wrong in ({"input_size": 100}, {"width": 7}, {"layers": (1, 1)}):
        with pytest.raises(ValueError):
            small(**wrong)
    assert small(width=2)(torch.zeros(2, 3, 64, 64)).shape == (2, 24)  # one head
