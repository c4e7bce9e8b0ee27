"""TAESD: diffusers' AutoencoderTiny, by its folder, by its first names, and added to a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from limner import generate, open_model, replay
from limner.errors import BadInput
from limner.models import shelf
from limner.models._taesd import Halves
from limner.models._text_to_image import TextToImage
from limner.tasks._checks import is_local

Get = Callable[[str], Path]
WEIGHTS = "diffusion_pytorch_model.safetensors"
SMALL = dict(steps=2, size=(32, 32), precision="float32")


@pytest.fixture(scope="module")
def tiny() -> Any:
    """Of 4 channels and 4 pixels to a latent's side, as the models here."""
    from diffusers import AutoencoderTiny

    torch.manual_seed(8)
    network = AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8), num_encoder_blocks=(1, 2, 2),
        decoder_block_out_channels=(8, 8, 8), num_decoder_blocks=(2, 1, 1),
        scaling_factor=1.25, shift_factor=0.1,
    )  # fmt: skip
    with torch.no_grad():  # livelier than at birth
        for weight in network.parameters():
            weight.mul_(1.6)
    return network.eval()


@pytest.fixture
def folder(tiny: Any, tmp_path: Path) -> Path:
    tiny.save_pretrained(tmp_path / "taesd")
    return tmp_path / "taesd"


@pytest.fixture
def files(tiny: Any, tmp_path: Path) -> tuple[Path, Path]:
    """The two halves as the first repository numbers their layers: a decoder's begin at 1."""
    halves: dict[str, dict[str, torch.Tensor]] = {"encoder": {}, "decoder": {}}
    for name, value in tiny.state_dict().items():
        half, _, number, rest = name.split(".", 3)
        place = int(number) + (half == "decoder")
        halves[half][f"{place}.{rest}"] = value
    places = tmp_path / "taesd_encoder.safetensors", tmp_path / "taesd_decoder.safetensors"
    for place, (_, state) in zip(places, halves.items()):
        save_file(state, place)
    return places


def decoded(tiny: Any, latents: torch.Tensor) -> torch.Tensor:
    """As pipelines decode with a folder's scale: latents / scaling_factor + shift."""
    with torch.no_grad():
        return (tiny.decode(latents / 1.25 + 0.1).sample / 2 + 0.5).clamp(0, 1)


def test_a_folder_takes_the_autoencoders_place(tiny: Any, folder: Path, sd_folder: Get) -> None:
    model = open_model(f"{sd_folder('sd1')}+{folder}")
    latents, pictures = torch.randn(2, 4, 9, 7) * 3, torch.rand(2, 3, 36, 28)
    wanted = decoded(tiny, latents)
    assert wanted.std() > 0.05
    torch.testing.assert_close(model.decode(latents), wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(model.preview(latents), wanted, atol=1e-5, rtol=0)
    with torch.no_grad():
        codes = (tiny.encode(pictures * 2 - 1).latents - 0.1) * 1.25
    torch.testing.assert_close(model.encode(pictures), codes, atol=1e-5, rtol=0)
    assert model.fingerprint != open_model(sd_folder("sd1")).fingerprint
    half = model.to("cpu", torch.bfloat16)
    assert (half.decode(latents) - wanted).abs().mean() < 0.02


def test_a_whole_picture_is_the_pipelines(tiny: Any, folder: Path, sd_folder: Get) -> None:
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    from limner.noise import Noise

    pipe = StableDiffusionPipeline.from_pretrained(sd_folder("sd1"), vae=tiny)
    pipe.set_progress_bar_config(disable=True)
    config = {**pipe.scheduler.config, "timestep_spacing": "trailing"}
    pipe.scheduler = DDIMScheduler.from_config(config, set_alpha_to_one=True, clip_sample=False)
    wanted = pipe(
        "a red cube", latents=Noise(3, [0]).normal((4, 8, 8)), num_inference_steps=3,
        guidance_scale=5.0, output_type="pt", height=32, width=32,
    ).images[0]  # fmt: skip
    model = f"{sd_folder('sd1')}+{folder}"
    options = dict(seed=3, steps=3, guidance_scale=5.0, sampler="ddim", size=(32, 32))
    picture = generate("a red cube", model=model, precision="float32", **options)[0]
    # diffusers' pipeline leaves the shift out, which none of the published TAESDs has
    moved = generate("a red cube", model=shiftless(folder, model), precision="float32", **options)
    assert (moved[0].pixels - wanted).abs().max() < 1e-3
    assert (picture.pixels - wanted).abs().max() > 1e-2


def shiftless(folder: Path, model: str) -> TextToImage:
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(said | {"shift_factor": 0.0}))
    return open_model(model)


