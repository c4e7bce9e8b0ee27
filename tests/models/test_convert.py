"""Other programs' checkpoints, drawn here, against float64 evaluations of their equations."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from limner.errors import BadInput
from limner.generators.vqgan import vqgan
from limner.models.clip import open_clip
from limner.models.convert import convert
from limner.models.inspect import inspect
from limner.models.stylegan import open_stylegan
from limner.models.vqgan import open_vqgan

YAML = """
model:
  base_learning_rate: 4.5e-06
  target: taming.models.vqgan.VQModel
  params:
    embed_dim: 4
    n_embed: 40
    ddconfig:
      double_z: false
      z_channels: 6
      resolution: 32
      in_channels: 3
      out_ch: 3
      ch: 32
      ch_mult: [1, 1, 2]
      num_res_blocks: 1
      attn_resolutions: [8]
      dropout: 0.0
    lossconfig:
      target: taming.modules.losses.vqperceptual.VQLPIPSWithDiscriminator
"""


class Drawn(dict):
    """A state dict in float64, drawn as it is asked for: the evaluation says what there is."""

    def __init__(self):
        super().__init__()
        self.source = torch.Generator().manual_seed(1)

    def at(self, name, *shape, scale=None, mean=0.0):
        if name not in self:
            fan = math.prod(shape[1:]) or 1
            drawn = torch.randn(shape, generator=self.source, dtype=torch.float64)
            # as float32 numbers, so that the file holds exactly these
            self[name] = (mean + drawn * (scale or fan**-0.5)).float().double()
        return self[name]


def conv(w, name, x, out, side, **more):
    weight = w.at(f"{name}.weight", out, x.shape[1], side, side)
    return F.conv2d(x, weight, w.at(f"{name}.bias", out, scale=0.1), **more)


def norm(w, name, x):
    c = x.shape[1]
    weight = w.at(f"{name}.weight", c, scale=0.2, mean=1.0)
    return F.group_norm(x, 32, weight, w.at(f"{name}.bias", c, scale=0.1), eps=1e-6)


def swish(x):
    return x * torch.sigmoid(x)


def block(w, name, x, out):
    h = conv(w, f"{name}.conv1", swish(norm(w, f"{name}.norm1", x)), out, 3, padding=1)
    h = conv(w, f"{name}.conv2", swish(norm(w, f"{name}.norm2", h)), out, 3, padding=1)
    return h + (x if x.shape[1] == out else conv(w, f"{name}.nin_shortcut", x, out, 1))


def looks(w, name, x):
    c = x.shape[1]
    h = norm(w, f"{name}.norm", x)
    q, k, v = (conv(w, f"{name}.{each}", h, c, 1).flatten(2) for each in "qkv")
    seen = torch.softmax(q.transpose(1, 2) @ k / math.sqrt(c), 2)
    return x + conv(w, f"{name}.proj_out", (v @ seen.transpose(1, 2)).view(x.shape), c, 1)


def middle(w, name, h):
    h = looks(w, f"{name}.attn_1", block(w, f"{name}.block_1", h, h.shape[1]))
    return block(w, f"{name}.block_2", h, h.shape[1])


def encoded(w, x, latent=6):
    h = conv(w, "encoder.conv_in", x, 32, 3, padding=1)
    for i, width in enumerate((32, 32, 64)):
        h = block(w, f"encoder.down.{i}.block.0", h, width)
        if i == 2:
            h = looks(w, f"encoder.down.{i}.attn.0", h)
        else:
            h = F.pad(h, (0, 1, 0, 1))
            h = conv(w, f"encoder.down.{i}.downsample.conv", h, width, 3, stride=2)
    h = swish(norm(w, "encoder.norm_out", middle(w, "encoder.mid", h)))
    return conv(w, "quant_conv", conv(w, "encoder.conv_out", h, latent, 3, padding=1), 4, 1)


def decoded(w, z, latent=6):
    h = conv(w, "decoder.conv_in", conv(w, "post_quant_conv", z, latent, 1), 64, 3, padding=1)
    h = middle(w, "decoder.mid", h)
    for i, width in ((2, 64), (1, 32), (0, 32)):
        for j in range(2):
            h = block(w, f"decoder.up.{i}.block.{j}", h, width)
            if i == 2:
                h = looks(w, f"decoder.up.{i}.attn.{j}", h)
        if i:
            h = h.repeat_interleave(2, 2).repeat_interleave(2, 3)
            h = conv(w, f"decoder.up.{i}.upsample.conv", h, width, 3, padding=1)
    return conv(w, "decoder.conv_out", swish(norm(w, "decoder.norm_out", h)), 3, 3, padding=1)


@pytest.mark.parametrize("legacy", [False, True])
def test_taming_s_vqgan_has_the_same_codes(tmp_path, legacy):
    w, pictures = Drawn(), torch.rand(3, 3, 32, 32)
    z = encoded(w, pictures.double() * 2 - 1)
    book = w.at("quantize.embedding.weight", 40, 4, scale=float(z.std()))
    index = ((z[:, None] - book[None, :, :, None, None]) ** 2).sum(2).argmin(1)
    drawn = decoded(w, book[index].permute(0, 3, 1, 2)) / 2 + 0.5
    state = {name: tensor.float() for name, tensor in w.items()}
    state["loss.discriminator.main.0.weight"] = torch.zeros(2)
    told = {"epoch": 9, "state_dict": state, "optimizer_states": [{"state": {0: torch.ones(2)}}]}
    torch.save(told, tmp_path / "a.ckpt", _use_new_zipfile_serialization=not legacy)
    (tmp_path / "a.yaml").write_text(YAML)
    said = convert(tmp_path / "a.ckpt", tmp_path / "out", licence="MIT")
    assert said.family == "vqgan" and said.plain["epoch"] == 9
    model = open_vqgan(tmp_path / "out")
    assert torch.equal(model.codes(pictures), index) and index.unique().numel() > 8
    ours = model.decode(model.looked_up(index))
    torch.testing.assert_close(ours.double(), drawn, atol=1e-4, rtol=1e-4)
    assert (model.licence, model.size, model.downscale) == ("MIT", 32, 4)


def test_taming_s_gumbel_vqgan_has_the_same_codes(tmp_path):
    """The code of the greatest logit, which is seldom the nearest to what is encoded."""
    w, pictures = Drawn(), torch.rand(3, 3, 32, 32)
    h = encoded(w, pictures.double() * 2 - 1, 4)
    logits = conv(w, "quantize.proj", h, 40, 1)
    book, index = w.at("quantize.embed.weight", 40, 4, scale=float(h.std())), logits.argmax(1)
    nearest = ((h[:, None] - book[None, :, :, None, None]) ** 2).sum(2).argmin(1)
    drawn = decoded(w, book[index].permute(0, 3, 1, 2), 4) / 2 + 0.5
    torch.save({"state_dict": {n: t.float() for n, t in w.items()}}, tmp_path / "a.ckpt")
    text = YAML.replace("VQModel", "GumbelVQ").replace("z_channels: 6", "z_channels: 4")
    (tmp_path / "a.yaml").write_text(text + "    temperature_scheduler_config: {target: x}\n")
    assert convert(tmp_path / "a.ckpt", tmp_path / "out").family == "gumbel vqgan"
    model = open_vqgan(tmp_path / "out")
    assert torch.equal(model.codes(pictures), index) and index.unique().numel() > 8
    assert (index == nearest).float().mean() < 0.5
    z = model.encode(pictures)
    assert torch.equal(z, model.looked_up(index)) and torch.equal(model.quantise(z)[1], index)
    torch.testing.assert_close(model.decode(z).double(), drawn, atol=1e-4, rtol=1e-4)
    assert torch.equal(model.to("cpu", torch.float64).codes(pictures), index)
    latent = vqgan(model).invert(pictures)  # the search's z, and back through the same code
    latent["z"].requires_grad_()
    vqgan(model).render(latent).sum().backward()
    assert (latent["z"].grad != 0).any(1).all() and inspect(tmp_path / "out").opens


def test_a_vqgan_needs_its_own_yaml(tmp_path):
    torch.save(
        {f"{n}.weight": torch.zeros(2) for n in ("encoder.a", "decoder.a", "quant_conv")}
        | {"quantize.embedding.weight": torch.zeros(2)},
        tmp_path / "a.ckpt",
    )
    with pytest.raises(BadInput, match=r"0 \.yaml files"):
        convert(tmp_path / "a.ckpt", tmp_path / "out")
    for text, words in (
        (YAML, "not those of its config"),
        (YAML.replace("VQModel", "EMAVQ"), "EMAVQ"),
        (YAML.replace("VQModel", "../../os.system"), "expected taming"),
        ("a: &b [1]\nc: [*b, *b]", "anchors"),
        ("a: !!python/object/apply:os.system ['true']", "tags"),
        ("a: " + "[" * 3000, "depths"),
        ("a: {", "not YAML"),
        ("x" * 40_000, "too long"),
        (YAML.replace("ch: 32", "ch: 65536"), "config"),
    ):
        (tmp_path / "a.yaml").write_text(text)
        with pytest.raises(BadInput, match=words):
            convert(tmp_path / "a.ckpt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def linear(w, weight, bias, x, out):
    return x @ w.at(weight, out, x.shape[-1]).T + w.at(bias, out, scale=0.1)


def layer_norm(w, name, x):
    d = x.shape[-1]
    weight = w.at(f"{name}.weight", d, scale=0.1, mean=1.0)
    return F.layer_norm(x, (d,), weight, w.at(f"{name}.bias", d, scale=0.1))


def transformer(w, prefix, x, causal):
    b, n, d = x.shape
    for i in range(2):
        name = f"{prefix}transformer.resblocks.{i}"
        h = layer_norm(w, f"{name}.ln_1", x)
        h = linear(w, f"{name}.attn.in_proj_weight", f"{name}.attn.in_proj_bias", h, 3 * d)
        q, k, v = (p.view(b, n, d // 64, 64).transpose(1, 2) for p in h.chunk(3, 2))
        said = q @ k.transpose(2, 3) / 8
        if causal:
            said = said.masked_fill(torch.ones(n, n).triu(1).bool(), -math.inf)
        h = (said.softmax(3) @ v).transpose(1, 2).reshape(b, n, d)
        x = x + linear(w, f"{name}.attn.out_proj.weight", f"{name}.attn.out_proj.bias", h, d)
        h = layer_norm(w, f"{name}.ln_2", x)
        h = linear(w, f"{name}.mlp.c_fc.weight", f"{name}.mlp.c_fc.bias", h, 4 * d)
        h = h * torch.sigmoid(1.702 * h)
        x = x + linear(w, f"{name}.mlp.c_proj.weight", f"{name}.mlp.c_proj.bias", h, d)
    return x


def seen(w, pictures):
    h = F.conv2d(pictures, w.at("visual.conv1.weight", 128, 3, 8, 8), stride=8)
    h = h.flatten(2).transpose(1, 2)
    first = w.at("visual.class_embedding", 128, scale=0.3).expand(len(h), 1, -1)
    h = torch.cat([first, h], 1) + w.at("visual.positional_embedding", 17, 128, scale=0.3)
    h = transformer(w, "visual.", layer_norm(w, "visual.ln_pre", h), False)
    return layer_norm(w, "visual.ln_post", h[:, 0]) @ w.at("visual.proj", 128, 24)


def read(w, tokens, words):
    h = w.at("token_embedding.weight", words, 64, scale=0.3)[tokens]
    h = h + w.at("positional_embedding", 12, 64, scale=0.3)
    h = layer_norm(w, "ln_final", transformer(w, "", h, True))
    return h[range(len(h)), tokens.argmax(1)] @ w.at("text_projection", 64, 24)


class Holder(torch.nn.Module):
    """Tensors under dotted names, to be scripted: the layout of OpenAI's archives."""

    def __init__(self, state):
        super().__init__()
        for name in {name.split(".")[0] for name in state}:
            inner = {n[len(name) + 1 :]: t for n, t in state.items() if n.startswith(name + ".")}
            if inner:
                self.add_module(name, Holder(inner))
            else:
                self.register_parameter(name, torch.nn.Parameter(state[name], requires_grad=False))

    def forward(self, x):
        return x


