"""Opening a model's folder: what is missing, pickled, broken or misfitting is one clear line."""

from __future__ import annotations

import json
import os
import pickle
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from limner import generate, open_model
from limner.errors import BadInput

Get = Callable[[str], Path]
UNET, VAE = "unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"


def edit(path: Path, **changes: Any) -> None:
    said = json.loads(path.read_text())
    said.update(changes)
    path.write_text(json.dumps(said))


def test_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file.ckpt").write_bytes(b"\x80\x02")
    (tmp_path / "empty").mkdir()
    for name, reason in {
        str(tmp_path / "nowhere"): "no model at",
        "./nowhere": "no model at",
        "no such thing": "no model at",
        "../../nowhere/passwd": "no model at",
        "x" * 5000: "no model at",
        "a\0b": "no model at",
        str(tmp_path / "file.ckpt"): "is a file.*pickled weights are never opened",
        str(tmp_path / "empty"): "no model_index.json",
    }.items():
        with pytest.raises(BadInput, match=reason):
            open_model(name)


def test_without_the_network_it_is_not_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def connect(*_: Any) -> None:
        raise AssertionError("the network was tried")

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    with pytest.raises(BadInput, match="not in the hub's cache, and HF_HUB_OFFLINE is set"):
        open_model("someone/some-model")


class Harm:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, where: Path) -> None:
        self.where = where

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.where),)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
@pytest.mark.parametrize("suffix", ["bin", "ckpt", "pt", "pth", "pkl"])
def test_pickled_weights_are_named_and_not_opened(copy: Path, part: str, suffix: str) -> None:
    harm = copy / "harm"
    for file in (copy / part).glob("*.safetensors"):
        file.unlink()
    name = copy / part / f"diffusion_pytorch_model.{suffix}"
    name.write_bytes(pickle.dumps(Harm(harm)))
    with pytest.raises(BadInput, match=rf"{part}/.*\.{suffix}.*convert it to safetensors"):
        open_model(copy)
    assert not harm.exists()


def test_a_single_checkpoint_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "v1-5.ckpt").write_bytes(pickle.dumps(Harm(tmp_path / "harm")))
    with pytest.raises(BadInput, match=r"v1-5\.ckpt.*convert"):
        open_model(tmp_path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("file", [UNET, VAE, "text_encoder/model.safetensors"])
@pytest.mark.parametrize("left", [0.5, 0.999, 0.0])
def test_half_a_file(copy: Path, file: str, left: float) -> None:
    data = (copy / file).read_bytes()
    (copy / file).write_bytes(data[: int(len(data) * left)])
    with pytest.raises(BadInput, match=r"no whole safetensors file.*fetch it again") as raised:
        open_model(copy)
    assert "\n" not in str(raised.value)


def test_mutated_weights_never_crash(copy: Path) -> None:
    whole = (copy / VAE).read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    rng = np.random.default_rng(2)
    refused = 0
    for turn in range(30):
        data = bytearray(whole)
        limit = header if turn % 3 else len(data)
        for place in rng.integers(0, limit, rng.integers(1, 12)):
            data[place] = rng.integers(0, 256)
        if turn % 5 == 0:
            data = data[: rng.integers(1, len(data))]
        (copy / VAE).write_bytes(data)
        try:
            open_model(copy)
        except BadInput as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 12


@pytest.mark.parametrize(
    "file", ["model_index.json", "unet/config.json", "scheduler/scheduler_config.json"]
)
@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "\udcff", None])
def test_broken_descriptions(copy: Path, file: str, text: str | None) -> None:
    if text is None:
        (copy / file).unlink()
    else:
        (copy / file).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadInput, match=file.replace(".", r"\.")):
        open_model(copy)


@pytest.mark.parametrize(
    ("file", "changes", "reason"),
    [
        (
            "model_index.json",
            {"unet": ["diffusers", "FluxTransformer"]},
            "FluxTransformer as its unet",
        ),
        ("model_index.json", {"vae": None}, "None as its vae"),
        ("model_index.json", {"text_encoder_2": ["transformers", "X"]}, "X as its text_encoder_2"),
        ("model_index.json", {"_class_name": ["pipeline", "Own"]}, "no code of a model is run"),
        ("unet/config.json", {"in_channels": 5}, "those for depth are not known"),
        ("unet/config.json", {"layers_per_block": 10**6}, "layers_per_block = 1000000"),
        ("unet/config.json", {"layers_per_block": 3}, "not those of its config"),
        ("unet/config.json", {"block_out_channels": [32, 64]}, "not those of its config"),
        ("unet/config.json", {"norm_num_groups": 7}, "split among 7 groups"),
        ("unet/config.json", {"attention_head_dim": 5}, "5 heads"),
        ("unet/config.json", {"sample_size": "big"}, "sample_size = 'big'"),
        ("vae/config.json", {"block_out_channels": ["a", "b", "c"]}, "not usable"),
        ("vae/config.json", {"latent_channels": 16}, "its latents have 16"),
        ("text_encoder/config.json", {"hidden_size": None}, "not usable"),
        ("text_encoder/config.json", {"num_attention_heads": 3}, "3 heads"),
        ("text_encoder/config.json", {"hidden_act": "sine"}, "activation 'sine'"),
        ("scheduler/scheduler_config.json", {"prediction_type": "magic"}, "'magic'"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "wild"}, "'wild'"),
        ("scheduler/scheduler_config.json", {"beta_end": 7}, "0.00085 to 7"),
        ("tokenizer/tokenizer_config.json", {"bos_token": "<none>"}, "lacks its bos_token"),
    ],
)
def test_descriptions_that_do_not_fit(
    copy: Path, file: str, changes: dict[str, Any], reason: str
) -> None:
    edit(copy / file, **changes)
    with pytest.raises(BadInput, match=reason) as raised:
        open_model(copy)
    assert "\n" not in str(raised.value)


def test_weights_that_are_no_numbers_paint_nothing(copy: Path) -> None:
    from limner.errors import LimnerError

    state = load_file(copy / UNET)
    save_file({name: weight * float("nan") for name, weight in state.items()}, copy / UNET)
    with pytest.raises(LimnerError, match="no numbers"):
        generate("a cat", model=open_model(copy), steps=2)


def test_the_fingerprint_is_of_the_contents(copy: Path, sd_folder: Get) -> None:
    same = open_model(sd_folder("sd1")).fingerprint
    assert open_model(copy).fingerprint == same
    edit(copy / "scheduler" / "scheduler_config.json", beta_end=0.013)
    changed = open_model(copy).fingerprint
    assert changed != same
    state = load_file(copy / VAE)
    state["decoder.conv_in.bias"][0] += 1
    save_file(state, copy / VAE)
    assert open_model(copy).fingerprint not in (same, changed)


def test_large_files_hashes_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    from limner.models import _folder

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    large = tmp_path / "large"
    with open(large, "wb") as file:
        file.truncate(2**16)
    monkeypatch.setattr(_folder, "_LARGE", 2**16)
    read: list[Path] = []
    real = _folder._read_hash
    monkeypatch.setattr(_folder, "_read_hash", lambda path: read.append(path) or real(path))
    first = _folder.fingerprint([large])
    assert _folder.fingerprint([large]) == first
    assert read == [large]
    wanted = hashlib.sha256(bytes(2**16)).hexdigest()
    line = f"{tmp_path.name}/large {wanted}\n"
    assert first == hashlib.sha256(line.encode()).hexdigest()
    os.utime(large, ns=(1, 1))
    _folder.fingerprint([large])
    assert read == [large, large]
