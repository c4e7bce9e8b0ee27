import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.interpolate import BPoly

from limner.errors import BadInput
from limner.generators._strokes import on_curves
from limner.generators.strokes import Strokes
from limner.noise import Noise
from limner.picture import psnr


def varied(generator, count, samples=(0,)):
    """Strokes of all widths, long ones too."""
    latent = generator.start(Noise(1, samples))
    latent["widths"] = 1 + 30 * Noise(2, samples).uniform((count,)) ** 2
    latent["points"] = latent["points"] + 30 * Noise(3, samples).normal(latent["points"].shape[1:])
    return generator.constrain(latent)


def line(*, size, start, end, width, colour):
    """One straight stroke, given in pixels, with the generator that draws it."""
    generator = Strokes(size, count=1, segments=1)
    scale = min(size) / 224
    t = torch.tensor([0, 1 / 3, 2 / 3, 1], dtype=torch.float64)[:, None]
    points = torch.tensor(start) * (1 - t) + torch.tensor(end) * t
    latent = {
        "points": points[None, None] / scale,
        "widths": torch.tensor([[width / scale]], dtype=torch.float64),
        "colours": torch.tensor([[colour]], dtype=torch.float64),
    }
    return generator, latent


@pytest.mark.parametrize("size, count", [((96, 64), 24), ((64, 64), 40), ((50, 75), 12)])
def test_the_svg_looks_the_same_in_resvg(size, count):
    resvg = pytest.importorskip("resvg_py")
    generator = Strokes(size, count)
    latent = varied(generator, count, range(2))
    for picture, svg in zip(generator.render(latent), generator.svg(latent)):
        drawn = Image.open(io.BytesIO(bytes(resvg.svg_to_bytes(svg_string=svg)))).convert("RGB")
        theirs = torch.from_numpy(np.array(drawn)).permute(2, 0, 1) / 255
        assert theirs.shape == picture.shape
        assert psnr(picture, theirs) >= 30
        assert psnr(picture, torch.ones_like(picture)) < 20, "nothing to compare"


def test_the_svg_of_what_is_out_of_range_is_that_of_what_is_rendered():
    generator = Strokes((32, 32), 6)
    latent = varied(generator, 6)
    wild = {"points": latent["points"], "widths": latent["widths"] * 9 - 20}
    wild["colours"] = latent["colours"] * 3 - 1
    tame = {"points": wild["points"], "widths": wild["widths"].clamp(1, 50)}
    tame["colours"] = wild["colours"].clamp(0, 1)
    assert generator.svg(wild) == generator.svg(tame)
    assert torch.equal(generator.render(wild), generator.render(tame))


def test_points_are_on_the_curve():
    control = Noise(0, range(3)).normal((7, 2)).double()
    said = on_curves(control)
    assert said.shape == (3, 33, 2)
    for row, points in zip(said.numpy(), control.numpy()):
        for segment in range(2):
            poly = BPoly(points[3 * segment : 3 * segment + 4][:, None], [0, 1])
            part = row[16 * segment : 16 * segment + 17]
            np.testing.assert_allclose(part, poly(np.linspace(0, 1, 17)), atol=1e-12)


@pytest.mark.parametrize("width", [0.25, 1.0, 6.0])
@pytest.mark.parametrize("end", [(44.3, 20.7), (31.9, 45.2)])
def test_a_line_covers_its_area(width, end):
    """Of a strip with a half disc at either end; pixels of 56 are 4 of 224."""
    start = (12.4, 15.1)
    size = (56, 56)
    colour = (0.0, 0.5, 1.0, 0.8)
    generator, latent = line(size=size, start=start, end=end, width=width, colour=colour)
    ink = (1 - generator.render(latent))[0].sum((1, 2))
    area = math.dist(start, end) * width + math.pi * width**2 / 4
    loose = 0.01 if width > 1 else 0.05  # the ends of what is as thin as a pixel are soft
    assert float(ink[0]) == pytest.approx(0.8 * area, rel=loose)
    assert float(ink[1]) == pytest.approx(0.4 * area, rel=loose)
    assert float(ink[2]) == pytest.approx(0, abs=1e-9)


def test_strokes_lie_on_each_other_in_order():
    size, places = (32, 32), dict(start=(4.0, 16.0), end=(28.0, 16.0), width=6.0)
    red, blue = (1.0, 0.0, 0.0, 1.0), (0.0, 0.0, 1.0, 0.25)
    first, second = (line(size=size, colour=c, **places)[1] for c in (red, blue))
    generator = Strokes(size, count=2, segments=1)
    for one, other, expected in [
        (first, second, (0.75, 0.0, 0.25)),
        (second, first, (1.0, 0.0, 0.0)),
    ]:
        both = {name: torch.cat([part, other[name]], 1) for name, part in one.items()}
        middle = generator.render(both)[0, :, 16, 16]
        assert middle.tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "ends",
    [
        dict(start=(20.3, 24.1), end=(44.6, 41.2), width=9.0),  # over four tiles of 32 pixels
        dict(start=(20.3, 31.6), end=(44.6, 31.6), width=0.6),  # only its soft edge in the lower
    ],
)
def test_tiles_leave_no_seams(ends):
    """A straight line is the same picture moved by whole pixels."""
    generator, latent = line(size=(80, 80), colour=(0.1, 0.2, 0.3, 0.9), **ends)
    moved = latent | {"points": latent["points"] + torch.tensor([11, 13]).double() * 2.8}
    here, there = generator.render(latent), generator.render(moved)
    torch.testing.assert_close(there[..., 13:, 11:], here[..., :-13, :-11])


def test_memory_for_the_gradient_does_not_grow_with_strokes_times_pixels():
    held = []

    def noted(tensor):
        held.append(tensor.numel())
        return tensor

    size, totals = (64, 64), []
    for count in (8, 64):
        generator = Strokes(size, count)
        latent = {name: part.requires_grad_() for name, part in varied(generator, count).items()}
        held.clear()
        with torch.autograd.graph.saved_tensors_hooks(noted, lambda tensor: tensor):
            generator.render(latent)
        totals.append(sum(held))
    assert totals[1] < 64 * 64 * 64 / 2  # one number for each stroke and pixel is already more
    assert totals[1] < totals[0] + 8 * 4 * 64 * 33 * 2  # each tile's own strokes, a few times


def test_the_start_is_on_the_picture_and_all_over_it():
    generator = Strokes((100, 50), count=200, segments=3)
    latent = generator.start(Noise(0, [0, 1]))
    assert latent["points"].shape == (2, 200, 10, 2)
    first = latent["points"][:, :, 0].reshape(-1, 2)
    assert first.min() >= 0 and (first <= torch.tensor([448, 224])).all()
    torch.testing.assert_close(first.mean(0), torch.tensor([224.0, 112.0]), atol=25, rtol=0)
    assert latent["points"].min() >= -22.41 and latent["points"][..., 0].max() <= 448 + 22.41
    assert latent["colours"].min() >= 0 and latent["colours"].std() > 0.25


@pytest.mark.parametrize("count, segments", [(0, 2), (-1, 2), (5000, 2), (4, 0), (4, 17)])
def test_says_what_is_wrong(count, segments):
    with pytest.raises(BadInput, match="strokes of"):
        Strokes((32, 32), count, segments)