@pytest.mark.parametrize("script", [False, True])
def test_openai_s_clip_gives_the_same_embeddings(tmp_path, script):
    from transformers import CLIPModel

    w, pictures = Drawn(), torch.rand(3, 3, 32, 32)
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    theirs = seen(w, ((pictures - mean) / std).double())
    tokens = torch.tensor([[49406, 320, 2368, 49407] + [0] * 8, [49406, 533, 49407] + [0] * 9])
    texts = read(w, tokens, 49408)
    state = {name: tensor.float() for name, tensor in w.items()}
    state |= {"logit_scale": torch.tensor(4.6)}
    state |= {"input_resolution": torch.tensor(32), "vocab_size": torch.tensor(49408)}
    if script:
        torch.jit.script(Holder(state)).save(tmp_path / "clip.pt")
    else:
        torch.save(state, tmp_path / "clip.pt")
    said = convert(tmp_path / "clip.pt", tmp_path / "out")
    assert said.family == "clip"
    ours, model = open_clip(tmp_path / "out"), CLIPModel.from_pretrained(tmp_path / "out").eval()
    cosine = F.cosine_similarity(ours.embed_pictures(pictures).double(), theirs)
    assert cosine.min() > 0.99999 and abs(ours.logit_scale - math.exp(4.6)) < 1e-3
    with torch.no_grad():
        of_texts = model.get_text_features(tokens).pooler_output
        of_pictures = model.get_image_features((pictures - mean) / std).pooler_output
    assert F.cosine_similarity(of_texts.double(), texts).min() > 0.99999
    assert F.cosine_similarity(of_pictures.double(), theirs).min() > 0.99999
    mine = F.cosine_similarity(ours.embed_texts(["a cat", "is"]).double(), texts)
    assert mine.min() > 0.99999 and len(set(mine.tolist())) == 2


