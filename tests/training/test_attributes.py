import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from limner.data._open import open_data
from limner.errors import BadInput
from limner.models.faces import open_attributes
from limner.training._resnet import begun
from limner.training.attributes import DOMAINS, Attributes, Portraits, attributes
from limner.training.loop import Plan
from limner.worlds._faces_truths import TRUTHS, truths
from limner.worlds.faces import STYLES, World, paint

PLAN = Plan(
    steps=4, batch_size=4, learning_rate=2e-3, warmup_steps=2, save_every=2, ema=0.5, seed=2
)
STYLED = "world:faces?styled=0.5"


def trained(run, plan=PLAN, source=STYLED, **options):
    yield from attributes(open_data(source, size=32), run, plan, **{"drawn": 10, **options})


def test_answers_are_the_faces_own_and_pictures_in_their_style():
    source = Portraits(World(0, styled=0.5), 128)
    answers, domains = source.answers(12)
    assert answers.shape == (12, len(TRUTHS)) and len(set(domains.tolist())) > 2
    for index in (0, int(domains.argmax())):
        style = DOMAINS[domains[index]]
        face = World(0).face(index)
        true = truths(face, style)
        wanted = [{True: 1, False: 0, None: -1}[answer] for answer in true.values()]
        assert answers[index].tolist() == wanted
        np.testing.assert_array_equal(source.batch([index])[0][0], paint(face, style)[0])


def test_styles_come_in_the_world_s_share_each_as_often():
    source = Portraits(World(0, styled=0.4), 32)
    found = np.bincount([source.domain(index) for index in range(4000)], minlength=6) / 4000
    assert found[0] == pytest.approx(0.6, abs=0.03)
    assert found[1:] == pytest.approx([0.08] * len(STYLES), abs=0.02)
    assert not any(Portraits(World(0), 32).domain(index) for index in range(50))


def tiny(domains=True, count=40):
    torch.manual_seed(0)
    chance = np.random.default_rng(1)

    class Rows:
        size = 32

        def __len__(self):
            return count

        def batch(self, indices):
            levels = np.array(indices, np.uint8)[:, None, None, None]
            return np.broadcast_to(levels, (len(levels), 32, 32, 3)).copy(), [""] * len(levels)

    answers = torch.from_numpy(chance.integers(-1, 2, (count, len(TRUTHS)), np.int8))
    labels = [*TRUTHS, *(str(d) for d in DOMAINS)] if domains else list(TRUTHS)
    told = answers, torch.from_numpy(chance.integers(0, 6, count))
    return Attributes(Rows(), told, begun(labels, 32), seed=1)


@pytest.mark.parametrize("domains", [True, False])
def test_the_loss_is_of_what_can_be_told_and_of_the_domain(domains):
    made, said = tiny(domains), {}
    batch = torch.rand(6, 3, 32, 32), made.answers[0][:6], made.answers[1][:6]
    logged = made.learn("network", batch, 0, lambda loss: said.update(loss=loss))
    logits = made.network((batch[0] - 0.5) / 0.5).logits.double()
    costs = [
        np.logaddexp(0, -float(logit) if answer else float(logit))
        for row, answers in zip(logits.detach(), batch[1].tolist())
        for logit, answer in zip(row, answers)
        if answer >= 0
    ]
    wanted = np.mean(costs)
    assert logged["attributes"].item() == pytest.approx(wanted, rel=1e-4)
    if domains:
        chosen = logits[:, len(TRUTHS) :].log_softmax(1)[torch.arange(6), batch[2]]
        wanted -= chosen.mean().item()
    assert said["loss"].item() == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_batch_has_pictures_with_their_own_answers_and_none_unseen(monkeypatch, ranks):
    monkeypatch.setattr("limner.training.attributes.seen", lambda pictures, rng: pictures)
    made, shown = tiny(), []
    for rank in range(ranks):
        pictures, answers, domains = made.batch(3, 12, rank, ranks)
        rows = (pictures[:, 0, 0, 0] * 255).round().long()
        assert torch.equal(answers, made.answers[0][rows])
        assert torch.equal(domains, made.answers[1][rows])
        shown += rows.tolist()
    assert len(set(shown)) == 12 * ranks and max(shown) < made.trained == 38


def test_right_answers_about_the_unseen_are_counted(monkeypatch):
    made = tiny(count=200)
    answers, domains = (told[made.trained :] for told in made.answers)
    logits = torch.where(answers == 1, 1.0, -1.0)
    logits[:, 0] *= -1  # every answer about the first is wrong
    columns = torch.nn.functional.one_hot(domains, 6).float()
    columns[: made.kept // 2] *= -1
    monkeypatch.setattr(made, "_logits", lambda pictures: torch.cat([logits, columns], 1))
    shares = made.right()
    first, *others, domain = shares.values()
    assert made.kept == 10 and (first, domain) == (0, 0.5) and set(others) <= {1.0, None}


@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_training_is_the_uninterrupted_one_bit_for_bit(tmp_path, stop):
    list(trained(tmp_path / "whole"))
    for progress in trained(tmp_path / "parts"):
        if progress.step == stop:
            break
    list(trained(tmp_path / "parts", resume=True))
    whole, parts = (load_file(tmp_path / r / "model/model.safetensors") for r in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_the_model_opens_in_transformers_and_here(tmp_path):
    from transformers import ResNetForImageClassification

    list(trained(tmp_path, Plan(steps=2, batch_size=4, preview_every=1)))
    theirs = ResNetForImageClassification.from_pretrained(tmp_path / "model")
    ours = open_attributes(tmp_path / "model")
    assert ours.names == tuple(TRUTHS) and ours.domain_names == ("none", *STYLES)
    assert tuple(theirs.config.id2label.values()) == ours.network.labels
    lines = (tmp_path / "previews" / "right.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2] and '"domain"' in lines[0]


def test_without_styles_it_has_no_domains(tmp_path):
    list(trained(tmp_path, Plan(steps=1, batch_size=4, preview_every=1), "world:faces"))
    assert open_attributes(tmp_path / "model").domain_names == ()
    assert '"domain"' not in (tmp_path / "previews" / "right.jsonl").read_text()


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("world:scenes", {}, "limner train attributes asks who .* give --data world:faces"),
        (STYLED, {"drawn": 4}, "drawn 4: too few for batches of 4"),
    ],
)
def test_bad_input_is_told_before_anything_is_written(tmp_path, source, options, message):
    with pytest.raises(BadInput, match=message):
        next(trained(tmp_path / "run", PLAN, source, **options))
    assert not (tmp_path / "run").exists()
