"""The decoder's network is told words and pictures; what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from limner import generate, open_clip, open_model
from limner.errors import BadInput
from limner.models.adapter import CARD, open_adapter
from limner.models.decoder import decoder_of

sys.path.insert(0, str(Path(__file__).parents[1]))
from _unclip import random_decoder

Get = Callable[[str], Path]


@pytest.mark.parametrize("kind", ["own", "sd1"])
def test_it_says_what_the_library_s_network_says_of_both(
    sd_folder: Get, clip_folder: Path, tmp_path: Path, kind: str
) -> None:
    """diffusers' U-Net with the changes added by hand, called with the concatenated states."""
    from diffusers import UNet2DConditionModel

    base, folder = sd_folder(kind), random_decoder(tmp_path / "d", sd_folder(kind), clip_folder)
    found = decoder_of(open_adapter(folder, open_model(base)))
    tensors = load_file(folder / "adapter.safetensors")
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    with torch.no_grad():
        for name, layer in unet.named_modules():
            down = tensors.get(f"unet.{name}.lora_A.weight")
            if down is not None:
                up = tensors[f"unet.{name}.lora_B.weight"]
                layer.weight += (up.flatten(1) @ down.flatten(1)).view_as(layer.weight)
    torch.manual_seed(1)
    pictures, texts = torch.rand(2, 3, 48, 40), ["a red cube", "the horse on top of a dog"]
    z = open_clip(clip_folder).embed_pictures(pictures)
    z[1] = 0  # no picture
    weight, bias = tensors["picture.weight"], tensors["picture.bias"]
    tokens = (4 * z @ weight.T + bias).view(2, 2, 32)  # √16 is 4
    states = torch.cat([open_model(base).encode_text(texts), tokens], 1)
    torch.testing.assert_close(found.states(texts, z), states, atol=1e-5, rtol=1e-5)
    x, t = torch.randn(2, found.model.channels, 16, 16), torch.tensor([300.0, 700.0])
    with torch.no_grad():
        wanted = unet(x, t, encoder_hidden_states=states).sample
        said = found.model.unet(x, t, encoder_hidden_states=found.states(texts, z)).sample
        blind = found.model.unet(x, t, encoder_hidden_states=found.states(texts, 0 * z)).sample
    torch.testing.assert_close(said, wanted, atol=2e-4, rtol=1e-3)
    torch.testing.assert_close(blind[1], said[1], atol=1e-4, rtol=1e-4)
    assert (blind[0] - said[0]).abs().max() > 0.02


def test_what_is_refused(sd_folder: Get, clip_folder: Path, tmp_path: Path) -> None:
    base = sd_folder("own")
    with pytest.raises(BadInput, match="limner train decoder --data world:scenes"):
        decoder_of(open_model(base))
    folder = random_decoder(tmp_path / "d", base, clip_folder)
    with pytest.raises(BadInput, match="trained for decoder: use limner vary, textdiff or unclip"):
        generate("a cat", model=f"{base}+{folder}")
    card = json.loads((folder / CARD).read_text())

    def refused(why: str, **changed: object) -> None:
        (folder / CARD).write_text(json.dumps(card | changed))
        with pytest.raises(BadInput, match=why):
            decoder_of(open_adapter(folder, open_model(base)))

    refused("whose embeddings", clip=None)
    refused("another CLIP", clip={"name": str(clip_folder), "fingerprint": "x"})
    refused("no projection that fits", tokens=3)
    refused("knows no embeddings", kind="student")
