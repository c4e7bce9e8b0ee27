"""The models that come with limner: diffusers and transformers make the same of their folders."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import limner
from limner import generate, open_clip, open_model
from limner.models import embedded
from limner.models._autoencoder import Autoencoder
from limner.models._text_to_image import TextToImage
from limner.models._unet import UNet
from limner.noise import Noise
from limner.picture import psnr

EMBEDDED = Path(limner.__file__).parent / "embedded"
PROMPT = "an astronaut riding a horse at sunset"


@pytest.fixture(scope="module")
def model() -> TextToImage:
    return open_model("embedded")


def test_diffusers_pipeline_paints_the_same(model: TextToImage) -> None:
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(embedded.folder("diffusion"))
    pipe.set_progress_bar_config(disable=True)
    config = {**pipe.scheduler.config, "timestep_spacing": "trailing"}
    # Its DPM-Solver does not start from pure noise but just short of it: DDIM is what can agree.
    pipe.scheduler = DDIMScheduler.from_config(config, set_alpha_to_one=True)
    side = model.size // model.downscale
    theirs = pipe(
        PROMPT,
        negative_prompt="snow",
        latents=Noise(7, [0]).normal((model.channels, side, side)),
        num_inference_steps=10,
        guidance_scale=4.0,
        output_type="np",
    ).images[0]
    options = dict(negative="snow", seed=7, steps=10, guidance_scale=4.0, sampler="ddim")
    mine = generate(PROMPT, model=model, precision="float32", **options)[0].pixels  # type: ignore[arg-type]
    assert mine.std() > 0.05
    assert psnr(mine, torch.from_numpy(np.moveaxis(theirs, 2, 0))) >= 50


def test_it_runs_without_diffusers(model: TextToImage) -> None:
    assert isinstance(model.unet, UNet)
    assert isinstance(model.vae, Autoencoder)


def test_its_card_knows_its_words(model: TextToImage) -> None:
    assert model.name == "embedded"
    assert model.size == 128
    assert model.licence
    assert model.vocabulary
    assert model.unseen_words(PROMPT) == []
    assert model.unseen_words("a zyzzyva") == ["zyzzyva"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        generate(PROMPT, model=model, steps=1)


def test_a_picture_alone_is_the_one_of_the_batch(model: TextToImage) -> None:
    options = dict(model=model, seed=1, steps=10, precision="float32")
    batch = generate("a red cube on top of a blue cube", count=3, **options)  # type: ignore[arg-type]
    alone = generate("a red cube on top of a blue cube", first=2, **options)[0]  # type: ignore[arg-type]
    assert psnr(batch[2].pixels, alone.pixels) >= 50


def test_bfloat16_is_close(model: TextToImage) -> None:
    exact = generate(PROMPT, model=model, seed=2, precision="float32")[0].pixels
    half = generate(PROMPT, model=open_model(), seed=2, precision="bfloat16")[0].pixels
    assert psnr(exact, half) >= 30


def test_together_they_are_small() -> None:
    def size(part: Path) -> int:
        return sum(file.stat().st_size for file in part.rglob("*") if file.is_file())

    assert size(EMBEDDED / "diffusion") + size(EMBEDDED / "clip") <= 70e6
    assert size(EMBEDDED) <= 100e6
    assert all(size(folder) <= 12e6 for folder in EMBEDDED.glob("clip*"))


def test_transformers_sees_the_same() -> None:
    from transformers import CLIPModel, CLIPTokenizer

    clip = open_clip("embedded")
    theirs = CLIPModel.from_pretrained(embedded.folder("clip")).float()
    words = CLIPTokenizer.from_pretrained(embedded.folder("clip"))
    texts = [PROMPT, "a red cube", "a cat in the snow"]
    pictures = torch.rand(2, 3, clip.side, clip.side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = theirs.get_text_features(**words(texts, padding=True, return_tensors="pt"))
        wanted = torch.nn.functional.normalize(wanted.pooler_output, dim=1)
        assert torch.allclose(clip.embed_texts(texts), wanted, atol=1e-5)
        mean, std = (torch.tensor(each)[:, None, None] for each in (clip.mean, clip.std))
        wanted = theirs.get_image_features(pixel_values=(pictures - mean) / std).pooler_output
        wanted = torch.nn.functional.normalize(wanted, dim=1)
        assert torch.allclose(clip.embed_pictures(pictures), wanted, atol=1e-4)


def test_it_sees_what_the_world_shows() -> None:
    from limner import describe
    from limner.picture import from_uint8
    from limner.worlds.scenes import World

    world = World(seed=99)
    drawn = world.draw(range(30))
    single = [i for i, scene in enumerate(drawn.scenes) if len(scene.things) == 1][:6]
    found = describe([from_uint8(drawn.pictures[i]) for i in single], top=1)
    named = [
        drawn.scenes[i].things[0].noun.rstrip("s")[:4] in each.caption
        for i, each in zip(single, found, strict=True)
    ]
    assert sum(named) >= 5
