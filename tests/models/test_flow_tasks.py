"""The tasks on flow transformers: none of them knows the family."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from limner import BadInput, explain, generate, guide, inpaint, open_model, replay, restyle
from limner.noise import Noise
from limner.picture import Picture, load, psnr

Get = Callable[[str], Path]
KINDS = ("sd3", "flux_dev", "flux_schnell")
SMALL: dict[str, Any] = dict(steps=2, seed=2, precision="float32")


@pytest.fixture(scope="session")
def models(flow_folder: Get) -> Callable[[str], Any]:
    """Of 32 pixels: nothing in Flux's folders says a size."""
    return cache(lambda kind: replace(open_model(flow_folder(kind)), size=32))


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return Picture(Noise(0, [0]).uniform((3, 32, 24))[0]).save(tmp_path / "scene.png")


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_alone_is_the_one_of_the_batch_and_comes_again(
    flow_folder: Get, tmp_path: Path, kind: str
) -> None:
    # 28 pixels are 7 latents, and the networks take pairs of them
    said = SMALL | dict(size="20x28", model=flow_folder(kind), guidance_scale=3.0)
    batch = generate("a cat", count=3, **said)
    alone = generate("a cat", first=2, **said)[0]
    assert batch[0].pixels.shape == (3, 28, 20)
    assert psnr(batch[2].pixels, alone.pixels) > 50 > psnr(batch[1].pixels, alone.pixels)
    assert replay(alone.save(tmp_path / "out.png")).identical
    half = generate("a cat", first=2, **said | dict(precision="bfloat16"))[0]
    assert psnr(half.pixels, alone.pixels) > 15


@pytest.mark.parametrize("kind", KINDS)
def test_a_restyled_picture_is_the_schedulers(
    models: Any, flow_folder: Get, scene: Path, kind: str
) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    model, strength, steps = models(kind), 0.6, 3
    said = SMALL | dict(model=model, strength=strength, steps=steps, sampler="euler")
    scale = 3.5 if model.takes_scale else 1.0
    mine = restyle(scene, "a dog", guidance_scale=scale, **said)[0].pixels
    scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(flow_folder(kind) / "scheduler")
    shifted = dict(mu=calculate_shift(4 * 3)) if kind == "flux_dev" else {}
    scheduler.set_timesteps(sigmas=[strength * (1 - i / steps) for i in range(steps)], **shifted)
    x0, noise = model.encode(load(scene).pixels[None]), Noise(2, [0]).normal((16, 8, 6))
    x = scheduler.scale_noise(x0, scheduler.timesteps[:1], noise)
    text, told = model.encode_text(["a dog"]), {"guidance": scale} if model.takes_scale else {}
    with torch.no_grad():
        for time in scheduler.timesteps:
            flow = model.unet(x, time[None], encoder_hidden_states=text, **told).sample
            x = scheduler.step(flow, time, x).prev_sample
    assert (mine - model.decode(x)[0]).abs().max() < 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_outside_the_mask_no_bit_changes(
    models: Any, scene: Path, tmp_path: Path, kind: str
) -> None:
    white = torch.zeros(3, 32, 24)
    white[:, 8:24, 4:20] = 1
    mask = Picture(white).save(tmp_path / "mask.png")
    painted = inpaint(scene, "a dog", mask=mask, feather=0, resample=2, model=models(kind), **SMALL)
    given, made = load(scene).pixels, painted[0].pixels
    assert torch.equal(made[white == 0], given[white == 0])
    assert (made - given)[white == 1].abs().mean() > 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_a_judge_pulls(models: Any, clip_folder: Path, kind: str) -> None:
    said = SMALL | dict(model=models(kind), clip=str(clip_folder), views=2)
    both = dict(compare="cfg,cfg+clip", count=1, clip_scale=1e3, through="denoiser")
    plain, pulled = guide("a cat", **both, **said)
    assert pulled.pixels.isfinite().all() and plain.pixels.shape == (3, 32, 32)
    assert (pulled.pixels - plain.pixels).abs().max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_each_word_has_a_map(models: Any, kind: str) -> None:
    found = explain("a red cat", size="24x32", model=models(kind), **SMALL)
    assert found.words == ["a", "red", "cat"]
    assert found.maps.shape == (3, 8, 6) and found.maps.min() >= 0
    assert 0 < found.maps.sum(0).max() < 1 and found.maps.std((1, 2)).min() > 0
    assert found.over.shape == (3, 32, 24) and len(found.calls) == 2
    assert found.calls[0].level.time == 1


SCHEDULER = "scheduler/scheduler_config.json"
CHANGES: list[tuple[str, str, Any, str]] = [
    ("model_index.json", "vae", ["diffusers", "AutoencoderDC"], "expected AutoencoderKL"),
    ("model_index.json", "text_encoder_2", ["my_code", "Encoder"], "my_code.* expected CLIPText"),
    ("model_index.json", "vae", ["my_code", "AutoencoderKL"], r"my_code.* expected AutoencoderKL"),
    ("model_index.json", "_class_name", ["my_code", "Pipeline"], "no code of a model is run"),
    ("model_index.json", "transformer", ["diffusers", "Other"], "a Other in place of a U-Net"),
    ("model_index.json", "text_encoder", None, "has None as its text_encoder"),
    (SCHEDULER, "_class_name", "EulerDiscreteScheduler", "expected FlowMatchEuler"),
    (SCHEDULER, "shift", -1, "says shift = -1: expected above 0"),
    (SCHEDULER, "invert_sigmas", True, "inverts its times"),
    ("transformer/config.json", "in_channels", 32, "not those of its config"),
    ("transformer/config.json", "num_attention_heads", 3, "not those of its config"),
    ("transformer/config.json", "pos_embed_max_size", None, "not those of its config"),
    ("text_encoder_3/config.json", "d_model", 32, "not those of its config"),
    ("limner.json", "steps", 0, "says steps = 0"),
]


@pytest.fixture
def copied(flow_folder: Get, tmp_path: Path) -> Path:
    return Path(shutil.copytree(flow_folder("sd3"), tmp_path / "model"))


@pytest.mark.parametrize(("file", "key", "value", "message"), CHANGES)
def test_a_folder_that_does_not_fit_is_refused_in_one_line(
    copied: Path, file: str, key: str, value: Any, message: str
) -> None:
    said = json.loads((copied / file).read_text()) if (copied / file).exists() else {}
    (copied / file).write_text(json.dumps(said | {key: value}))
    with pytest.raises(BadInput, match=message) as refused:
        open_model(copied)
    assert "\n" not in str(refused.value)


def test_missing_and_pickled_parts_are_refused(copied: Path) -> None:
    (copied / "tokenizer_3" / "tokenizer.json").unlink()
    with pytest.raises(BadInput, match=r"needs tokenizer\.json or spiece\.model"):
        open_model(copied)
    weights = copied / "text_encoder_3" / "model.safetensors"
    weights.rename(weights.with_name("pytorch_model.bin"))
    with pytest.raises(BadInput, match="is pickled"):
        open_model(copied)


def test_a_size_beyond_its_places_is_refused(models: Any) -> None:
    with pytest.raises(BadInput, match="places up to 16 a side"):
        generate("a cat", model=models("sd3"), size="72x32", **SMALL)
