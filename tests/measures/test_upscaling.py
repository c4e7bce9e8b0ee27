"""Upscaling measured: an upscaler that adds nothing is bicubic, and a ranking of plain ways."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from limner.measures.upscaling import upscaling
from limner.models.upscaler import Upscaler, built
from limner.worlds.scenes import World


@pytest.fixture(scope="module")
def nothing() -> Upscaler:
    """Says that nothing is lacking: v of x0 = 0 at α = 0 is 0."""
    network = built({"widths": [4, 4], "depth": 1, "heard": 4})
    torch.nn.init.zeros_(network.last.bias)
    return Upscaler("nothing", network, 0.02)


def test_the_figures_are_those_of_pillow_s_pictures(nothing: Upscaler, clip_folder: Path) -> None:
    found = upscaling(nothing, count=2, details=(0.0,), clip=clip_folder)
    assert list(found.ways) == ["128 to 256", "128 to 512"] and found.n == 2
    expected = []
    for index in range(2):
        truth = Image.fromarray(World(1, split="held_out", scale=4).draw([index]).pictures[0])
        small = truth.resize((256, 256), Image.Resampling.BICUBIC).resize(
            (128, 128), Image.Resampling.BICUBIC
        )
        made = small.resize((512, 512), Image.Resampling.LANCZOS)
        apart = np.asarray(made, float) - np.asarray(truth, float)
        expected.append(-10 * np.log10(np.mean((apart / 255) ** 2)))
    ways = found.ways["128 to 512"]
    assert ways["lanczos"].psnr == pytest.approx(np.mean(expected), abs=0.1)
    for each in found.ways.values():
        plain, mine = each["bicubic"], each["detail 0"]
        assert mine.psnr == pytest.approx(plain.psnr, abs=0.15)
        assert mine.ssim == pytest.approx(plain.ssim, abs=0.002)
        assert plain.frechet_parts > 0 and plain.frechet >= 0
    assert found.ways["128 to 256"]["lanczos"].psnr > ways["lanczos"].psnr
    told = json.loads(json.dumps(found.told()))
    assert told["ways"]["128 to 512"]["lanczos"]["psnr"] == ways["lanczos"].psnr


def test_the_command_prints_and_refuses(
    run: Callable[..., tuple[int, str, str]], clip_folder: Path
) -> None:
    status, out, _ = run("measure", "upscaling", "--help")
    assert status == 0 and "Example: limner measure upscaling" in " ".join(out.split())
    status, _, err = run("measure", "upscaling", "--model", clip_folder, "--clip", clip_folder)
    assert status == 2 and "holds no network of limner train upscaler" in err
