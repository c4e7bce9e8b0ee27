"""Guidance asks for one x under two texts: what both share is done once and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from limner.models._open import open_model

Get = Callable[[str], Path]


@pytest.mark.parametrize("kind", ["sd1", "sd2"])
def test_the_same_twice_under_two_texts(sd_folder: Get, kind: str) -> None:
    model = open_model(sd_folder(kind))
    texts = model.encode_text(["a cat", "a dog", "", "a tree"])
    times, rows = torch.tensor([100.0, 300.0]), []
    x = torch.randn(2, model.channels, 8, 8, generator=torch.Generator().manual_seed(0))
    model.unet.conv_in.register_forward_hook(lambda _, __, out: rows.append(len(out)))
    with torch.no_grad():
        both = model.unet(torch.cat([x, x]), times.repeat(2), encoder_hidden_states=texts).sample
        for half, said in zip(texts.chunk(2), both.chunk(2)):
            alone = model.unet(x, times, encoder_hidden_states=half).sample
            torch.testing.assert_close(said, alone, atol=1e-5, rtol=1e-4)
    assert rows == [2, 2, 2]
    model.unet(torch.cat([x, x]), times.repeat(2), encoder_hidden_states=texts)
    assert rows[-1] == 4  # gradients want both halves
