import json
import math
import shutil
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from limner.errors import BadInput
from limner.picture import psnr
from limner.training import _checkpoint, _parts
from limner.training._coders import build_kl
from limner.training._data import Captioned
from limner.training._parts import schedule, scheduler
from limner.training.diffusion import diffusion
from limner.training.loop import Plan, train

sys.path.insert(0, str(Path(__file__).parent))
from _toy import Bars, Noises, tiny_clip, tiny_diffusion

PLAN = Plan(
    steps=2, batch_size=4, learning_rate=1e-3, warmup_steps=1, save_every=50, ema=0.5, seed=3
)
SMALL = partial(_parts.build_unet, (16, 32))


def recipe(prediction="v_prediction", **options):
    made = tiny_diffusion()
    kind = type(made)
    return kind(
        made.data, made.unet, made.text_encoder, made.tokenizer, made.autoencoder,
        vocabulary=["a", "bar"], prediction=prediction, seed=3, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def made():
    return {kind: recipe(kind) for kind in ("v_prediction", "epsilon", "flow")}


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    lively = recipe()
    with torch.no_grad():  # so that text and time matter to the picture
        for weight in lively.unet.parameters():
            weight.mul_(1.3)
    lively.export(folder)
    return folder


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    tiny_clip().export(folder)
    return folder


class Recorder(torch.nn.Module):
    """In the place of a U-Net: remembers what it was given, says a fixed thing."""

    def __init__(self, answer):
        super().__init__()
        self.answer = torch.nn.Parameter(answer)

    def forward(self, x, timesteps, encoder_hidden_states):
        self.given = x, timesteps, encoder_hidden_states
        return SimpleNamespace(sample=self.answer)


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon", "flow"])
def test_inputs_and_targets_are_those_of_diffusers(made, prediction):
    from diffusers import DDPMScheduler

    batch = made[prediction].batch(0, 8, 0, 1)
    batch["timesteps"][0] = 0
    batch["timesteps"][1] = 1000 if prediction == "flow" else 999
    torch.manual_seed(0)
    recorder = Recorder(torch.randn(8, 4, 4, 4))
    tested = recipe(prediction)
    tested.unet, losses = recorder, []
    tested.learn("denoiser", batch, 0, losses.append)
    x0, noise, timesteps = batch["latents"], batch["noise"], batch["timesteps"]
    if prediction == "flow":  # Liu et al. 2023: x = (1 − t)·x0 + t·n, dx/dt = n − x0
        t = (timesteps / 1000).float()[:, None, None, None]
        noisy, target = (1 - t) * x0 + t * noise, noise - x0
    else:
        theirs = DDPMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
            rescale_betas_zero_snr=prediction != "epsilon",
        )  # fmt: skip
        noisy = theirs.add_noise(x0, noise, timesteps)
        velocity = theirs.get_velocity(x0, noise, timesteps)
        target = noise if prediction == "epsilon" else velocity
    found, told, states = recorder.given
    # diffusers keeps its table in float32, where it is off by 1e-4 at the start
    torch.testing.assert_close(found, noisy, atol=5e-4, rtol=0)
    assert torch.equal(told, timesteps)
    wanted = (recorder.answer - target).square().mean()
    torch.testing.assert_close(losses[0], wanted, atol=1e-3, rtol=0)
    said = tested.text_encoder(batch["ids"]).last_hidden_state
    torch.testing.assert_close(states, said)


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
def test_the_table_is_that_of_the_scheduler_that_is_saved(prediction):
    theirs = scheduler(prediction)
    table = schedule(zero_snr=prediction != "epsilon")
    torch.testing.assert_close(theirs.alphas_cumprod.double(), table, atol=2e-6, rtol=1e-4)
    assert theirs.config.prediction_type == prediction
    assert (table[-1] == 0) == (prediction == "v_prediction")


@pytest.mark.parametrize(("prediction", "spread"), [("flow", (0.0, 1.0)), ("v_prediction", (0, 1)),
                                                    ("epsilon", (-0.5, 0.8))])  # fmt: skip
def test_levels_are_logit_normal(prediction, spread):
    """Esser et al. 2024, section 3.1: logit(t) ~ N(m, s²), t = σ/(α + σ); Kolmogorov–Smirnov."""
    tested = recipe(prediction, spread=spread, uniform=0.0)
    drawn = tested.levels(20_000, np.random.Generator(np.random.Philox(key=1)))
    alpha, sigma = tested._level(drawn)
    logit = (sigma / alpha).log().numpy()
    closed = stats.norm(*spread)
    if prediction == "flow":
        assert stats.kstest(logit, closed.cdf).pvalue > 0.05
        return
    # a table has steps: the closed form's mass between two entries falls onto the upper one
    of_table = (0.5 * ((1 - tested.table) / tested.table).log()).numpy()
    distances = [abs((logit <= x + 1e-9).mean() - closed.cdf(x)) for x in of_table[:-1:10]]
    assert max(distances) < 1.36 / math.sqrt(20_000)  # 5% of the Kolmogorov distribution


