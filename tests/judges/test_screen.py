from __future__ import annotations

import torch

from limner.judges.clip import Clip
from limner.judges.screen import Screen
from limner.noise import Noise
from limner.prompt import Phrase

NOISE = Noise(0, [0, 1])


def test_is_clip_of_the_layer_over_green(clip, total):
    layers = Noise(1, [0, 1]).uniform((4, 32, 32))
    green = torch.tensor([0, 177, 64.0])[:, None, None] / 255
    over = layers[:, :3] * layers[:, 3:] + green * (1 - layers[:, 3:])
    sentences = ("over a green screen", "in front of a green screen", "on a green background")
    phrases = [Phrase(f"a red cat {sentence}") for sentence in sentences]
    wanted = total(Clip([clip], phrases, views=3), over, NOISE, 2)
    torch.testing.assert_close(total(Screen([clip], "red cat", 3), layers, NOISE, 2), wanted)


def test_what_is_transparent_does_not_count(clip, total):
    layers = Noise(1, [0, 1]).uniform((4, 32, 32))
    layers[:, 3, :16] = 0
    other = layers.clone()
    other[:, :3, :16] = 0.3
    screen = Screen([clip], "red cat", 2)
    assert torch.equal(total(screen, layers, NOISE), total(screen, other, NOISE))
