import json
import math
import os
import random
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from limner.errors import BadInput, LimnerError
from limner.training import _checkpoint, loop
from limner.training._player import Player
from limner.training.loop import Plan, learning_rate, train

sys.path.insert(0, str(Path(__file__).parent))
import _toy
from _toy import PLAN, Toy, finish, start


def run_to_end(run, recipe=None, plan=PLAN, resume=True):
    return list(train(recipe or Toy(), plan, run, resume=resume))


def state(run):
    """Everything of the last checkpoint, and the log."""
    tensors, meta = _checkpoint.read(_checkpoint.newest(run / "checkpoints"))
    return tensors, meta, (run / "log.jsonl").read_text()


def assert_same(found, wanted):
    """Bit for bit: weights, averages, optimisers, step, log."""
    assert found[1:] == wanted[1:]
    assert found[0].keys() == wanted[0].keys()
    for stem, named in wanted[0].items():
        assert found[0][stem].keys() == named.keys(), stem
        for name, tensor in named.items():
            assert torch.equal(found[0][stem][name], tensor), f"{stem} {name}"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """undisturbed(recipe) → the state at the end of a training that nothing interrupted."""
    made = {}

    def get(recipe):
        if recipe not in made:
            run = tmp_path_factory.mktemp(recipe)
            assert finish(start(_toy.training, run, recipe)) == 0
            made[recipe] = state(run)
        return made[recipe]

    return get


