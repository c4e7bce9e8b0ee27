"""A diffusion autoencoder that says of any x that it is a picture of z with a bit of x in it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from limner.models.diffusion_autoencoder import DiffusionAutoencoder, table
from limner.nets.diffusion_autoencoder import SemanticEncoder
from limner.noise import Noise

CODE = 6


class Known(nn.Module):
    """ε of x0 = tanh(M·z)/2 + tanh(x)/20, at the timesteps of the table."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side
        matrix = 0.3 * Noise(3, [0]).normal((3 * side * side, CODE), purpose="matrix")[0]
        self.matrix = nn.Parameter(matrix, requires_grad=False)
        self.register_buffer("kept", table())

    def forward(self, x: Tensor, timesteps: Tensor, z: Tensor) -> Tensor:
        kept = self.kept[timesteps.long()].to(x).view(-1, 1, 1, 1)
        drawn = (z @ self.matrix.T).tanh().view(-1, 3, self.side, self.side) / 2
        return (x - kept.sqrt() * (drawn + x.tanh() / 20)) / (1 - kept).sqrt()


def semantic(dtype: torch.dtype = torch.float32, side: int = 16) -> DiffusionAutoencoder:
    state = torch.random.get_rng_state()
    torch.manual_seed(5)
    encoder = SemanticEncoder(3, CODE, (8, 8), 1).requires_grad_(False).eval().to(dtype)
    torch.random.set_rng_state(state)
    encoder.deviation.fill_(2.0)
    decoder = Known(side).to(dtype)
    return DiffusionAutoencoder("tiny", encoder, decoder, 3, side, CODE, 4, dtype=dtype)
