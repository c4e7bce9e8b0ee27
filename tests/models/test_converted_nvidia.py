"""NVIDIA's pickles, written here, against float64 evaluations by numpy and scipy."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import signal, special

from limner.errors import BadInput
from limner.generators.stylegan import stylegan
from limner.models.convert import convert
from limner.models.inspect import inspect
from limner.models.stylegan import open_stylegan, stylegan_side
from limner.noise import Noise

sys.path.insert(0, str(Path(__file__).parent))
from _nvidia_pickles import Network, theirs, written

WIDTH, CHANNELS, CLAMP = 12, (10, 8, 6), 1.5
TAPS = np.array([1.0, 3.0, 3.0, 1.0]) / 8


def drawn(source, *shape, scale=1.0, mean=0.0):
    return torch.from_numpy(np.asarray(mean + scale * source.standard_normal(shape))).float()


def linear(source, inner, outer, rate=1.0, bias=0.0, activation="linear"):
    """FullyConnectedLayer: weight and bias over the rate, gains beside them."""
    tensors = {"weight": drawn(source, outer, inner, scale=1 / rate)}
    tensors["bias"] = drawn(source, outer, scale=0.3 / rate, mean=bias / rate)
    gains = {"weight_gain": rate / np.sqrt(inner), "bias_gain": rate}  # the first a numpy number
    return Network("FullyConnectedLayer", tensors, activation=activation, **gains)


def mapping(source, classes=0, layers=3):
    wide = WIDTH * (2 if classes else 1)
    parts = {"embed": linear(source, classes, WIDTH)} if classes else {}
    for i in range(layers):
        inner = WIDTH if i else wide
        parts[f"fc{i}"] = linear(source, inner, WIDTH, 0.01, activation="lrelu")
    mean = {"w_avg": drawn(source, WIDTH)}
    told = {"z_dim": WIDTH, "c_dim": classes, "w_dim": WIDTH, "num_ws": 6, "w_avg_beta": 0.995}
    return Network("MappingNetwork", None, mean, parts, **told, num_layers=layers)


def layer2(source, inner, outer, side, up, clamp):
    own = {
        "weight": drawn(source, outer, inner, 3, 3),
        "noise_strength": drawn(source, scale=0.4),
        "bias": drawn(source, outer, scale=0.4),
    }
    kept = {
        "resample_filter": torch.from_numpy(np.outer(TAPS, TAPS)).float(),
        "noise_const": drawn(source, side, side),
    }
    affine = {"affine": linear(source, WIDTH, inner, bias=1.0)}
    told = {"resolution": side, "up": up, "use_noise": True, "activation": "lrelu"}
    told |= {"conv_clamp": clamp, "padding": 1, "act_gain": np.sqrt(2)}
    return Network("SynthesisLayer", own, kept, affine, **told)


def stylegan2(seed=0, classes=0, clamp=CLAMP, colours=3, architecture="skip"):
    source, blocks = np.random.default_rng(seed), {}
    for i, channels in enumerate(CHANNELS):
        side, parts = 4 << i, {}
        own = {} if i else {"const": drawn(source, channels, 4, 4)}
        if i:
            parts["conv0"] = layer2(source, CHANNELS[i - 1], channels, side, 2, clamp)
        parts["conv1"] = layer2(source, channels, channels, side, 1, clamp)
        rgb = {"weight": drawn(source, colours, channels, 1, 1), "bias": drawn(source, colours)}
        affine = {"affine": linear(source, WIDTH, channels, bias=1.0)}
        gain = 1 / np.sqrt(channels)
        told = {"conv_clamp": clamp, "weight_gain": gain}
        parts["torgb"] = Network("ToRGBLayer", rgb, None, affine, **told)
        kept = {"resample_filter": torch.from_numpy(np.outer(TAPS, TAPS)).float()}
        told = {"architecture": architecture, "resolution": side, "use_fp16": False}
        blocks[f"b{side}"] = Network("SynthesisBlock", own, kept, parts, **told)
    told = {"w_dim": WIDTH, "img_channels": colours, "block_resolutions": [4, 8, 16]}
    synthesis = Network("SynthesisNetwork", None, None, blocks, **told)
    parts = {"synthesis": synthesis, "mapping": mapping(source, classes)}
    return Network("Generator", None, None, parts, z_dim=WIDTH, c_dim=classes, w_dim=WIDTH)


def numbers(network):
    """All tensors in float64."""
    return {name: tensor.detach().double().numpy() for name, tensor in network.state_dict().items()}


def full(x, w, name, rate=1.0):
    """A fully connected layer."""
    weight = w[f"{name}.weight"] * rate / math.sqrt(x.shape[1])
    return x @ weight.T + w[f"{name}.bias"] * rate


def lrelu(x):
    return np.where(x < 0, 0.2 * x, x) * math.sqrt(2)


def mapped(w, z, label=None):
    z = z / np.sqrt((z**2).mean(1, keepdims=True) + 1e-8)
    if label is not None:
        one = np.eye(w["mapping.embed.weight"].shape[1])[label][None]
        y = full(one, w, "mapping.embed")
        y = y / np.sqrt((y**2).mean(1, keepdims=True) + 1e-8)
        z = np.concatenate([z, np.repeat(y, len(z), 0)], 1)
    for i in range(3):
        z = lrelu(full(z, w, f"mapping.fc{i}", 0.01))
    return z


def twice(x, before, after):
    """upfirdn2d with up=2 and gain 4: zeros between and around, then the filter."""
    side = x.shape[1]
    spread = np.zeros((len(x), 2 * side, 2 * side))
    spread[:, ::2, ::2] = x
    spread = np.pad(spread, ((0, 0), (before, after), (before, after)))
    return np.stack([signal.convolve2d(m, 4 * np.outer(TAPS, TAPS), "valid") for m in spread])


def modulated(x, weight, style, up, demodulate=True):
    """One picture's maps (i, h, h). Going up, it is a convolution of the enlarged maps; else a
    correlation, as in conv2d_resample."""
    weight = weight * style[None, :, None, None]
    if demodulate:
        weight = weight / np.sqrt((weight**2).sum((1, 2, 3), keepdims=True) + 1e-8)
    if up:
        x = twice(x, 3, 2)
        return np.stack([sum(map(_within, x, row)) for row in weight])
    pad = weight.shape[2] // 2
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    return np.stack([sum(_within(m, k[::-1, ::-1]) for m, k in zip(x, row)) for row in weight])


def _within(one, kernel):
    return signal.convolve2d(one, kernel, "valid")


def synthesised2(w, rows, noises, clamp):
    """w+ (layers, d) of one picture, maps of noise by layers' names → (3, s, s)."""
    x, picture, at = w["synthesis.b4.const"], 0, 0
    for i in range(len(CHANNELS)):
        block = f"synthesis.b{4 << i}"
        for conv in ("conv0", "conv1")[i == 0 :]:
            name, up = f"{block}.{conv}", conv == "conv0"
            style = full(rows[at][None], w, f"{name}.affine")[0]
            x = modulated(x, w[f"{name}.weight"], style, up)
            x = x + noises[name] * w[f"{name}.noise_strength"]
            x = lrelu(x + w[f"{name}.bias"][:, None, None]).clip(-clamp, clamp)
            at += 1
        style = full(rows[at][None], w, f"{block}.torgb.affine")[0]
        y = modulated(x, w[f"{block}.torgb.weight"], style / math.sqrt(len(x)), False, False)
        y = (y + w[f"{block}.torgb.bias"][:, None, None]).clip(-clamp, clamp)
        picture = y if i == 0 else twice(picture, 2, 1) + y
    return picture