def test_weights_average_and_moments_are_those_of_a_plain_loop(tmp_path):
    """Written anew: torch's AdamW unfused, clipping, EMA and schedule by their formulas."""
    plan = replace(PLAN, weight_decay=0.1, clip_norm=0.5)
    run_to_end(tmp_path, plan=plan)
    recipe = Toy()
    nets = {name: module.train() for name, module in recipe.players.items()}
    optimisers, averages = {}, {}
    for name, module in nets.items():
        groups = [
            {"params": [p for p in module.parameters() if p.ndim > 1], "weight_decay": 0.1},
            {"params": [p for p in module.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ]
        optimisers[name] = torch.optim.AdamW(groups, lr=1.0, betas=plan.betas, fused=False)
        averages[name] = {k: p.detach().clone() for k, p in module.named_parameters()}
    for step in range(plan.steps):
        torch.manual_seed((plan.seed * 1_000_003 + step) * 4099)
        rate = plan.learning_rate * min((step + 1) / 3, 1, (12 - step) / (0.3 * 12))
        for name, module in nets.items():
            for each in nets.values():
                each.zero_grad()
            recipe.learn(name, recipe.batch(step, 8, 0, 1), step, torch.Tensor.backward)
            norm = torch.cat([p.grad.flatten() for p in module.parameters()]).norm()
            for p in module.parameters():
                p.grad *= min(1.0, 0.5 / (norm.item() + 1e-6))
            for group in optimisers[name].param_groups:
                group["lr"] = rate
            optimisers[name].step()
            keep = min(0.9, (1 + step) / (10 + step))
            for key, p in module.named_parameters():
                averages[name][key] = keep * averages[name][key] + (1 - keep) * p.detach()
    found, meta, _ = state(tmp_path)
    assert meta["step"] == 12 and meta["plan"]["ema"] == 0.9
    for name, module in nets.items():
        for key, p in module.named_parameters():
            moment = optimisers[name].state[p]["exp_avg_sq"]
            torch.testing.assert_close(found[f"{name}.weights"][key], p.detach())
            torch.testing.assert_close(found[f"{name}.ema"][key], averages[name][key])
            torch.testing.assert_close(found[f"{name}.optimiser"][f"{key}/exp_avg_sq"], moment)
    assert nets["net"][0].weight.sub(Toy().players["net"][0].weight).abs().max() > 0.05


def test_rate_rises_stays_and_falls():
    plan = Plan(steps=1000, warmup_steps=50, decay=0.4, learning_rate=2.0)
    rates = [learning_rate(step, plan) for step in range(1000)]
    for step, rate in enumerate(rates):
        rising, falling = 2.0 * (step + 1) / 50, 2.0 * (1000 - step) / 400
        assert rate == pytest.approx(min(2.0, rising, falling))
    assert rates[0] == 0.04 and set(rates[49:601]) == {2.0} and rates[-1] == pytest.approx(0.005)
    flat = Plan(steps=10, warmup_steps=0, decay=0.0, learning_rate=2.0)
    assert {learning_rate(step, flat) for step in range(10)} == {2.0}


def test_gradients_are_clipped_together():
    class Alone:
        num_processes, device = 1, "cpu"

    module = nn.Linear(3, 2)
    player = Player(module, PLAN)
    for p in module.parameters():
        p.grad = torch.full_like(p, 2.0)
    norm = player.move(0, PLAN, Alone())
    assert norm.item() == pytest.approx(2 * 8**0.5)
    after = torch.cat([p.grad.flatten() for p in module.parameters()]).norm()
    assert after.item() == pytest.approx(PLAN.clip_norm, rel=1e-4)


def test_a_player_without_gradient_stays():
    class Alone:
        num_processes, device = 2, "cpu"  # and has nothing to reduce

    module = nn.Linear(3, 2)
    before = module.weight.detach().clone()
    assert Player(module, PLAN).move(0, PLAN, Alone()) == 0
    assert torch.equal(module.weight, before)


def test_stopped_and_resumed_is_the_same(tmp_path, undisturbed):
    for stop in (1, 5, 8, 11):
        steps = train(Toy(), PLAN, tmp_path / str(stop))
        for progress in steps:
            if progress.step == stop:
                break
        steps.close()
        assert state(tmp_path / str(stop))[1]["step"] == stop
        run_to_end(tmp_path / str(stop))
        assert_same(state(tmp_path / str(stop)), undisturbed("toy"))


@pytest.mark.parametrize("recipe", ["clip", "diffusion"])
def test_real_recipes_resume_after_kill(tmp_path, undisturbed, recipe):
    """Killed after a step that was not saved, then in the middle of a save, then to the end."""
    assert finish(start(_toy.training, tmp_path, recipe, die_after=6)) == -signal.SIGKILL
    assert state(tmp_path)[1]["step"] == 4
    assert finish(start(_toy.training, tmp_path, recipe, act=3)) == -signal.SIGKILL
    assert state(tmp_path)[1]["step"] == 4
    assert finish(start(_toy.training, tmp_path, recipe)) == 0
    assert_same(state(tmp_path), undisturbed(recipe))


def test_killed_after_random_steps(tmp_path, undisturbed):
    rng = random.Random(0)
    for trial in range(5):
        run = tmp_path / str(trial)
        for stop in sorted(rng.sample(range(1, 12), 3)):
            assert finish(start(_toy.training, run, die_after=stop)) == -signal.SIGKILL
        run_to_end(run)
        assert_same(state(run), undisturbed("toy"))


def test_killed_at_random_moments(tmp_path, undisturbed):
    rng = random.Random(1)
    for trial in range(4):
        run = tmp_path / str(trial)
        for _ in range(3):
            child = start(_toy.training, run)
            time.sleep(rng.uniform(0.05, 0.5))
            child.kill()
            finish(child)
        run_to_end(run)
        assert_same(state(run), undisturbed("toy"))


def acts_of_a_save(folder):
    """The acts that a save of the toy consists of, in this process."""
    kept = [(owner, name, getattr(owner, name)) for owner, name in _toy.ACTS]
    try:
        steps = train(Toy(), PLAN, folder)
        for progress in steps:
            if progress.step == 7:
                acts = _toy.mine(0)
            if progress.step == 8:
                return list(acts)
    finally:
        for owner, name, act in kept:
            setattr(owner, name, act)
        steps.close()


@pytest.mark.slow
def test_killed_at_every_act_of_a_save(tmp_path, undisturbed):
    """Before each of its acts, and in the middle of each file: the older checkpoint is whole."""
    acts = acts_of_a_save(tmp_path / "counted")
    assert len(acts) > 25 and acts.count("rename") == 1
    renamed = acts.index("rename") + 1  # after it the new checkpoint counts, before it the old one
    assert acts[renamed - 2] == "rmtree" and "save_file" not in acts[renamed:]
    writes = [i for i, act in enumerate(acts, 1) if act in ("save_file", "write_text")]
    points = [(i, False) for i in range(1, len(acts) + 1)] + [(i, True) for i in writes]
    for act, halved in points:
        run = tmp_path / "run"
        child = start(_toy.training, run, act=act, halved=halved)
        assert finish(child) == -signal.SIGKILL, act
        assert state(run)[1]["step"] == (8 if act > renamed else 4)
        run_to_end(run)
        assert_same(state(run), undisturbed("toy"))
        assert not list((run / "checkpoints").glob(".*"))
        shutil.rmtree(run)


def test_moments_of_channels_last_weights_are_restored_in_their_order(tmp_path):
    """Fused AdamW walks through memory: a moment that lies in another order meets wrong weights."""

    class Convolution(Toy):
        def __init__(self):
            torch.manual_seed(1)
            self.seed, net = 0, nn.Conv2d(3, 4, 3)
            self.players = {"net": net.to(memory_format=torch.channels_last)}

        def batch(self, step, size, rank, ranks):
            return super().batch(step, size * 18, rank, ranks).view(size, 3, 6, 6)

        def learn(self, player, batch, step, backward):
            loss = self.players["net"](batch).square().mean()
            backward(loss)
            return {"loss": loss}

    run_to_end(tmp_path / "once", Convolution())
    steps = train(Convolution(), PLAN, tmp_path / "twice")
    for _ in range(6):
        next(steps)
    steps.close()
    run_to_end(tmp_path / "twice", Convolution())
    assert_same(state(tmp_path / "twice"), state(tmp_path / "once"))


def test_ctrl_c_finishes_the_step_and_saves(tmp_path):
    class Interrupted(Toy):
        def learn(self, *arguments):
            if arguments[2] == 5:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)  # torchrun's echo of it
            return super().learn(*arguments)

    before = signal.getsignal(signal.SIGINT)
    assert run_to_end(tmp_path, Interrupted())[-1].step == 6
    assert state(tmp_path)[1]["step"] == 6
    assert signal.getsignal(signal.SIGINT) is before
    assert not (tmp_path / "model").exists()


def test_ctrl_c_again_does_not_wait_and_saves_nothing_half(tmp_path, monkeypatch):
    class Hurried(Toy):
        def learn(self, *arguments):
            logged = super().learn(*arguments)
            if arguments[2] == 5:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
            return logged

    monkeypatch.setattr(loop, "PATIENCE", -1.0)
    with pytest.raises(KeyboardInterrupt):
        run_to_end(tmp_path, Hurried())
    assert state(tmp_path)[1]["step"] == 4


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_number_that_is_not_finite_saves_nothing(tmp_path, undisturbed, bad):
    class Broken(Toy):
        def learn(self, player, batch, step, backward):
            return super().learn(player, batch * (bad if step == 6 else 1), step, backward)

    with pytest.raises(LimnerError, match=r"step 6: .*net_loss.* not finite.*learning_rate"):
        run_to_end(tmp_path, Broken())
    tensors, meta, log = state(tmp_path)
    assert meta["step"] == 4 and len(log.splitlines()) == 6
    assert all(t.isfinite().all() for named in tensors.values() for t in named.values())
    run_to_end(tmp_path)
    assert_same(state(tmp_path), undisturbed("toy"))


def test_an_error_in_a_step_saves_nothing_half(tmp_path):
    """The first player has moved when the second one fails."""

    class Failing(Toy):
        def learn(self, player, batch, step, backward):
            if step == 6 and player == "follower":
                raise RuntimeError("out of memory")
            return super().learn(player, batch, step, backward)

    with pytest.raises(RuntimeError, match="memory"):
        run_to_end(tmp_path, Failing())
    assert state(tmp_path)[1]["step"] == 4


def test_a_picture_that_cannot_be_read_keeps_what_was_learned(tmp_path):
    class Holed(Toy):
        def batch(self, step, *rest):
            if step == 6:
                raise BadInput("'6.png' is broken")
            return super().batch(step, *rest)

    with pytest.raises(BadInput, match=r"6\.png"):
        run_to_end(tmp_path, Holed())
    assert state(tmp_path)[1]["step"] == 6


def test_a_full_disk_is_told_in_one_line(tmp_path, monkeypatch, undisturbed):
    write = _checkpoint.save_file

    def full(tensors, path):
        if path.parent.name == ".step-00000008.partial":
            raise OSError(28, "No space left on device")
        write(tensors, path)

    monkeypatch.setattr(_checkpoint, "save_file", full)
    with pytest.raises(LimnerError, match=r"cannot write.*No space left"):
        run_to_end(tmp_path)
    assert state(tmp_path)[1]["step"] == 4
    monkeypatch.undo()
    run_to_end(tmp_path)
    assert_same(state(tmp_path), undisturbed("toy"))


def test_half_a_line_of_the_log_is_cut(tmp_path, undisturbed):
    steps = train(Toy(), PLAN, tmp_path)
    for _ in range(4):
        next(steps)
    steps.close()
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"step": 4, "net_loss": 1.0}\n{"step"')
    run_to_end(tmp_path)
    assert_same(state(tmp_path), undisturbed("toy"))


def test_previews_and_the_model_hold_averaged_weights(tmp_path, undisturbed):
    run_to_end(tmp_path, plan=replace(PLAN, preview_every=5))
    assert sorted(p.name for p in (tmp_path / "previews").iterdir()) == ["10.txt", "5.txt"]
    average = undisturbed("toy")[0]["net.ema"]
    model = torch.load(tmp_path / "model" / "net.pt", weights_only=True)
    assert torch.equal(model["0.weight"], average["0.weight"])
    assert_same(state(tmp_path)[:1] + undisturbed("toy")[1:], undisturbed("toy"))
    assert not (tmp_path / ".model.partial").exists()


def test_a_finished_training_writes_its_model_again(tmp_path):
    run_to_end(tmp_path)
    (tmp_path / "model" / "net.pt").unlink()
    assert run_to_end(tmp_path) == []
    assert (tmp_path / "model" / "net.pt").exists()


def test_more_steps_go_on(tmp_path):
    run_to_end(tmp_path)
    more = run_to_end(tmp_path, plan=replace(PLAN, steps=15))
    assert [progress.step for progress in more] == [13, 14, 15]
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(15))


