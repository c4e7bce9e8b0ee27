"""noised-clip and noised-classifier: what they learn from, that they learn, their folders."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from limner.errors import BadInput
from limner.levels import Level, vp_level
from limner.models.noised_classifier import open_noised_classifier
from limner.models.noised_clip import open_noised_clip
from limner.training._coders import build_kl
from limner.training._noised import begun, noised, times, vp
from limner.training._parts import schedule
from limner.training.loop import Plan
from limner.training.noised_classifier import Labelled, noised_classifier
from limner.training.noised_clip import noised_clip

sys.path.insert(0, str(Path(__file__).parent))
from _toy import Bars, tiny_clip

PLAN = Plan(
    steps=4, batch_size=8, learning_rate=3e-3, warmup_steps=2, save_every=2, ema=0.5, seed=2,
    preview_every=4,
)  # fmt: skip
COLOURS = "red, green, blue, white"


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Folders of a CLIP and an autoencoder that know nothing."""
    folder = tmp_path_factory.mktemp("sources")
    tiny_clip().export(folder / "clip")
    torch.manual_seed(1)
    vae = build_kl((8, 8, 16), latent_channels=4)
    pictures = torch.from_numpy(Bars().batch(range(24))[0]).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():  # at which latents have unit variance, as those of a trained one
        spread = vae.encode(pictures).latent_dist.mean.std()
    vae.register_to_config(scaling_factor=1 / float(spread))
    vae.save_pretrained(folder / "vae")
    return folder


def trained(kind, sources, run, plan=PLAN, **told):
    options = dict(autoencoder=str(sources / "vae"), width=8, latents=200) | told
    if kind == "clip":
        return noised_clip(Bars(), run, plan, clip=str(sources / "clip"), **options)
    return noised_classifier(Bars(), run, plan, **dict(classes=COLOURS) | options)


def test_levels_are_those_of_the_diffusion_s_training():
    """Logit-normal flow times, and 15% evenly from the table's: by scipy's distributions."""
    drawn = times(20_000, np.random.default_rng(0))
    table = np.array([vp_level(float(alpha_bar)).time for alpha_bar in schedule()])

    def share_below(time):
        return 0.85 * stats.norm.cdf(np.log(time / (1 - time))) + 0.15 * (table <= time).mean()

    for time in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert (drawn <= time).mean() == pytest.approx(share_below(time), abs=0.015)
    assert drawn.max() == 1 and drawn.min() > 0


def test_noise_is_mixed_in_at_the_variance_preserving_level():
    level = vp(0.3)
    assert level.time == pytest.approx(0.3) and np.hypot(*level) == pytest.approx(1)
    x0, n = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    found = noised(x0, n, torch.tensor([0.3, 0.0], dtype=torch.float64))
    torch.testing.assert_close(found[0], level.alpha * x0[0] + level.sigma * n[0])
    torch.testing.assert_close(found[1], x0[1])


@pytest.mark.parametrize("kind", ["clip", "classifier"])
def test_it_learns_resumes_to_the_same_bytes_and_opens(kind, sources, tmp_path):
    plan = Plan(**{**vars(PLAN), "steps": 60, "batch_size": 32, "preview_every": 60})
    whole = list(trained(kind, sources, tmp_path / "whole", plan))
    first, last = (np.mean([s.metrics["loss"] for s in p]) for p in (whole[:5], whole[-5:]))
    assert last < 0.8 * first
    run = tmp_path / "parts"
    for step in trained(kind, sources, run, plan):
        if step.step == 30:
            break
    list(trained(kind, sources, run, plan, resume=True))
    files = [folder / "model" / "model.safetensors" for folder in (tmp_path / "whole", run)]
    assert files[0].read_bytes() == files[1].read_bytes()
    (log,) = (run / "previews").glob("*.jsonl")
    line = json.loads(log.read_text())
    assert line["step"] == 60 and line["0.1"] > line["0.9"] - 0.2


