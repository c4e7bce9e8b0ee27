"""Adapters: the U-Net with W + scale · B·A, whoever computes it; and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from limner import open_model
from limner.errors import BadInput
from limner.models import _unet
from limner.models.adapter import CARD, WEIGHTS, base_of, merged, open_adapter
from limner.training._low_rank import Additions, export, widen

Get = Callable[[str], Path]
KINDS = ("sd1", "sd2", "own")
WIDER = 3  # channels below the latents'


def unet_of(folder: Path) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel.from_pretrained(folder / "unet")


def adapted(folder: Path, base: Path, beside: int = 0, scale: float = 0.7) -> Any:
    """Writes a lively adapter for the model in `base`; the network it was trained in."""
    torch.manual_seed(1)
    unet = unet_of(base)
    whole = widen(unet, beside) if beside else ()
    additions = Additions(unet, 3, scale, whole, {"phrases": torch.nn.Linear(4, 2)})
    with torch.no_grad():
        for weight in additions.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    config = {"in_channels": unet.config.in_channels}
    card = {"beside": beside, "config": config, "labels": ["a"]}
    export(folder, additions, "test", base_of(open_model(base)), card)
    return unet


def asked(base: Any, beside: int) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(2, base.channels + beside, 8, 8)
    return x, torch.tensor([10.0, 900.5]), base.encode_text(["a red cube", "the horse"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beside", [0, WIDER])
def test_opened_it_says_what_the_network_said_in_training(
    sd_folder: Get, tmp_path: Path, kind: str, beside: int
) -> None:
    trained = adapted(tmp_path, sd_folder(kind), beside)
    base = open_model(sd_folder(kind))
    model = open_adapter(tmp_path, base)
    assert isinstance(model.unet, _unet.UNet)
    x, t, states = asked(base, beside)
    with torch.no_grad():
        wanted = trained(x, t, encoder_hidden_states=states).sample
        said = model.unet(x, t, encoder_hidden_states=states).sample
        plain = base.unet(x[:, : base.channels], t, encoder_hidden_states=states).sample
    torch.testing.assert_close(said, wanted, atol=1e-4, rtol=1e-4)
    assert (said - plain).abs().max() > 0.05
    assert (model.beside, model.conditioned) == (beside, "test" if beside else None)
    assert model.adapter is not None and model.adapter.card["labels"] == ["a"]
    assert model.adapter.extra["phrases.weight"].shape == (2, 4)
    assert model.fingerprint != base.fingerprint
    assert {file.name for file in model.files} >= {WEIGHTS, CARD}


def test_the_libraries_network_with_merged_weights_says_the_same(
    sd_folder: Get, tmp_path: Path
) -> None:
    folder = sd_folder("own")
    trained = adapted(tmp_path, folder)
    changes = {k.removeprefix("unet."): v for k, v in load_file(tmp_path / WEIGHTS).items()}
    state = load_file(folder / "unet/diffusion_pytorch_model.safetensors")
    changes = {k: v for k, v in changes.items() if not k.startswith("phrases")}
    theirs = unet_of(folder)
    theirs.load_state_dict(merged(state, changes, 0.7))
    x, t, states = asked(open_model(folder), 0)
    with torch.no_grad():
        wanted = trained(x, t, encoder_hidden_states=states).sample
        said = theirs(x, t, encoder_hidden_states=states).sample
    torch.testing.assert_close(said, wanted, atol=1e-5, rtol=1e-5)


def test_merged_is_the_formula() -> None:
    torch.manual_seed(0)
    matrix, up, down = torch.randn(5, 4), torch.randn(5, 2), torch.randn(2, 4)
    kernel, kernel_up, kernel_down = (
        torch.randn(6, 4, 3, 3), torch.randn(6, 2, 1, 1), torch.randn(2, 4, 3, 3),
    )  # fmt: skip
    out = merged(
        {"a.weight": matrix, "c.weight": kernel, "b.bias": torch.ones(2)},
        {
            "a.lora_A.weight": down, "a.lora_B.weight": up, "b.bias": torch.zeros(2),
            "c.lora_A.weight": kernel_down, "c.lora_B.weight": kernel_up,
        },
        0.5,
    )  # fmt: skip
    wanted = matrix.double() + 0.5 * up.double() @ down.double()
    torch.testing.assert_close(out["a.weight"].double(), wanted, atol=1e-6, rtol=1e-6)
    assert out["b.bias"].tolist() == [0, 0]
    x = torch.randn(1, 4, 7, 7)  # a narrow convolution, then a 1×1: two layers, one kernel
    conv = torch.nn.functional.conv2d
    both = conv(x, kernel) + 0.5 * conv(conv(x, kernel_down), kernel_up)
    torch.testing.assert_close(conv(x, out["c.weight"]), both, atol=1e-4, rtol=1e-4)


def test_wider_and_with_nothing_learned_it_is_the_base(sd_folder: Get) -> None:
    folder = sd_folder("own")
    unet, plain = unet_of(folder), unet_of(folder)
    additions = Additions(unet, 4, whole=widen(unet, 2))
    x, t, states = asked(open_model(folder), 2)
    with torch.no_grad():
        said = unet(x, t, encoder_hidden_states=states).sample
        wanted = plain(x[:, :-2], t, encoder_hidden_states=states).sample
    torch.testing.assert_close(said, wanted)
    learned = {id(weight) for weight in additions.parameters()}
    moving = {id(weight) for weight in unet.parameters() if weight.requires_grad}
    assert learned == moving  # nothing else of the U-Net learns
    norms = [name for name in additions.tensors() if "norm" in name]
    assert not norms


def test_a_step_moves_what_it_should(sd_folder: Get) -> None:
    folder = sd_folder("own")
    unet = unet_of(folder)
    additions = Additions(unet, 2, whole=widen(unet, 1))
    before = {name: weight.clone() for name, weight in unet.named_parameters()}
    optimiser = torch.optim.SGD(additions.parameters(), lr=0.1)
    x, t, states = asked(open_model(folder), 1)
    unet(x, t, encoder_hidden_states=states).sample.square().mean().backward()
    optimiser.step()
    moved = {n for n, w in unet.named_parameters() if not torch.equal(w, before[n])}
    assert {name.rsplit(".", 1)[1] for name in moved} == {"up", "weight", "bias"}
    assert {name for name in moved if not name.endswith(".up")} == {
        "conv_in.weight", "conv_in.bias",
    }  # fmt: skip


def spoilt(folder: Path, **card: Any) -> None:
    told = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(told | card))


def test_what_is_refused(sd_folder: Get, tmp_path: Path) -> None:
    base, other = open_model(sd_folder("own")), open_model(sd_folder("sd1"))
    whole = tmp_path / "whole"
    adapted(whole, sd_folder("own"), WIDER)

    def refused(why: str, model: Any = base, **card: Any) -> None:
        folder = tmp_path / "spoilt"
        spoilt(folder, **card)
        with pytest.raises(BadInput, match=why):
            open_adapter(folder, model)
        shutil.rmtree(folder)
        shutil.copytree(whole, folder)

    shutil.copytree(whole, tmp_path / "spoilt")
    refused("made for another model", other)
    refused("made for another model", base="0" * 64)
    refused("scale = 'much'", scale="much")
    refused("config = 3", config=3)
    refused("do not fit", beside=5)
    refused("not those of its config", beside=4, config={"in_channels": 12})
    with pytest.raises(BadInput, match="one at a time"):
        open_adapter(whole, open_adapter(whole, base))
    (tmp_path / "spoilt" / WEIGHTS).write_bytes(b"half a file")
    refused("no whole safetensors")
    (tmp_path / "spoilt" / WEIGHTS).rename(tmp_path / "spoilt" / "adapter.bin")
    refused("pickled")
    with pytest.raises(BadInput, match="no adapter 'nowhere'"):
        open_adapter("nowhere", base)
    with pytest.raises(BadInput, match="no adapter"):
        open_adapter(sd_folder("own"), base)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda t: t.update({"unet.nowhere.lora_A.weight": torch.zeros(2, 2)}), "no such layer"),
        (lambda t: t.pop("unet.conv_out.lora_B.weight"), "there is no lora_B"),
        (lambda t: t.pop("unet.conv_out.lora_A.weight"), "no lora_A.weight to it"),
        (lambda t: t.update({"unet.conv_out.lora_B.weight": torch.zeros(8, 5, 1, 1)}), "expected"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit(
    sd_folder: Get, tmp_path: Path, change: Callable[[dict[str, Tensor]], Any], why: str
) -> None:
    adapted(tmp_path, sd_folder("own"))
    tensors = load_file(tmp_path / WEIGHTS)
    change(tensors)
    save_file(tensors, tmp_path / WEIGHTS)
    with pytest.raises(BadInput, match=why):
        open_adapter(tmp_path, open_model(sd_folder("own")))