def test_a_clip_of_another_vocabulary_needs_its_tokenizer(tmp_path):
    w = Drawn()
    seen(w, torch.rand(1, 3, 32, 32).double())
    read(w, torch.tensor([[1, 9] + [0] * 10]), 10)
    sizes = {"logit_scale": torch.tensor(1.0), "vocab_size": torch.tensor(10)}
    torch.save({**w, **sizes}, tmp_path / "clip.pt")
    with pytest.raises(BadInput, match="--tokenizer"):
        convert(tmp_path / "clip.pt", tmp_path / "out")
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "vocab.json").write_text("{}")
    convert(tmp_path / "clip.pt", tmp_path / "out", tokenizer=tmp_path / "words")
    assert (tmp_path / "out" / "vocab.json").is_file()


def equal_linear(w, name, x, out, rate=1.0, bias=0.0):
    weight = w.at(f"{name}.weight", out, x.shape[1], scale=1 / rate)
    shift = w.at(f"{name}.bias", out, scale=0.1 / rate, mean=bias / rate)
    return x @ weight.T * (rate / math.sqrt(x.shape[1])) + shift * rate


def fir(x, up, before, after, gain):
    """Zeros between, zeros around, then the taps: a sum over shifts."""
    b, c, h, width = x.shape
    big = x.new_zeros(b, c, h * up, width * up)
    big[:, :, ::up, ::up] = x
    big = F.pad(big, (before, after, before, after))
    taps, out = [1 / 8, 3 / 8, 3 / 8, 1 / 8], 0
    side = big.shape[2] - 3, big.shape[3] - 3
    for i, a in enumerate(taps):
        for j, e in enumerate(taps):
            out = out + gain * a * e * big[:, :, i : i + side[0], j : j + side[1]]
    return out


