import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from limner.errors import BadInput
from limner.training import _checkpoint
from limner.training._coders import build_kl, build_vq, vq_of_kl
from limner.training._data import Captioned, to_tensor
from limner.training.autoencoder import Autoencoder
from limner.training.loop import Plan
from limner.training.vqgan import VqCoder, vqgan

sys.path.insert(0, str(Path(__file__).parent))
from _toy import Bars

PLAN = Plan(
    steps=6, batch_size=8, learning_rate=5e-4, warmup_steps=4, save_every=4, ema=0.8, seed=2
)
WIDTHS = (8, 8, 16, 16)


def recipe(codes=32, **options):
    torch.manual_seed(1)
    data, coder = Captioned(Bars(), 1), VqCoder(build_vq(WIDTHS, codes))
    coder.begin(data)
    return Autoencoder(data, coder, crop=16, seed=1, **options)


def unseen(count=16):
    return to_tensor(Captioned(Bars()).unseen(count)[0]).float() / 127.5 - 1


@pytest.fixture(scope="module")
def kl_folder(tmp_path_factory):
    """With a scale and a shift, and a quant_conv whose mean looks at the variance's channels."""
    torch.manual_seed(5)
    kl = build_kl(WIDTHS, latent_channels=4)
    kl.register_to_config(scaling_factor=0.7, shift_factor=0.3)
    for convolution in (kl.quant_conv, kl.post_quant_conv):
        torch.nn.init.normal_(convolution.weight, std=0.4)
        torch.nn.init.normal_(convolution.bias, std=0.4)
    folder = tmp_path_factory.mktemp("kl")
    kl.save_pretrained(folder)
    return folder


def test_it_begins_as_the_autoencoder_that_it_is_made_of(kl_folder):
    from diffusers import AutoencoderKL

    kl, pictures = AutoencoderKL.from_pretrained(kl_folder), unseen(4)
    model = vq_of_kl(kl, 16)
    with torch.no_grad():
        mean = kl.encode(pictures).latent_dist.mean
        z = model.encode(pictures).latents
        torch.testing.assert_close(z, (mean - 0.3) * 0.7, atol=1e-5, rtol=1e-5)
        drawn = model.decode(z, force_not_quantize=True).sample
        torch.testing.assert_close(drawn, kl.decode(mean).sample, atol=1e-4, rtol=1e-4)


def test_forward_it_is_diffusers_own_and_the_gradient_goes_to_z():
    made, real = recipe(), unseen(2)
    model = made.coder.model
    drawn, loss, told = made.coder.draw(real, learning=False)
    wanted = model(real)
    torch.testing.assert_close(drawn, wanted.sample)
    code = model.quantize(model.encode(real).latents)[0]
    error = (model.encode(real).latents - code).square().mean()
    torch.testing.assert_close(loss, 0.25 * error)
    torch.testing.assert_close(told["commitment"], error)
    drawn.square().mean().backward()
    assert model.encoder.conv_in.weight.grad.abs().sum() > 0
    assert model.quantize.embedding.weight.grad is None


def test_codes_begin_at_the_means_of_z():
    made, plain = recipe(), unseen()
    model = made.coder.model
    z = model.encode(plain).latents
    code, _ = made.coder.codebook(z)
    away = (z - z.mean((0, 2, 3), keepdim=True)).square().mean()
    assert (z - code).square().mean() < 0.2 * away
    assert made.coder.measure(plain)["codebook_use"] > 0.5


def test_it_learns():
    made = recipe()
    parameters = [p for p in made.coder.player.parameters() if p.requires_grad]
    optimiser, pixels = torch.optim.Adam(parameters, 3e-3), []
    before = made.coder.codebook.codes.clone()
    for step in range(24):
        optimiser.zero_grad()
        logged = made.learn("autoencoder", made.batch(step, 8, 0, 1), step, torch.Tensor.backward)
        optimiser.step()
        pixels.append(logged["pixel"].item())
    assert np.mean(pixels[-4:]) < 0.75 * np.mean(pixels[:4])
    assert not torch.equal(before, made.coder.codebook.codes)


