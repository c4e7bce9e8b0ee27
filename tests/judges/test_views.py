"""Views against the same warps done one after the other, and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from limner.errors import BadInput
from limner.judges._views import Camera, check_counts, shots
from limner.noise import Noise


def taken(camera, noise, size, side, views=4, at_once=None, step=0):
    return list(
        shots(
            camera, noise, step=step, purpose="views", size=size, side=side, views=views,
            at_once=at_once,
        )
    )  # fmt: skip


def smooth(height, width, waves=3):
    """(1, 3, h, w) in [0, 1], with a few waves across."""
    y, x = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width,
                       indexing="ij")  # fmt: skip
    layers = [np.sin(waves * (2 * x + y) + k) * np.cos(waves * (x - 2 * y) - k) for k in range(3)]
    return torch.from_numpy(np.stack(layers)[None] * 0.5 + 0.5).float()


def decibels(a, b):
    return -10 * np.log10(np.mean((np.asarray(a) - np.asarray(b)) ** 2))


def look(values, low, high, x, y):
    """(3, n, n) spread over [low, high]² seen at x, y by splines; beyond, the edge goes on."""
    n = values.shape[1]
    at = [((each - low) / (high - low) * n - 0.5).clip(0, n - 1) for each in (y, x)]
    return np.stack([map_coordinates(each, at, order=3, mode="nearest") for each in values])


def one_by_one(picture, camera, u, side):
    """A view (3, side, side) of a square picture from its 17 numbers, every warp resampled."""
    n = picture.shape[1]
    grid = lambda reach, count: np.meshgrid(  # noqa: E731
        *[((np.arange(count) + 0.5) / count * 2 - 1) * reach] * 2
    )
    cut = side + u[0] ** camera.cut_power * (n - side)
    left, top = u[1] * (n - cut), u[2] * (n - cut)
    x, y = grid(2, 256)  # twice as far as the view, since the next ones look past its edge
    values = look(picture, 0, n, left + (x + 1) / 2 * cut, top + (y + 1) / 2 * cut)

    angle = np.radians(camera.degrees * (2 * u[5] - 1)) * (u[4] < camera.chance)
    move = [2 * camera.shift * (2 * each - 1) * (u[4] < camera.chance) for each in u[6:8]]
    x, y = grid(1.1, 256)
    turned = (np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y)
    values = look(values, -2, 2, turned[0] + move[0], turned[1] + move[1])

    p, q = (camera.perspective / 2 * (2 * each - 1) * (u[8] < camera.chance) for each in u[9:11])
    x, y = grid(1.1, 256)
    nearer = (1 - abs(p) - abs(q)) / (1 + p * x + q * y)
    values = look(values, -1.1, 1.1, nearer * x, nearer * y)

    x, y = grid(1, side)
    return look(values, -1.1, 1.1, -x if u[3] < camera.flip else x, y)


def test_one_homography_is_the_warps_one_after_the_other():
    camera = Camera(jitter=0, grain=0)
    picture, noise = smooth(48, 48), Noise(3, [5])
    (shot,) = taken(camera, noise, (48, 48), 32, views=8)
    drawn = noise.uniform((8, 17), purpose="views")[0].double().numpy()
    for view, u in zip(shot(picture).numpy(), drawn):
        assert decibels(view, one_by_one(picture[0].numpy(), camera, u, 32)) > 35
    assert len({tuple(u < 0.7) for u in drawn[:, [4, 8]]}) > 2  # with and without each warp


def test_the_whole_picture_and_its_mirror_image(whole, random_pictures):
    pictures = random_pictures(2, 20, 20)
    (shot,) = taken(whole, Noise(0, [0, 1]), (20, 20), 20, views=1)
    torch.testing.assert_close(shot(pictures), pictures, atol=1e-6, rtol=0)
    mirror = Camera(*[0.0] * 4, flip=1, jitter=0, grain=0, chance=0)
    (shot,) = taken(mirror, Noise(0, [0, 1]), (20, 20), 20, views=1)
    torch.testing.assert_close(shot(pictures), pictures.flip(3), atol=1e-6, rtol=0)


def test_a_wide_picture_is_cut_to_a_square_somewhere(whole):
    ramp = torch.linspace(0, 1, 60).expand(1, 3, 20, 60)
    (shot,) = taken(whole, Noise(0, [0]), (20, 60), 20, views=16)
    seen = shot(ramp)[:, 0]
    torch.testing.assert_close(seen[:, :, -1] - seen[:, :, 0], torch.full((16, 20), 19 / 59))
    assert seen[:, 0, 0].std() > 0.1


def test_what_is_made_smaller_is_filtered_first(whole):
    fine = torch.zeros(1, 3, 128, 128)
    fine[..., ::4], fine[..., 1::4] = 1, 1  # two pixels white, two black
    camera = Camera(jitter=0, grain=0, perspective=0.2)
    (shot,) = taken(camera, Noise(0, [0]), (128, 128), 16, views=8)
    scale = shot.aims[0].det().abs().sqrt() * 2 / 16  # pixels per view's pixel, about
    sparse = shot(fine)[scale > 6]
    assert len(sparse) > 1 and float(sparse.std()) < 0.05
    torch.testing.assert_close(float(sparse.mean()), 0.5, atol=0.02, rtol=0)
    picture = smooth(129, 129)
    (shot,) = taken(whole, Noise(0, [0]), (129, 129), 43, views=1)
    blocks = picture.unflatten(3, (43, 3)).unflatten(2, (43, 3)).mean((3, 5))
    assert decibels(shot(picture), blocks) > 35


def test_gradients_are_exact(random_pictures):
    """Views are linear in the picture, so differences are exact too."""
    for size in ((9, 8), (40, 33)):  # as they are, and filtered first
        (shot,) = taken(Camera(), Noise(0, [0]), size, 5, views=2)
        pictures = random_pictures(1, *size, dtype=torch.float64).requires_grad_()
        assert torch.autograd.gradcheck(shot, pictures, fast_mode=True)


def test_colours_turn_about_grey():
    camera = Camera(*[0.0] * 5, jitter=0.3, grain=0, chance=1)
    noise = Noise(0, [4])
    (shot,) = taken(camera, noise, (8, 8), 8, views=6)
    drawn = noise.uniform((6, 17), purpose="views")[0].double().numpy()
    colour = np.array([0.7, 0.2, 0.4])
    seen = shot(torch.tensor(colour)[None, :, None, None].expand(1, 3, 8, 8))[:, :, 0, 0]
    for got, u in zip(seen.numpy(), drawn):
        bright, contrast, saturation, hue = 0.3 * (2 * u[12:16] - 1) + [1, 1, 1, 0]
        turn = Rotation.from_rotvec(2 * np.pi * hue * np.ones(3) / 3**0.5).as_matrix()
        turned = turn @ colour
        turned = turned.mean() + saturation * (turned - turned.mean())
        np.testing.assert_allclose(got, 0.5 + contrast * (bright * turned - 0.5), atol=1e-9)


def test_grain_is_normal_and_of_its_amount():
    camera = Camera(*[0.0] * 6, grain=0.2, chance=0)
    noise = Noise(1, [0, 1])
    (shot,) = taken(camera, noise, (64, 64), 64, views=3)
    spread = shot(torch.zeros(2, 3, 64, 64)).std((1, 2, 3))
    amounts = noise.uniform((3, 17), purpose="views")[:, :, 16].flatten()
    torch.testing.assert_close(spread, 0.2 * amounts, rtol=0.05, atol=1e-4)


@pytest.mark.parametrize("size", [(30, 30), (70, 150)])
def test_neither_batch_nor_chunk_changes_a_view(size, random_pictures):
    pictures = random_pictures(3, *size)
    (together,) = taken(Camera(), Noise(2, [3, 7, 9]), size, 16, views=5, step=4)
    views = together(pictures).unflatten(0, (3, 5))
    (alone,) = taken(Camera(), Noise(2, [7]), size, 16, views=5, step=4)
    assert torch.equal(alone(pictures[1:2]), views[1])
    for at_once in (1, 2, 9):
        parts = taken(Camera(), Noise(2, [3, 7, 9]), size, 16, views=5, at_once=at_once, step=4)
        assert [part.aims.shape[1] for part in parts] == {1: [1] * 5, 2: [2, 2, 1], 9: [5]}[at_once]
        seen = torch.cat([part(pictures).unflatten(0, (3, -1)) for part in parts], 1)
        assert torch.equal(seen, views)
    (later,) = taken(Camera(), Noise(2, [3, 7, 9]), size, 16, views=5, step=5)
    assert not torch.allclose(later.aims, together.aims)


def test_a_tilt_never_looks_past_the_cut_out():
    camera = Camera(0, 0, 0, 0.99, 0, 0, 0, 1)
    (shot,) = taken(camera, Noise(0, [0]), (40, 40), 8, views=200)
    corners = torch.tensor([[-1.0, 1, 1, -1], [-1, -1, 1, 1], [1, 1, 1, 1]]).double()
    x, y, w = (shot.aims[0] @ corners).unbind(1)
    assert bool((w > 0).all())
    for each in (x / w, y / w):
        assert float(each.min()) > -1e-9 and float(each.max()) < 40 + 1e-9


@pytest.mark.parametrize(
    "wrong", [{"flip": 1.1}, {"perspective": 1.0}, {"degrees": -1}, {"grain": float("nan")}]
)
def test_refuses_what_no_camera_can(wrong):
    with pytest.raises(BadInput, match=next(iter(wrong))):
        Camera(**wrong)


@pytest.mark.parametrize("views, at_once", [(0, None), (4, 0)])
def test_refuses_to_see_nothing(views, at_once):
    with pytest.raises(BadInput, match="at least 1"):
        check_counts(views, at_once)