@pytest.mark.parametrize("protocol, clamp", [(3, None), (5, CLAMP)])
def test_stylegan2_draws_the_same(tmp_path, protocol, clamp):
    theirs_ = stylegan2(clamp=clamp)
    written(tmp_path / "a.pkl", theirs_, protocol)
    assert "adapt" in inspect(tmp_path / "a.pkl").can
    said = convert(tmp_path / "a.pkl", tmp_path / "out", licence="NVIDIA's")
    assert said.family == "nvidia stylegan2" and said.plain["G_ema.class_name"] == "Generator"
    assert not list(tmp_path.rglob("canary")) and not Path("canary").exists()
    w, source = numbers(theirs_), np.random.default_rng(7)
    model = open_stylegan(tmp_path / "out")
    assert (model.size, model.layers, model.width, model.licence) == (16, 6, WIDTH, "NVIDIA's")
    assert stylegan_side(tmp_path / "out") == 16
    z, rows = source.standard_normal((2, WIDTH)), source.standard_normal((2, 6, WIDTH))
    made = model.mapping(torch.from_numpy(z).float())
    np.testing.assert_allclose(made, mapped(w, z), atol=1e-5)
    kept = {n.removesuffix(".noise_const"): t for n, t in w.items() if n.endswith("noise_const")}
    wanted = [synthesised2(w, row, kept, clamp or np.inf) for row in rows]
    found = model.synthesis(torch.from_numpy(rows).float(), model.fixed_noise)
    np.testing.assert_allclose(found * 2 - 1, wanted, atol=1e-4)
    if clamp:
        loose = [synthesised2(w, row, kept, np.inf) for row in rows]
        assert np.abs(np.array(loose) - wanted).max() > 0.1, "it is clamped somewhere"
    np.testing.assert_allclose(model.w_mean, w["mapping.w_avg"])
    many = mapped(w, source.standard_normal((4000, WIDTH)))
    np.testing.assert_allclose(model.w_std, many.std(0), rtol=0.1)
    start = stylegan(model, kind="w+").start(Noise(0, [0]))
    assert stylegan(model).render(start).shape == (1, 3, 16, 16)


