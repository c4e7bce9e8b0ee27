"""Stable Diffusion's layout: the same networks and pictures as diffusers'."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from limner import generate, open_model
from limner.errors import BadInput
from limner.models import _autoencoder, _unet
from limner.noise import Noise

Get = Callable[[str], Path]
KINDS = ("sd1", "sd2", "own")
UNET, VAE = "unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize("kind", KINDS)
def test_each_network_is_the_librarys(sd_folder: Get, kind: str) -> None:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    folder = sd_folder(kind)
    model = open_model(folder)
    assert isinstance(model.unet, _unet.UNet)
    assert isinstance(model.vae, _autoencoder.Autoencoder)
    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    vae = AutoencoderKL.from_pretrained(folder / "vae")
    text = CLIPTextModel.from_pretrained(folder / "text_encoder")
    words = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    prompts = ["a red cube", "zébra 12, on the cat's!"]
    torch.manual_seed(0)
    x, t = torch.randn(2, model.channels, 15, 18), torch.tensor([10.0, 900.5])
    with torch.no_grad():
        states = text(words(prompts, padding="max_length", return_tensors="pt").input_ids)[0]
        assert torch.allclose(model.encode_text(prompts), states, atol=1e-6)
        wanted = unet(x, t, encoder_hidden_states=states).sample
        assert wanted.std() > 0.1
        for _ in range(2):  # the second time from the text's remembered keys and values
            said = model.unet(x, t, encoder_hidden_states=states).sample
            assert torch.allclose(said, wanted, atol=1e-4)
        pictures = vae.decode(x / model.scaling_factor).sample / 2 + 0.5
        assert torch.allclose(model.decode(x), pictures.clamp(0, 1), atol=1e-5)
        latents = vae.encode(pictures * 2 - 1).latent_dist.mean * model.scaling_factor
        assert torch.allclose(model.encode(pictures), latents, atol=1e-4)


def test_another_text_is_not_taken_for_the_remembered_one(sd_folder: Get) -> None:
    model = open_model(sd_folder("own"))
    x, t = torch.randn(1, model.channels, 8, 8), torch.tensor([500.0])
    one, other = (model.encode_text([prompt]) for prompt in ("a red cube", "a blue horse"))
    with torch.no_grad():
        first = model.unet(x, t, encoder_hidden_states=one).sample
        second = model.unet(x, t, encoder_hidden_states=other).sample
        assert not torch.allclose(first, second, atol=1e-3)
        assert torch.equal(model.unet(x, t, encoder_hidden_states=one).sample, first)


def pipeline(folder: Path, sampler: str) -> Any:
    from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    config = {**pipe.scheduler.config, "timestep_spacing": "trailing"}
    if sampler == "ddim":
        pipe.scheduler = DDIMScheduler.from_config(config, set_alpha_to_one=True, clip_sample=False)
    else:
        pipe.scheduler = DPMSolverMultistepScheduler.from_config(
            config, algorithm_type="dpmsolver++", solver_order=2, final_sigmas_type="zero"
        )
    return pipe


@pytest.mark.parametrize(
    ("kind", "sampler"),
    [("sd1", "ddim"), ("sd2", "ddim"), ("own", "ddim"), ("sd1", "dpmpp_2m"), ("sd2", "dpmpp_2m")],
)
def test_pictures_are_diffusers_pipelines(sd_folder: Get, kind: str, sampler: str) -> None:
    folder, prompt = sd_folder(kind), "a red cube on top of the cat"
    model = open_model(folder)
    options = dict(seed=3, count=2, steps=8, guidance_scale=5.0, sampler=sampler, model=model)
    pictures = generate(prompt, negative="dog", precision="float32", **options)
    mine = torch.stack([picture.pixels for picture in pictures]).permute(0, 2, 3, 1).numpy()
    theirs = pipeline(folder, sampler)(
        prompt,
        negative_prompt="dog",
        num_images_per_prompt=2,
        latents=Noise(3, [0, 1]).normal((model.channels, 16, 16)),
        num_inference_steps=8,
        guidance_scale=5.0,
        output_type="np",
    ).images
    assert np.abs(mine - theirs).max() < 1e-3
    assert mine.std() > 0.05
    plain = generate(prompt, precision="float32", **options)
    assert np.abs(mine - plain[0].pixels.permute(1, 2, 0).numpy()).max() > 1e-3  # "dog" matters


def test_the_first_autoencoders_names(copy: Path, sd_folder: Get) -> None:
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = {}
    for name, weight in load_file(copy / VAE).items():
        for new, before in old.items():
            if f"attentions.0.{new}." in name:
                name = name.replace(new, before)
                weight = weight[:, :, None, None] if weight.ndim == 2 else weight
        state[name] = weight.contiguous()
    save_file(state, copy / VAE)
    latents = torch.randn(1, 4, 8, 8)
    assert torch.equal(
        open_model(copy).decode(latents), open_model(sd_folder("sd1")).decode(latents)
    )


def test_unusual_networks_are_left_to_diffusers(copy: Path) -> None:
    from diffusers import AutoencoderKL, UNet2DConditionModel

    torch.manual_seed(1)
    unet = UNet2DConditionModel(
        sample_size=16, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8,
        cross_attention_dim=32, attention_head_dim=4, act_fn="gelu",
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 16, 16), norm_num_groups=4, mid_block_add_attention=False,
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
    )  # fmt: skip
    unet.save_pretrained(copy / "unet")
    vae.save_pretrained(copy / "vae")
    model = open_model(copy)
    assert type(model.unet) is UNet2DConditionModel
    x, t, states = torch.randn(1, 4, 16, 16), torch.tensor([7]), torch.randn(1, 77, 32)
    with torch.no_grad():
        said = model.unet(x, t, encoder_hidden_states=states).sample
        assert torch.allclose(said, unet(x, t, encoder_hidden_states=states).sample, atol=1e-4)
        wanted = vae.decode(x / 0.18215).sample / 2 + 0.5
        assert torch.allclose(model.decode(x), wanted.clamp(0, 1), atol=1e-5)
    assert generate("a cat", model=model, steps=2)[0].pixels.shape == (3, 64, 64)


def test_the_table_is_the_schedulers(sd_folder: Get, copy: Path) -> None:
    from diffusers import DDIMScheduler

    path = copy / "scheduler" / "scheduler_config.json"
    for changes in (
        dict(beta_schedule="scaled_linear"),
        dict(beta_schedule="linear", beta_start=1e-4, beta_end=0.02),
        dict(beta_schedule="squaredcos_cap_v2", num_train_timesteps=500),
        dict(beta_schedule="linear", trained_betas=[0.1, 0.2, 0.3], num_train_timesteps=3),
        dict(beta_schedule="scaled_linear", rescale_betas_zero_snr=True, num_train_timesteps=1000),
    ):
        config = {**json.loads(path.read_text()), "trained_betas": None, **changes}
        path.write_text(json.dumps(config))
        theirs = DDIMScheduler.from_config(config, clip_sample=False).alphas_cumprod
        table = open_model(copy).alpha_bars
        assert table is not None
        assert table.dtype == torch.float64
        assert torch.allclose(table.float(), theirs, atol=2e-6)
    path.write_text(json.dumps({**config, "_class_name": "FlowMatchEulerDiscreteScheduler"}))
    model = open_model(copy)
    assert (model.prediction, model.alpha_bars) == ("flow", None)
    assert generate("a cat", model=model, steps=2)[0].pixels.isfinite().all()


def test_half_precision_files_and_shards(copy: Path, sd_folder: Get) -> None:
    state = {name: weight.half() for name, weight in load_file(copy / UNET).items()}
    names = sorted(state)
    (copy / UNET).unlink()
    parts = {"diffusion_pytorch_model-00001-of-00002.safetensors": names[::2]}
    parts["diffusion_pytorch_model-00002-of-00002.safetensors"] = names[1::2]
    for file, held in parts.items():
        save_file({name: state[name] for name in held}, copy / "unet" / file)
    index = copy / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    where = {name: file for file, held in parts.items() for name in held}
    index.write_text(json.dumps({"weight_map": where}))
    mine = open_model(copy).unet.state_dict()
    whole = open_model(sd_folder("sd1")).unet.state_dict()
    assert all(torch.allclose(mine[name], whole[name], atol=1e-3) for name in whole)
    assert {weight.dtype for weight in mine.values()} == {torch.float32}
    where[names[0]] = "../../elsewhere.safetensors"
    index.write_text(json.dumps({"weight_map": where}))
    with pytest.raises(BadInput, match=r"elsewhere\.safetensors.*beside it"):
        open_model(copy)
