"""Attention maps: held to the probabilities that diffusers' own attention processor works out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from limner import BadInput, open_model
from limner.denoisers.cfg import CFG
from limner.denoisers.network import Network
from limner.levels import Level
from limner.models._attended import recorded
from limner.models._words import words_of

Get = Callable[[str], Path]


class Telling:
    """diffusers' plain attention (AttnProcessor), which keeps its probabilities over the text."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def __call__(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None, **_: Any,
    ) -> Tensor:  # fmt: skip
        text = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = attn.to_q(hidden_states), attn.to_k(text), attn.to_v(text)
        q, k, v = (attn.head_to_batch_dim(each) for each in (q, k, v))
        weights = attn.get_attention_scores(q, k, attention_mask)
        if encoder_hidden_states is not None:
            self.seen.append(weights.unflatten(0, (-1, attn.heads)).mean(1))
        mixed = attn.batch_to_head_dim(torch.bmm(weights, v))
        return attn.to_out[1](attn.to_out[0](mixed))


def wide(weights: Tensor, size: tuple[int, int]) -> Tensor:
    """(b, h·w, n) → (b, n, *size), where h and w are of the size's shape."""
    scale = (size[0] * size[1] / weights.shape[1]) ** 0.5
    inner = [round(side / scale) for side in size]
    maps = weights.transpose(1, 2).unflatten(2, inner)
    return functional.interpolate(maps, size, mode="bicubic").clamp(min=0)


@pytest.mark.parametrize("kind", ["sd1", "sd2", "own"])
@pytest.mark.parametrize("library", [False, True])
def test_maps_are_those_of_diffusers_attention(sd_folder: Get, kind: str, library: bool) -> None:
    from diffusers import UNet2DConditionModel

    theirs = UNet2DConditionModel.from_pretrained(sd_folder(kind) / "unet").eval()
    telling = Telling()
    theirs.set_attn_processor(telling)
    model = open_model(sd_folder(kind))
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(2, model.channels, 8, 12, generator=draw)
    n, d = model.tokenizer.length, 32
    text, other = torch.randn(2, 1, n, d, generator=draw)
    states, times = torch.cat([other, other, text, text]), torch.full((4,), 500.0)
    with torch.no_grad():
        theirs(torch.cat([x, x]), times, encoder_hidden_states=states)
        wanted = torch.stack([wide(each[2:], (8, 12)) for each in telling.seen]).mean(0)
        plain = UNet2DConditionModel.from_pretrained(sd_folder(kind) / "unet").eval()
        unet = plain if library else model.unet
        with recorded(unet, [text], 2) as recorder:
            for _ in range(2):
                unet(torch.cat([x, x]), times, encoder_hidden_states=states)
    torch.testing.assert_close(recorder.maps()[0], 2 * wanted, rtol=1e-4, atol=1e-5)
    assert recorder.steps == 2 and wanted.std((0, 2, 3)).max() > 1e-3
    assert not any(each._forward_pre_hooks for each in unet.modules())


def test_guidance_is_heard_by_its_conditional_half_and_nothing_changes(sd_folder: Get) -> None:
    model = open_model(sd_folder("own"))
    nothing, cat, dog = model.encode_text(["", "a cat", "a dog on a red horse"]).split(1)
    network = Network(model.unet, model.prediction, model.alpha_bars)
    x, level = (
        torch.randn(3, model.channels, 8, 8, generator=torch.Generator().manual_seed(2)),
        Level(0.6, 0.8),
    )
    with torch.no_grad():
        before = CFG(network, dog, nothing, 3.0)(x, level)
        with recorded(model.unet, [dog], 3) as one, recorded(model.unet, [cat, dog], 3) as both:
            during = CFG(network, dog, nothing, 3.0)(x, level)
            CFG(network, cat, nothing, 1.0)(x, level)
        with recorded(model.unet, [dog], 3) as alone:
            network(x, level, dog.expand(3, -1, -1))
    assert torch.equal(before, during)
    torch.testing.assert_close(one.maps()[0], alone.maps()[0], rtol=1e-4, atol=1e-5)
    assert one.steps == 1 and both.steps == 2
    torch.testing.assert_close(both.maps()[1], one.maps()[0])
    assert not torch.allclose(both.maps()[0], both.maps()[1])
    picture = one.maps()[0][1:2]
    with torch.no_grad(), recorded(model.unet, [dog], 1) as single:
        network(x[1:2], level, dog)
    torch.testing.assert_close(single.maps()[0], picture, rtol=1e-3, atol=1e-5)


def test_at_each_pixel_the_tokens_share_one(sd_folder: Get) -> None:
    model = open_model(sd_folder("sd1"))
    text = model.encode_text(["a cat"])
    with torch.no_grad(), recorded(model.unet, [text], 1) as recorder:
        model.unet(torch.zeros(1, 4, 16, 16), torch.ones(1), encoder_hidden_states=text)
    total = recorder.maps()[0].sum(1)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=0.05)


def test_what_was_not_asked_is_no_map(sd_folder: Get) -> None:
    model = open_model(sd_folder("own"))
    text, other = model.encode_text(["a cat", "a dog"]).split(1)
    with torch.no_grad(), recorded(model.unet, [text], 1) as recorder:
        model.unet(torch.zeros(1, 8, 8, 8), torch.ones(1), encoder_hidden_states=other)
    with pytest.raises(BadInput, match="nothing was recorded"):
        recorder.maps()
    with (
        pytest.raises(BadInput, match="no transformers"),
        recorded(torch.nn.Linear(2, 2), [text], 1),
    ):
        pass


def test_words_are_found_among_the_states_of_any_window(sd_folder: Get) -> None:
    words = open_model(sd_folder("own")).tokenizer  # windows of 32
    found = words_of(words, "A  red cube's x9-z, on 'astronaut' — top!")
    assert [each.text for each in found] == ["A", "red", "cube's", "x9-z", "on", "astronaut", "top"]
    assert found[0].places == (1,) and found[1].places == (2,)
    ids = words.filled(words.windows("A  red cube's x9-z, on 'astronaut' — top!")[0])
    for word, places in found:
        assert words.text([ids[place] for place in places]).replace(" ", "") == word.lower()
    long = " ".join(["red"] * 29 + ["horse", "cat"])
    *_, horse, cat = words_of(words, long)
    assert horse.places == (30,) and cat.places == (33,)
    ids = [token for window in words.windows(long) for token in words.filled(window)]
    assert words.text([ids[33]]) == "cat"
    assert len(words_of(words, "red " * 300)) == 8 * 30