def test_a_network_of_classes_paints_one_of_them(tmp_path):
    theirs_ = stylegan2(classes=5)
    file = written(tmp_path / "a.pkl", theirs_)
    for label, words in ((None, "--label, 0 to 4"), (5, "--label, 0 to 4")):
        with pytest.raises(BadInput, match=words):
            convert(file, tmp_path / "out", label=label)
    convert(file, tmp_path / "out", label=3)
    z = np.random.default_rng(3).standard_normal((4, WIDTH))
    made = open_stylegan(tmp_path / "out").mapping(torch.from_numpy(z).float())
    np.testing.assert_allclose(made, mapped(numbers(theirs_), z, 3), atol=1e-5)
    plain = written(tmp_path / "b.pkl", stylegan2())
    with pytest.raises(BadInput, match="knows no classes"):
        convert(plain, tmp_path / "other", label=1)


def test_one_grey_becomes_three(tmp_path):
    theirs_ = stylegan2(colours=1)
    convert(written(tmp_path / "a.pkl", theirs_), tmp_path / "out")
    model, row = open_stylegan(tmp_path / "out"), torch.randn(1, 6, WIDTH)
    found = model.synthesis(row, model.fixed_noise)[0]
    w = numbers(theirs_)
    kept = {n.removesuffix(".noise_const"): t for n, t in w.items() if n.endswith("noise_const")}
    wanted = synthesised2(w, row[0].numpy(), kept, CLAMP)
    np.testing.assert_allclose(found * 2 - 1, np.repeat(wanted, 3, 0), atol=1e-4)


def test_what_is_no_stylegan2_is_named(tmp_path):
    def tried(network, words):
        with pytest.raises(BadInput, match=words):
            convert(written(tmp_path / "a.pkl", network), tmp_path / "out")

    tried(stylegan2(architecture="resnet"), "'resnet'")
    lacking = stylegan2()
    del lacking.synthesis.b8.conv1.bias
    tried(lacking, "lacks")
    more = stylegan2()
    more.mapping.more = torch.nn.Parameter(torch.ones(2))
    tried(more, "has 'mapping.more'")
    other = stylegan2()
    other.synthesis.b8.conv0.resample_filter = torch.ones(4, 4) / 16
    tried(other, "1 3 3 1")
    straight = stylegan2()
    straight.synthesis.b8.conv0.activation = "relu"
    tried(straight, "'relu'")
    small = stylegan2()
    small.mapping.z_dim = 64
    tried(small, "64 numbers")
    assert not (tmp_path / "out").exists()


# --- StyleGAN3 ---

SIZE, DEPTH, CRITICAL, MARGIN = 16, 5, 2, 4


