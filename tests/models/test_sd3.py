"""Stable Diffusion 3's layout: the same states, networks and pictures as diffusers'."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from limner import generate, open_model
from limner.models._attended import recorded
from limner.models._words import words_of
from limner.noise import Noise

sys.path.insert(0, str(Path(__file__).parent))
import _flow_pipelines

PROMPTS = ["a red cube on top of the cat", "a zébra, blue! " * 40]
NO_T5 = {"text_encoder_3": None, "tokenizer_3": None}


Get = Callable[[str], Path]
KINDS = ("sd3", "sd3_without_t5")


def pipeline(folder: Path) -> Any:
    from diffusers import StableDiffusion3Pipeline

    left_out = {} if (folder / "text_encoder_3").is_dir() else NO_T5
    pipe = StableDiffusion3Pipeline.from_pretrained(folder, **left_out)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("kind", KINDS)
def test_states_are_the_librarys(flow_folder: Get, kind: str) -> None:
    place = flow_folder(kind)
    mine = open_model(place).encode_text(PROMPTS)
    with torch.no_grad():
        wanted = pipeline(place).encode_prompt(
            PROMPTS, None, None, do_classifier_free_guidance=False
        )
    states, _, pooled, _ = wanted
    assert states[:, :77].std() > 0.1
    torch.testing.assert_close(mine[:, 1:], states, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mine[:, 0, : pooled.shape[1]], pooled, rtol=1e-4, atol=1e-5)
    assert not mine[:, 0, pooled.shape[1] :].any()
    assert bool(states[:, 77:].any()) == (kind == "sd3")


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_diffusers_pipelines(flow_folder: Get, kind: str) -> None:
    place, steps = flow_folder(kind), 5
    model = open_model(place)
    options = dict(seed=3, count=2, steps=steps, guidance_scale=4.0, sampler="euler", size="24x32")
    pictures = generate(PROMPTS[0], negative="dog", model=model, precision="float32", **options)
    mine = torch.stack([picture.pixels for picture in pictures]).permute(0, 2, 3, 1).numpy()
    theirs = pipeline(place)(
        PROMPTS[0],
        negative_prompt="dog",
        num_images_per_prompt=2,
        latents=Noise(3, [0, 1]).normal((16, 8, 6)),
        sigmas=[1 - i / steps for i in range(steps)],  # and the scheduler shifts them
        num_inference_steps=steps,
        guidance_scale=4.0,
        height=32,
        width=24,
        output_type="np",
    ).images
    assert np.abs(mine - theirs).max() < 1e-3
    assert mine.std() > 0.05


def test_where_the_pixels_look_is_what_diffusers_works_out(flow_folder: Get) -> None:
    model = open_model(flow_folder("sd3"))
    text = model.encode_text(["a red cube, zébra"])
    x = torch.randn(1, 16, 7, 8, generator=torch.Generator().manual_seed(1))
    with (
        torch.no_grad(),
        recorded(model.unet, [text], 1) as recorder,
        _flow_pipelines.listened() as shares,
    ):
        model.unet(x, torch.full((1,), 500.0), encoder_hidden_states=text)
    joint = [each for each in shares if each.shape[2] == 16 + 77 + 256]  # the picture's come first
    assert len(joint) == 2 and len(shares) == 3
    wanted = torch.stack([_flow_pipelines.wide(each[:, :16, 16:], (7, 8)) for each in joint])
    torch.testing.assert_close(recorder.maps()[0], wanted.mean(0), rtol=1e-4, atol=1e-5)
    assert wanted.std((0, 3, 4)).max() > 1e-3


def test_words_are_found_in_both_halves_of_the_states(flow_folder: Get) -> None:
    words = words_of(open_model(flow_folder("sd3")).tokenizer, "a red cube, zébra " + "cat " * 80)
    assert [word.text for word in words[:4]] == ["a", "red", "cube", "zébra"]
    assert [word.places for word in words[:3]] == [(1, 77), (2, 78), (3, 79)]
    assert len(words[3].places) > 4 and words[-1].text == "cat" and min(words[-1].places) > 77
    clip = words_of(open_model(flow_folder("sd3_without_t5")).tokenizer, "a red cube")
    assert [word.places for word in clip] == [(1,), (2,), (3,)]
