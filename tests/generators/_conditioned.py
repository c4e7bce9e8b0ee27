"""A tiny BigGAN."""

from __future__ import annotations

import torch

from limner.models.biggan import BigGAN
from limner.nets.biggan import Generator, Shape
from limner.noise import Noise


def conditioned(dtype: torch.dtype = torch.float32, sides: int = 3) -> BigGAN:
    """Random, with five classes, of 16 pixels with three sides of maps and 8 with two."""
    shape = Shape(5, (8, 6, 4)[:sides], noise=6, width=4, attention=4)
    with torch.device("meta"):
        network = Generator(shape)
    network = network.to_empty(device="cpu")
    noise = Noise(0, [0])
    for name, weight in network.named_parameters():
        scale = weight[0].numel() ** -0.5 if weight.ndim > 1 else 0.3
        offset = 1.0 if name == "norm.weight" else 0.0
        weight.data.copy_(offset + scale * noise.normal(weight.shape, purpose=name)[0])
    drawn = Noise(1, range(64)).normal((shape.layers, shape.noise))
    classes = torch.eye(5)[torch.arange(64) % 5][:, None].expand(-1, shape.layers, -1)
    network.measure([network.conditions(drawn, classes)])
    network.requires_grad_(False)
    names = ("apple", "cat", "cone", "cube", "tree")
    return BigGAN("tiny", network, None, names, "MIT", ()).to("cpu", dtype)
