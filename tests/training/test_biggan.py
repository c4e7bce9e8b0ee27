import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from limner.errors import BadInput
from limner.models.biggan import open_biggan
from limner.nets.biggan import Discriminator, Generator, Shape
from limner.training._classes import classed
from limner.training._data import Captioned
from limner.training.biggan import BigGAN, biggan, hinge_of_drawn, hinge_of_real, shape_of
from limner.training.loop import Plan

sys.path.insert(0, str(Path(__file__).parent))
from _toy import Bars

PLAN = Plan(
    steps=4, batch_size=4, learning_rate=2e-3, warmup_steps=2, save_every=2, ema=0.5, seed=2
)
TINY = Shape(4, (8, 6, 4), noise=3, width=4, attention=8)
COLOURS = "red, green, blue, white"


@pytest.fixture
def tiny(tmp_path):
    def make(source=None, **options):
        torch.manual_seed(1)
        names = COLOURS.split(", ")
        pool = classed(source or Bars(64, 16), tmp_path, 40, names, None, all_of_them=True)
        networks = Generator(TINY), Discriminator(TINY)
        return BigGAN(Captioned(pool, 1), pool.names, *networks, seed=1, **options)

    return make


def trained(run, plan=PLAN, source=None, **options):
    given = {"classes": COLOURS, "capacity": 0.05, "drawn": 40, **options}
    yield from biggan(source or Bars(64, 16), run, plan, **given)


def test_hinges_push_only_what_is_not_far_enough():
    """d/dx of max(0, 1 − x) is −1 below 1 and 0 above; of max(0, 1 + x) 1 above −1 and 0 below."""
    said = torch.tensor([-3.0, -0.5, 0.5, 3.0]).double().requires_grad_()
    for loss, value, slope in (
        (hinge_of_real, (4 + 1.5 + 0.5 + 0) / 4, [-1, -1, -1, 0]),
        (hinge_of_drawn, (0 + 0.5 + 1.5 + 4) / 4, [0, 1, 1, 1]),
    ):
        (gradient,) = torch.autograd.grad(loss(said), said)
        assert loss(said).item() == pytest.approx(value)
        np.testing.assert_allclose(gradient, np.array(slope) / 4)


def test_losses_are_the_hinges_of_what_the_judge_says_of_each_class(tiny):
    made, said = tiny(), {}
    batch = made.batch(0, 4, 0, 1)
    for name in made.players:
        made.learn(name, batch, 0, lambda loss, name=name: said.update({name: loss.item()}))
    pictures, classes = batch
    made.discriminator.eval()  # as it was when it learned: no further step of the power iteration
    with torch.no_grad():
        of_drawn = made.discriminator(made._drawn, classes).double().numpy()
        of_real = made.discriminator(pictures.float() / 127.5 - 1, classes).double().numpy()
    wanted = np.maximum(0, 1 - of_real).mean() + np.maximum(0, 1 + of_drawn).mean()
    assert said["discriminator"] == pytest.approx(wanted, rel=1e-4)


def test_what_is_drawn_is_of_the_batch_s_classes(tiny):
    made, caught = tiny(), []
    made.generator.register_forward_pre_hook(lambda module, given: caught.append(given[0]))
    pictures, classes = made.batch(3, 6, 0, 1)
    made.learn("generator", (pictures, classes), 3, lambda loss: None)
    told = caught[0][:, :, TINY.noise :]
    table = made.generator.embedding.weight.T[classes]
    torch.testing.assert_close(told, table[:, None].expand(-1, TINY.layers, -1))
    noise = caught[0][:, :, : TINY.noise].flatten(0, 1)
    assert len(torch.unique(noise, dim=0)) == 6 * TINY.layers, "each layer has its own"


def test_each_player_moves_its_own_network_alone(tiny):
    made = tiny()
    batch = made.batch(0, 4, 0, 1)
    for name, other in (("generator", "discriminator"), ("discriminator", "generator")):
        for module in made.players.values():
            module.zero_grad()
        made.learn(name, batch, 0, torch.Tensor.backward)
        assert all(p.grad is not None for p in made.players[name].parameters())
        assert all(p.grad is None for p in made.players[other].parameters())


def test_orthogonality_is_asked_for_lazily(tiny):
    made, losses = tiny(orthogonal=0.01), []
    for step in range(18):
        torch.manual_seed(3)
        batch = made.batch(0, 4, 0, 1)
        logged = made.learn("generator", batch, step, lambda loss: losses.append(loss.item()))
        assert ("orthogonality" in logged) == (step % 16 == 0)
        more = 0.01 * 16 * logged.get("orthogonality", torch.zeros(()))
        assert losses[-1] == pytest.approx((logged["fooling"] + more).item(), rel=1e-5)