def test_the_classifier_tells_colours_at_every_family_of_levels(sources, tmp_path):
    plan = Plan(**{**vars(PLAN), "steps": 120, "batch_size": 32, "preview_every": 0})
    list(trained("classifier", sources, tmp_path / "run", plan))
    model = open_noised_classifier(tmp_path / "run" / "model")
    assert sorted(model.classes) == ["blue", "green", "red", "white"]
    assert model.named("A BLUE bar beside a red one") == "blue"
    with pytest.raises(BadInput, match="names none of the classes"):
        model.named("a reddish bar")
    values = np.load(tmp_path / "run" / "latents" / "latents.npy")[:100].astype(np.float32)
    x0 = torch.from_numpy(values)
    n = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    names = COLOURS.split(", ")
    told = torch.tensor([model.classes.index(names[i % 4]) for i in range(100)])
    for scale in (1.0, 1 / np.hypot(0.8, 0.2)):  # flow, VP
        level = Level(0.8 * scale, 0.2 * scale)
        said = model.logits(level.alpha * x0 + level.sigma * n, level)
        assert float((said.argmax(1) == told).float().mean()) > 0.8
    logs = torch.stack([model.likelihood(name)(x0, Level(1.0, 0.1)) for name in model.classes], 1)
    torch.testing.assert_close(logs.exp().sum(1), torch.ones(100))


def test_the_clip_s_tower_agrees_with_its_words(sources, tmp_path):
    list(trained("clip", sources, tmp_path / "run"))
    model = open_noised_clip(tmp_path / "run" / "model")
    x, level = torch.randn(3, 4, 8, 8, requires_grad=True), Level(0.6, 0.8)
    said = model.likelihood("a red bar at the top")(x, level)
    text = model.clip.embed_texts(["a red bar at the top"])[0]
    scale = json.loads((tmp_path / "run" / "model" / "limner.json").read_text())["scale"]
    torch.testing.assert_close(said, scale * model.embed(x, level) @ text)
    said.sum().backward()
    assert x.grad is not None and float(x.grad.abs().max()) > 0
    embedded = np.load(next((tmp_path / "run").glob("texts-*.npy")))
    expected = model.clip.embed_texts(Bars().batch(range(5))[1])
    np.testing.assert_allclose(embedded[:5].astype(np.float32), expected.numpy(), atol=1e-3)


def test_another_clip_and_another_s_folder_are_told(sources, tmp_path):
    list(trained("clip", sources, tmp_path / "run"))
    folder = tmp_path / "run" / "model"
    with pytest.raises(BadInput, match="no network of limner train noised-classifier"):
        open_noised_classifier(folder)
    card = json.loads((folder / "limner.json").read_text())
    card["clip"]["fingerprint"] = "0" * 64
    (folder / "limner.json").write_text(json.dumps(card))
    with pytest.raises(BadInput, match="trained with another CLIP"):
        open_noised_clip(folder)
    card["tower"]["widths"] = [12]
    (folder / "limner.json").write_text(json.dumps(card))
    with pytest.raises(BadInput, match="not usable"):
        open_noised_clip(folder)


def test_where_none_is_embedded_it_says_how_to_train_one(tmp_path, monkeypatch):
    from limner.models import embedded

    monkeypatch.setattr(embedded, "__file__", str(tmp_path / "limner" / "models" / "embedded.py"))
    with pytest.raises(BadInput, match="limner train noised-clip -o RUN"):
        open_noised_clip()


@pytest.mark.parametrize(
    "kind, told, said",
    [
        ("clip", dict(width=12), "width 12: give a multiple of 8"),
        ("clip", dict(latents=1), "latents 1"),
        ("classifier", dict(classes="cat, dog"), "hardly a caption names one of cat, dog"),
        ("classifier", dict(classes="cat, cat"), "give each once"),
    ],
)
def test_refuses_what_cannot_be_trained(kind, told, said, sources, tmp_path):
    with pytest.raises(BadInput, match=said):
        list(trained(kind, sources, tmp_path / "run", **told))


def test_latents_without_a_class_are_left_out():
    class Latents:
        size, captions = 2, ["a cat", "a tree", "two dogs", "a dog by a cat"]

        def batch(self, rows):
            return np.array(rows)[:, None], [self.captions[row] for row in rows]

    found = Labelled(Latents(), ["horse", "dog", "cat"])
    assert found.names == ["dog", "cat"] and len(found) == 2
    values, labels = found.batch([1, 0])
    assert values[:, 0].tolist() == [3, 0] and labels == [0, 1]


def test_the_card_s_shape_is_the_tower_s():
    tower, shape = begun(8, 192, 48)
    assert shape["widths"] == [48, 96, 160]
    assert sum(p.numel() for p in tower.parameters()) == 702_544