def planned(kernel):
    """The signals of each layer: Karras et al. 2021, section 3.2 and appendix C."""
    last = SIZE / 2
    part = np.minimum(np.arange(DEPTH + 1) / (DEPTH - CRITICAL), 1)
    cut = 2 * (last / 2) ** part
    stop = 2**2.1 * (last * 2**0.3 / 2**2.1) ** part
    rate = np.exp2(np.ceil(np.log2(np.minimum(stop * 2, SIZE))))
    half = np.maximum(stop, rate / 2) - cut
    side = rate + 2 * MARGIN
    side[-2:] = SIZE
    channels = np.rint(np.minimum(40 / cut, 9)).astype(int)
    channels[-1] = 3
    return cut, rate, half, side.astype(int), channels


def low_pass(taps, cutoff, width, rate, radial=False):
    if taps == 1:
        return None
    if not radial:
        return signal.firwin(taps, cutoff=cutoff, width=width, fs=rate)
    x = (np.arange(taps) - (taps - 1) / 2) / rate
    r = np.hypot(*np.meshgrid(x, x))
    jinc = special.j1(2 * cutoff * np.pi * r) / (np.pi * r)
    window = np.kaiser(taps, signal.kaiser_beta(signal.kaiser_atten(taps, width / (rate / 2))))
    jinc = jinc * np.outer(window, window)
    return jinc / jinc.sum()


def layer3(source, i, kernel, clamp):
    """SynthesisLayer, with the numbers and filters that it works out when it is made."""
    cut, rate, half, side, channels = planned(kernel)
    before, colours = max(i - 1, 0), i == DEPTH
    kernel = 1 if colours else kernel
    between = max(rate[before], rate[i]) * (1 if colours else 2)
    up, down = int(between / rate[before]), int(between / rate[i])
    ups = 6 * up if up > 1 and not colours else 1
    downs = 6 * down if down > 1 and not colours else 1
    radial = kernel == 1 and i < DEPTH - CRITICAL
    pad = (side[i] - 1) * down + 1 - (side[before] + kernel - 1) * up + ups + downs - 2
    low = (pad + up) // 2
    filters = {
        "up_filter": low_pass(ups, cut[before], 2 * half[before], between),
        "down_filter": low_pass(downs, cut[i], 2 * half[i], between, radial),
    }
    kept = {n: None if f is None else torch.from_numpy(f).float() for n, f in filters.items()}
    kept["magnitude_ema"] = torch.tensor(0.5 + source.random()).float()
    own = {
        "weight": drawn(source, channels[i], channels[before], kernel, kernel),
        "bias": drawn(source, channels[i], scale=0.3),
    }
    affine = {"affine": linear(source, WIDTH, channels[before], bias=1.0)}
    return Network(
        "SynthesisLayer", own, kept, affine, is_torgb=colours, conv_kernel=kernel,
        conv_clamp=clamp, in_size=np.broadcast_to(np.asarray(side[before]), [2]),
        out_size=np.broadcast_to(np.asarray(side[i]), [2]), in_cutoff=cut[before],
        up_factor=up, down_factor=down, up_taps=ups, down_taps=downs, down_radial=radial,
        padding=[int(low), int(pad - low)] * 2,
    )  # fmt: skip


def stylegan3(kernel, clamp=CLAMP, seed=0):
    source = np.random.default_rng(seed)
    cut, rate, _, side, channels = planned(kernel)
    freqs = drawn(source, channels[0], 2) * cut[0] / 2
    affine = Network(
        "FullyConnectedLayer",
        {"weight": drawn(source, 4, WIDTH, scale=0.5), "bias": torch.tensor([1.0, 0, 0, 0])},
        weight_gain=1 / np.sqrt(WIDTH), bias_gain=1,
    )  # fmt: skip
    kept = {"transform": torch.eye(3), "freqs": freqs, "phases": drawn(source, channels[0])}
    features = Network(
        "SynthesisInput", {"weight": drawn(source, channels[0], channels[0])}, kept,
        {"affine": affine}, size=np.broadcast_to(np.asarray(side[0]), [2]),
        sampling_rate=rate[0], bandwidth=cut[0], channels=int(channels[0]),
    )  # fmt: skip
    layers = [layer3(source, i, kernel, clamp) for i in range(DEPTH + 1)]
    names = [f"L{i}_{each.out_size[0]}_{len(each.bias)}" for i, each in enumerate(layers)]
    parts = {"input": features, **dict(zip(names, layers))}
    told = {"output_scale": 0.25, "num_ws": DEPTH + 2, "layer_names": names, "margin_size": MARGIN}
    synthesis = Network("SynthesisNetwork", None, None, parts, **told)
    return Network("Generator", None, None, {"synthesis": synthesis, "mapping": mapping(source)})