def test_its_first_names(tiny: Any, files: tuple[Path, Path], sd_folder: Get) -> None:
    encoder, decoder = files
    base = open_model(sd_folder("sd1"))
    latents, pictures = torch.randn(1, 4, 8, 8), torch.rand(1, 3, 32, 32)
    with torch.no_grad():  # whose factor is 1
        wanted = (tiny.decode(latents).sample / 2 + 0.5).clamp(0, 1)
        codes = tiny.encode(pictures * 2 - 1).latents
    for name in (f"{encoder}+{decoder}", f"{decoder}+{encoder}"):
        both = open_model(f"{sd_folder('sd1')}+{name}")
        torch.testing.assert_close(both.decode(latents), wanted, atol=1e-5, rtol=0)
        torch.testing.assert_close(both.encode(pictures), codes, atol=1e-5, rtol=0)
    down = open_model(f"{sd_folder('sd1')}+{decoder}")
    torch.testing.assert_close(down.decode(latents), wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(down.encode(pictures), base.encode(pictures), atol=1e-5, rtol=0)
    up = open_model(f"{sd_folder('sd1')}+{encoder}")
    torch.testing.assert_close(up.decode(latents), base.decode(latents), atol=1e-5, rtol=0)


def test_previews_alone(tiny: Any, folder: Path, sd_folder: Get) -> None:
    base, seen = open_model(sd_folder("sd1")), []
    quick = open_model(f"{sd_folder('sd1')}+{folder}:preview")
    assert quick.fingerprint == base.fingerprint and quick.name == base.name
    options = dict(guidance_scale=4.0, **SMALL)
    plain = generate("a cat", model=base, **options)[0]
    made = generate("a cat", model=quick, watch=lambda p: seen.append(p.preview()), **options)[0]
    assert torch.equal(plain.pixels, made.pixels)
    assert made.recipe == plain.recipe
    latents = base.encode(plain.pixels[None])
    torch.testing.assert_close(quick.preview(latents), decoded(tiny, latents), atol=1e-5, rtol=0)
    assert len(seen) == 2 and not torch.allclose(seen[-1][0].pixels, plain.pixels, atol=0.05)
    assert quick.to("cpu", torch.bfloat16).preview(latents).isfinite().all()


def test_its_pictures_are_replayed(folder: Path, sd_folder: Get) -> None:
    name = f"{sd_folder('sd1')}+{folder}"
    picture = generate("a cat", model=name, **SMALL)[0]
    assert picture.recipe is not None and picture.recipe["model"]["name"] == name
    assert replay(picture).identical
    weights = load_file(folder / WEIGHTS)
    save_file({name: value * 1.1 for name, value in weights.items()}, folder / WEIGHTS)
    again = replay(picture)
    assert not again.identical and "the model's files" in again.notes[0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"act_fn": "gelu"}, "act_fn = 'gelu': expected 'relu'"),
        ({"scaling_factor": 0}, "scaling_factor = 0: expected a number"),
        ({"latent_channels": 16}, "not those of its config"),
        ({"num_decoder_blocks": [1, 1]}, "3 widths and 2 numbers"),
        ({"decoder_block_out_channels": "wide"}, "4 widths and 3|cannot be opened|not usable"),
        ({"_class_name": "AutoencoderKL"}, "no adapter|expected TAESD|has no adapter.json"),
    ],
)
def test_what_is_no_taesd(folder: Path, sd_folder: Get, change: dict, says: str) -> None:
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(said | change))
    with pytest.raises(BadInput, match=says):
        open_model(f"{sd_folder('sd1')}+{folder}")


def test_what_does_not_fit(folder: Path, files: tuple[Path, Path], sd_folder: Get) -> None:
    with pytest.raises(BadInput, match=r"latents of 4 channels and 4 pixels, those of .* have 8"):
        open_model(f"{sd_folder('own')}+{folder}")
    with pytest.raises(BadInput, match="previews need the decoder"):
        open_model(f"{sd_folder('sd1')}+{files[0]}:preview")
    with pytest.raises(BadInput, match="expected TAESD"):
        open_model(f"{sd_folder('sd1')}+{sd_folder('sd1') / 'vae'}:preview")
    with pytest.raises(BadInput, match="HF_HUB_OFFLINE"):
        open_model(f"{sd_folder('sd1')}+nobody/taesd")
    state = load_file(files[1])
    save_file({name: value for name, value in state.items() if name[0] != "1"}, files[1])
    with pytest.raises(BadInput, match=r"not those of its config|no TAESD"):
        open_model(f"{sd_folder('sd1')}+{files[1]}")


def test_latents_are_bent_back_as_the_library_does(folder: Path, sd_folder: Get) -> None:
    model = open_model(f"{sd_folder('sd1')}+{folder}")
    assert isinstance(model.vae, Halves)
    far = torch.full((1, 4, 4, 4), 1e4)
    assert torch.equal(model.decode(far), model.decode(far * 2))


def test_one_on_the_shelf(
    tiny: Any,
    folder: Path,
    files: tuple[Path, Path],
    sd_folder: Get,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path / "..")
    for name, place in {"quick": folder, "quick-decoder": files[1]}.items():
        shelf.add(str(place), name)
        model = open_model(f"{sd_folder('sd1')}+{name}")
        latents = torch.randn(1, 4, 8, 8)
        scaled = latents / 1.25 + 0.1 if place == folder else latents
        with torch.no_grad():
            wanted = (tiny.decode(scaled).sample / 2 + 0.5).clamp(0, 1)
        torch.testing.assert_close(model.decode(latents), wanted, atol=1e-5, rtol=0)
        assert is_local(f"{sd_folder('sd1')}+{name}")
    assert open_model(f"{sd_folder('sd1')}+quick:preview").previewer is not None
    assert not is_local(f"{sd_folder('sd1')}+nobody/taesd")