def test_a_player_that_joins_later_starts_anew(tmp_path):
    class Alone(Toy):
        def __init__(self):
            super().__init__()
            self.players = {"net": self.players["net"]}

    run_to_end(tmp_path, Alone())
    assert len(run_to_end(tmp_path, plan=replace(PLAN, steps=14))) == 2


def test_precision_may_change_from_training_to_training(tmp_path):
    run_to_end(tmp_path / "half", plan=replace(PLAN, precision="bf16"))
    run_to_end(tmp_path / "full")
    half, full = state(tmp_path / "half")[0], state(tmp_path / "full")[0]
    weights = [each["net.weights"]["0.weight"] for each in (half, full)]
    assert not torch.equal(*weights) and torch.allclose(*weights, atol=0.05)


def test_refuses_a_folder_that_holds_a_training(tmp_path):
    run_to_end(tmp_path)
    before = state(tmp_path)
    with pytest.raises(BadInput, match="already holds a training: add --resume"):
        run_to_end(tmp_path, resume=False)
    assert_same(state(tmp_path), before)


def test_refuses_to_resume_another_network(tmp_path):
    class Wider(Toy):
        def __init__(self):
            super().__init__()
            self.players = {"net": nn.Linear(7, 1)}

    run_to_end(tmp_path)
    with pytest.raises(BadInput, match="another network"):
        run_to_end(tmp_path, Wider(), replace(PLAN, steps=20))


@pytest.mark.parametrize("place", ["file/run", "/proc/run", "/dev/null"])
def test_refuses_a_folder_that_cannot_be_written(tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"cannot write into .*: name another folder"):
        run_to_end(tmp_path / place)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0), ("batch_size", 0), ("learning_rate", 0.0), ("learning_rate", math.nan),
        ("warmup_steps", -1), ("decay", 1.5), ("weight_decay", -1.0), ("betas", (0.9, 1.0)),
        ("clip_norm", 0.0), ("ema", 1.0), ("precision", "fp16"), ("save_every", 0),
        ("preview_every", -1), ("seed", -1), ("seed", 2**32),
    ],
)  # fmt: skip
def test_refuses_plans_that_make_no_sense(name, value):
    with pytest.raises(BadInput, match=f"{name} is .*: give"):
        Plan(**{name: value})
