"""Adversarial training: the attack against closed forms, and a training with it."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from limner.errors import BadInput
from limner.judges._views import Camera, shots
from limner.noise import Noise
from limner.training._data import Captioned
from limner.training._robust import Robust, attack, own_text, views_of
from limner.training.clip import MEAN, STD, Clip, clip
from limner.training.loop import Plan

sys.path.insert(0, str(Path(__file__).parent))
from _toy import TINY, Bars

PLAN = Plan(
    steps=6, batch_size=8, learning_rate=2e-3, warmup_steps=2, save_every=3, ema=0.8, seed=2
)


def recipe(words, **options):
    torch.manual_seed(5)
    sizes = {key: TINY[key] for key in ("size", "width", "layers", "patch")}
    given = dict(robust=Robust(2.0, 2, 0), **sizes)
    return Clip(Captioned(Bars(size=64), 1), words, **(given | options))


def attacked(made, pictures, ids):
    std = torch.tensor(STD).view(3, 1, 1)
    return made.robust.attacked(made.towers, pictures, ids, std, 0, made.micro_batch)


@pytest.mark.parametrize(("steps", "at_once"), [(1, 5), (2, 5), (3, 2)])
def test_against_a_linear_loss_the_attack_goes_straight(steps, at_once):
    torch.manual_seed(0)
    slopes = torch.randn(5, 3, 4, 4, dtype=torch.float64)
    slopes[4] = 0  # nothing to gain: it stays where it is
    moved = attack(
        lambda movement, rows: (slopes[rows] * movement).sum((1, 2, 3)),
        slopes, radius=1.5, steps=steps, at_once=at_once,
    )  # fmt: skip
    for row in range(4):
        torch.testing.assert_close(moved[row], 1.5 * slopes[row] / slopes[row].norm())
    assert not moved[4].any() and not moved.requires_grad


def test_more_steps_turn_with_the_slope_and_stay_within_the_radius():
    """−(x − 3)² − 9(y − 1)² on |(x, y)| ≤ 2: the highest point by hand, and by 40 steps."""
    angles = torch.linspace(0, 2 * torch.pi, 100_001, dtype=torch.float64)
    round_it = 2 * torch.stack([angles.cos(), angles.sin()], 1)[:, :, None, None]

    def height(movement, rows):
        x, y = movement[:, 0, 0, 0], movement[:, 1, 0, 0]
        return -((x - 3) ** 2) - 9 * (y - 1) ** 2

    like = torch.zeros(1, 2, 1, 1, dtype=torch.float64)
    found = [attack(height, like, radius=2.0, steps=n, at_once=1) for n in (1, 2, 40)]
    heights = [float(height(each, slice(0, 1))) for each in found]
    assert heights[0] < heights[2] and all(each.norm() <= 2 + 1e-9 for each in found)
    assert heights[2] == pytest.approx(float(height(round_it, slice(None)).max()), abs=0.05)


def test_own_text_is_the_pictures_half_of_infonce():
    torch.manual_seed(1)
    pictures, texts = F.normalize(torch.randn(4, 8)), F.normalize(torch.randn(9, 8))
    own = torch.tensor([5, 6, 7, 8])
    found = own_text(pictures, texts, torch.tensor(20.0), own)
    for row, number in enumerate(own):
        logits = 20 * texts @ pictures[row]
        assert found[row] == pytest.approx(float(-(logits[number] - logits.logsumexp(0))), abs=1e-5)


@pytest.mark.parametrize("tower", ["vit", "resnet"])
def test_pictures_are_moved_from_their_texts_in_pixels_and_weights_learn_nothing(words, tower):
    made = recipe(words, tower=tower)
    pictures, ids = made.batch(0, 12, 0, 1)
    before = {name: value.clone() for name, value in made.towers.state_dict().items()}
    moved = attacked(made, pictures, ids)
    lengths = ((moved - pictures) * torch.tensor(STD).view(3, 1, 1)).flatten(1).norm(dim=1)
    assert torch.equal(moved[:3], pictures[:3])  # one in four is clean
    torch.testing.assert_close(lengths[3:], torch.full((9,), 2.0), atol=1e-4, rtol=0)
    assert all(p.grad is None for p in made.towers.parameters()) and made.towers.training
    assert all(torch.equal(before[name], v) for name, v in made.towers.state_dict().items())

    def losses(shown):
        with torch.no_grad():
            seen, read, scale = made.towers.eval()(shown, ids)
        return F.cross_entropy(scale * seen @ read.T, torch.arange(12), reduction="none")

    noise = torch.randn(pictures.shape)
    noise = 2 * noise / noise.flatten(1).norm(dim=1)[:, None, None, None]
    shown = pictures + noise / torch.tensor(STD).view(3, 1, 1)
    before, fooled, chance = (losses(each)[3:] for each in (pictures, moved, shown))
    assert (fooled > before).all()
    assert (fooled - before).mean() > 5 * (chance - before).mean()


def test_the_radius_grows_to_its_end():
    grown = [Robust(2.0, 2, 4).radius_at(step) for step in (0, 1, 3, 4, 100)]
    assert grown == [0.5, 1.0, 2.0, 2.0, 2.0]


def test_a_batch_is_whole_pictures_then_a_search_s_views(words):
    made = recipe(words)
    seen, ids = made.batch(3, 8, 0, 1)
    plain = recipe(words, robust=None)
    whole, all_ids = plain.batch(3, 8, 0, 1)
    assert sorted(ids.tolist()) == sorted(all_ids.tolist())
    for clean in range(2):
        same = (whole - seen[clean]).flatten(1).abs().amax(1) < 1e-6
        assert same.any() and all_ids[same].tolist() == [ids[clean].tolist()]
    pictures = torch.rand(2, 3, 64, 64)
    noise = Noise(9, [4, 7])
    (shot,) = shots(
        Camera(), noise, step=5, purpose="robust", size=(64, 64), side=32, views=1, at_once=None
    )
    views = views_of(pictures, 32, noise, 5)
    assert torch.equal(views, shot(pictures))
    again = views_of(pictures[1:], 32, Noise(9, [7]), 5)
    torch.testing.assert_close(again, views[1:])
    mean = torch.tensor(MEAN).view(3, 1, 1)
    assert (seen * torch.tensor(STD).view(3, 1, 1) + mean).amax() < 2


@pytest.mark.parametrize("micro_batch", [5, 1])
def test_a_step_is_the_same_whatever_the_micro_batch(words, micro_batch):
    def gradients(size):
        made = recipe(words, micro_batch=size)
        made.learn("towers", made.batch(2, 8, 0, 1), 0, torch.Tensor.backward)
        return {name: p.grad for name, p in made.towers.named_parameters()}

    whole, parts = gradients(8), gradients(micro_batch)
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, atol=2e-5, rtol=1e-3, msg=name)
    plain = recipe(words)
    plain.robust = None
    plain.learn("towers", recipe(words).batch(2, 8, 0, 1), 0, torch.Tensor.backward)
    far = [(p.grad - whole[name]).abs().max() > 1e-3 for name, p in plain.towers.named_parameters()]
    assert any(far)


def test_every_weight_learns_in_bfloat16_too(words):
    """Casts of weights that the attack has made carry no gradient."""
    made = recipe(words)
    with torch.autocast("cpu", torch.bfloat16):
        made.learn("towers", made.batch(2, 8, 0, 1), 0, torch.Tensor.backward)
    lacking = [n for n, p in made.towers.named_parameters() if p.grad is None or not p.grad.any()]
    assert lacking == [n for n in lacking if n.endswith("k_proj.bias")]  # a softmax drops those


def test_a_resumed_run_ends_bit_for_bit_where_one_in_one_go_does(tmp_path):
    for run, stops in (("whole", [6]), ("twice", [3, 6])):
        for stop in stops:
            begun = (tmp_path / run).exists()
            steps = clip(Bars(), tmp_path / run, PLAN, robust=1.0, **TINY, resume=begun)
            for progress in steps:
                if progress.step == stop < 6:
                    steps.close()
    one, two = (load_file(tmp_path / r / "model" / "model.safetensors") for r in ("whole", "twice"))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_a_robust_tower_is_harder_to_fool(tmp_path):
    """Both learn on Bars; then the same attack, on pictures that neither has seen."""

    def fooled(robust):
        run = tmp_path / str(robust)
        plan = replace(PLAN, steps=40, batch_size=24, save_every=100, learning_rate=3e-3)
        list(clip(Bars(), run, plan, robust=robust, **TINY))
        made = Clip(
            Captioned(Bars(), 1), _words(run), start=run / "model", robust=Robust(1.0, 4, 0)
        )
        pictures, ids = made.batch(3, 24, 0, 1)
        moved = attacked(made, pictures, ids)
        with torch.no_grad():
            (seen, read, _), (told, _, _) = (made.towers.eval()(x, ids) for x in (pictures, moved))
        return float(((seen - told) * read).sum(1)[6:].mean())  # of the cosine with its own text

    assert fooled(1.0) < 0.7 * fooled(0.0)


def _words(run):
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(run / "model")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(robust=-1.0), "robust -1.0: give a length of more than 0"),
        (dict(robust=float("nan")), "robust nan"),
        (dict(robust=float("inf")), "robust inf"),
        (dict(robust=1.0, robust_steps=0), "robust_steps 0: give at least 1"),
        (dict(tower="resnet", channels=3), "channels 3: give an even number"),
    ],
)
def test_refuses_what_is_no_attack(tmp_path, options, message):
    with pytest.raises(BadInput, match=message):
        list(clip(Bars(), tmp_path / "run", PLAN, **(TINY | options)))
    assert not (tmp_path / "run").exists()
