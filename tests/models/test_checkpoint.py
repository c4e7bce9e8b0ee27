"""Stable Diffusion in one file: the weights and pictures of the same in diffusers' folder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from limner import generate, open_model
from limner.errors import BadInput
from limner.levels import zero_terminal
from limner.models.checkpoint import checkpoint_parts, predicts_noise
from limner.models.diffusers import parts_of
from limner.noise import Noise

sys.path.insert(0, str(Path(__file__).parent))
import _first_names

KINDS = {"sd1": (False, "epsilon"), "sd2": (True, "epsilon"), "sd2v": (True, "v_prediction")}
Made = Callable[[str], tuple[Path, Path, Any]]


@pytest.fixture(scope="module")
def few_words(sd_folder: Callable[[str], Path]) -> Any:
    """A CLIPTokenizer of 77 tokens' windows and few words."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(sd_folder("sd1") / "tokenizer")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, few_words: Any) -> Made:
    """made("sd1") → the file, diffusers' folder of the same, and the pipeline."""
    known: dict[str, tuple[Path, Path, Any]] = {}

    def get(kind: str) -> tuple[Path, Path, Any]:
        if kind not in known:
            place = tmp_path_factory.mktemp(kind)
            second, prediction = KINDS[kind]
            pipe = _first_names.pipeline(second, few_words, prediction)
            pipe.set_progress_bar_config(disable=True)
            pipe.save_pretrained(place / "folder")
            pipe.tokenizer.save_pretrained(place / "tokenizer")
            file = place / "model.safetensors"
            said = "v" if prediction[0] == "v" else "epsilon"
            header = {"modelspec.prediction_type": said} if second else None
            save_file(_first_names.first_names(pipe, second), file, header)
            known[kind] = file, place / "folder", pipe
        return known[kind]

    return get


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_the_folders_bit_for_bit(made: Made, kind: str) -> None:
    file, folder, _ = made(kind)
    mine, theirs = checkpoint_parts(file), parts_of(folder)
    for part in ("unet", "text"):
        own, wanted = getattr(mine, part), getattr(theirs, part)
        assert set(own) == set(wanted)
        assert all(torch.equal(own[name], wanted[name]) for name in wanted)
    assert {n: v.squeeze().shape for n, v in mine.vae.items()} == {
        n: v.squeeze().shape for n, v in theirs.vae.items()
    }
    assert all(torch.equal(mine.vae[n].view_as(v), v) for n, v in theirs.vae.items())
    assert mine.prediction == theirs.prediction == KINDS[kind][1]
    assert mine.alpha_bars is not None and theirs.alpha_bars is not None
    assert torch.allclose(mine.alpha_bars, theirs.alpha_bars, rtol=1e-12)


@pytest.mark.parametrize("second", [False, True])
def test_diffusers_own_conversion_gives_the_same(made: Made, second: bool) -> None:
    from diffusers.loaders import single_file_utils as theirs

    file, _, pipe = made("sd2" if second else "sd1")
    state, parts = load_file(file), checkpoint_parts(file)
    unet = theirs.convert_ldm_unet_checkpoint(dict(state), dict(pipe.unet.config))
    vae = theirs.convert_ldm_vae_checkpoint(dict(state), dict(pipe.vae.config))
    assert set(unet) == set(parts.unet) and set(vae) == set(parts.vae)
    assert all(torch.equal(unet[name], parts.unet[name]) for name in unet)
    assert all(torch.equal(vae[name].flatten(), parts.vae[name].flatten()) for name in vae)


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_diffusers(made: Made, kind: str) -> None:
    file, folder, pipe = made(kind)
    prompt, options = "a red cube on top", dict(seed=3, count=2, steps=4, guidance_scale=5.0)
    options |= dict(sampler="ddim", precision="float32", negative="dog", size=(64, 64))
    one, other = (generate(prompt, model=open_model(path), **options) for path in (file, folder))
    mine = torch.stack([picture.pixels for picture in one])
    assert torch.equal(mine, torch.stack([picture.pixels for picture in other]))
    pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, set_alpha_to_one=True)
    theirs = pipe(
        prompt, negative_prompt="dog", num_images_per_prompt=2, num_inference_steps=4, width=64,
        latents=Noise(3, [0, 1]).normal((4, 16, 16)), guidance_scale=5.0, height=64,
        output_type="np",
    ).images  # fmt: skip
    assert np.abs(mine.permute(0, 2, 3, 1).numpy() - theirs).max() < 1e-3
    assert mine.std() > 0.05


