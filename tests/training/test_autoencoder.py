import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from limner.errors import BadInput
from limner.training._coders import ClipFeatures, PatchDiscriminator, build_kl
from limner.training._data import Captioned
from limner.training.autoencoder import Autoencoder, KlCoder, autoencoder, sharpness
from limner.training.loop import Plan

sys.path.insert(0, str(Path(__file__).parent))
from _toy import Bars, tiny_clip

PLAN = Plan(
    steps=20, batch_size=8, learning_rate=3e-3, warmup_steps=4, save_every=50, ema=0.8, seed=2
)


def kl(weight=1e-6, **options):
    torch.manual_seed(1)
    coder = KlCoder(build_kl((8, 8, 16, 16), latent_channels=4), weight)
    return Autoencoder(Captioned(Bars(), 1), coder, crop=16, seed=1, **options)


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    tiny_clip().export(folder)
    return folder


def gradient_of(loss, parameter):
    return torch.autograd.grad(loss, parameter, retain_graph=True)[0]


def test_a_batch_is_crops_and_every_fourth_time_whole_pictures():
    made = kl()
    for step in range(4):
        batch = made.batch(step, 8, 0, 1)
        pictures, _ = made.data.step(step, 2 if step == 3 else 4, 0, 1)
        if step == 3:
            assert np.array_equal(batch.permute(0, 2, 3, 1), pictures)
            continue
        assert batch.shape == (8, 3, 16, 16) and batch.dtype == torch.uint8
        for row, crop in enumerate(batch.permute(0, 2, 3, 1).numpy()):
            views = np.lib.stride_tricks.sliding_window_view(pictures[row // 2], (16, 16, 3))
            assert (views[:, :, 0] == crop).all(axis=(2, 3, 4)).sum() == 1
    corners = {tuple(made.batch(step, 8, 0, 1)[0].flatten().tolist()) for step in (0, 4, 8)}
    assert len(corners) == 3


def test_processes_share_the_batch_of_one():
    made = kl()
    for step in (0, 3):
        parts = [made.batch(step, 4, rank, 2) for rank in range(2)]
        assert torch.equal(torch.cat(parts), made.batch(step, 8, 0, 1))


def test_loss_is_pixels_edges_and_bottleneck():
    """Against the sum written out, with the noise of the posterior drawn again."""
    made = kl(weight=0.01, sharpness_weight=0.7)
    batch, losses = made.batch(0, 4, 0, 1), []
    torch.manual_seed(3)
    logged = made.learn("autoencoder", batch, 0, losses.append)
    real = batch.float() / 127.5 - 1
    torch.manual_seed(3)
    posterior = made.coder.model.encode(real).latent_dist
    drawn = made.coder.model.decode(posterior.mean + posterior.std * torch.randn(4, 4, 2, 2)).sample
    error = drawn - real
    edges = (error[..., 1:] - error[..., :-1]).abs().mean()
    edges = edges + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    mean, logvar = posterior.mean, posterior.logvar
    divergence = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum((1, 2, 3)).mean()
    wanted = error.abs().mean() + 0.7 * edges + 0.01 * divergence
    torch.testing.assert_close(losses[0], wanted)
    assert logged["psnr"].item() == pytest.approx(
        -10 * math.log10(error.detach().square().mean() / 4), 1e-4
    )
    torch.testing.assert_close(sharpness(drawn, real), edges)


def test_it_learns():
    made = kl()
    optimiser = torch.optim.Adam(made.coder.model.parameters(), 3e-3)
    pixels = []
    for step in range(24):
        optimiser.zero_grad()
        logged = made.learn("autoencoder", made.batch(step, 8, 0, 1), step, torch.Tensor.backward)
        optimiser.step()
        pixels.append(logged["pixel"].item())
    assert np.mean(pixels[-4:]) < 0.75 * np.mean(pixels[:4])


def test_the_adversarial_weight_is_that_of_its_definition():
    """Esser et al. 2021, eq. 7: λ = ∇L / (∇G + δ) at the last layer, by two backward passes."""
    made = kl(adversarial_from=5, adversarial_weight=0.3)
    batch, losses = made.batch(5, 4, 0, 1), []
    torch.manual_seed(3)
    logged = made.learn("autoencoder", batch, 5, losses.append)
    real = batch.float() / 127.5 - 1
    torch.manual_seed(3)
    posterior = made.coder.model.encode(real).latent_dist
    drawn = made.coder.model.decode(posterior.sample()).sample
    plain = (drawn - real).abs().mean() + sharpness(drawn, real)
    judged = -made.players["discriminator"](drawn).mean()
    last = made.coder.model.decoder.conv_out.weight
    of_plain, of_judged = gradient_of(plain, last), gradient_of(judged, last)
    weight = 0.3 * of_plain.norm() / (of_judged.norm() + 1e-6)
    wanted = plain + weight.detach() * judged + 1e-6 * posterior.kl().mean()
    torch.testing.assert_close(losses[0], wanted)
    torch.testing.assert_close(logged["fooling"], judged)
    # both pull at the last layer with forces of 1 to 0.3
    pulled = gradient_of(losses[0], last) - gradient_of(1e-6 * posterior.kl().mean() + plain, last)
    assert pulled.norm() / of_plain.norm() == pytest.approx(0.3, rel=1e-3)


def test_the_adversarial_weight_has_a_limit():
    made = kl(adversarial_from=0)
    last = made.coder.model.decoder.conv_out.weight
    assert made._adaptive(last.sum(), 1e-9 * last.sum()) == pytest.approx(0.1 * 1e4)


def test_the_discriminator_learns_by_hinge_loss_from_its_step_on():
    made = kl(adversarial_from=5)
    batch, losses = made.batch(4, 4, 0, 1), []
    assert made.learn("discriminator", batch, 4, losses.append) == {} and losses == []
    assert "fooling" not in made.learn("autoencoder", batch, 4, losses.append)
    torch.manual_seed(3)
    logged = made.learn("discriminator", batch, 5, losses.append)
    torch.manual_seed(3)
    real = batch.float() / 127.5 - 1
    with torch.no_grad():
        drawn = made.coder.model.decode(made.coder.model.encode(real).latent_dist.sample()).sample
    judge = made.players["discriminator"]
    wanted = 0.5 * ((1 - judge(real)).clamp(min=0).mean() + (1 + judge(drawn)).clamp(min=0).mean())
    torch.testing.assert_close(losses[-1], wanted)
    torch.testing.assert_close(logged["telling"], wanted)
    losses[-1].backward()
    assert all(p.grad is None for p in made.coder.model.parameters())


def test_the_discriminator_tells_true_from_blurred():
    torch.manual_seed(0)
    judge, optimiser = PatchDiscriminator(16), None
    optimiser = torch.optim.Adam(judge.parameters(), 2e-3)
    real = torch.from_numpy(Bars().batch(range(16))[0]).permute(0, 3, 1, 2) / 127.5 - 1
    false = F.avg_pool2d(real, 3, 1, 1)
    for _ in range(25):
        optimiser.zero_grad()
        (F.relu(1 - judge(real)).mean() + F.relu(1 + judge(false)).mean()).backward()
        optimiser.step()
    with torch.no_grad():
        assert judge(real).mean() > 0.3 and judge(false).mean() < -0.3


def test_the_discriminator_sees_patches_of_38_pixels():
    judge = PatchDiscriminator(16)
    for layer in judge:
        if isinstance(layer, torch.nn.GroupNorm):
            layer.forward = lambda x: x  # it looks at the whole picture's mean
    picture = torch.randn(1, 3, 96, 96, requires_grad=True)
    logits = judge(picture)
    assert logits.shape == (1, 1, 12, 12)
    logits[0, 0, 6, 6].backward()
    seen = picture.grad[0].abs().sum(0) > 0
    assert seen.any(0).sum() == seen.any(1).sum() == 38


def test_features_are_the_hidden_states_of_transformers(clip_folder):
    from transformers import CLIPVisionModel

    from limner.models.clip import open_clip

    theirs = CLIPVisionModel.from_pretrained(clip_folder).eval()
    ours = open_clip(clip_folder)
    pictures = torch.rand(2, 3, 32, 32)
    mean, std = (torch.tensor(each)[:, None, None] for each in (ours.mean, ours.std))
    normalised = (pictures - mean) / std
    with torch.no_grad():
        wanted = theirs(normalised, output_hidden_states=True).hidden_states
    found = ours.hidden_states(pictures)
    assert len(found) == len(wanted) == 2 and found[0].shape == (2, 5, 64)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_features_pass_gradients_to_pictures_of_any_size(clip_folder):
    features = ClipFeatures(clip_folder)
    pictures = torch.rand(2, 3, 48, 40, requires_grad=True)
    states = features.features(pictures)
    assert all(torch.allclose(s.norm(dim=-1), torch.ones(s.shape[:2])) for s in states)
    direction = torch.randn_like(pictures)
    value = sum((s * torch.linspace(-1, 1, s.shape[-1])).sum() for s in states)
    value.backward()
    assert all(p.grad is None for p in features.clip.towers.parameters())
    step = 1e-3
    with torch.no_grad():
        sides = [
            sum(
                (s * torch.linspace(-1, 1, s.shape[-1])).sum()
                for s in features.features(pictures + way * step * direction)
            )
            for way in (1, -1)
        ]
    slope = (sides[0] - sides[1]) / (2 * step)
    assert slope == pytest.approx((pictures.grad * direction).sum().item(), rel=0.05)


def test_the_perceptual_loss_is_the_distance_of_features(clip_folder):
    """Zhang et al. 2018, eq. 1: squared differences summed over channels, averaged over places."""
    features = ClipFeatures(clip_folder)
    made, bare = kl(perceptual=features, perceptual_weight=2.0), kl()
    batch, losses = made.batch(0, 4, 0, 1), []
    for recipe in (made, bare):
        torch.manual_seed(3)
        logged = recipe.learn("autoencoder", batch, 0, losses.append)
        if recipe is made:
            told = logged["perceptual"]
    torch.manual_seed(3)
    real = batch.float() / 127.5 - 1
    drawn = made.coder.model.decode(made.coder.model.encode(real).latent_dist.sample()).sample
    wanted = 0.0
    for a, b in zip(*(features.clip.hidden_states(x / 2 + 0.5) for x in (drawn, real))):
        a, b = (x / x.square().sum(-1, keepdim=True).sqrt() for x in (a, b))
        wanted += (a - b).square().sum(-1).mean()
    torch.testing.assert_close(told, wanted)
    torch.testing.assert_close(losses[0] - losses[1], 2 * wanted, atol=1e-5, rtol=1e-4)


def test_a_training_ends_in_a_folder_that_diffusers_opens(tmp_path):
    from diffusers import AutoencoderKL

    from limner.training import _checkpoint

    plan = replace(PLAN, steps=5, preview_every=4)
    options = dict(crop=16, latent_channels=4, adversarial_from=3)
    done = list(autoencoder(Bars(), tmp_path, plan, **options))
    assert [set(p.metrics) >= {"fooling", "telling"} for p in done] == [False] * 3 + [True] * 2
    assert (
        done[2].metrics["discriminator_gradient"] == 0 < done[3].metrics["discriminator_gradient"]
    )
    model = AutoencoderKL.from_pretrained(tmp_path / "model")
    stored = _checkpoint.read(_checkpoint.newest(tmp_path / "checkpoints"))[0]
    average = stored["autoencoder.ema"]["encoder.conv_in.weight"]
    assert torch.equal(model.encoder.conv_in.weight, average)
    with Image.open(tmp_path / "previews" / "step-000004.png") as preview:
        assert preview.width > 8 * 32 and preview.height > 4 * 32
    pictures, _ = Captioned(Bars()).unseen(64)
    scaled = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        latents = model.encode(scaled).latent_dist.mean * model.config.scaling_factor
    assert latents.std().item() == pytest.approx(1, abs=1e-3)
    assert latents.shape[1:] == (4, 4, 4)


def test_first_weights_let_the_picture_through():
    """Before any training, a smooth picture comes back better than grey does."""
    torch.manual_seed(0)
    model = build_kl().eval()
    small = torch.rand(4, 3, 4, 4) * 2 - 1
    smooth = F.interpolate(small, size=(64, 64), mode="bilinear")
    with torch.no_grad():
        posterior = model.encode(smooth).latent_dist
        drawn = model.decode(posterior.mean).sample
    assert posterior.std.mean() == pytest.approx(math.exp(-3), rel=0.05)
    assert drawn.isfinite().all() and drawn.std() > 0.05


def test_a_decoder_learns_on_while_the_latents_stay(tmp_path):
    from safetensors.torch import load_file

    first, second = replace(PLAN, steps=1), replace(PLAN, steps=2)
    list(autoencoder(Bars(), tmp_path / "a", first, crop=16))
    begun = str(tmp_path / "a" / "model")
    list(autoencoder(Bars(), tmp_path / "b", second, crop=16, start=begun, encoder_learns=False))
    before, after = (
        load_file(tmp_path / run / "model" / "diffusion_pytorch_model.safetensors") for run in "ab"
    )
    assert before.keys() == after.keys()
    for name, weight in before.items():
        stays = name.startswith(("encoder.", "quant_conv."))
        assert torch.equal(after[name], weight) == stays or weight.std() == 0, name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(start="nowhere/at-all"), "no model folder at 'nowhere/at-all'"),
        (dict(crop=8), "crop 8"),
        (dict(crop=20), "multiple of 8"),
        (dict(crop=64), "16 to 32"),
        (dict(latent_channels=0), "latent_channels 0"),
        (dict(clip="nowhere/clip"), "nowhere"),
    ],
)
def test_refuses_options_that_make_no_sense(tmp_path, options, message):
    with pytest.raises(BadInput, match=message):
        list(autoencoder(Bars(), tmp_path / "run", PLAN, **{"crop": 16, **options}))
    assert not (tmp_path / "run").exists()


def test_refuses_pictures_that_do_not_halve_three_times(tmp_path):
    with pytest.raises(BadInput, match="multiple of 8"):
        list(autoencoder(Bars(size=36), tmp_path / "run", PLAN, crop=16))
