"""What is added to XL by name: LoRAs and learned words."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from limner import BadInput, generate, open_model
from limner.models.diffusers import Parts, parts_of
from limner.models.lora import with_lora

sys.path.insert(0, str(Path(__file__).parent))
import _first_names

Get = Callable[[str], Path]

WANTED = r".*(to_q|to_v|to_out\.0|proj_in|ff\.net\.2|q_proj|out_proj|fc1|resnets\.0\.conv\d"
WANTED += r"|time_emb_proj|conv_shortcut|downsamplers\.0\.conv|upsamplers\.0\.conv|conv_in"
WANTED += r"|text_projection|add_embedding\.linear_1)"


def random_lora(parts: Parts, rank: int = 2) -> dict[str, tuple[Tensor, Tensor]]:
    """Changes of many layers by peft's names: down and up of each."""
    assert parts.second is not None
    noise, out = torch.Generator().manual_seed(1), {}
    starts = {"unet.": parts.unet, "text_encoder.text_model.": parts.text}
    starts["text_encoder_2."] = parts.second.weights
    for start, state in starts.items():
        for name, weight in state.items():
            layer = name.removesuffix(".weight")
            if name.endswith(".weight") and re.fullmatch(WANTED, layer):
                down = torch.randn(rank, *weight.shape[1:], generator=noise) * 0.2
                ones = (1,) * (weight.ndim - 2)
                out[start + layer] = down, torch.randn(len(weight), rank, *ones, generator=noise)
    return out


def kohya(layer: str) -> str:
    """Its name in XL's LoRAs of kohya's scripts."""
    start, _, rest = layer.partition(".")
    if start == "unet":
        first = _first_names.unet_name(f"{rest}.weight", xl=True, layers=1).removesuffix(".weight")
        return "lora_unet_" + first.replace(".", "_")
    te = {"text_encoder": "lora_te1_", "text_encoder_2": "lora_te2_"}[start]
    rest = rest if rest.startswith("text_") else f"text_model.{rest}"
    return te + rest.replace(".", "_")


@pytest.mark.parametrize("write", ["peft", "kohya"])
def test_a_lora_changes_all_three(xl_folder: Get, tmp_path: Path, write: str) -> None:
    folder, file = xl_folder("xl"), tmp_path / "style.safetensors"
    plain = parts_of(folder)
    layers, held = random_lora(plain), {}
    ends = (".lora_A.weight", ".lora_B.weight")
    for layer, pair in layers.items():
        name = layer if write == "peft" else kohya(layer)
        used = ends if write == "peft" else (".lora_down.weight", ".lora_up.weight")
        held |= {name + end: each for end, each in zip(used, pair)}
    assert len({name[:9] for name in held}) >= 3 and len(held) == 2 * len(layers) > 60
    save_file(held, file)
    changed = with_lora(plain, file, 0.5)
    assert changed.second is not None and plain.second is not None
    kinds = {"unet": (plain.unet, changed.unet), "text_encoder": (plain.text, changed.text)}
    kinds["text_encoder_2"] = (plain.second.weights, changed.second.weights)
    for layer, (down, up) in layers.items():
        start, _, rest = layer.partition(".")
        before, after = kinds[start]
        name = rest.removeprefix("text_model.") + ".weight"
        change = (up.flatten(1).double() @ down.flatten(1).double()).view_as(before[name])
        assert torch.allclose(after[name].double(), before[name] + 0.5 * change, atol=1e-5)
    moved = sum(not torch.equal(a[n], b[n]) for a, b in kinds.values() for n in a)
    assert moved == len(layers)


def test_a_lora_of_a_users_is_diffusers(xl_folder: Get, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    from diffusers import StableDiffusionXLPipeline

    folder, file = xl_folder("xl"), tmp_path / "style.safetensors"
    layers = random_lora(parts_of(folder))
    held = {}
    for layer, (down, up) in layers.items():
        if re.search(r"unet.*(attn|ff)", layer):
            held |= {kohya(layer) + ".lora_down.weight": down, kohya(layer) + ".lora_up.weight": up}
            held[kohya(layer) + ".alpha"] = torch.tensor(1.5)
    save_file(held, file)
    pipe: Any = StableDiffusionXLPipeline.from_pretrained(folder)
    pipe.load_lora_weights(tmp_path, weight_name=file.name)
    pipe.fuse_lora(lora_scale=0.8)
    model = open_model(f"{folder}+{file}:0.8")
    own = parts_of(folder)
    changed = with_lora(own, file, 0.8).unet
    theirs = {n.replace(".base_layer", ""): v for n, v in pipe.unet.state_dict().items()}
    assert all(torch.allclose(v, theirs[n], atol=1e-5) for n, v in changed.items())
    assert not all(torch.equal(v, own.unet[n]) for n, v in changed.items())
    assert generate("a cat", model=model, steps=1)[0].pixels.isfinite().all()


def test_a_learned_word_is_for_both_encoders(xl_folder: Get, tmp_path: Path) -> None:
    from diffusers import StableDiffusionXLPipeline

    folder, file = xl_folder("xl"), tmp_path / "<toy>.safetensors"
    word = {"clip_l": torch.randn(2, 32), "clip_g": torch.randn(2, 24)}
    save_file(word, file)
    pipe: Any = StableDiffusionXLPipeline.from_pretrained(folder)
    for key, end in (("clip_l", ""), ("clip_g", "_2")):
        encoder, words = getattr(pipe, f"text_encoder{end}"), getattr(pipe, f"tokenizer{end}")
        pipe.load_textual_inversion(word[key], token="<toy>", text_encoder=encoder, tokenizer=words)
    prompts = ["a photo of <toy> on top of the cat", "a dog"]
    states, _, pooled, _ = pipe.encode_prompt(prompts, do_classifier_free_guidance=False)
    said = open_model(f"{folder}+{file}").encode_text(prompts)
    assert torch.allclose(said[:, 1:], states, atol=1e-5)
    assert torch.allclose(said[:, 0, :20], pooled, atol=1e-5)
    plain = open_model(folder).encode_text(prompts)
    assert torch.allclose(plain[1], said[1], atol=1e-6)
    for held, reason in (
        ({"<toy>": torch.zeros(2, 32)}, "for 1 text encoders"),
        (word | {"clip_g": torch.zeros(3, 24)}, "different numbers"),
        (word | {"clip_g": torch.zeros(2, 25)}, "is for another model"),
    ):
        save_file(held, file)
        with pytest.raises(BadInput, match=reason):
            open_model(f"{folder}+{file}")
