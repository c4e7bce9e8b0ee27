"""Growing: the generator's first pictures are the smaller one's, and the training goes on."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from limner.errors import BadInput
from limner.models._stylegan import read, write
from limner.nets._equalised import upsample
from limner.nets.stylegan import Discriminator, Generator, Shape
from limner.training._grown import grown
from limner.training.loop import Plan
from limner.training.stylegan import shapes, stylegan

sys.path.insert(0, str(Path(__file__).parent))
from _toy import Bars

PLAN = Plan(steps=2, batch_size=4, learning_rate=1e-12, warmup_steps=1, ema=0.5, seed=2)
PAINTER, JUDGE = shapes(16, 0.05)
SMALL = Shape(PAINTER.channels[:-1]), Shape(JUDGE.channels[:-1])


def begun():
    torch.manual_seed(3)
    return Generator(SMALL[0]), Discriminator(SMALL[1])


def test_the_first_pictures_are_the_smaller_ones_enlarged():
    small, judge = begun()
    large, _ = grown((small, judge), PAINTER, JUDGE)
    w = torch.randn(3, small.shape.width)
    noise = torch.randn(3, large.shape.noise)
    before = small(small.repeated(w), noise[:, : small.shape.noise])
    after = large(large.repeated(w), noise)
    assert after.shape == (3, 3, 16, 16)
    torch.testing.assert_close(after, upsample(before))


def test_the_judge_keeps_all_but_what_sees_the_picture():
    small, judge = begun()
    _, large = grown((small, judge), PAINTER, JUDGE)
    x = torch.randn(4, JUDGE.channels[-2], 8, 8)
    one, other = x, x
    for half in judge.halves:
        one = half(one)
    for half in large.halves[1:]:
        other = half(other)
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(judge.out.weight, large.out.weight)
    anew = grown((small, None), PAINTER, JUDGE)[1]
    assert not torch.equal(anew.out.weight, judge.out.weight)


def test_a_training_goes_on_at_twice_the_side(tmp_path):
    write(tmp_path / "small", *begun())
    list(
        stylegan(
            Bars(64, 16),
            tmp_path / "run",
            PLAN,
            capacity=0.05,
            drawn=40,
            start=str(tmp_path / "small"),
        )
    )
    made, small = read(tmp_path / "run" / "model")[0], begun()[0]
    assert made.shape == PAINTER
    for name, weight in small.named_parameters():
        torch.testing.assert_close(made.get_parameter(name), weight, atol=1e-6, rtol=0, msg=name)


def test_other_layers_do_not_grow(tmp_path):
    with pytest.raises(BadInput, match="does not grow into"):
        grown(begun(), replace(PAINTER, width=64), JUDGE)
    write(tmp_path / "small", *begun())
    with pytest.raises(BadInput, match="give --pixels 8, or 16"):
        list(stylegan(Bars(64, 32), tmp_path / "run", PLAN, start=str(tmp_path / "small")))
    assert not (tmp_path / "run").exists()
