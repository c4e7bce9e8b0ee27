"""Weights that stay in their file: the same pictures, in less memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from limner import generate, open_model
from limner.errors import BadInput
from limner.models._rounded import round_weight
from limner.models._stored import Stored
from limner.models._tiles import _starts, tiled

Get = Callable[[str], Path]


def as_bfloat16(folder: Path, dtype: torch.dtype) -> Path:
    for file in folder.rglob("*.safetensors"):
        state = {name: value.to(dtype) for name, value in load_file(file).items()}
        save_file(state, file, {"format": "pt"})
    return folder


@pytest.fixture
def small(copy: Path) -> Path:
    return as_bfloat16(copy, torch.bfloat16)


def pixels(model: object, **said: object) -> Tensor:
    (made,) = generate("a red cube", model=model, steps=2, size="64x64", **said)
    return made.pixels


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16, torch.float32])
def test_straight_to_its_type_it_paints_the_same(copy: Path, stored: torch.dtype) -> None:
    folder = as_bfloat16(copy, stored)
    wanted = pixels(open_model(folder).to("cpu", torch.bfloat16), precision="bfloat16")
    for low_memory in (False, True):
        model = open_model(folder, dtype=torch.bfloat16, low_memory=low_memory)
        assert model.dtype == torch.bfloat16 and model.unet.conv_in.weight.dtype == torch.bfloat16
        assert torch.equal(pixels(model, precision="bfloat16"), wanted)
        assert model.fingerprint == open_model(folder).fingerprint


def test_float32_with_low_memory_is_exact(copy: Path) -> None:
    wanted = pixels(open_model(copy), precision="float32")
    model = open_model(copy, low_memory=True)
    assert torch.equal(pixels(model, precision="float32"), wanted)


def test_only_one_network_has_its_weights(copy: Path) -> None:
    model = open_model(copy, dtype=torch.bfloat16, low_memory=True)  # float32 in the file

    def there() -> list[bool]:
        text = model.text_encoder.tower.final_layer_norm.weight
        parts = (text, model.unet.conv_in.weight, model.vae.decoder.conv_in.weight)
        return [bool(each.isfinite().all()) for each in parts]

    assert there() == [False] * 3
    states = model.encode_text(["a cat"])
    assert there() == [True, False, False]
    x = torch.zeros(1, 4, 8, 8, dtype=torch.bfloat16)
    with torch.no_grad():
        said = model.unet(x, torch.tensor([5.0]), encoder_hidden_states=states).sample
    assert there() == [False, True, False] and bool(said.isfinite().all())
    model.decode(x)
    assert there() == [False, False, True]
    for change in (lambda: model.to("cpu", torch.float32), lambda: pixels(model, compile=True)):
        with pytest.raises(BadInput, match=r"stay where it is|not compiled"):
            change()


def test_what_is_stored_is_mapped_and_given_back(small: Path, tmp_path: Path) -> None:
    model = open_model(small, dtype=torch.bfloat16)
    layer = model.unet.time_embedding.linear_2
    file = layer.weight.stored_in
    assert isinstance(file, Stored) and file.holds(layer.weight)
    assert layer.weight.abs().sum() > 0
    large = tmp_path / "large.safetensors"
    save_file({"w": torch.ones(2**22), "x": torch.arange(5.0)}, large)
    held = Stored(large)
    tensors = held.tensors()
    before = resident()
    tensors["w"].sum()
    assert resident() - before > 12e6
    held.give_back(tensors["w"])
    assert resident() - before < 4e6
    assert tensors["w"].sum() == 2**22 and tensors["x"].tolist() == [0, 1, 2, 3, 4]


def resident() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssFile:")[1].split()[0]) + 1024 * int(
        status.split("RssAnon:")[1].split()[0]
    )


def test_eight_bits(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from limner.models import _rounded

    monkeypatch.setattr(_rounded, "_LARGE", 512)
    model = open_model(small, dtype=torch.float32, rounded=True)
    assert model.unet.conv_in.weight.isnan().all() and model.unet.conv_in.bias.isfinite().all()
    said, wanted = pixels(model), pixels(open_model(small), precision="float32")
    assert not torch.equal(said, wanted)
    assert -10 * (said - wanted).square().mean().log10() > 30
    assert model.unet.conv_in.weight.isnan().all()


def test_a_rounded_weight_is_within_half_a_step() -> None:
    layer = torch.nn.Linear(50, 7)
    wanted, x = layer.weight.detach().clone(), torch.eye(50)
    layer.weight.data = round_weight(layer, layer.weight.data)
    with torch.no_grad():
        off = (layer(x) - layer.bias).T - wanted
    assert bool((off.abs() <= wanted.abs().amax(1, keepdim=True) / 127 / 2 * 1.001).all())


def test_tiles_have_no_seam() -> None:
    """Of a decoder that looks at each place by itself, tiles are the whole; of one that does not,
    no step is greater where they meet than elsewhere."""

    def alone(z: Tensor) -> Tensor:
        return torch.nn.functional.interpolate(z, scale_factor=8, mode="nearest")

    z = torch.rand(2, 3, 70, 90)
    torch.testing.assert_close(tiled(alone, z, 32, 8), alone(z))
    assert torch.equal(tiled(alone, z[..., :32, :32], 32, 8), alone(z[..., :32, :32]))

    def normed(part: Tensor) -> Tensor:  # each tile of another brightness
        return alone(part - part.mean((2, 3), keepdim=True))

    slope = torch.linspace(0, 1, 90).expand(1, 1, 70, 90).clone()
    drawn = tiled(normed, slope, 32, 8)[0, 0]
    assert (
        float(drawn.diff(dim=1).abs().max()) < 0.04 and float(drawn.diff(dim=0).abs().max()) < 1e-5
    )


@pytest.mark.parametrize("side", [1, 31, 32, 33, 56, 57, 80, 81, 200])
def test_tiles_cover_a_side(side: int) -> None:
    starts = _starts(side, 32, 8)
    assert starts[0] == 0 and max(starts) + 32 >= side
    gaps = [b - a for a, b in pairwise(starts)]
    assert all(0 < gap <= 24 for gap in gaps) and (side <= 32 or starts[-1] + 32 == side)


def test_the_flags_are_in_the_recipe_and_repeat(small: Path, run: Any, tmp_path: Path) -> None:
    said = ["a cube", "--model", small, "--steps", 2, "--size", "64x64"]
    for precision, flags in (("bfloat16", ["--low-memory"]), ("int8", [])):
        done = run("generate", *said, "--precision", precision, *flags, "-o", "a.png", "--json")
        assert done[0] == 0, done
        recipe = json.loads(done[1])["pictures"][0]["recipe"]
        assert recipe["precision"] == precision
        assert recipe["arguments"]["low_memory"] is bool(flags)
        assert run("replay", "a.png")[:2] == (0, "identical\n")
    assert "given by name" in run("generate", "a cat", "--precision", "int8", "--steps", 1)[2]
    status, _, told = run("generate", *said, "--low-memory", "--compile")
    assert status == 2 and "is not compiled" in told
