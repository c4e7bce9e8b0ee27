"""BigGAN by pytorch-pretrained-biggan's names, drawn here, against a float64 evaluation."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from limner.errors import BadInput
from limner.generators.biggan import biggan
from limner.models.biggan import biggan_side, open_biggan
from limner.models.convert import convert
from limner.models.inspect import inspect
from limner.noise import Noise

WIDTH, NOISE, CLASSES, SETS, AT = 8, 5, 7, 11, 2
LAYERS = [[False, 4, 4], [True, 4, 2], [False, 2, 2], [True, 2, 1]]
CONFIG = {
    "attention_layer_position": AT, "channel_width": WIDTH, "class_embed_dim": NOISE, "eps": 1e-4,
    "layers": LAYERS, "n_stats": SETS, "num_classes": CLASSES, "output_dim": 16, "z_dim": NOISE,
}  # fmt: skip


class Drawn(dict):
    """A state dict in float64, drawn as it is asked for."""

    def __init__(self):
        super().__init__()
        self.source = np.random.default_rng(1)

    def at(self, name, *shape, scale=1.0, mean=0.0):
        if name not in self:
            drawn = mean + scale * self.source.standard_normal(shape)
            self[name] = np.asarray(drawn).astype(np.float32).astype(np.float64)
        return self[name]

    def divided(self, name, *shape):
        """A weight over u·(W v), for u and v of length 1 that are near its largest ones."""
        weight = self.at(f"{name}.weight_orig", *shape)
        if f"{name}.weight_u" not in self:
            left, _, right = np.linalg.svd(weight.reshape(shape[0], -1))
            self[f"{name}.weight_u"] = (left[:, 0] + 0.01).astype(np.float32).astype(np.float64)
            self[f"{name}.weight_v"] = right[0].astype(np.float32).astype(np.float64)
        matrix = weight.reshape(shape[0], -1)
        return weight / (self[f"{name}.weight_u"] @ matrix @ self[f"{name}.weight_v"])


def conv(w, name, x, out, side, bias=True):
    weight, pad = w.divided(name, out, len(x), side, side), side // 2
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    seen = np.lib.stride_tricks.sliding_window_view(x, (side, side), (1, 2))
    rows = np.einsum("ihwjk,oijk->ohw", seen, weight, optimize=True)
    shift = w.at(f"{name}.bias", out, scale=0.2)[:, None, None] if bias else 0
    return rows + shift


def normed(w, name, x, truncation, told=None):
    c, row = len(x), round(truncation * (SETS - 1))
    mean = w.at(f"{name}.running_means", SETS, c, scale=0.3)[row]
    var = w.at(f"{name}.running_vars", SETS, c, scale=0.1, mean=1.5)[row]
    if told is None:
        gain, bias = w.at(f"{name}.weight", c, mean=1.0), w.at(f"{name}.bias", c, scale=0.2)
    else:
        gain = 1 + w.divided(f"{name}.scale", c, len(told)) @ told
        bias = w.divided(f"{name}.offset", c, len(told)) @ told
    out = (x - mean[:, None, None]) / np.sqrt(var + 1e-4)[:, None, None]
    return out * gain[:, None, None] + bias[:, None, None]


def larger(x):
    return x.repeat(2, 1).repeat(2, 2)


def block(w, name, x, told, truncation, up, out):
    narrow, h = len(x) // 4, x
    for i, (width, side) in enumerate(((narrow, 1), (narrow, 3), (narrow, 3), (out, 1))):
        h = normed(w, f"{name}.bn_{i}", h, truncation, told).clip(0)
        h = conv(w, f"{name}.conv_{i}", larger(h) if up and i == 1 else h, width, side)
    x = x[:out]
    return h + (larger(x) if up else x)


def looks(w, name, x):
    c, side, _ = x.shape

    def pooled(h):
        return h.reshape(len(h), side // 2, 2, side // 2, 2).max((2, 4)).reshape(len(h), -1)

    asked = conv(w, f"{name}.snconv1x1_theta", x, c // 8, 1, False).reshape(c // 8, -1)
    keys = pooled(conv(w, f"{name}.snconv1x1_phi", x, c // 8, 1, False))
    values = pooled(conv(w, f"{name}.snconv1x1_g", x, c // 2, 1, False))
    said = np.exp(asked.T @ keys)
    said /= said.sum(1, keepdims=True)
    found = (values @ said.T).reshape(-1, side, side)
    found = conv(w, f"{name}.snconv1x1_o_conv", found, c, 1, False)
    return x + w.at(f"{name}.gamma", 1, mean=0.7) * found


def painted(w, z, shares, truncation):
    """One picture of z (n,) and the classes' shares (k,), as BigGAN's and Generator's `forward`."""
    told = np.concatenate([z, w.at("embeddings.weight", NOISE, CLASSES) @ shares])
    first = LAYERS[0][1] * WIDTH
    x = w.divided("generator.gen_z", 16 * first, len(told)) @ told
    x = (x + w.at("generator.gen_z.bias", 16 * first, scale=0.2)).reshape(4, 4, first)
    x, at = x.transpose(2, 0, 1), 0
    for i, (up, _, out) in enumerate(LAYERS):
        if i == AT:
            x, at = looks(w, f"generator.layers.{at}", x), at + 1
        x = block(w, f"generator.layers.{at}", x, told, truncation, up, out * WIDTH)
        at += 1
    x = normed(w, "generator.bn", x, truncation).clip(0)
    return np.tanh(conv(w, "generator.conv_to_rgb", x, WIDTH, 3)[:3])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The tensors, and the folder that they were converted to."""
    place, w = tmp_path_factory.mktemp("biggan"), Drawn()
    painted(w, np.ones(NOISE), np.ones(CLASSES), 1.0)
    state = {name: torch.from_numpy(value).float() for name, value in w.items()}
    torch.save(state, place / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    (place / "config.json").write_text(json.dumps(CONFIG))
    said = convert(place / "pytorch_model.bin", place / "out", licence="MIT")
    assert said.family == "biggan"
    return w, place


@pytest.mark.parametrize("truncation", [1.0, 0.4])
def test_it_draws_the_same(made, truncation):
    w, place = made
    source = np.random.default_rng(3)
    z, shares = truncation * source.standard_normal((2, NOISE)), np.eye(CLASSES)[[2, 5]]
    shares[1] = source.random(CLASSES)
    wanted = [painted(w, row, share, truncation) for row, share in zip(z, shares)]
    assert np.ptp(wanted) > 0.3
    model = open_biggan(place / "out").truncated(truncation)
    assert (model.size, model.layers, model.licence) == (16, 5, "MIT")
    assert biggan_side(place / "out") == 16
    rows = [torch.from_numpy(each)[:, None].expand(-1, 5, -1) for each in (z, shares)]
    found = model.pictures(*(row.float() for row in rows))
    np.testing.assert_allclose(found * 2 - 1, wanted, atol=1e-4)
    exact = model.to("cpu", torch.float64).pictures(*rows)
    np.testing.assert_allclose(exact * 2 - 1, wanted, atol=1e-5)


def test_each_truncation_has_its_statistics_and_noise(made):
    w, place = made
    whole = open_biggan(place / "out")
    assert whole.truncated(1.0) is whole
    for truncation in (0.04, 0.5, 0.65):
        own = whole.truncated(truncation).network
        table, spot = w["generator.bn.running_means"], truncation * (SETS - 1)
        wanted = [np.interp(spot, range(SETS), column) for column in table.T]
        np.testing.assert_allclose(own.norm.running_mean, wanted, atol=1e-6)
        generator = biggan(whole, truncation=truncation)
        start = generator.start(Noise(0, range(60)))["noise"]
        assert start.abs().max() <= 2 * truncation + 1e-6
        assert start.std().item() == pytest.approx(0.93 * truncation, rel=0.1)
    for wrong in (0.0, 1.5):
        with pytest.raises(BadInput, match="truncation"):
            whole.truncated(wrong)


def test_it_is_searched(made):
    model = open_biggan(made[1] / "out")
    assert inspect(made[1] / "out").family == "biggan" and len(model.classes) == CLASSES
    generator = biggan(model)
    start = generator.start(Noise(0, range(2)))
    for part in start.values():
        part.requires_grad_()
    pictures = generator.render(start)
    assert pictures.shape == (2, 3, 16, 16)
    pictures.sum().backward()
    assert all((part.grad.abs().sum(2) > 0).all() for part in start.values())


def test_what_does_not_fit_is_named(made, tmp_path):
    w, place = made
    state = {name: torch.from_numpy(value).float() for name, value in w.items()}

    def tried(config, words, **changed):
        torch.save(state | changed, tmp_path / "a.bin")
        (tmp_path / "config.json").write_text(json.dumps(CONFIG | config))
        with pytest.raises(BadInput, match=words):
            convert(tmp_path / "a.bin", tmp_path / "out")

    tried({"eps": 1e-5}, "eps = 1e-05")
    tried({"layers": LAYERS[:3]}, "list of layers")
    tried({"layers": [*LAYERS[:3], [True, 4, 1]]}, "place 3")
    tried({"attention_layer_position": 9}, "attention in place 9")
    tried({"channel_width": "8"}, "channel_width")
    tried({"channel_width": 16}, r"is \(.*\), not \(")
    tried({}, "unlike its config", **{"generator.layers.1.more": torch.ones(2)})
    tried({}, "weight_u", **{"generator.gen_z.weight_u": torch.ones(2)})
    tried({}, "number of statistics", **{"generator.bn.running_means": torch.ones(3, WIDTH)})
    tried(
        {}, "spectral norm", **{"generator.gen_z.weight_u": 0 * state["generator.gen_z.weight_u"]}
    )
    (tmp_path / "config.json").unlink()
    with pytest.raises(BadInput, match="no config at"):
        convert(tmp_path / "a.bin", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert math.isclose(open_biggan(place / "out").truncation, 1)