def styled(w, name, x, row, out, side, up=False, demodulate=True):
    i = x.shape[1]
    style = equal_linear(w, f"{name}.modulation", row, i, bias=1.0)
    weight = w.at(f"{name}.weight", 1, out, i, side, side, scale=1.0)
    weight = weight / math.sqrt(i * side * side) * style[:, None, :, None, None]
    if demodulate:
        weight = weight * (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    rows = []
    for one, kernel in zip(x, weight):
        if up:
            y = F.conv_transpose2d(one[None], kernel.transpose(0, 1), stride=2)
            rows.append(fir(y, 1, 1, 1, 4.0))
        else:
            rows.append(F.conv2d(one[None], kernel, padding=side // 2))
    return torch.cat(rows)


def activated(w, name, x, noise):
    x = x + w.at(f"{name}.noise.weight", 1, scale=0.3) * noise
    x = x + w.at(f"{name}.activate.bias", x.shape[1], scale=0.2)[:, None, None]
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def coloured(w, name, x, row, before=None):
    y = styled(w, f"{name}.conv", x, row, 3, 1, demodulate=False)
    y = y + w.at(f"{name}.bias", 1, 3, 1, 1, scale=0.2)
    return y if before is None else y + fir(before, 2, 2, 1, 4.0)


def mapped(w, z):
    z = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
    for i in (1, 2, 3):
        z = F.leaky_relu(equal_linear(w, f"style.{i}", z, 16, rate=0.01), 0.2) * math.sqrt(2)
    return z


def synthesised(w, rows, noises):
    x = w.at("input.input", 1, 12, 4, 4, scale=1.0).expand(len(rows), -1, -1, -1)
    x = activated(w, "conv1", styled(w, "conv1.conv", x, rows[:, 0], 12, 3), noises[0])
    picture = coloured(w, "to_rgb1", x, rows[:, 1])
    for j, width in enumerate((8, 6)):
        for k in (0, 1):
            name, at = f"convs.{2 * j + k}", 1 + 2 * j + k
            x = styled(w, f"{name}.conv", x, rows[:, at], width, 3, up=k == 0)
            x = activated(w, name, x, noises[at])
        picture = coloured(w, f"to_rgbs.{j}", x, rows[:, 3 + 2 * j], picture)
    return picture


def test_rosinality_s_stylegan2_draws_the_same(tmp_path):
    w, z = Drawn(), torch.randn(2, 16, dtype=torch.float64)
    rows = torch.randn(2, 6, 16, dtype=torch.float64)
    noises = [torch.randn(2, 1, s, s, dtype=torch.float64) for s in (4, 8, 8, 16, 16)]
    theirs, wanted = mapped(w, z), synthesised(w, rows, noises)
    own = {name: tensor.float() for name, tensor in w.items()}
    own |= {"noises.noise_0": torch.zeros(1, 1, 4, 4), "to_rgbs.0.upsample.kernel": torch.ones(4)}
    mean = torch.randn(16)
    told = {"g_ema": own, "latent_avg": mean, "g": {}, "g_optim": {"state": {0: torch.ones(1)}}}
    torch.save(told, tmp_path / "s.pt")
    assert convert(tmp_path / "s.pt", tmp_path / "out").family == "stylegan2"
    model = open_stylegan(tmp_path / "out").to("cpu", torch.float64)
    assert (model.size, model.layers, model.width) == (16, 6, 16)
    torch.testing.assert_close(model.mapping(z), theirs, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        drawn = model.synthesis(rows, torch.cat([each.flatten(1) for each in noises], 1))
    torch.testing.assert_close(drawn, wanted / 2 + 0.5, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model.w_mean.float(), mean)
    many = mapped(w, torch.randn(4000, 16, dtype=torch.float64))
    torch.testing.assert_close(model.w_std, many.std(0), rtol=0.1, atol=1e-3)


def test_others_keep_their_names(tmp_path):
    names = ("model.diffusion_model.a", "first_stage_model.b", "cond_stage_model.c")
    state = {name: torch.randn(3, 2).half().t() for name in names}  # as columns
    state["tied"] = state[names[0]]
    state["turned"] = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    torch.save({"state_dict": state, "global_step": 5}, tmp_path / "sd.ckpt")
    said = convert(tmp_path / "sd.ckpt", tmp_path / "out")
    assert (said.family, said.tensors, said.plain["global_step"]) == ("stable diffusion", 5, 5)
    kept = load_file(tmp_path / "out" / "model.safetensors")
    assert {n: t.dtype for n, t in kept.items()} == {n: t.dtype for n, t in state.items()}
    assert all(torch.equal(kept[name], tensor) for name, tensor in state.items())
    assert json.loads((tmp_path / "out" / "limner.json").read_text())["source"] == "sd.ckpt"
    with pytest.raises(BadInput, match="there already"):
        convert(tmp_path / "sd.ckpt", tmp_path / "out")
    for wrong, words in (("no.ckpt", "not there"), (".", "no file"), ("a\0b", "name")):
        with pytest.raises(BadInput, match=words):
            convert(tmp_path / wrong, tmp_path / "other")
