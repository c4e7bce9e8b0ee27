import copy
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from limner.training._gradient_cache import cached_backward
from limner.training._infonce import infonce

sys.path.insert(0, str(Path(__file__).parent))
from _ranks import Towers, batch

ROOT = Path(__file__).parents[2]


def gradients(model):
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def assert_same(found, wanted, tolerance=1e-6):
    assert found.keys() == wanted.keys()
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name], atol=tolerance, rtol=0, msg=name)


@pytest.mark.parametrize("micro_batch", [1, 7, 16, 40, 100])
def test_gradients_and_loss_are_those_of_the_whole_batch(micro_batch):
    inputs = batch(40, 6)
    direct, cached = Towers(), Towers()
    wanted = infonce(*direct(*inputs))
    wanted.backward()
    found = cached_backward(cached, inputs, infonce, micro_batch=micro_batch)
    assert abs(found - wanted) < 1e-6 and not found.requires_grad
    assert_same(gradients(cached), gradients(direct))
    assert gradients(cached)["log_scale"].abs() > 1e-3


def test_a_scale_that_the_loss_holds_learns_too():
    inputs = batch(12, 6)
    direct, cached = Towers(), Towers()
    infonce(*direct(*inputs)).backward()
    cached_backward(
        lambda p, t: cached(p, t)[:2],
        inputs,
        lambda p, t: infonce(p, t, cached.log_scale.exp()),
        micro_batch=5,
    )
    assert_same(gradients(cached), gradients(direct))


def test_gradients_add_up_as_backward_does():
    inputs = batch(12, 6)
    model = Towers()
    cached_backward(model, inputs, infonce, micro_batch=5)
    once = {name: g.clone() for name, g in gradients(model).items()}
    cached_backward(model, inputs, infonce, micro_batch=5)
    assert_same(gradients(model), {name: 2 * g for name, g in once.items()})


class Dropping(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.towers = nn.ModuleList(
            nn.Sequential(nn.Linear(6, 32), nn.Dropout(0.5), nn.Linear(32, 8)) for _ in range(2)
        )

    def forward(self, p, t):
        return self.towers[0](p), self.towers[1](t)


def test_dropout_is_the_same_in_both_passes():
    """Against one graph over the same parts, made from the same generator."""
    inputs = batch(20, 6)
    direct, cached = Dropping(), Dropping()
    scale = torch.tensor(2.0)
    torch.manual_seed(5)
    parts = [direct(*part) for part in zip(*(x.split(6) for x in inputs))]
    (infonce(*(torch.cat(each) for each in zip(*parts)), scale) * torch.rand(())).backward()
    after = torch.rand(3)
    torch.manual_seed(5)
    cached_backward(
        cached, inputs, lambda p, t: infonce(p, t, scale) * torch.rand(()), micro_batch=6
    )
    assert_same(gradients(cached), gradients(direct))
    assert torch.equal(torch.rand(3), after)  # as if there had been one pass


def test_weights_learn_under_one_autocast_around_everything():
    """Autocast keeps casts of weights; those made without a graph must not be used again."""
    inputs = batch(20, 6)
    direct, cached = Towers(), Towers()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        infonce(*direct(*inputs)).backward()
        cached_backward(cached, inputs, infonce, micro_batch=8)
    assert_same(gradients(cached), gradients(direct), tolerance=5e-3)
    assert gradients(cached)["text.weight"].abs().max() > 0.02


def test_all_parts_but_the_last_wait_with_the_exchange_of_gradients():
    opened, at_call = [], []

    @contextmanager
    def no_sync():
        opened.append(True)
        yield
        opened.append(False)

    model = Towers()

    def encode(p, t):
        if torch.is_grad_enabled():
            at_call.append(bool(opened) and opened[-1])
        return model(p, t)

    cached_backward(encode, batch(20, 6), infonce, micro_batch=8, no_sync=no_sync)
    assert at_call == [True, True, False]


def test_a_scaled_loss_scales_every_gradient():
    inputs = batch(20, 6)
    plain, scaled = Towers(), Towers()
    cached_backward(plain, inputs, infonce, micro_batch=8)
    cached_backward(
        scaled, inputs, infonce, micro_batch=8, backward=lambda loss: (1024 * loss).backward()
    )
    assert_same({n: g / 1024 for n, g in gradients(scaled).items()}, gradients(plain))


def test_a_frozen_tower_stays_without_gradients():
    model = Towers()
    model.picture.requires_grad_(False)
    cached_backward(model, batch(12, 6), infonce, micro_batch=5)
    assert model.picture[0].weight.grad is None
    assert model.text.weight.grad.abs().sum() > 0


def test_memory_of_activations_is_that_of_one_part():
    """Counted in tensors kept for backward at the same time."""
    model, kept, most = Towers(), 0, 0

    class Held:
        def __init__(self, tensor):
            nonlocal kept, most
            self.tensor = tensor
            kept += tensor.numel()
            most = max(most, kept)

        def __del__(self):
            nonlocal kept
            kept -= self.tensor.numel()

    def run(step):
        nonlocal kept, most
        kept = most = 0
        with torch.autograd.graph.saved_tensors_hooks(Held, lambda held: held.tensor):
            step()
        return most

    def scoreless(p, t, scale):
        return (p * t).sum() * scale

    inputs = batch(400, 6)
    whole = run(lambda: scoreless(*copy.deepcopy(model)(*inputs)).backward())
    parts = run(lambda: cached_backward(model, inputs, scoreless, micro_batch=20))
    assert parts < whole / 3


def test_says_what_is_wrong():
    p, t = batch(8, 6)
    with pytest.raises(ValueError, match=r"\[8, 7\] rows"):
        cached_backward(Towers(), (p, t[:7]), infonce)
    with pytest.raises(ValueError, match="at least 1"):
        cached_backward(Towers(), (p[:0], t[:0]), infonce)
    with pytest.raises(ValueError, match="micro_batch"):
        cached_backward(Towers(), (p, t), infonce, micro_batch=0)


def test_two_processes_under_ddp_get_the_gradients_of_one(tmp_path):
    """_ranks.py wraps the towers into DistributedDataParallel; each rank has half the batch."""
    inputs = batch(40, 6)
    direct = Towers()
    loss = infonce(*direct(*inputs))
    loss.backward()
    script = Path(__file__).with_name("_ranks.py")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, script, "towers"]
    running = [
        subprocess.Popen([*command, str(r), "2", tmp_path], env=environment, stderr=subprocess.PIPE)
        for r in range(2)
    ]
    try:
        for process in running:
            _, complaint = process.communicate(timeout=600)
            assert process.returncode == 0, complaint.decode()[-2000:]
    finally:
        for process in running:
            process.kill()
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert_same(found, {"loss": loss.detach(), **gradients(direct)})
