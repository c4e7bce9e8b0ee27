import math

import numpy as np
import pytest
import torch
from skimage.draw import polygon

from limner.errors import BadInput
from limner.generators.grid import Grid
from limner.noise import Noise

SHAPES = ("square", "hexagon", "triangle", "diamond")
PALETTE = [(0.0, 0.0, 0.0), (1.0, 0.5, 0.25), (0.2, 0.9, 0.4)]


def overlaps(count, length):
    """(length, count): the part of each of `length` pixels in each of `count` equal spans."""
    start = np.arange(length)[:, None]
    left, right = (np.arange(count + k)[k:] * length / count for k in (0, 1))
    return np.clip(np.minimum(right, start + 1) - np.maximum(left, start), 0, 1)


@pytest.mark.parametrize("size, cells", [((12, 8), (4, 2)), ((13, 9), (5, 4)), ((7, 7), (7, 7))])
def test_squares_are_exact_areas(size, cells):
    colours = Noise(0, [0]).uniform((3, cells[0] * cells[1]))
    said = Grid(size, cells).render({"colours": colours})[0].numpy()
    across, down = overlaps(cells[0], size[0]), overlaps(cells[1], size[1])
    flat = colours[0].numpy().reshape(3, cells[1], cells[0])
    expected = np.einsum("yr,crk,xk->cyx", down, flat, across)
    aligned = size[0] % cells[0] == size[1] % cells[1] == 0
    np.testing.assert_allclose(said, expected, atol=1e-6 if aligned else 0.02)


def corners(shape, column, row):
    """The polygon (x, y) of a cell away from the edges, in columns and rows."""
    if shape == "triangle":
        up = (column + row) % 2 == 1
        tip, base = (row, row + 1) if up else (row + 1, row)
        return [(column - 0.5, base), (column + 1.5, base), (column + 0.5, tip)]
    middle = (column + (0.5 if row % 2 == 0 else 0.0), row + 0.5)
    if shape == "diamond":
        offsets = [(0.5, 0), (0, 1), (-0.5, 0), (0, -1)]
    else:  # upright corners two thirds of a row away, upright sides a third of a row up and down
        offsets = [(0, 2 / 3), (0.5, 1 / 3), (0.5, -1 / 3), (0, -2 / 3), (-0.5, -1 / 3)]
        offsets.append((-0.5, 1 / 3))
    return [(middle[0] + x, middle[1] + y) for x, y in offsets]


