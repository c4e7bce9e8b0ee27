"""Learned words: the tokens and states of diffusers' load_textual_inversion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from limner import open_model
from limner.errors import BadInput

Get = Callable[[str], Path]
PROMPTS = ["a photo of <toy> on top of the cat", "a <toy>, a red <one> cube", "a dog"]


def test_states_are_diffusers(sd_folder: Get, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    folder, noise = sd_folder("sd1"), torch.Generator().manual_seed(1)
    toy, one = tmp_path / "learned.safetensors", tmp_path / "<one>.safetensors"
    save_file({"<toy>": torch.randn(3, 32, generator=noise)}, toy)
    save_file({"emb_params": torch.randn(1, 32, generator=noise)}, one)
    pipe: Any = StableDiffusionPipeline.from_pretrained(folder)
    pipe.load_textual_inversion(tmp_path, weight_name=toy.name)
    pipe.load_textual_inversion(tmp_path, weight_name=one.name, token="<one>")
    said = pipe.maybe_convert_prompt(PROMPTS, pipe.tokenizer)
    ids = pipe.tokenizer(said, padding="max_length", return_tensors="pt").input_ids
    model = open_model(f"{folder}+{toy}+{one}")
    with torch.no_grad():
        states = pipe.text_encoder(ids)[0]
    mine = model.encode_text(PROMPTS)
    assert torch.allclose(mine, states, atol=1e-5)
    plain = open_model(folder).encode_text(PROMPTS)
    assert torch.allclose(mine[2], plain[2], atol=1e-6)
    assert not torch.allclose(mine[0], plain[0], atol=1e-2)
    assert len(model.tokenizer.ids("<toy>")) == 3 and model.files[-2:] == (toy, one)


def test_what_does_not_fit_is_refused_in_a_line(sd_folder: Get, tmp_path: Path) -> None:
    folder, file = sd_folder("sd1"), tmp_path / "word.safetensors"
    cases = [
        ({"<toy>": torch.zeros(2, 48)}, "is for another model"),
        ({"<toy>": torch.zeros(2, 32, dtype=torch.int64)}, "is for another model"),
        ({"<toy>": torch.zeros(0, 32)}, "holds 0 tokens"),
        ({"<toy>": torch.zeros(90, 32)}, "holds 90 tokens"),
        ({"cat</w>": torch.zeros(1, 32)}, "is one already"),
        ({" ": torch.zeros(1, 32)}, "rename it"),
        ({"clip_l": torch.zeros(1, 32), "clip_g": torch.zeros(1, 48)}, "for 2 text encoders"),
        ({"clip_l": torch.zeros(1, 32), "<toy>": torch.zeros(1, 48)}, "neither a LoRA nor"),
        ({"<toy>": torch.zeros(1, 1, 32)}, "neither a LoRA nor"),
    ]
    for held, reason in cases:
        save_file(held, file)
        with pytest.raises(BadInput, match=reason) as raised:
            open_model(f"{folder}+{file}")
        assert "\n" not in str(raised.value)
    save_file({"<toy>": torch.zeros(1, 32)}, file)
    with pytest.raises(BadInput, match="is a word: give no weight"):
        open_model(f"{folder}+{file}:0.5")
    with pytest.raises(BadInput, match="is one already"):
        open_model(f"{folder}+{file}+{file}")
