"""LoRA files of others: the weights of the equation, and those of diffusers with peft."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from limner import open_model
from limner.errors import BadInput
from limner.models.diffusers import parts_of
from limner.models.lora import with_lora

Get = Callable[[str], Path]
Layers = dict[str, tuple[Tensor, Tensor, float]]  # unet.LAYER or text_encoder.LAYER
WANTED = r".*(to_q|to_v|to_out\.0|proj_in|ff\.net\.2|q_proj|out_proj|fc1|resnets\.0\.conv1)"


def random_lora(folder: Path, seed: int, rank: int = 3) -> Layers:
    """Changes of many layers, among them convolutions: down, up and alpha of each."""
    parts, out = parts_of(folder), {}
    noise = torch.Generator().manual_seed(seed)
    for start, state in (("unet.", parts.unet), ("text_encoder.text_model.", parts.text)):
        for name, weight in state.items():
            layer = name.removesuffix(".weight")
            if not name.endswith(".weight") or not re.fullmatch(WANTED, layer):
                continue
            down = torch.randn(rank, *weight.shape[1:], generator=noise) * 0.2
            ones = (1,) * (weight.ndim - 2)
            up = torch.randn(weight.shape[0], rank, *ones, generator=noise) * 0.2
            out[start + layer] = down, up, 0.5 + 2 * torch.rand((), generator=noise).item()
    assert len(out) > 20
    return out


def kohya(layers: Layers) -> dict[str, Tensor]:
    out: dict[str, Tensor] = {}
    for layer, (down, up, alpha) in layers.items():
        start, _, rest = layer.partition(".")
        name = {"unet": "lora_unet_", "text_encoder": "lora_te_"}[start] + rest.replace(".", "_")
        out |= {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
        out[f"{name}.alpha"] = torch.tensor(alpha)
    return out


def peft(layers: Layers) -> dict[str, Tensor]:
    """Alpha is the rank here, as where nothing is said."""
    out = {f"{layer}.lora_A.weight": down for layer, (down, _, _) in layers.items()}
    return out | {f"{layer}.lora_B.weight": up for layer, (_, up, _) in layers.items()}


def processors(layers: Layers) -> dict[str, Tensor]:
    """As diffusers wrote attentions before peft."""
    out = {}
    for layer, (down, up, _) in layers.items():
        attention = re.fullmatch(r"(.*attn\d)\.(to_[qv]|to_out)(\.0)?", layer)
        if attention:
            name = f"{attention[1]}.processor.{attention[2]}_lora"
        elif layer.endswith("_proj") and "text" in layer:
            name = re.sub(r"\.(q|out)_proj$", r".to_\1_lora", layer)
        else:
            name = f"{layer}.lora" if layer.startswith("unet") else f"{layer}.lora_linear_layer"
        out |= {f"{name}.down.weight": down, f"{name}.up.weight": up}
    return out


def wanted(folder: Path, loras: list[tuple[Layers, float, bool]]) -> dict[str, Tensor]:
    """W + Σ weight · alpha / rank · up·down in float64, by the names in the LoRA."""
    parts = parts_of(folder)
    state = {f"unet.{n}": v.double() for n, v in parts.unet.items()}
    state |= {f"text_encoder.text_model.{n}": v.double() for n, v in parts.text.items()}
    for layers, weight, told in loras:
        for layer, (down, up, alpha) in layers.items():
            scale = weight * (alpha / len(down) if told else 1.0)
            change = torch.einsum("or,ri->oi", up.double().flatten(1), down.double().flatten(1))
            name = f"{layer}.weight"
            state[name] = state[name] + scale * change.view_as(state[name])
    return state


@pytest.mark.parametrize("kind", ["sd1", "sd2"])
@pytest.mark.parametrize("write", [kohya, peft, processors])
def test_weights_are_the_equations(
    sd_folder: Get, tmp_path: Path, kind: str, write: Callable[[Layers], dict[str, Tensor]]
) -> None:
    folder, file = sd_folder(kind), tmp_path / "style.safetensors"
    layers = random_lora(folder, 1)
    save_file(write(layers), file)
    parts = with_lora(parts_of(folder), file, 0.7)
    own = {f"unet.{n}": v for n, v in parts.unet.items()}
    own |= {f"text_encoder.text_model.{n}": v for n, v in parts.text.items()}
    expected = wanted(folder, [(layers, 0.7, write is kohya)])
    assert set(own) == set(expected)
    assert all(torch.allclose(own[n].double(), expected[n], atol=1e-6) for n in expected)
    assert parts.files[-1] == file


def test_several_by_name_and_the_recipes_hash(sd_folder: Get, tmp_path: Path) -> None:
    folder = sd_folder("sd1")
    one, two = tmp_path / "one.safetensors", tmp_path / "a+b.safetensors"
    save_file(kohya(random_lora(folder, 1)), one)
    save_file(peft(random_lora(folder, 2)), two)
    name = f"{folder}+{one}:0.8+{two}:-0.5"
    model, plain = open_model(name), open_model(folder)
    assert model.name == name and model.fingerprint != plain.fingerprint
    loras = [(random_lora(folder, 1), 0.8, True), (random_lora(folder, 2), -0.5, False)]
    layer = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_q.weight"
    expected = wanted(folder, loras)[f"unet.{layer}"]
    assert torch.allclose(model.unet.state_dict()[layer].double(), expected, atol=1e-6)
    weightless = open_model(f"{folder}+{one}:0").unet.state_dict()
    assert all(torch.equal(weightless[n], v) for n, v in plain.unet.state_dict().items())
    with pytest.raises(BadInput, match="made for another model"):
        open_model(f"{folder}+{one}+student")


def test_pipelines_loading_and_fusing_gives_the_same(sd_folder: Get, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    from diffusers import StableDiffusionPipeline

    folder = sd_folder("sd1")
    writers = {"one": kohya, "two": peft, "three": processors}
    pipe: Any = StableDiffusionPipeline.from_pretrained(folder)
    name, weights = str(folder), {"one": 0.8, "two": -0.4, "three": 0.3}
    for seed, (each, write) in enumerate(writers.items()):
        layers = random_lora(folder, seed)
        # the U-Net's alone: of the text encoder diffusers .42 finds no layer with transformers 5
        odd = "proj_in|resnets|ff" if write is processors else "text_encoder"
        layers = {n: v for n, v in layers.items() if not re.search(f"text_encoder|{odd}", n)}
        # one alpha, as kohya's scripts write it: in attentions diffusers takes one for all
        layers = {n: (down, up, 1.5) for n, (down, up, _) in layers.items()}
        save_file(write(layers), tmp_path / f"{each}.safetensors")
        pipe.load_lora_weights(tmp_path, weight_name=f"{each}.safetensors", adapter_name=each)
        name += f"+{tmp_path / each}.safetensors:{weights[each]}"
    pipe.set_adapters(list(weights), list(weights.values()))
    pipe.fuse_lora(adapter_names=list(weights))
    model = open_model(name)
    x, t, states = torch.randn(2, 4, 16, 16), torch.tensor([10.0, 900.0]), torch.randn(2, 77, 32)
    with torch.no_grad():
        theirs = pipe.unet(x, t, encoder_hidden_states=states).sample
        mine = model.unet(x, t, encoder_hidden_states=states).sample
        assert torch.allclose(mine, theirs, atol=1e-4)
        plain = open_model(folder).unet(x, t, encoder_hidden_states=states).sample
        assert not torch.allclose(plain, theirs, atol=1e-2)


def test_alpha_in_the_files_header(sd_folder: Get, tmp_path: Path) -> None:
    folder, file = sd_folder("sd1"), tmp_path / "style.safetensors"
    layers = {n: v for n, v in random_lora(folder, 1).items() if n.startswith("unet")}
    said = json.dumps({"unet.lora_alpha": 6, "unet.r": 3})
    save_file(peft(layers), file, {"lora_adapter_metadata": said})
    expected = wanted(folder, [(layers, 2.0, False)])
    own = with_lora(parts_of(folder), file).unet
    assert all(torch.allclose(v.double(), expected[f"unet.{n}"], atol=1e-6) for n, v in own.items())
    save_file(peft(layers), file, {"lora_adapter_metadata": json.dumps({"unet.use_dora": True})})
    with pytest.raises(BadInput, match="use_dora"):
        with_lora(parts_of(folder), file)
    for broken in ("[", "[1]", "3", '{"unet.lora_alpha": "x"}', '{"unet.lora_alpha": null}'):
        save_file(peft(layers), file, {"lora_adapter_metadata": broken})
        with pytest.raises(BadInput, match="header that cannot be read"):
            with_lora(parts_of(folder), file)


def test_what_does_not_fit_is_refused_in_a_line(sd_folder: Get, tmp_path: Path) -> None:
    folder, file = sd_folder("sd1"), tmp_path / "style.safetensors"
    whole = kohya(random_lora(folder, 1))
    name = next(name for name in whole if name.endswith("lora_up.weight"))
    layer = name.removesuffix(".lora_up.weight")
    cases: list[tuple[dict[str, Tensor], str]] = [
        ({n: v for n, v in whole.items() if n != name}, "but a half"),
        (whole | {name: torch.zeros(5, 7)}, "is for another model"),
        (whole | {name: torch.zeros(())}, "but a half"),
        (whole | {f"{layer}.alpha": torch.zeros(2)}, "an alpha of shape"),
        (whole | {f"{layer}.alpha": torch.tensor(float("nan"))}, "an alpha of nan"),
        (whole | {f"{layer}.dora_scale": torch.zeros(2)}, "no LoHa, LoKr, DoRA"),
        (whole | {"lora_te2_x.lora_up.weight": torch.zeros(2)}, "has no such layer"),
        ({"lora_unet_nowhere.lora_up.weight": torch.zeros(2, 2)}, "has no such layer"),
    ]
    for held, reason in cases:
        save_file(held, file)
        with pytest.raises(BadInput, match=reason) as raised:
            open_model(f"{folder}+{file}")
        assert "\n" not in str(raised.value)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BadInput, match="no whole safetensors file"):
        open_model(f"{folder}+{file}")
    with pytest.raises(BadInput, match=r"nowhere\.safetensors"):
        open_model(f"{folder}+nowhere.safetensors")
    for weight in ("much", "nan", "1e9", ""):
        with pytest.raises(BadInput, match="has the weight"):
            open_model(f"{folder}+{file}:{weight}")