def test_a_share_of_levels_is_even_over_the_table():
    tested = recipe(uniform=1.0)
    drawn = tested.levels(20_000, np.random.Generator(np.random.Philox(key=2)))
    assert drawn.dtype == torch.int64 and drawn.min() == 0 and drawn.max() == 999
    assert stats.kstest(drawn.numpy() / 1000, stats.uniform.cdf).pvalue > 0.05
    some = recipe(uniform=0.15, spread=(0.0, 1e-6))
    drawn = some.levels(20_000, np.random.Generator(np.random.Philox(key=2)))
    middle = drawn.mode().values
    assert (drawn != middle).float().mean().item() == pytest.approx(0.15, abs=0.01)
    alpha, sigma = some._level(middle)
    assert (sigma / alpha).item() == pytest.approx(1, abs=0.01)


def test_a_tenth_of_the_captions_is_dropped(made):
    tested = made["v_prediction"]
    empty = tested._ids([""])[0]
    rows = torch.cat([tested.batch(step, 50, 0, 1)["ids"] for step in range(40)])
    dropped = (rows == empty).all(dim=1)
    # 2,000 draws of 10%: within four standard deviations
    assert dropped.float().mean().item() == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / 2000))
    texts = set(tested.tokenizer.batch_decode(rows[~dropped], skip_special_tokens=True))
    assert {text.strip() for text in texts} == set(Bars().batch(range(12))[1])
    assert not (recipe(dropped=0.0).batch(0, 50, 0, 1)["ids"] == empty).all(dim=1).any()


def test_a_batch_is_a_function_of_its_step_and_shared_by_processes(made):
    tested = made["v_prediction"]
    whole, other = tested.batch(5, 8, 0, 1), tested.batch(6, 8, 0, 1)
    again = tested.batch(5, 8, 0, 1)
    parts = [tested.batch(5, 2, rank, 4) for rank in range(4)]
    for key, value in whole.items():
        assert torch.equal(value, again[key]) and not torch.equal(value, other[key])
        assert torch.equal(torch.cat([part[key] for part in parts]), value)
    noise = torch.cat([tested.batch(step, 50, 0, 1)["noise"] for step in range(10)]).flatten()
    assert stats.kstest(noise.numpy(), stats.norm.cdf).pvalue > 0.01


def test_it_learns_what_it_is_shown(tmp_path):
    """Sixteen latents made of their captions: the loss falls below that of a blind guess."""

    class Few(Noises):
        def batch(self, indices):
            return super().batch([index % 16 for index in indices])

    tested = recipe()
    tested.data = Captioned(Few(), 1)
    plan = replace(PLAN, steps=60, batch_size=16, learning_rate=4e-3, warmup_steps=5)
    losses = [progress.metrics["loss"] for progress in train(tested, plan, tmp_path)]
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:5])


def test_a_still_text_encoder_stays(tmp_path):
    tested = recipe(text_learns=False)
    before = {k: v.clone() for k, v in tested.text_encoder.state_dict().items()}
    list(train(tested, PLAN, tmp_path))
    assert all(torch.equal(v, before[k]) for k, v in tested.text_encoder.state_dict().items())
    stored = _checkpoint.read(_checkpoint.newest(tmp_path / "checkpoints"))[0]
    assert all(name.startswith("unet.") for name in stored["denoiser.ema"])


def test_the_folder_opens_in_diffusers_and_paints(model_folder):
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(model_folder)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.unet.config.sample_size == 4
    (picture,) = pipeline("a red bar", num_inference_steps=3, guidance_scale=2.0).images
    assert picture.size == (32, 32)
    card = json.loads((model_folder / "limner.json").read_text())
    assert card["vocabulary"] == ["a", "bar"] and card["size"] == 32


def test_a_preview_is_what_generate_paints(model_folder):
    from limner.tasks.generate import generate

    tested = recipe()
    opened = _parts.open_parts(_parts.sources(None, None, str(model_folder)), 32)
    tested.unet, tested.text_encoder = opened.unet.eval(), opened.text_encoder.eval()
    with torch.no_grad():
        (ours,) = tested.paint(["a red bar"], steps=4, scale=3.0)
    options = dict(
        seed=3,
        steps=4,
        guidance_scale=3.0,
        size=(32, 32),
        model=str(model_folder),
        precision="float32",
    )
    (theirs,) = generate("a red bar", **options)
    assert psnr(ours, theirs.pixels) > 60


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon", "flow"])
def test_previews_and_folders_of_every_prediction(tmp_path, made, prediction):
    from limner.models._open import open_model

    tested = made[prediction]
    with torch.no_grad():
        tested.preview(7, tmp_path)
        tested.export(tmp_path / "model")
    with Image.open(tmp_path / "step-000007.png") as sheet:
        assert sheet.width > 6 * 32 and sheet.height > 2 * 32
    opened = open_model(tmp_path / "model")
    assert opened.prediction == prediction and opened.size == 32
    index = json.loads((tmp_path / "model" / "model_index.json").read_text())
    config = json.loads((tmp_path / "model" / "scheduler" / "scheduler_config.json").read_text())
    assert index["scheduler"][1] == config["_class_name"]