def test_the_generator_goes_at_a_pace_of_its_own(tmp_path):
    """Adam's first step moves every number by the rate, whatever its gradient."""
    slow = replace(PLAN, steps=1, warmup_steps=0, decay=0.0, learning_rate=1e-4)
    moved = {}
    for pace in (1.0, 0.25):
        run = tmp_path / str(pace)
        list(trained(run, slow, pace=pace))
        (folder,) = (run / "checkpoints").iterdir()
        from safetensors.torch import load_file

        moved[pace] = {
            name: load_file(folder / f"{name}.weights.safetensors")
            for name in ("generator", "discriminator")
        }
    bias = "colours.bias"  # begins at zero
    for name, factor in (("generator", 0.25), ("discriminator", 1.0)):
        whole, part = (moved[pace][name][bias].abs() for pace in (1.0, 0.25))
        torch.testing.assert_close(part, factor * whole, rtol=1e-3, atol=1e-8)
    assert moved[1.0]["generator"][bias].abs().max().item() == pytest.approx(1e-4, rel=1e-3)


@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_training_is_the_uninterrupted_one_bit_for_bit(tmp_path, stop):
    options = {"orthogonal": 1e-4, "flips": True}
    list(trained(tmp_path / "whole", **options))
    for progress in trained(tmp_path / "parts", **options):
        if progress.step == stop:
            break
    list(trained(tmp_path / "parts", **options, resume=True))
    for name in ("generator", "discriminator"):
        whole, parts = (
            (tmp_path / run / "model" / f"{name}.safetensors").read_bytes()
            for run in ("whole", "parts")
        )
        assert whole == parts
    logs = [(tmp_path / run / "log.jsonl").read_text() for run in ("whole", "parts")]
    assert logs[0] == logs[1] and len(logs[0].splitlines()) == 4
    assert {"fooling", "telling", "real", "drawn"} <= json.loads(logs[0].splitlines()[-1]).keys()


def test_what_is_trained_opens_and_goes_on(tmp_path):
    list(trained(tmp_path / "first", replace(PLAN, preview_every=2)))
    previews = sorted((tmp_path / "first" / "previews").iterdir())
    assert len(previews) == 2
    with Image.open(previews[-1]) as sheet:
        assert sheet.width > 8 * 16 and sheet.height > 4 * 16  # a row for each class
    model = open_biggan(tmp_path / "first" / "model")
    assert model.size == 16 and model.classes == tuple(COLOURS.split(", "))
    for module in model.network.modules():
        if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)):
            length = np.linalg.norm(module.weight.flatten(1).numpy(), 2)
            assert module is model.network.embedding or length == pytest.approx(1, abs=1e-4)
    slow = replace(PLAN, steps=1, learning_rate=1e-12)
    start = str(tmp_path / "first" / "model")
    list(trained(tmp_path / "second", slow, start=start, classes=None))
    again = open_biggan(tmp_path / "second" / "model")
    assert again.classes == model.classes
    for (name, a), b in zip(model.network.named_parameters(), again.network.parameters()):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0, msg=name)
    for source, options, words in (
        (Bars(64, 32), {}, "give --pixels 16"),
        (None, {"classes": "red, blue"}, "leave --classes out"),
    ):
        with pytest.raises(BadInput, match=words):
            list(trained(tmp_path / "third", PLAN, source, start=start, **options))
    assert not (tmp_path / "third").exists()


def test_half_of_the_pictures_are_mirrored(tiny):
    class Ramps(Bars):
        def batch(self, indices):
            pictures, captions = super().batch(indices)
            pictures[:] = np.arange(16, dtype=np.uint8)[:, None]
            return pictures, captions

    made = tiny(Ramps(64, 16), flips=True)
    first = torch.cat([made.batch(step, 32, 0, 1)[0][:, 0, 0, 0] for step in range(8)])
    assert set(first.tolist()) == {0, 15} and 90 < int((first == 15).sum()) < 166
    made.flips = False
    assert not made.batch(0, 32, 0, 1)[0][:, 0, 0, 0].any()


def test_shapes_by_size_and_capacity():
    assert shape_of(64, 29).size == 64 and shape_of(64, 29).classes == 29
    half = shape_of(32, 3, 0.5)
    assert half.channels == tuple(each // 2 for each in shape_of(32, 3).channels)
    for size in (4, 48, 256):
        with pytest.raises(BadInput, match="give --pixels"):
            shape_of(size, 3)


@pytest.mark.parametrize(
    "name, value", [("pace", 0), ("capacity", 0), ("drawn", 1), ("orthogonal", float("nan"))]
)
def test_settings_that_cannot_be_are_named(tmp_path, name, value):
    with pytest.raises(BadInput, match=name):
        list(trained(tmp_path / "run", **{name: value}))
    assert not (tmp_path / "run").exists()