@pytest.mark.parametrize("shape", SHAPES[1:])
def test_cells_are_the_polygons_that_skimage_draws(shape):
    fine, size, (columns, rows) = 16, (37, 29), (6, 5)
    grid = Grid(size, (columns, rows), shape)
    lengths = [columns + (shape != "triangle") * (row % 2) for row in range(rows)]
    colours = Noise(1, [0]).uniform((3, sum(lengths)))
    sheet = np.full((size[1] * fine, size[0] * fine, 3), np.nan)
    for row in range(1, rows - 1):
        for column in range(1, lengths[row] - 1):
            x, y = np.array(corners(shape, column, row)).T
            x, y = x * size[0] / columns * fine - 0.5, y * size[1] / rows * fine - 0.5
            colour = colours[0, :, sum(lengths[:row]) + column]
            sheet[polygon(y, x, sheet.shape[:2])] = colour.numpy()
    expected = sheet.reshape(size[1], fine, size[0], fine, 3).mean((1, 3)).transpose(2, 0, 1)
    known = ~np.isnan(expected)
    assert known.mean() > 0.2
    error = np.abs(grid.render({"colours": colours})[0].numpy() - expected)[known]
    assert error.max() < 0.05 and error.mean() < 0.003


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size, cells", [((9, 7), (9, 7)), ((9, 7), (1, 1)), ((8, 5), (3, 2))])
def test_every_pixel_is_shared_out_and_every_cell_has_some(shape, size, cells):
    grid = Grid(size, cells, shape)
    count = grid.start(Noise(0, [0]))["colours"].shape[2]
    assert count == cells[0] * cells[1] + (shape in ("hexagon", "diamond")) * (cells[1] // 2)
    ones = torch.ones(1, 3, count, dtype=torch.float64, requires_grad=True)
    pictures = grid.render({"colours": ones})
    torch.testing.assert_close(pictures, torch.ones_like(pictures), atol=1e-12, rtol=0)
    (area,) = torch.autograd.grad(pictures.sum(), ones)
    assert area.min() > 0.05 and float(area[0, 0].sum()) == pytest.approx(math.prod(size))


@pytest.mark.parametrize("shape", SHAPES)
def test_inverting_gives_each_cell_its_mean(shape):
    grid = Grid((40, 30), (4, 3), shape)
    flat = torch.full((1, 3, 30, 40), 0.3)
    torch.testing.assert_close(grid.render(grid.invert(flat)), flat)
    pictures = Noise(0, range(2)).uniform((3, 30, 40))
    means = grid.invert(pictures)["colours"]
    # The same by autograd: a cell's shares are the gradient of the picture to its colour.
    for cell in (0, 5, 11):
        one = torch.zeros_like(means)
        one[..., cell] = 1
        shares = grid.render({"colours": one})
        expected = (pictures * shares).sum((2, 3)) / shares.sum((2, 3))
        torch.testing.assert_close(means[..., cell], expected, atol=1e-5, rtol=0)


def test_a_palette_s_cells_have_its_colours_and_nothing_between():
    grid = Grid((12, 8), (6, 4), palette=PALETTE)
    latent = grid.start(Noise(0, range(3)))
    cells = grid.render(latent)[:, :, ::2, ::2].flatten(2)
    expected = torch.tensor(PALETTE)[latent["logits"].argmax(1)].movedim(2, 1)
    assert torch.equal(cells, expected)
    assert len(latent["logits"].argmax(1).unique()) == 3


def test_a_palette_s_gradient_is_the_softmax_s():
    grid = Grid((6, 4), (6, 4), palette=PALETTE)
    logits = Noise(0, [0]).normal((3, 24)).double().requires_grad_()
    weights = Noise(1, [0]).normal((3, 4, 6)).double()
    (said,) = torch.autograd.grad((grid.render({"logits": logits}) * weights).sum(), logits)
    soft = torch.tensor(PALETTE).double().T @ logits.softmax(1)[0]
    (expected,) = torch.autograd.grad((soft.unflatten(1, (4, 6)) * weights).sum(), logits)
    torch.testing.assert_close(said, expected)


def test_inverting_with_a_palette_takes_the_nearest_colour():
    grid = Grid((12, 8), (6, 4), palette=PALETTE)
    pictures = Noise(2, range(2)).uniform((3, 8, 12))
    means = pictures.numpy().reshape(2, 3, 4, 2, 6, 2).mean((3, 5)).reshape(2, 3, 24)
    away = np.linalg.norm(np.array(PALETTE)[None, :, :, None] - means[:, None], axis=2)
    said = grid.invert(pictures)["logits"].argmax(1).numpy()
    assert (said == away.argmin(1)).all() and len(np.unique(said)) > 1


@pytest.mark.parametrize(
    "options, said",
    [
        (dict(shape="circle"), "choose one of square, hexagon, triangle, diamond"),
        (dict(palette=[]), r"palette \[\]: give one or more"),
        (dict(palette=[(0, 0)]), "give one or more colours"),
        (dict(palette=[(0, 0, 255)]), "each from 0 to 1"),
        (dict(cells=(17, 3)), r"cells \(17, 3\): give two whole numbers, across from 1 to 16"),
        (dict(cells=(3, 0)), "down from 1 to 12"),
        (dict(cells=(2.5, 3)), "whole numbers"),
    ],
)
def test_says_what_is_wrong(options, said):
    with pytest.raises(BadInput, match=said):
        Grid((16, 12), **{"cells": (4, 3)} | options)
