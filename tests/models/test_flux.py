"""Flux's layout: the same states, networks and pictures as diffusers'."""

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

PROMPTS = ["a red cube on top of the cat", "a zébra, blue! " * 80]
Get = Callable[[str], Path]
LENGTHS = {"flux_dev": 512, "flux_schnell": 256}


def pipeline(folder: Path) -> Any:
    from diffusers import FluxPipeline

    pipe = FluxPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("kind", list(LENGTHS))
def test_states_and_pictures_are_diffusers(flow_folder: Get, kind: str) -> None:
    model, pipe = open_model(flow_folder(kind)), pipeline(flow_folder(kind))
    mine = model.encode_text(PROMPTS)
    with torch.no_grad():
        states, pooled, _ = pipe.encode_prompt(PROMPTS, max_sequence_length=LENGTHS[kind])
    torch.testing.assert_close(mine[:, 1:], states, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mine[:, 0, : pooled.shape[1]], pooled, rtol=1e-4, atol=1e-5)
    assert states.std() > 0.1 and not mine[:, 0, pooled.shape[1] :].any()
    said = dict(size="24x32", sampler="euler", precision="float32")
    pictures = generate(PROMPTS[0], seed=3, count=2, model=model, **said)
    shown = torch.stack([picture.pixels for picture in pictures]).permute(0, 2, 3, 1).numpy()
    drawn = Noise(3, [0, 1]).normal((16, 8, 6))
    theirs = pipe(
        PROMPTS[0],
        num_images_per_prompt=2,
        latents=pipe._pack_latents(drawn, 2, 16, 8, 6),
        num_inference_steps={"flux_dev": 28, "flux_schnell": 4}[kind],
        max_sequence_length=LENGTHS[kind],
        guidance_scale=3.5,
        height=32,
        width=24,
        output_type="np",
    ).images
    assert np.abs(shown - theirs).max() < 1e-3
    assert shown.std() > 0.05


def test_where_the_pixels_look_is_what_diffusers_works_out(flow_folder: Get) -> None:
    model = open_model(flow_folder("flux_schnell"))
    text = model.encode_text(["a red cube, zébra"])
    x = torch.randn(1, 16, 5, 8, generator=torch.Generator().manual_seed(1))
    with (
        torch.no_grad(),
        recorded(model.unet, [text], 1) as recorder,
        _flow_pipelines.listened() as shares,
    ):
        model.unet(x, torch.full((1,), 500.0), encoder_hidden_states=text)
    assert [each.shape[2] for each in shares] == [256 + 12] * 2  # the text's come first
    wanted = torch.stack([_flow_pipelines.wide(each[:, 256:, :256], (5, 8)) for each in shares])
    torch.testing.assert_close(recorder.maps()[0], wanted.mean(0), rtol=1e-4, atol=1e-5)
    assert wanted.std((0, 3, 4)).max() > 1e-3
    words = words_of(model.tokenizer, "a red cube, zébra")
    assert [word.places for word in words] == [(0,), (1,), (2,), tuple(range(4, 10))]


def test_dev_is_told_the_guidance_scale_and_asked_once(flow_folder: Get) -> None:
    model, asked = open_model(flow_folder("flux_dev")), []
    hook = model.unet.register_forward_hook(
        lambda _, given, named, out: asked.append((len(given[0]), named["guidance"])),
        with_kwargs=True,
    )
    said = dict(model=model, size="16x16", steps=2, precision="float32")
    one, other = (generate("a cat", guidance_scale=scale, **said)[0] for scale in (3.5, 7.0))
    hook.remove()
    assert asked == [(1, 3.5)] * 2 + [(1, 7.0)] * 2
    assert (one.pixels - other.pixels).abs().max() > 1e-3
