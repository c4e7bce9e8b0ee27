import hashlib
import json
import random

import pytest
import torch
from safetensors.torch import load_file

from limner.errors import LimnerError
from limner.training import _checkpoint
from limner.training._checkpoint import newest, read, replace_text, save, valid


def tensors(step):
    generator = torch.Generator().manual_seed(step)
    weights = {"a": torch.randn(5, 3, generator=generator), "b": torch.tensor(float(step))}
    strided = torch.randn(4, 3, 2, 2, generator=generator).to(memory_format=torch.channels_last)
    return {"net.weights": weights, "net.ema": {"c": strided}, "net.optimiser": {}}


def save_steps(folder, *steps):
    return [save(folder, step, tensors(step), {"plan": {"seed": 1}}) for step in steps]


def test_what_was_saved_is_read(tmp_path):
    (made,) = save_steps(tmp_path / "new", 7)
    found, meta = read(made)
    assert meta == {"plan": {"seed": 1}, "step": 7} and made.name == "step-00000007"
    assert found.keys() == tensors(7).keys()
    for stem, named in tensors(7).items():
        assert found[stem].keys() == named.keys()
        assert all(torch.equal(found[stem][name], tensor) for name, tensor in named.items())


def test_the_manifest_holds_the_digest_of_every_file(tmp_path):
    (made,) = save_steps(tmp_path, 7)
    told = json.loads((made / "manifest.json").read_text())
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in made.iterdir()}
    del files["manifest.json"]
    assert told == files and len(files) == 4
    assert load_file(made / "net.weights.safetensors")["b"] == 7  # any program reads them


def test_two_are_kept_and_drafts_of_a_crash_go(tmp_path):
    (tmp_path / ".step-00000002.partial").mkdir()
    (tmp_path / ".step-00000002.partial" / "meta.json").write_text("{")
    save_steps(tmp_path, 3, 5, 7, 9)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000007", "step-00000009"]
    assert newest(tmp_path).name == "step-00000009"


def test_broken_newer_ones_never_push_out_the_whole_ones(tmp_path):
    made = save_steps(tmp_path, 3, 8, 9)
    for broken in made[1:]:
        (broken / "meta.json").write_text("")
    assert newest(tmp_path) is None or newest(tmp_path) == made[0]
    save_steps(tmp_path, 4, 5)
    assert newest(tmp_path).name == "step-00000005"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000004", "step-00000005"]


def test_a_step_may_be_saved_again(tmp_path):
    save_steps(tmp_path, 3)
    again = save(tmp_path, 3, tensors(4), {})
    assert torch.equal(read(again)[0]["net.weights"]["a"], tensors(4)["net.weights"]["a"])


def damage(folder, rng):
    """Flip a bit, cut off the end, or remove a file; never nothing."""
    file = rng.choice(sorted(folder.iterdir()))
    content = bytearray(file.read_bytes())
    match rng.choice(["flip", "cut", "remove"]):
        case "flip":
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            file.write_bytes(content)
        case "cut":
            file.write_bytes(content[: rng.randrange(len(content))])
        case "remove":
            file.unlink()


def test_any_damage_is_found_and_the_previous_one_used(tmp_path):
    rng = random.Random(0)
    older, newer = save_steps(tmp_path, 3, 5)
    whole = {file: file.read_bytes() for file in newer.iterdir()}
    for _ in range(1000):
        damage(newer, rng)
        assert not valid(newer) and newest(tmp_path) == older
        for file, content in whole.items():
            file.write_bytes(content)
    assert newest(tmp_path) == newer


@pytest.mark.parametrize("manifest", ["{}", "[]", "null", "3", '{"meta.json": null}', "{", "\xff"])
def test_a_manifest_of_nothing_proves_nothing(tmp_path, manifest):
    (made,) = save_steps(tmp_path, 3)
    (made / "manifest.json").write_text(manifest, "latin-1")
    assert not valid(made) and newest(tmp_path) is None


def test_there_may_be_none(tmp_path):
    assert newest(tmp_path) is None and newest(tmp_path / "missing") is None


def test_says_what_cannot_be_read(tmp_path):
    (made,) = save_steps(tmp_path, 3)
    (made / "net.ema.safetensors").write_bytes(b"half")
    with pytest.raises(LimnerError, match="step-00000003 cannot be read"):
        read(made)


def test_text_is_replaced_at_once(tmp_path, monkeypatch):
    file = tmp_path / "log"
    file.write_text("old")

    def crash(path):
        raise OSError("full")

    with monkeypatch.context() as patch:
        patch.setattr(_checkpoint, "sync", crash)
        with pytest.raises(OSError, match="full"):
            replace_text(file, "new")
    assert file.read_text() == "old"
    replace_text(file, "new")
    assert file.read_text() == "new" and [p.name for p in tmp_path.iterdir()] == ["log"]


def test_moments_return_to_their_parameters(tmp_path):
    """Also of parameters that never had a gradient, and in another memory order."""

    def optimiser():
        torch.manual_seed(0)
        weights = [torch.randn(4, 3, 2, 2), torch.randn(4), torch.tensor(1.0), torch.randn(2)]
        weights[0] = weights[0].to(memory_format=torch.channels_last)
        parameters = [torch.nn.Parameter(weight) for weight in weights]
        return torch.optim.AdamW(parameters, fused=True), parameters

    def move(optimiser, parameters, step):
        generator = torch.Generator().manual_seed(step)
        for p in parameters[:3]:
            p.grad = torch.empty_like(p).copy_(torch.randn(p.shape, generator=generator))
        optimiser.step()

    names = ["convolution", "bias", "scale", "idle"]
    whole, parameters = optimiser()
    for step in range(3):
        move(whole, parameters, step)
    stored = _checkpoint.optimiser_tensors(whole, names)
    assert "idle/exp_avg" not in stored and stored["bias/step"] == 3
    made = save(tmp_path, 3, {"o": stored, "w": dict(zip(names, parameters))}, {})
    found, _ = read(made)
    again, copies = optimiser()
    for copy, name in zip(copies, names):
        copy.data.copy_(found["w"][name])
    _checkpoint.restore_optimiser(again, names, found["o"])
    move(whole, parameters, 3)
    move(again, copies, 3)
    assert all(torch.equal(a, b) for a, b in zip(parameters, copies))