def test_only_the_loss_s_own_step_moves_the_codes():
    made = recipe(adversarial_from=0)
    codes = made.coder.codebook.codes
    before, batch = codes.clone(), made.batch(0, 4, 0, 1)
    made.learn("discriminator", batch, 0, torch.Tensor.backward)
    made.coder.measure(unseen(2))
    assert torch.equal(codes, before)
    made.learn("autoencoder", batch, 0, torch.Tensor.backward)
    assert not torch.equal(codes, before)


def test_a_training_ends_in_a_folder_that_diffusers_opens(tmp_path):
    from diffusers import VQModel

    options = dict(codes=24, crop=16, adversarial_from=3)
    done = list(vqgan(Bars(), tmp_path, replace(PLAN, preview_every=4), **options))
    assert set(done[-1].metrics) >= {"psnr", "codebook_use", "commitment", "revived", "telling"}
    model = VQModel.from_pretrained(tmp_path / "model")
    stored = _checkpoint.read(_checkpoint.newest(tmp_path / "checkpoints"))[0]
    weights, average = stored["autoencoder.weights"], stored["autoencoder.ema"]
    assert torch.equal(model.encoder.conv_in.weight, average["model.encoder.conv_in.weight"])
    codes = weights["codebook.total"] / weights["codebook.share"][:, None]
    torch.testing.assert_close(model.quantize.embedding.weight.data, codes)
    with torch.no_grad():
        z = model.encode(unseen()).latents
        index = model.quantize(z)[2][2]
    wanted = torch.cdist(z.permute(0, 2, 3, 1).flatten(0, 2), codes).argmin(1)
    assert torch.equal(index, wanted) and index.unique().numel() >= 8
    (line,) = (tmp_path / "previews" / "step-000004.json").read_text().splitlines()
    told = json.loads(line)
    assert told["step"] == 4 and 5 < told["psnr"] < 40 and 0.3 < told["codebook_use"] <= 1


def test_a_stopped_training_goes_on_bit_for_bit(tmp_path):
    whole = list(vqgan(Bars(), tmp_path / "whole", PLAN, codes=24, crop=16))
    first = vqgan(Bars(), tmp_path / "halves", PLAN, codes=24, crop=16)
    begun = [next(first) for _ in range(3)]
    first.close()
    rest = list(vqgan(Bars(), tmp_path / "halves", PLAN, codes=24, crop=16, resume=True))
    assert [p.metrics for p in begun + rest] == [p.metrics for p in whole]
    name = "model/diffusion_pytorch_model.safetensors"
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "halves" / name).read_bytes()


def test_it_goes_on_from_its_own_folder(tmp_path, kl_folder):
    from safetensors.torch import load_file

    file = "model/diffusion_pytorch_model.safetensors"
    one = replace(PLAN, steps=1, learning_rate=1e-9)
    list(vqgan(Bars(), tmp_path / "a", one, codes=24, crop=16, start=str(kl_folder)))
    list(vqgan(Bars(), tmp_path / "b", one, crop=16, start=str(tmp_path / "a" / "model")))
    before, after = (load_file(tmp_path / run / file) for run in "ab")
    assert before.keys() == after.keys()
    for name, weight in before.items():  # the codes move by a hundredth of the way
        near = 0.2 if "embedding" in name else 1e-5
        torch.testing.assert_close(after[name], weight, atol=near, rtol=near)
    with pytest.raises(BadInput, match="has 24, leave --codes away"):
        start = str(tmp_path / "a" / "model")
        list(vqgan(Bars(), tmp_path / "c", one, codes=25, crop=16, start=start))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(codes=1), "codes 1: give 2 to 4096"),
        (dict(codes=4097), "codes 4097: give 2 to 4096"),
        (dict(start="nowhere/at-all"), "no model folder at 'nowhere/at-all'"),
        (dict(crop=20), "multiple of 8"),
        (dict(clip="nowhere/clip"), "nowhere"),
    ],
)
def test_refuses_options_that_make_no_sense(tmp_path, options, message):
    with pytest.raises(BadInput, match=message):
        list(vqgan(Bars(), tmp_path / "run", PLAN, **{"crop": 16, **options}))
    assert not (tmp_path / "run").exists()


def test_refuses_a_run_of_another_codebook(tmp_path):
    one = replace(PLAN, steps=1)
    list(vqgan(Bars(), tmp_path, one, codes=24, crop=16))
    with pytest.raises(BadInput, match="another network"):
        list(vqgan(Bars(), tmp_path, PLAN, codes=25, crop=16, resume=True))
