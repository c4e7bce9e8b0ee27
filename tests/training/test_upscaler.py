"""train upscaler: crops, what a step learns from, that it learns, resumes and opens."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from limner.errors import BadInput
from limner.models.upscaler import MOST_AUGMENT, built, open_upscaler
from limner.training._crops import Crops
from limner.training._data import Captioned
from limner.training.loop import Plan
from limner.training.upscaler import UpscalerRecipe, upscaler

sys.path.insert(0, str(Path(__file__).parent))
from _toy import Bars

SHAPE = {"widths": [8, 8], "depth": 1, "heard": 8}
PLAN = Plan(
    steps=4, batch_size=8, learning_rate=3e-3, warmup_steps=2, save_every=2, ema=0.5, seed=2,
    preview_every=4,
)  # fmt: skip


class Steps:
    """Pictures of straight edges between two tones, at any angle."""

    size = 64

    def __len__(self):
        return 30

    def batch(self, indices):
        pictures = []
        for index in indices:
            rng = np.random.Generator(np.random.Philox(key=index))
            angle, offset = rng.uniform(0, np.pi), rng.uniform(-10, 10)
            y, x = np.mgrid[: self.size, : self.size] - self.size / 2
            side = (np.cos(angle) * x + np.sin(angle) * y + offset).clip(-0.5, 0.5) + 0.5
            low, high = rng.uniform(20, 90, 3), rng.uniform(160, 240, 3)
            pictures.append((low + (high - low) * side[..., None]).astype(np.uint8))
        return np.stack(pictures), [f"edge {index}" for index in indices]


def recipe(source=None, seed=0):
    torch.manual_seed(seed)
    return UpscalerRecipe(Captioned(Crops(source or Steps(), 16, seed), seed), SHAPE, seed=seed)


def trained(run, plan=PLAN, **told):
    return upscaler(Steps(), run, plan, **dict(crop=16, crops=96, width=8) | told)


def test_crops_are_parts_of_pictures_at_two_sizes():
    crops = Crops(Steps(), 16)
    alone, captions = crops.batch([37])
    many, _ = crops.batch(range(32, 48))
    assert np.array_equal(many[5], alone[0]) and captions == ["edge 2"] and len(crops) == 480
    picture = Steps().batch([2])[0][0]

    def inside(crop, large):
        spots = np.lib.stride_tricks.sliding_window_view(large, crop.shape)
        return bool((spots == crop).all((-3, -2, -1)).any())

    assert [inside(crop, picture) for crop in many[::2]] == [True] * 8
    assert not any(inside(crop, picture) for crop in many[1::2] if np.ptp(crop))
    seen = np.ptp(many.astype(int), axis=(1, 2, 3)) > 100
    assert seen.mean() > 0.3  # of two places the one with more to see


def test_a_step_s_batch_is_a_function_of_the_step_and_is_shared_among_processes():
    one = recipe()
    whole, again = one.batch(3, 8, 0, 1), recipe().batch(3, 8, 0, 1)
    for name, tensor in whole.items():
        assert torch.equal(tensor, again[name]), name
    first, second = (one.batch(3, 4, rank, 2) for rank in (0, 1))
    for name in ("noise", "timesteps", "augment"):
        assert torch.equal(torch.cat([first[name], second[name]]), whole[name])
    steps = [one.batch(step, 8, 0, 1) for step in range(100)]
    timesteps = torch.cat([each["timesteps"] for each in steps])
    augment = torch.cat([each["augment"] for each in steps])
    assert 0.2 < (timesteps == 999).float().mean() < 0.34
    assert 0.42 < (augment == 0).float().mean() < 0.58
    assert 0.9 * MOST_AUGMENT < augment.max() <= MOST_AUGMENT
    turned = {each["large"].float().mean().item() for each in steps}
    assert len(turned) > 90


def test_the_loss_is_that_of_v_about_what_is_lacking(monkeypatch):
    """A network that says v exactly has no loss: x0, the noise and v worked out apart."""
    one = recipe()
    batch = one.batch(0, 8, 0, 1)
    large = batch["large"].float() / 255
    small = functional.interpolate(large, size=8, mode="bicubic", antialias=True).clamp(0, 1)
    laid = batch["augment"].view(-1, 1, 1, 1) * batch["noise"][:, 12:]
    up = functional.interpolate(small + laid, size=16, mode="bicubic", antialias=True)
    x0 = functional.pixel_unshuffle(large - up, 2) / one.model.spread
    alpha_bar = one.model.alpha_bars[batch["timesteps"]].float().view(-1, 1, 1, 1)
    n, seen = batch["noise"][:, :12], {}
    v = alpha_bar.sqrt() * n - (1 - alpha_bar).sqrt() * x0

    def exact(shown, told):
        seen.update(shown=shown, told=told)
        return v.clone().requires_grad_()

    monkeypatch.setattr(one.model.network, "forward", exact)
    said = one.learn("upscaler", batch, 0, lambda loss: loss.backward())
    assert float(said["loss"]) < 1e-9
    x = alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * n
    torch.testing.assert_close(seen["shown"][:, :12], x, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close((seen["shown"][:, 12:] + 1) / 2, small + laid)
    torch.testing.assert_close(seen["told"][:, 0], batch["timesteps"] / 1000)
    torch.testing.assert_close(seen["told"][:, 1], batch["augment"] / MOST_AUGMENT)


def test_it_learns_resumes_to_the_same_bytes_and_opens(tmp_path):
    plan = Plan(**{**vars(PLAN), "steps": 60, "batch_size": 16, "preview_every": 60})
    losses = [each.metrics["loss"] for each in trained(tmp_path / "whole", plan)]
    stopped = trained(tmp_path / "parts", plan)
    for progress in stopped:
        if progress.step == 31:
            stopped.close()
            break
    list(trained(tmp_path / "parts", plan, resume=True))
    for name in ("model.safetensors", "limner.json"):
        whole, parts = ((tmp_path / run / "model" / name) for run in ("whole", "parts"))
        assert whole.read_bytes() == parts.read_bytes()
    gain = json.loads((tmp_path / "whole/previews/step-000060.json").read_text())
    assert np.mean(losses[-15:]) < 0.93 * np.mean(losses[:15])
    assert 0 < gain["sample"] < gain["mean"] and gain["mean"] > gain["bicubic"] - 0.5
    assert (tmp_path / "whole/previews/step-000060.png").exists()
    opened = open_upscaler(tmp_path / "whole/model")
    assert 0.01 < opened.spread < 0.2 and opened.by == 4


@pytest.mark.parametrize(
    ("told", "said"),
    [(dict(crop=12), "crop 12"), (dict(crop=128), "16 to 64"), (dict(crops=1), "crops 1"),
     (dict(width=2), "width 2")],
)  # fmt: skip
def test_what_cannot_be_is_refused(tmp_path, told, said):
    with pytest.raises(BadInput, match=said):
        list(trained(tmp_path / "run", **told))
    assert not (tmp_path / "run").exists()


def test_folders_of_others_and_wrong_cards_are_refused(tmp_path):
    list(trained(tmp_path / "run", PLAN))
    folder = tmp_path / "run/model"
    card = json.loads((folder / "limner.json").read_text())
    for wrong, said in (
        ({"recipe": "other"}, "holds no network"),
        ({"spread": 3.0}, "holds no network"),
        ({"network": {"widths": [8]}}, "holds no network"),
        ({"network": card["network"] | {"depth": 99}}, "not usable"),
        ({"network": card["network"] | {"depth": 1}}, "not those of its config"),
    ):
        (folder / "limner.json").write_text(json.dumps(card | wrong))
        with pytest.raises(BadInput, match=said):
            open_upscaler(folder)
    assert built(card["network"]).by == 4


def test_pictures_with_no_room_at_half_their_size_are_cut_at_their_own():
    crops, _ = Crops(Bars(size=24), 16).batch([1])
    assert crops.shape == (1, 16, 16, 3)
