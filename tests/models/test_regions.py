"""What is laid out beside a latent: against areas counted pixel by pixel, and a painter's loop."""

import torch

from limner.models._regions import boxes_cover, laid_out


def test_a_cell_s_cover_is_the_area_that_the_box_has_of_it():
    torch.manual_seed(0)
    ends = torch.rand(6, 2, 2).double().sort(-1).values  # (box, axis, from and to)
    boxes = torch.stack([ends[:, 0, 0], ends[:, 1, 0], ends[:, 0, 1], ends[:, 1, 1]], -1)
    fine = 400
    at = (torch.arange(5 * fine).double() + 0.5) / (5 * fine)
    for (x0, y0, x1, y1), cover in zip(boxes, boxes_cover(boxes, (5, 5)), strict=True):
        inside = ((at >= y0) & (at < y1))[:, None] & ((at >= x0) & (at < x1))
        cells = inside.double().view(5, fine, 5, fine).mean((1, 3))
        assert torch.allclose(cover, cells, atol=3 / fine)
    assert torch.equal(boxes_cover(torch.tensor([0.0, 0, 1, 1]), (3, 2)), torch.ones(3, 2))
    one = boxes_cover(torch.tensor([0.25, 0.5, 0.5, 1.0]), (2, 4))
    assert one.tolist() == [[0, 0, 0, 0], [0, 1, 0, 0]]


def test_regions_are_painted_one_over_the_other():
    torch.manual_seed(1)
    cover, phrases = torch.rand(2, 3, 4, 5), torch.randn(2, 3, 6)
    cover[1, 2] = 0  # no third region there
    exact = torch.tensor([[0.0, 1, 1], [1, 0, 0]])
    weight, bias = torch.randn(7, 6), torch.randn(7)
    said = laid_out(cover, phrases, exact, (weight, bias))
    assert said.shape == (2, 9, 4, 5)
    for row in range(2):
        canvas = torch.zeros(9, 4, 5)
        for region in range(3):
            ink = torch.cat([weight @ phrases[row, region] + bias, torch.ones(1),
                             exact[row, region][None]])  # fmt: skip
            over = cover[row, region]
            canvas = canvas * (1 - over) + ink[:, None, None] * over
        torch.testing.assert_close(said[row], canvas)
    nothing = laid_out(torch.zeros(1, 2, 3, 3), phrases[:1, :2], exact[:1, :2], (weight, bias))
    assert not nothing.any()
