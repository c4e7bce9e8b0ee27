"""Stable Diffusion XL, latent consistency models and Turbo: diffusers' own networks and pictures,
and every task through the same wrappers."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from limner import BadInput, Picture, explain, generate, guide, inpaint, open_model, restyle
from limner.models import _unet
from limner.models._xl import LibraryXL, TwoTowers
from limner.noise import Noise
from limner.picture import load

sys.path.insert(0, str(Path(__file__).parent))
from _xl_pipelines import PROMPT, pixels, theirs

Get = Callable[[str], Path]


@pytest.mark.parametrize("kind", ["xl", "xl lcm"])
def test_each_network_is_the_librarys(xl_folder: Get, kind: str) -> None:
    from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel

    folder = xl_folder(kind)
    model = open_model(folder)
    assert isinstance(model.unet, _unet.UNet) and isinstance(model.text_encoder, TwoTowers)
    pipe = StableDiffusionXLPipeline.from_pretrained(folder)
    prompts = [PROMPT, "zébra 12, on the cat's?"]
    states, _, pooled, _ = pipe.encode_prompt(prompts, do_classifier_free_guidance=False)
    said = model.encode_text(prompts)
    assert said.shape == (2, 78, 56) and model.text_encoder.offset == 1
    assert torch.allclose(said[:, 1:], states, atol=1e-5)
    assert torch.allclose(said[:, 0, :20], pooled, atol=1e-5) and not said[:, 0, 20:].any()
    assert torch.allclose(model.embed_phrases(prompts), pooled, atol=1e-5)
    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    x = torch.randn(2, 4, 14, 18)
    t, ids = torch.tensor([10.0, 900.5]), torch.tensor([[56.0, 72, 0, 0, 56, 72]] * 2)
    added = {"text_embeds": pooled, "time_ids": ids}
    lcm = kind == "xl lcm"
    wave = pipe.get_guidance_scale_embedding(torch.tensor([6.5]), 16) if lcm else None
    with torch.no_grad():
        wanted = unet(
            x, t, encoder_hidden_states=states, added_cond_kwargs=added, timestep_cond=wave
        ).sample
        assert wanted.std() > 0.1
        for network in (model.unet, LibraryXL(unet, 4)):
            told = dict(encoder_hidden_states=said, guidance=7.5 if lcm else None)
            for _ in range(2):  # the second time from what is remembered
                assert torch.allclose(network(x, t, **told).sample, wanted, atol=1e-4)
        small, own = x[:, :, :8], LibraryXL(unet, 4)  # the sizes that are told are its own
        for guidance in (7.5, 2.0) if lcm else (None,):
            told = dict(encoder_hidden_states=said, guidance=guidance)
            mine, wanted = (each(small, t, **told).sample for each in (model.unet, own))
            assert torch.allclose(mine, wanted, atol=1e-4)


def test_unusual_networks_are_left_to_diffusers(xl_folder: Get, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(xl_folder("xl"), tmp_path / "model"))
    file = folder / "unet" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"act_fn": "gelu"}))
    model = open_model(folder)
    assert isinstance(model.unet, LibraryXL)
    mine = generate(PROMPT, seed=3, steps=2, sampler="ddim", model=model, precision="float32")
    latents = Noise(3, [0]).normal((4, 16, 16))
    wanted = theirs(folder, ddim=True, latents=latents, num_inference_steps=2)
    assert np.abs(pixels(mine) - wanted).max() < 1e-3


@pytest.mark.parametrize("negative", [None, "dog"])
def test_pictures_are_diffusers_pipelines(xl_folder: Get, negative: str | None) -> None:
    folder = xl_folder("xl")
    model = open_model(folder)
    assert (model.steps, model.guidance_scale, model.size) == (20, 5.0, 64)
    mine = pixels(
        generate(
            PROMPT, negative=negative, seed=3, count=2, steps=5, sampler="ddim", model=model,
            precision="float32",
        )
    )  # fmt: skip
    wanted = theirs(
        folder, ddim=True, negative_prompt=negative, num_images_per_prompt=2,
        latents=Noise(3, [0, 1]).normal((4, 16, 16)), num_inference_steps=5,
    )  # fmt: skip
    assert np.abs(mine - wanted).max() < 1e-3 and mine.std() > 0.05


def test_the_empty_prompt_is_nothing(xl_folder: Get, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(xl_folder("xl"), tmp_path / "model"))
    states = open_model(folder).encode_text(["", "a cat", "a red " * 100])
    assert not states[0].any() and states[1].any() and states.shape[1] == 1 + 3 * 77
    file = folder / "model_index.json"
    index = json.loads(file.read_text()) | {"force_zeros_for_empty_prompt": False}
    file.write_text(json.dumps(index))
    said = open_model(folder).encode_text(["", "a cat"])
    assert said[0].any()
    assert torch.allclose(said[1, :78], states[1, :78], atol=1e-5)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return Picture(Noise(0, [0]).uniform((3, 64, 64))[0]).save(tmp_path / "scene.png")


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    grey = torch.zeros(3, 64, 64)
    grey[:, 16:48, 8:40] = 1
    return Picture(grey).save(tmp_path / "mask.png")


def test_inpaint_is_diffusers(
    xl_folder: Get, scene: Path, mask: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, *_: self.mode())
    folder = xl_folder("xl inpainting")
    mine = inpaint(
        scene, PROMPT, mask=mask, seed=4, steps=4, sampler="ddim", feather=0, resample=1,
        model=folder, precision="float32",
    )[0]  # fmt: skip
    wanted = theirs(
        folder, ddim=True, image=load(scene).image(), mask_image=load(mask).image().convert("L"),
        latents=Noise(4, [0]).normal((4, 16, 16)), num_inference_steps=4, strength=1.0,
        guidance_scale=5.0, height=64, width=64,
    )[0].transpose(2, 0, 1)  # fmt: skip
    inside = (load(mask).pixels > 0).numpy()
    assert np.abs(mine.pixels.numpy() - wanted)[inside].max() < 1e-3
    assert torch.equal(mine.pixels[~torch.from_numpy(inside)], load(scene).pixels[~inside])
    with pytest.raises(BadInput, match="use limner inpaint"):
        generate(PROMPT, model=folder)


def test_restyle_and_a_judge_steer_it(xl_folder: Get, clip_folder: Path, scene: Path) -> None:
    model = open_model(xl_folder("xl"))
    told = dict(model=model, precision="float32", sampler="ddim")
    near, far = (restyle(scene, "a cat", strength=s, steps=3, **told)[0] for s in (0.2, 0.9))
    before = load(scene).pixels
    assert (near.pixels - before).abs().mean() < (far.pixels - before).abs().mean()
    told |= dict(clip=str(clip_folder), clip_scale=500.0, views=2, steps=2, count=1)
    free, judged = guide("a cat", compare="none,clip", **told)
    assert 1e-3 < (free.pixels - judged.pixels).abs().max() < 0.5


def test_it_is_explained(xl_folder: Get) -> None:
    model = open_model(xl_folder("xl"))
    found = explain("a red cat", seed=2, steps=2, model=model, precision="float32")
    assert found.words == ["a", "red", "cat"] and found.maps.shape == (3, 16, 16)
    assert found.maps.std() > 0 and len(found.calls) == 2
    assert all(call.pull > 0 for call in found.calls)
    plain = generate("a red cat", seed=2, steps=2, model=model, precision="float32")[0]
    assert torch.equal(found.picture.pixels, plain.pixels)


@pytest.mark.parametrize("kind", ["xl", "xl lcm"])
def test_a_picture_is_the_same_in_any_batch(xl_folder: Get, kind: str) -> None:
    model = open_model(xl_folder(kind))
    told = dict(seed=5, steps=2, model=model, precision="float32")
    together = generate("a cat", count=3, **told)
    alone = generate("a cat", first=2, **told)[0]
    assert torch.allclose(together[2].pixels, alone.pixels, atol=1e-5)
    pictures = generate("a cat | a red cube:0.5", count=2, **told)
    assert pictures[0].pixels.isfinite().all()