def features(w, row, kernel, transform=None):
    """Fourier features of one w: cycles at each sample's place, faded out of band (appendix F)."""
    cut, rate, _, side, _ = planned(kernel)
    t = full(row[None], w, "synthesis.input.affine")[0]
    c, s, x, y = t / np.hypot(t[0], t[1])
    moved = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ [[1, 0, -x], [0, 1, -y], [0, 0, 1]]
    moved = moved @ (np.eye(3) if transform is None else transform)
    freqs, phases = w["synthesis.input.freqs"], w["synthesis.input.phases"]
    phases = phases + freqs @ moved[:2, 2]
    freqs = freqs @ moved[:2, :2]
    length = np.linalg.norm(freqs, axis=1)
    loud = (1 - (length - cut[0]) / (rate[0] / 2 - cut[0])).clip(0, 1)
    at = (np.arange(side[0]) - (side[0] - 1) / 2) / rate[0]
    down, across = np.meshgrid(at, at, indexing="ij")
    angle = np.multiply.outer(freqs[:, 0], across) + np.multiply.outer(freqs[:, 1], down)
    waves = np.sin(2 * np.pi * (angle + phases[:, None, None])) * loud[:, None, None]
    weight = w["synthesis.input.weight"] / math.sqrt(len(freqs))
    return np.einsum("oi,ihw->ohw", weight, waves), loud


def filtered(x, taps, up, down, pads):
    """Zeros between and around, the filter (by scipy), what lies within, every `down`-th sample."""
    side = x.shape[1]
    spread = np.zeros((len(x), side * up, side * up))
    spread[:, ::up, ::up] = x
    low, high = pads
    spread = np.pad(spread, ((0, 0), *((max(low, 0), max(high, 0)),) * 2))
    spread = spread[:, max(-low, 0) :, max(-low, 0) :]
    end = spread.shape[1] - max(-high, 0)
    spread = spread[:, :end, :end]
    if taps is None:
        return spread[:, ::down, ::down]
    taps = np.outer(taps, taps) if taps.ndim == 1 else taps
    whole = np.stack([signal.convolve2d(one, taps * up**2, "valid") for one in spread])
    return whole[:, ::down, ::down]


def synthesised3(network, w, rows, kernel, clamp, transform=None):
    x, _ = features(w, rows[0], kernel, transform)
    parts = {n: m for n, m in network.synthesis.named_children() if n != "input"}
    for row, (name, layer) in zip(rows[1:], parts.items()):
        name, colours = f"synthesis.{name}", layer.is_torgb
        style, weight = full(row[None], w, f"{name}.affine")[0], w[f"{name}.weight"]
        if colours:
            style = style / math.sqrt(weight[0].size)
        else:
            weight = weight / np.sqrt((weight**2).mean((1, 2, 3), keepdims=True))
            style = style / np.sqrt((style**2).mean())
        weight = weight * style[None, :, None, None]
        if not colours:
            weight = weight / np.sqrt((weight**2).sum((1, 2, 3), keepdims=True) + 1e-8)
        weight = weight / math.sqrt(w[f"{name}.magnitude_ema"])
        pad = weight.shape[2] - 1
        wide = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
        x = np.stack([sum(_within(m, k[::-1, ::-1]) for m, k in zip(wide, r)) for r in weight])
        x = x + w[f"{name}.bias"][:, None, None]
        x = filtered(x, w.get(f"{name}.up_filter"), layer.up_factor, 1, layer.padding[:2])
        x = (x if colours else lrelu(x)).clip(-clamp, clamp)
        x = filtered(x, w.get(f"{name}.down_filter"), 1, layer.down_factor, (0, 0))
        assert x.shape[1] == layer.out_size[0]
    return x / 4