def test_the_model_by_its_name(made: Made) -> None:
    file, _, _ = made("sd2v")
    model = open_model(str(file))
    assert (model.name, model.size, model.channels) == (str(file), 96 * 4, 4)
    assert file in model.files and len(model.fingerprint) == 64
    with pytest.raises(BadInput, match="made for another model"):
        open_model(f"{file}+student")


def test_what_a_file_says_of_its_prediction(made: Made, tmp_path: Path) -> None:
    file, _, pipe = made("sd1")
    pipe.tokenizer.save_pretrained(tmp_path / "tokenizer")
    state, odd = load_file(file), tmp_path / "odd.safetensors"
    save_file(state | {"v_pred": torch.ones(0), "ztsnr": torch.ones(0)}, odd)
    parts = checkpoint_parts(odd)
    assert parts.prediction == "v_prediction" and parts.alpha_bars is not None
    table = checkpoint_parts(file).alpha_bars
    assert table is not None and torch.equal(parts.alpha_bars, zero_terminal(table))
    save_file(state, odd, {"modelspec.prediction_type": "future"})
    with pytest.raises(BadInput, match=r"'future'.*known are epsilon and v"):
        open_model(odd)


def test_a_trained_network_tells_what_it_predicts() -> None:
    class Said:
        def __init__(self, sample: torch.Tensor) -> None:
            self.sample = sample

    alpha, sigma = 0.0047**0.5, (1 - 0.0047) ** 0.5
    picture = torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(9))

    def noise(x: torch.Tensor, t: torch.Tensor, encoder_hidden_states: torch.Tensor) -> Said:
        return Said((x - alpha * picture) / sigma)

    def v(x: torch.Tensor, t: torch.Tensor, encoder_hidden_states: torch.Tensor) -> Said:
        return Said(alpha * (x - alpha * picture) / sigma - sigma * picture)

    assert predicts_noise(noise, 4, 64) and not predicts_noise(v, 4, 64)


@pytest.mark.parametrize("second", [False, True])
def test_clips_own_words_where_none_are_beside_it(tmp_path: Path, second: bool) -> None:
    words = _first_names.clip_words("!" if second else "<|endoftext|>")
    pipe = _first_names.pipeline(second, words)
    file = tmp_path / "model.safetensors"
    save_file(_first_names.first_names(pipe, second), file)
    model = open_model(file)
    prompts = ["An astronaut riding a horse, in the snöw 12", ""]
    ids = words(prompts, padding="max_length", return_tensors="pt").input_ids
    assert torch.equal(model.tokenizer.batch(prompts), ids)
    assert len(words) == 49408 and ids[0, 1:6].tolist() == [550, 18376, 6765, 320, 4558]
    with torch.no_grad():
        assert torch.allclose(model.encode_text(prompts), pipe.text_encoder(ids)[0], atol=1e-5)


def test_half_precision_and_inpainting(tmp_path: Path, few_words: Any) -> None:
    pipe = _first_names.pipeline(False, few_words, inpainting=True)
    pipe.tokenizer.save_pretrained(tmp_path / "tokenizer")
    state = _first_names.first_names(pipe, False)
    save_file({n: v.half() for n, v in state.items()}, tmp_path / "model.safetensors")
    model = open_model(tmp_path / "model.safetensors")
    assert model.beside == 5 and model.conditioned == "inpainting"
    assert {weight.dtype for weight in model.unet.parameters()} == {torch.float32}


