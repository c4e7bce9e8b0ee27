"""A tiny StyleGAN2."""

from __future__ import annotations

import torch

from limner.models.stylegan import StyleGAN
from limner.nets.stylegan import Generator, Shape
from limner.noise import Noise


def styled(dtype: torch.dtype = torch.float32, layers: int = 3) -> StyleGAN:
    """Random, of 16 pixels with three sides of maps and 8 with two, and with some noise."""
    shape = Shape((6, 5, 4)[:layers], width=8, mapping_layers=2)
    with torch.device("meta"):
        network = Generator(shape)
    network = network.to_empty(device="cpu")
    noise = Noise(0, [0])
    for name, weight in network.named_parameters():
        start = {"affine.bias": 1.0, "strength": 0.3}
        offset = next((value for end, value in start.items() if name.endswith(end)), 0.0)
        scale = 100 if "mapping" in name and weight.ndim > 1 else 0.1 if weight.ndim < 2 else 0.4
        weight.data.copy_(offset + scale * noise.normal(weight.shape, purpose=name)[0])
    network.measure(Noise(1, range(200)).normal((8,)))
    network.path_length.zero_()
    model = StyleGAN("tiny", network.eval().requires_grad_(False), None, "MIT", ())
    return model.to("cpu", dtype)
