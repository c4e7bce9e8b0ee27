import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from limner.errors import BadInput
from limner.models.stylegan import open_stylegan
from limner.nets.stylegan import Discriminator, Generator, Shape
from limner.training._data import Captioned
from limner.training.loop import Plan
from limner.training.stylegan import StyleGAN, path_penalty, r1_penalty, shapes, stylegan

sys.path.insert(0, str(Path(__file__).parent))
from _toy import Bars

PLAN = Plan(
    steps=4, batch_size=4, learning_rate=2e-3, warmup_steps=2, save_every=2, ema=0.5, seed=2
)
TINY = Shape((6, 5, 4), width=8, mapping_layers=2)


def tiny(**options):
    torch.manual_seed(1)
    data = Captioned(Bars(64, 16), 1)
    return StyleGAN(data, Generator(TINY), Discriminator(TINY), seed=1, **options)


def trained(run, plan=PLAN, source=None, **options):
    given = {"capacity": 0.05, "drawn": 40, **options}
    yield from stylegan(source or Bars(64, 16), run, plan, **given)


def test_r1_of_a_linear_judge_is_its_weights_squared():
    torch.manual_seed(0)
    judge = nn.Linear(3 * 4 * 4, 1).double()
    real = torch.randn(5, 3, 4, 4).double().requires_grad_()
    penalty = r1_penalty(judge(real.flatten(1))[:, 0], real)
    assert penalty.item() == pytest.approx(judge.weight.square().sum().item() / 2, rel=1e-6)
    penalty.backward()
    torch.testing.assert_close(judge.weight.grad, judge.weight.detach())  # d/dw ½‖w‖² = w


def test_paths_of_a_linear_painter_are_as_long_as_its_jacobian_makes_them():
    torch.manual_seed(0)
    jacobian = torch.randn(12, 2 * 3).double()  # (picture, w+)
    w_plus = torch.randn(4, 2, 3).double().requires_grad_()
    picture = (w_plus.flatten(1) @ jacobian.T).view(4, 3, 2, 2)
    towards, mean = torch.randn(4, 3, 2, 2).double(), torch.tensor(0.3).double()
    penalty = path_penalty(picture, w_plus, mean, towards)
    lengths = [
        np.sqrt(
            (jacobian.T.numpy() @ y.flatten().numpy() / 2).reshape(2, 3).__pow__(2).sum(1).mean()
        )
        for y in towards
    ]
    moved = 0.3 + 0.01 * (np.mean(lengths) - 0.3)
    assert mean.item() == pytest.approx(moved, rel=1e-6)
    assert penalty.item() == pytest.approx(np.mean((np.array(lengths) - moved) ** 2), rel=1e-6)


def test_losses_are_the_logistic_ones():
    made, said = tiny(gamma=0), {}
    real = made.batch(0, 4, 0, 1)
    torch.manual_seed(5)
    made.learn("generator", real, 0, lambda loss: said.update(generator=loss))
    made.learn("discriminator", real, 0, lambda loss: said.update(discriminator=loss))
    with torch.no_grad():
        of_drawn = made.discriminator(made._drawn).double()
        of_real = made.discriminator(real.float() / 127.5 - 1).double()
    wanted = torch.log1p(torch.exp(of_drawn)).mean() + torch.log1p(torch.exp(-of_real)).mean()
    assert said["discriminator"].item() == pytest.approx(wanted.item(), rel=1e-4)
    fooling = torch.log1p(torch.exp(-of_drawn)).mean()
    assert said["generator"].item() == pytest.approx(fooling.item(), rel=1e-4)


def test_each_player_moves_its_own_network_alone():
    made = tiny()
    batch = made.batch(0, 4, 0, 1)
    for name, other in (("generator", "discriminator"), ("discriminator", "generator")):
        for module in made.players.values():
            module.zero_grad()
        made.learn(name, batch, 0, torch.Tensor.backward)
        assert all(p.grad is not None for p in made.players[name].parameters())
        assert all(p.grad is None for p in made.players[other].parameters())


