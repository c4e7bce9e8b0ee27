import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from limner.data._open import open_data
from limner.errors import BadInput
from limner.models.faces import open_identity
from limner.training._resnet import begun
from limner.training._seen import seen
from limner.training.identity import TIMES, Identity, People, identity
from limner.training.loop import Plan
from limner.worlds._faces_people import person
from limner.worlds.faces import World, paint

PLAN = Plan(
    steps=4, batch_size=4, learning_rate=2e-3, warmup_steps=2, save_every=2, ema=0.5, seed=2
)


def trained(run, plan=PLAN, **options):
    data = open_data("world:faces", size=32)
    yield from identity(data, run, plan, width=8, people=6, **options)


def of_numbers(people):
    return Identity(Numbers(people * TIMES), torch.eye(people), begun(["a", "b"], 32), seed=3)


class Numbers:
    """Picture i is i all over: who is it, and when?"""

    size = 32

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def batch(self, indices):
        levels = np.array(indices, np.uint8)[:, None, None, None]
        return np.broadcast_to(levels, (len(levels), 32, 32, 3)).copy(), [""] * len(levels)


def told(batch):
    return (batch[:, 0, 0, 0] * 255).round().int()


def test_a_source_shows_each_person_some_times_in_a_row():
    world = World(0)
    shown, _ = People(world, 128).batch([0, 4])
    for picture, face in zip(shown, (person(world, 0, 0), person(world, 1, 1)), strict=True):
        np.testing.assert_array_equal(picture, paint(face)[0])


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_batch_has_everyone_twice_at_two_times_and_nobody_unseen(monkeypatch, ranks):
    monkeypatch.setattr("limner.training.identity.seen", lambda pictures, rng: pictures)
    made = of_numbers(40)
    assert (made.trained, made.kept) == (38, 2)
    for step in range(20):
        batches = [made.batch(step, 16, rank, ranks) for rank in range(ranks)]
        first, second = torch.cat([told(each[0]).view(2, -1) for each in batches], 1)
        own = torch.cat([each[1].argmax(1) for each in batches])
        assert torch.equal(first // TIMES, own)
        assert torch.equal(first // TIMES, second // TIMES) and bool((first != second).all())
        assert len(set((first // TIMES).tolist())) == 8 * ranks
        assert int(first.max()) < 38 * TIMES


def test_the_loss_is_that_of_telling_the_pairs_and_of_their_places():
    torch.manual_seed(0)
    network, stays = begun(["a", "b", "c"], 32).train(), torch.randn(20, 4)
    made, said = Identity(Numbers(60), stays, network), {}
    batch = torch.rand(10, 3, 32, 32), made.lasting[:5]
    logged = made.learn("network", batch, 0, lambda loss: said.update(loss=loss))

    def unit(rows):
        return rows.double() / rows.double().norm(dim=1, keepdim=True)

    def telling(one, other):
        cosines = 10 * one @ other.T
        rows, columns = cosines.logsumexp(1), cosines.logsumexp(0)
        return ((rows + columns) / 2 - cosines.diagonal()).mean().item()

    first, second = unit(network((batch[0] - 0.5) / 0.5).logits).split(5)
    told_apart = (stays - stays.mean(0)) / (stays - stays.mean(0)).square().mean(0).sqrt()
    places = unit(told_apart[:5] @ made.places.weight.T + made.places.bias)
    pairs, place = telling(first, second), (telling(first, places) + telling(second, places)) / 2
    assert logged["pairs"].item() == pytest.approx(pairs, rel=1e-4)
    assert logged["place"].item() == pytest.approx(place, rel=1e-4)
    assert said["loss"].item() == pytest.approx(pairs + place, rel=1e-4)
    same = (first * second).sum(1).mean().item()
    assert logged["same"].item() == pytest.approx(same, rel=1e-4)


def test_pictures_are_seen_the_same_again_and_no_two_alike():
    pictures = torch.full((64, 3, 16, 16), 0.5)
    pictures[:, :, :, 8:] = 0.9  # a step: which way is it?
    once, again = (seen(pictures, np.random.default_rng(4)) for _ in range(2))
    assert torch.equal(once, again) and once.shape == pictures.shape
    assert float(once.min()) >= 0 and float(once.max()) <= 1
    mirrored = once[:, :, :, :4].mean((1, 2, 3)) > once[:, :, :, -4:].mean((1, 2, 3))
    assert 16 < int(mirrored.sum()) < 48
    assert float((once - once[:1]).abs().mean((1, 2, 3))[1:].min()) > 0.01
    assert not torch.equal(once, seen(pictures, np.random.default_rng(5)))


@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_training_is_the_uninterrupted_one_bit_for_bit(tmp_path, stop):
    list(trained(tmp_path / "whole"))
    for progress in trained(tmp_path / "parts"):
        if progress.step == stop:
            break
    list(trained(tmp_path / "parts", resume=True))
    whole, parts = (load_file(tmp_path / r / "model/model.safetensors") for r in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    logs = [(tmp_path / run / "log.jsonl").read_text() for run in ("whole", "parts")]
    assert logs[0] == logs[1]


def test_the_model_opens_in_transformers_and_here(tmp_path):
    from transformers import AutoImageProcessor, ResNetForImageClassification

    drawn = []
    list(trained(tmp_path, Plan(steps=1, batch_size=4), watch=lambda *told: drawn.append(told)))
    assert drawn[-1] == (6 * TIMES, 6 * TIMES)
    theirs = ResNetForImageClassification.from_pretrained(tmp_path / "model").eval()
    ours = open_identity(tmp_path / "model")
    picture = paint(World(9).face(0))[0]
    small = paint(World(9).face(1))[0][::4, ::4]
    with torch.no_grad():
        prepared = AutoImageProcessor.from_pretrained(tmp_path / "model")(
            [small], return_tensors="pt"
        ).pixel_values
        said = theirs(prepared).logits
    seen_here = torch.from_numpy(small.copy()).permute(2, 0, 1)[None] / 255
    torch.testing.assert_close(ours.network.logits(seen_here), said, atol=1e-4, rtol=1e-4)
    whole = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255
    assert ours.embed(whole).norm(dim=1).item() == pytest.approx(1, abs=1e-5)


def test_previews_say_how_often_the_unseen_are_recognised(tmp_path):
    plan = Plan(steps=2, batch_size=4, preview_every=1)
    list(trained(tmp_path, plan))
    lines = (tmp_path / "previews" / "recognised.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]
    assert all(json.loads(line)["recognised"] in (0, 1) for line in lines)  # of one person


def test_the_recognised_are_counted(monkeypatch):
    made = of_numbers(80)
    angle = {0: 0.0, 1: 1.0, 2: 2.0, 3: 3.0}

    def embedded(pictures):
        index = told(pictures)
        turn = torch.tensor([angle[(i // TIMES) % 4] for i in index.tolist()])
        turn = turn + (index % TIMES) * 0.6  # a second picture is nearer to the next one's first
        return torch.stack([turn.cos(), turn.sin()], 1)

    monkeypatch.setattr(made, "_embedded", embedded)
    assert made.kept == 4 and made.recognised() == 0.25  # the last has none to be taken for


@pytest.mark.parametrize(
    ("source", "plan", "options", "message"),
    [
        ("world:scenes", PLAN, {}, "limner train identity asks who .* give --data world:faces"),
        ("world:faces", Plan(batch_size=5), {}, "batch_size 5: give an even number"),
        ("world:faces", Plan(batch_size=2), {}, "batch_size 2"),
        ("world:faces", PLAN, {"people": 2}, "people 2: too few"),
        ("world:faces", PLAN, {"width": 1}, "width 1: give 2"),
    ],
)
def test_bad_input_is_told_before_anything_is_written(tmp_path, source, plan, options, message):
    data = open_data(source, size=32)
    with pytest.raises(BadInput, match=message):
        next(identity(data, tmp_path / "run", plan, **{"people": 6, **options}))
    assert not (tmp_path / "run").exists()


def test_pictures_too_small_for_the_network_are_refused(tmp_path):
    with pytest.raises(BadInput, match="16 pixels: give --pixels 32"):
        next(identity(open_data("world:faces", size=16), tmp_path, PLAN, people=6))