def test_other_files_are_refused_in_a_line(made: Made, tmp_path: Path) -> None:
    file, _, pipe = made("sd1")
    state, odd = load_file(file), tmp_path / "odd.safetensors"
    pipe.tokenizer.save_pretrained(tmp_path / "tokenizer")
    unet, first = "model.diffusion_model.", "model.diffusion_model.input_blocks.0.0.weight"
    lost = {n: v for n, v in state.items() if "first_stage" not in n}
    shape = state | {f"{unet}middle_block.0.in_layers.2.weight": torch.zeros(2, 2)}
    cases: list[tuple[dict[str, torch.Tensor], str]] = [
        ({"weight": torch.zeros(2)}, "no Stable Diffusion checkpoint"),
        ({"conditioner.embedders.0.model.x": torch.zeros(1), first: state[first]}, "the refiner"),
        ({"lora_unet_mid.lora_up.weight": torch.zeros(1)}, "is a LoRA: name it after"),
        ({first: torch.zeros(2)}, "lacks|has the shape"),
        ({first: state[first]}, "lacks"),
        (lost, "lacks 'decoder.conv_in.weight'"),
        (shape, "weights.*not those"),
        ({n: v for n, v in state.items() if "output_blocks.5" not in n}, "not those"),
        (state | {f"{unet}odd.weight": torch.zeros(1)}, "not those"),
    ]
    for held, reason in cases:
        save_file(held, odd)
        with pytest.raises(BadInput, match=reason) as raised:
            open_model(odd)
        assert "\n" not in str(raised.value)
    odd.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(BadInput, match="no whole safetensors file"):
        open_model(odd)
    pickled = tmp_path / "model.ckpt"
    pickled.write_bytes(b"\x80\x02cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(BadInput, match="pickled weights are never opened"):
        open_model(pickled)


def test_a_vocabulary_that_is_too_large(made: Made, tmp_path: Path) -> None:
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes(made("sd1")[0].read_bytes())
    with pytest.raises(BadInput, match=r"49408.*put the folder `tokenizer`"):
        open_model(alone)


@pytest.mark.parametrize("inpainting", [False, True])
def test_xl(tmp_path: Path, few_words: Any, inpainting: bool) -> None:
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
    from transformers import CLIPTokenizer

    few_words.save_pretrained(tmp_path / "tokenizer")
    other = CLIPTokenizer.from_pretrained(tmp_path / "tokenizer", pad_token="!")
    other.save_pretrained(tmp_path / "tokenizer_2")
    pipe = _first_names.xl_pipeline(few_words, other, inpainting)
    pipe.save_pretrained(tmp_path / "folder")
    file, state = tmp_path / "xl.safetensors", _first_names.xl_first_names(pipe)
    save_file(state, file)
    converted = convert_ldm_unet_checkpoint(dict(state), dict(pipe.unet.config))
    mine, theirs = checkpoint_parts(file), parts_of(tmp_path / "folder")
    assert mine.second is not None and theirs.second is not None
    assert set(mine.unet) == set(converted) == set(theirs.unet)
    pairs = [(mine.unet, theirs.unet), (mine.unet, converted), (mine.text, theirs.text)]
    for own, wanted in [*pairs, (mine.second.weights, theirs.second.weights)]:
        assert set(own) == set(wanted)
        assert all(torch.equal(own[name], wanted[name]) for name in wanted)
    one, two = open_model(file), open_model(tmp_path / "folder")
    texts = ["", "a red cube"]
    assert torch.equal(one.encode_text(texts), two.encode_text(texts))
    assert (one.size, one.downscale, one.scaling_factor) == (512, 4, 0.13025)
    assert (one.beside, one.guidance_scale, one.prediction) == (5 * inpainting, 5.0, "epsilon")
    x, t = torch.randn(1, 9 if inpainting else 4, 8, 8), torch.tensor([700.0])
    said, wanted = (m.unet(x, t, encoder_hidden_states=m.encode_text(["a"])) for m in (one, two))
    assert torch.allclose(said.sample, wanted.sample, atol=1e-5)
    broken = {n: v for n, v in state.items() if not n.endswith(".text_projection")}
    save_file(broken, file)
    with pytest.raises(BadInput, match="lacks 'text_projection'"):
        open_model(file)
    odd = "model.diffusion_model.label_emb.0.0.weight"
    save_file(state | {odd: torch.zeros(256, 127)}, file)
    with pytest.raises(BadInput, match=r"takes 127 numbers.*XL's base"):
        open_model(file)
