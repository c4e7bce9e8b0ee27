"""The decoder's recipe: what the U-Net is told, what is left out, an adapter that says the same."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from limner import open_clip, open_model
from limner.errors import BadInput
from limner.models.adapter import open_adapter
from limner.models.decoder import decoder_of
from limner.training._conditioned import open_base
from limner.training._pictured import Pictured, pictured
from limner.training.decoder import Decoder, decoder
from limner.training.loop import Plan

sys.path.insert(0, str(Path(__file__).parent))
from _toy import Bars

Get = Callable[[str], Path]
PLAN = Plan(steps=2, batch_size=4, learning_rate=0.01, warmup_steps=1, save_every=1, seed=1)
SIZE = 32


def kept(folder: Path, clip: Any, base: Any, count: int = 40) -> Pictured:
    return pictured(
        Bars(count, SIZE), clip, folder, count, None, autoencoder=base.parts.autoencoder
    )


@pytest.fixture
def recipe(sd_folder: Get, clip_folder: Path, tmp_path: Path) -> Decoder:
    base, clip = open_base(str(sd_folder("own")), SIZE), open_clip(clip_folder)
    torch.manual_seed(0)
    return Decoder(base, kept(tmp_path / "kept", clip, base), clip, tokens=3, rank=2, seed=5)


def test_what_is_kept_is_what_the_clip_and_the_autoencoder_say(
    recipe: Decoder, clip_folder: Path, sd_folder: Get
) -> None:
    pictures, captions = Bars(40, SIZE).batch([3, 38])
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
    rows, said = recipe.data.batch([3, 38])
    wanted = open_clip(clip_folder).embed_pictures(pixels)
    found = torch.from_numpy(recipe.data.rows("embeddings", rows))
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=0)
    latents = open_model(sd_folder("own")).encode(pixels)
    found = torch.from_numpy(recipe.data.rows("latents", rows))
    torch.testing.assert_close(found, latents, atol=2e-3, rtol=2e-3)
    assert said == captions


def test_pictures_and_words_are_left_out_as_often_as_they_should(recipe: Decoder) -> None:
    batch = recipe.batch(0, 2000, 0, 1)
    zeros = (batch["embeddings"] == 0).all(1)
    empty = torch.tensor([text == "" for text in batch["words"]])
    assert 0.07 < zeros.float().mean() < 0.13 and 0.45 < empty.float().mean() < 0.55
    both = (zeros & empty).float().mean()  # each by its own chance
    assert 0.03 < both < 0.07
    lengths = batch["embeddings"][~zeros].norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths), atol=2e-3, rtol=0)
    again = recipe.batch(0, 2000, 0, 1)
    assert again["words"] == batch["words"] and torch.equal(again["noise"], batch["noise"])


def test_the_loss_is_that_of_the_network_told_both(recipe: Decoder, sd_folder: Get) -> None:
    """Against diffusers' U-Net as it was, since an adapter changes nothing at first."""
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(sd_folder("own") / "unet")
    torch.nn.init.normal_(recipe.projection.weight, std=0.3)
    batch = recipe.batch(3, 6, 0, 1)
    losses: list[torch.Tensor] = []
    recipe.learn("adapter", batch, 3, losses.append)
    words = open_model(sd_folder("own")).encode_text(batch["words"])
    layer = recipe.projection
    tokens = layer(batch["embeddings"] * batch["embeddings"].shape[1] ** 0.5).view(6, 3, -1)
    states = torch.cat([words, tokens], 1)
    x, v = recipe.base.noising.noisy(batch["latents"], batch["noise"], batch["timesteps"])
    with torch.no_grad():
        said = unet(x, batch["timesteps"], encoder_hidden_states=states).sample
    torch.testing.assert_close(losses[0], (said - v).square().mean(), atol=1e-4, rtol=1e-4)
    plain = torch.cat([words, tokens[:1].expand_as(tokens)], 1)
    assert not torch.allclose(plain, states)  # pictures differ in what is told of them


def test_all_of_it_learns_and_nothing_else(recipe: Decoder) -> None:
    before = {k: v.clone() for k, v in recipe.additions.state_dict().items()}
    optimiser = torch.optim.SGD(recipe.additions.parameters(), lr=1.0)
    recipe.learn("adapter", recipe.batch(0, 8, 0, 1), 0, lambda loss: loss.backward())
    optimiser.step()
    moved = {k for k, v in recipe.additions.state_dict().items() if not torch.equal(v, before[k])}
    assert {"extra.picture.weight", "extra.picture.bias"} <= moved
    assert all(k.endswith(".up") or k.startswith("extra") for k in moved)
    frozen = [p for p in recipe.text.parameters() if p.requires_grad]
    assert not frozen and len(moved) > 20


def test_the_run_ends_in_an_adapter_that_says_the_same_and_goes_on(
    sd_folder: Get, clip_folder: Path, tmp_path: Path
) -> None:
    folder = sd_folder("own")
    plan = replace(PLAN, preview_every=2)
    given: dict[str, Any] = {"start": str(folder), "clip": str(clip_folder), "rank": 2}
    given |= {"latents": 12, "tokens": 2}
    told: list[tuple[int, int]] = []
    list(decoder(Bars(16, SIZE), tmp_path / "whole", plan, **given,
                 watch=lambda *count: told.append(count)))  # fmt: skip
    assert told[-1] == (12, 12)
    first = decoder(Bars(16, SIZE), tmp_path / "parts", plan, **given)
    next(first)
    first.close()
    list(decoder(Bars(16, SIZE), tmp_path / "parts", plan, **given, resume=True))
    files = [tmp_path / run / "model" / "adapter.safetensors" for run in ("whole", "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert len(list((tmp_path / "whole" / "previews").iterdir())) == 1

    found = decoder_of(open_adapter(tmp_path / "whole" / "model", open_model(folder)))
    assert found.count == 2 and found.clip.fingerprint == open_clip(clip_folder).fingerprint
    pictures = torch.rand(2, 3, 40, 40)
    states = found.states(["a red cube", ""], found.embed(pictures))
    assert states.shape == (2, 34, 32)
    with pytest.raises(BadInput, match="has rank 2, more than 1"):
        begun = {"start": f"{folder}+{tmp_path / 'whole' / 'model'}", "rank": 1}
        list(decoder(Bars(16, SIZE), tmp_path / "third", plan, **given | begun))


def test_what_makes_no_sense_is_said(clip_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="tokens 0"):
        list(decoder(Bars(16), tmp_path / "run", PLAN, tokens=0, clip=str(clip_folder)))