def test_penalties_are_lazy():
    made = tiny(path_length_weight=2.0)
    for step in range(18):
        batch, logged = made.batch(step, 2, 0, 1), {}
        for name in made.players:
            logged |= made.learn(name, batch, step, lambda loss: None)
        assert ("r1" in logged) == (step % 16 == 0)
        assert ("path_length" in logged) == (step % 4 == 0)


def test_half_of_the_pictures_are_mirrored():
    class Ramps(Bars):
        def batch(self, indices):
            pictures, captions = super().batch(indices)
            pictures[:] = np.arange(16, dtype=np.uint8)[:, None]
            return pictures, captions

    torch.manual_seed(1)
    made = StyleGAN(Captioned(Ramps(64, 16), 1), Generator(TINY), Discriminator(TINY))
    first = torch.cat([made.batch(step, 32, 0, 1)[:, 0, 0, 0] for step in range(8)])
    assert set(first.tolist()) == {0, 15} and 90 < int((first == 15).sum()) < 166
    made.flips = False
    assert not made.batch(0, 32, 0, 1)[:, 0, 0, 0].any()


@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_training_is_the_uninterrupted_one_bit_for_bit(tmp_path, stop):
    list(trained(tmp_path / "whole", path_length_weight=2.0))
    for progress in trained(tmp_path / "parts", path_length_weight=2.0):
        if progress.step == stop:
            break
    list(trained(tmp_path / "parts", path_length_weight=2.0, resume=True))
    for name in ("generator", "discriminator"):
        whole, parts = (
            (tmp_path / run / "model" / f"{name}.safetensors").read_bytes()
            for run in ("whole", "parts")
        )
        assert whole == parts
    logs = [(tmp_path / run / "log.jsonl").read_text() for run in ("whole", "parts")]
    assert logs[0] == logs[1] and len(logs[0].splitlines()) == 4


def test_what_is_trained_opens_and_goes_on(tmp_path):
    list(trained(tmp_path / "first", replace(PLAN, preview_every=2)))
    assert len(list((tmp_path / "first" / "previews").iterdir())) == 2
    model = open_stylegan(tmp_path / "first" / "model")
    assert model.size == 16 and model.w_std.min() > 0 and model.world is None
    slow, bars = replace(PLAN, steps=1, learning_rate=1e-12), Bars(64, 16)
    bars.name = "faces"
    list(trained(tmp_path / "second", slow, bars, start=str(tmp_path / "first" / "model")))
    again = open_stylegan(tmp_path / "second" / "model")
    assert again.world == "faces"
    for (name, a), b in zip(model.network.named_parameters(), again.network.parameters()):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0, msg=name)
    with pytest.raises(BadInput, match="give --pixels 16, or 32"):
        list(
            trained(tmp_path / "third", PLAN, Bars(64, 64), start=str(tmp_path / "first" / "model"))
        )
    assert not (tmp_path / "third").exists()


def test_shapes_by_size_and_capacity():
    painter, judge = shapes(64)
    assert painter.size == judge.size == 64
    half, _ = shapes(32, 0.5)
    assert half.size == 32 and half.channels == tuple(each // 2 for each in painter.channels[:4])
    for size in (4, 48, 256):
        with pytest.raises(BadInput, match="give --pixels"):
            shapes(size)


@pytest.mark.parametrize(
    "name, value", [("gamma", -1), ("capacity", 0), ("drawn", 1), ("gamma", float("nan"))]
)
def test_settings_that_cannot_be_are_named(tmp_path, name, value):
    with pytest.raises(BadInput, match=name):
        list(trained(tmp_path / "run", **{name: value}))
    assert not (tmp_path / "run").exists()


def test_the_log_has_every_step(tmp_path):
    list(trained(tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert all({"fooling", "telling", "real", "drawn"} <= line.keys() for line in lines)