def test_from_pictures_to_a_model(tmp_path, monkeypatch, model_folder, clip_folder):
    """A new U-Net, of the latents' side; stopped while encoding, gone on, ended."""
    monkeypatch.setattr(_parts, "build_unet", SMALL)
    told = []
    options = dict(clip=str(clip_folder), autoencoder=str(model_folder / "vae"), latents=40)

    def stop(done, total):
        told.append((done, total))
        if done == 32 and len(told) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(diffusion(Bars(), tmp_path, PLAN, watch=stop, **options))
    done = list(diffusion(Bars(), tmp_path, PLAN, watch=stop, **options))
    assert told == [(32, 40), (40, 40)] and [p.step for p in done] == [1, 2]
    index = json.loads((tmp_path / "model" / "unet" / "config.json").read_text())
    assert index["sample_size"] == 4 and index["cross_attention_dim"] == 64
    card = json.loads((tmp_path / "model" / "limner.json").read_text())
    assert " ".join(card["vocabulary"]) == "a at bar blue bottom green middle red the top white"
    more = replace(PLAN, steps=3)
    (last,) = diffusion(Bars(), tmp_path, more, resume=True, **options)
    assert last.step == 3


def test_start_goes_on_from_a_folder(tmp_path, model_folder):
    """With its U-Net, its words and its autoencoder; so little is learned that it stays itself."""
    from safetensors.torch import load_file

    plan = replace(PLAN, steps=1, learning_rate=1e-9)
    list(diffusion(Bars(), tmp_path, plan, start=str(model_folder), latents=32))
    for part, file in (
        ("unet", "diffusion_pytorch_model.safetensors"),
        ("vae", "diffusion_pytorch_model.safetensors"),
        ("text_encoder", "model.safetensors"),
    ):
        before, after = (load_file(f / part / file) for f in (model_folder, tmp_path / "model"))
        assert before.keys() == after.keys()
        for name, weight in before.items():
            torch.testing.assert_close(after[name], weight, atol=1e-6, rtol=1e-4)
    words = [
        (f / "tokenizer" / "tokenizer.json").read_text() for f in (model_folder, tmp_path / "model")
    ]
    assert words[0] == words[1]


def test_start_with_a_clip_takes_the_words_of_that_clip(tmp_path, model_folder):
    from safetensors.torch import load_file, save_file

    clip = Path(shutil.copytree(model_folder / "text_encoder", tmp_path / "clip"))
    shutil.copytree(model_folder / "tokenizer", clip, dirs_exist_ok=True)
    given = {name: weight / 2 for name, weight in load_file(clip / "model.safetensors").items()}
    save_file(given, clip / "model.safetensors", {"format": "pt"})
    plan = replace(PLAN, steps=1, learning_rate=1e-9)
    options = dict(start=str(model_folder), clip=str(clip), latents=32)
    list(diffusion(Bars(), tmp_path / "run", plan, **options))
    learned = load_file(tmp_path / "run" / "model" / "text_encoder" / "model.safetensors")
    for name, weight in learned.items():
        torch.testing.assert_close(weight, given[name], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(prediction="x0"), "prediction 'x0': give v_prediction, epsilon, flow"),
        (dict(latents=0), "latents 0"),
        (dict(start="nowhere/at-all"), "no model folder at 'nowhere/at-all'"),
        (dict(clip="nowhere", autoencoder="nowhere"), "no model folder at 'nowhere'"),
    ],
)
def test_refuses_options_that_make_no_sense(tmp_path, options, message):
    with pytest.raises(BadInput, match=message):
        list(diffusion(Bars(), tmp_path / "run", PLAN, **options))
    assert not (tmp_path / "run").exists()


def test_refuses_what_is_no_model_or_another(tmp_path, model_folder, clip_folder):
    options = dict(clip=str(clip_folder), autoencoder=str(clip_folder))
    with pytest.raises(BadInput, match="no AutoencoderKL can be read"):
        list(diffusion(Bars(), tmp_path / "run", PLAN, **options))
    half = tmp_path / "half"
    half.mkdir()
    (half / "config.json").write_bytes((model_folder / "vae" / "config.json").read_bytes())
    (half / "diffusion_pytorch_model.bin").write_bytes(b"pickled")
    with pytest.raises(BadInput, match="no AutoencoderKL can be read"):
        list(
            diffusion(Bars(), tmp_path / "run", PLAN, clip=str(clip_folder), autoencoder=str(half))
        )
    other = tmp_path / "other"
    build_kl((8, 8, 8, 8), latent_channels=6).save_pretrained(other)
    with pytest.raises(BadInput, match=r"takes 4 channels.*gives 6"):
        list(
            diffusion(
                Bars(), tmp_path / "run", PLAN, start=str(model_folder), autoencoder=str(other)
            )
        )
