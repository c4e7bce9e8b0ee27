"""The ways down and up are DDIM's; what x_T is led up to leads back."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from limner.denoisers.given import Given
from limner.denoisers.network import Network, Plain
from limner.errors import BadInput
from limner.models.diffusion_autoencoder import open_diffusion_autoencoder
from limner.noise import Noise
from limner.samplers.ddim import ddim, invert

sys.path.insert(0, str(Path(__file__).parents[1] / "generators"))
from _semantic import CODE, semantic

MODEL = semantic(torch.float64)
Z = Noise(0, range(2)).normal((CODE,)).double()
X = Noise(1, range(2)).normal((3, 16, 16)).double()
DENOISER = Given(
    Network(Plain(lambda x, t, _: MODEL.decoder(x, t, Z)), "epsilon", MODEL.alpha_bars),
    torch.zeros(1, 1, 1, dtype=torch.float64),
)


def test_down_is_ddim() -> None:
    *_, end = ddim(DENOISER, X, MODEL.levels(4), noise=Noise(0, range(2)))
    torch.testing.assert_close(MODEL.down(X, Z), end.x)


@pytest.mark.parametrize("steps", [4, 7])
def test_up_is_ddim_s_inversion(steps: int) -> None:
    x0 = X.tanh()
    *_, end = invert(DENOISER, x0, MODEL.levels(steps))
    found = list(MODEL.up(x0, Z, steps))
    assert len(found) == steps
    torch.testing.assert_close(found[-1], end.x)


def test_a_picture_is_found_again() -> None:
    """With more steps nearer: the error of a step falls with its square."""
    apart = []
    for steps in (50, 400):
        model = replace(MODEL, steps=steps)
        x0 = model.down(X, Z)
        *_, found = model.up(x0, Z, steps)
        apart.append(float((model.down(found, Z) - x0).square().mean().sqrt()))
    assert apart[1] < apart[0] / 4 and apart[1] < 0.01 < 0.1 < float((x0[0] - x0[1]).std())


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no embedded diffusion autoencoder"):
        open_diffusion_autoencoder("embedded")
    with pytest.raises(BadInput, match="no folder that limner train diffusion-autoencoder"):
        open_diffusion_autoencoder(tmp_path)
