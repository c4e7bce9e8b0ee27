import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from limner.training._infonce import infonce

ROOT = Path(__file__).parents[2]
NO_PROC = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory needs /proc")


def plain(pictures, texts, scale):
    """Radford et al. 2021, figure 3, as written there."""
    logits = scale * pictures @ texts.T
    right = torch.arange(len(pictures))
    return (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2


def pairs(n, d, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    made = (torch.randn(n, d, generator=generator, dtype=dtype) for _ in range(2))
    p, t = (F.normalize(x, dim=1).requires_grad_() for x in made)
    return p, t, torch.tensor(14.0, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize("chunk", [1024, 512, 100, 1])
def test_equals_the_plain_loss_and_its_gradients(chunk):
    inputs = pairs(512 if chunk > 1 else 20, 64)
    direct, streamed = plain(*inputs), infonce(*inputs, chunk)
    assert abs(direct - streamed) < 1e-6
    wanted, found = torch.autograd.grad(direct, inputs), torch.autograd.grad(streamed, inputs)
    for w, f in zip(wanted, found):
        assert (w - f).abs().max() < 1e-6


def test_equals_the_plain_loss_in_double_precision():
    inputs = pairs(512, 32, torch.float64)
    direct, streamed = plain(*inputs), infonce(*inputs, 200)
    wanted, found = torch.autograd.grad(direct, inputs), torch.autograd.grad(streamed, inputs)
    assert abs(direct - streamed) < 1e-13
    assert max((w - f).abs().max() for w, f in zip(wanted, found)) < 1e-13


def test_gradients_are_those_of_finite_differences():
    inputs = pairs(6, 3, torch.float64)
    assert torch.autograd.gradcheck(lambda *x: infonce(*x, chunk=4), inputs)


def test_large_logits_do_not_overflow():
    p, t, _ = pairs(50, 8)
    scale = torch.tensor(1e4, requires_grad=True)
    loss = infonce(p, t, scale, chunk=16)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(p.grad).all() and torch.isfinite(scale.grad)
    torch.testing.assert_close(loss, plain(p, t, scale))


def test_the_loss_upstream_scales_the_gradients():
    p, t, scale = pairs(30, 8)
    once = torch.autograd.grad(infonce(p, t, scale), (p, t, scale))
    thrice = torch.autograd.grad(3 * infonce(p, t, scale), (p, t, scale))
    for one, three in zip(once, thrice):
        torch.testing.assert_close(3 * one, three)


def test_half_precision_embeddings_are_multiplied_in_single():
    p, t, scale = pairs(64, 32)
    p16, t16 = (x.detach().bfloat16().requires_grad_() for x in (p, t))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = infonce(p16, t16, scale)
        assert abs(infonce(p, t, scale) - plain_without_autocast(p, t, scale)) < 1e-6
    assert loss.dtype == torch.float32
    assert abs(loss - plain(p16.float(), t16.float(), scale)) < 1e-6
    loss.backward()
    assert p16.grad.dtype == torch.bfloat16


def plain_without_autocast(*inputs):
    with torch.autocast("cpu", enabled=False):
        return plain(*inputs)


def test_says_what_is_wrong_with_shapes():
    p, t, scale = pairs(8, 4)
    with pytest.raises(ValueError, match=r"\(8, 4\).*\(7, 4\)"):
        infonce(p, t[:7], scale)
    with pytest.raises(ValueError, match=r"logit_scale has shape \(1,\)"):
        infonce(p, t, scale[None])
    with pytest.raises(ValueError, match="chunk"):
        infonce(p, t, scale, chunk=0)
    with pytest.raises(ValueError):
        infonce(p[:0], t[:0], scale)


def test_two_processes_make_the_loss_and_gradients_of_one(tmp_path):
    results = run_ranks("loss", 2, tmp_path)
    sys.path.insert(0, str(Path(__file__).parent))
    from _ranks import batch

    p, t = (F.normalize(x, dim=1).requires_grad_() for x in batch(40, 8))
    scale = torch.tensor(5.0, requires_grad=True)
    loss = plain(p, t, scale)
    loss.backward()
    for rank, found in enumerate(results):
        own = slice(20 * rank, 20 * rank + 20)
        torch.testing.assert_close(found["loss"], loss.detach(), atol=1e-6, rtol=0)
        # of the sum over ranks, so twice
        torch.testing.assert_close(found["pictures"], 2 * p.grad[own], atol=1e-6, rtol=0)
        torch.testing.assert_close(found["texts"], 2 * t.grad[own], atol=1e-6, rtol=0)
        torch.testing.assert_close(found["scale"], scale.grad, atol=1e-6, rtol=0)
        assert found["refused"]


def run_ranks(job, ranks, folder):
    script = Path(__file__).with_name("_ranks.py")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [sys.executable, script, job, str(rank), str(ranks), folder],
            env=environment,
            stderr=subprocess.PIPE,
        )
        for rank in range(ranks)
    ]
    try:
        for process in running:
            _, complaint = process.communicate(timeout=600)
            assert process.returncode == 0, complaint.decode()[-2000:]
    finally:
        for process in running:
            process.kill()
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(ranks)]


def memory(n, d):
    """MiB that forward and backward hold above the embeddings, in a process of its own."""
    script = ROOT / "benchmarks" / "infonce_memory.py"
    answer = subprocess.run(
        [sys.executable, script, "--way", "streamed", "--pairs", str(n), "--width", str(d)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
    )
    return json.loads(answer.stdout)["mib"]


@NO_PROC
def test_memory_does_not_grow_with_the_square():
    assert memory(8192, 16) < 128  # one matrix of 8,192² is 256 MiB, and the plain way holds four


@NO_PROC
@pytest.mark.slow
def test_memory_of_a_large_batch():
    assert memory(16384, 512) < 512  # one matrix is 1,024 MiB