@pytest.mark.parametrize("kernel, clamp", [(3, CLAMP), (1, None)], ids=["T", "R"])
def test_stylegan3_draws_the_same(tmp_path, kernel, clamp):
    theirs_ = stylegan3(kernel, clamp)
    file = written(tmp_path / "a.pkl", theirs_, 4 if clamp else 5)
    assert convert(file, tmp_path / "out").family == "nvidia stylegan3"
    assert inspect(tmp_path / "out").family == "stylegan3"
    w, source = numbers(theirs_), np.random.default_rng(9)
    model = open_stylegan(tmp_path / "out")
    assert (model.size, model.layers, model.noise) == (SIZE, DEPTH + 2, 0)
    assert stylegan_side(tmp_path / "out") == SIZE
    with pytest.raises(BadInput, match="give a StyleGAN2"):
        _ = model.stylegan2
    z, rows = source.standard_normal((2, WIDTH)), source.standard_normal((2, DEPTH + 2, WIDTH))
    made = model.mapping(torch.from_numpy(z).float())
    np.testing.assert_allclose(made, mapped(w, z), atol=1e-5)
    assert min(features(w, row[0], kernel)[1].min() for row in rows) < 1, "some waves fade"
    wanted = [synthesised3(theirs_, w, row, kernel, clamp or np.inf) for row in rows]
    none = torch.zeros(1, 0)
    found = model.synthesis(torch.from_numpy(rows).float(), none)
    np.testing.assert_allclose(found * 2 - 1, wanted, atol=1e-4)
    exact = model.to("cpu", torch.float64)
    found = exact.synthesis(torch.from_numpy(rows), none)
    np.testing.assert_allclose(found * 2 - 1, wanted, atol=1e-6)
    assert np.abs(np.array(wanted)).max() > 0.05


@pytest.fixture(scope="module")
def third(tmp_path_factory):
    place = tmp_path_factory.mktemp("third")
    convert(written(place / "a.pkl", stylegan3(3)), place / "out")
    return open_stylegan(place / "out")


def test_stylegan3_turns_and_shifts(third):
    model = third.to("cpu", torch.float64)
    turn = np.array([[0.6, -0.8, 0.1], [0.8, 0.6, -0.2], [0, 0, 1]])
    row = np.random.default_rng(1).standard_normal((DEPTH + 2, WIDTH))
    model.network.synthesis.input.transform.copy_(torch.from_numpy(turn))
    found = model.synthesis(torch.from_numpy(row)[None], torch.zeros(1, 0))[0]
    network = stylegan3(3)
    wanted = synthesised3(network, numbers(network), row, 3, CLAMP, turn)
    np.testing.assert_allclose(found * 2 - 1, wanted, atol=1e-6)


@pytest.mark.parametrize("kind", ["z", "w", "w+", "styles"])
def test_stylegan3_is_searched_as_stylegan2(third, kind):
    generator = stylegan(third, kind=kind)
    start = generator.start(Noise(0, range(2)))
    start[kind].requires_grad_()
    pictures = generator.render(start)
    assert pictures.shape == (2, 3, SIZE, SIZE)
    alone = generator.render({name: value[1:] for name, value in start.items()})
    torch.testing.assert_close(alone[0], pictures[1], atol=1e-5, rtol=0)
    pictures.sum().backward()
    assert start[kind].grad.abs().flatten(1).sum(1).min() > 0


def test_a_broken_stylegan3_is_named(tmp_path):
    network = stylegan3(3)
    for name, layer in list(network.synthesis.named_children())[-1:]:
        setattr(network.synthesis, name, layer)
        layer.is_torgb = False
    with pytest.raises(BadInput, match="make colours"):
        convert(written(tmp_path / "a.pkl", network), tmp_path / "out")
    network = stylegan3(3)
    network.synthesis.input.size = np.array([99999, 99999])
    with pytest.raises(BadInput, match="from 1 to 4096"):
        convert(written(tmp_path / "a.pkl", network), tmp_path / "out")


def test_tensorflow_s_pickles_are_named(tmp_path):
    body = b"\x80\x03(cdnnlib.tflib.network\nNetwork\n)\x81}bt."
    (tmp_path / "a.pkl").write_bytes(body)
    with pytest.raises(BadInput, match="TensorFlow's StyleGAN"):
        convert(tmp_path / "a.pkl", tmp_path / "out")


def test_the_modules_are_gone_afterwards(tmp_path):
    with theirs():
        pass
    assert not {"torch_utils", "torch_utils.persistence", "dnnlib.util"} & set(sys.modules)
