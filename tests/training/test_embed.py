"""Models on their way into the package."""

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from limner.errors import BadInput
from limner.models import embedded as models
from limner.models._stylegan import write
from limner.models.clip import open_clip
from limner.models.stylegan import open_stylegan
from limner.nets.stylegan import Discriminator, Generator, Shape
from limner.training import _embed
from limner.training.clip import Clip

sys.path.insert(0, str(Path(__file__).parent))
from _toy import tiny_clip


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The folder of embedded models of a package that has none."""
    folder = tmp_path / "limner" / "embedded"
    monkeypatch.setattr(_embed, "FOLDER", folder)
    monkeypatch.setattr(models, "__file__", str(tmp_path / "limner" / "models" / "embedded.py"))
    return folder


def embed(monkeypatch, *said):
    monkeypatch.setattr(sys, "argv", ["_embed", *map(str, said)])
    _embed.main()


@pytest.mark.parametrize(
    ("name", "world"), [("second", "world `scenes` (drawn"), ("faces", "world `faces` (drawn")]
)
def test_a_resnet_is_small_whole_and_opens_by_its_name(name, world, tmp_path, package, monkeypatch):
    plain = tiny_clip()
    resnet = dict(tower="resnet", channels=4, size=32, width=64, layers=1)
    made = Clip(plain.data, plain.tokenizer, **resnet)
    made.export(tmp_path / "model")
    embed(monkeypatch, f"--clip-{name}", tmp_path / "model")
    folder = package / f"clip-{name}"
    before, after = open_clip(tmp_path / "model"), open_clip(name)
    card = (folder / "README.md").read_text()
    assert after.licence == "MIT" and "ResNet" in card and world in card
    texts = ["a red bar at the top", "a blue bar at the bottom"]
    torch.testing.assert_close(
        after.embed_texts(texts), before.embed_texts(texts), atol=2e-3, rtol=0
    )
    pictures = torch.rand(3, 3, 32, 32)
    seen = (each.embed_pictures(pictures) for each in (after, before))
    torch.testing.assert_close(*seen, atol=2e-3, rtol=0)
    parts = sum(p.numel() for p in made.towers.parameters())
    assert not (folder / "config.json").exists()  # the text tower's, a second time
    assert sum(f.stat().st_size for f in folder.glob("*.safetensors")) < 2.1 * parts + 50_000


def test_what_knows_only_faces_is_followed_for_faces_alone(package):
    (package / "clip-faces").mkdir(parents=True)
    assert models.here() == [] and models.judging() == ["embedded"]
    assert models.facing() == ["faces"]
    (package / "clip").mkdir()
    (package / "clip-second").mkdir()
    assert models.here() == ["embedded", "second"] and models.judging() == ["second"]
    assert models.facing() == ["faces"]
    (package / "clip-faces").rmdir()
    assert models.facing() == models.judging() == ["second"]


def test_each_part_has_a_flag_a_folder_and_a_card_of_its_own():
    flags, folders, titles, _, texts, *_ = zip(*_embed._PARTS, strict=True)
    for each in (flags, folders, titles, texts):
        assert len(set(each)) == len(_embed._PARTS)
    assert set(models.CLIPS.values()) < set(folders)


@pytest.mark.parametrize(
    ("part", "world"), [("identity", "faces"), ("attributes", "faces"), ("biggan", "scenes")]
)
def test_any_folder_is_halved_and_told_where_it_comes_from(
    part, world, tmp_path, package, monkeypatch
):
    """Weights that are numbers become float16, others stay; a path of the training is forgotten."""
    model = tmp_path / "model"
    model.mkdir()
    weights = {"a.weight": torch.randn(3, 4), "a.steps": torch.tensor(7)}
    save_file(weights, model / "model.safetensors")
    (model / "config.json").write_text(json.dumps({"model_type": "toy", "_name_or_path": "/here"}))
    embed(monkeypatch, f"--{part}", model)
    assert [each.name for each in package.iterdir()] == [part]
    kept = load_file(package / part / "model.safetensors")
    assert torch.equal(kept["a.weight"], weights["a.weight"].half()) and kept["a.steps"] == 7
    assert json.loads((package / part / "config.json").read_text()) == {"model_type": "toy"}
    assert f"own world `{world}`" in (package / part / "README.md").read_text().replace("\n", " ")


def test_a_name_of_our_own_that_is_not_here_says_so(package):
    for name, part in models.CLIPS.items():
        with pytest.raises(BadInput, match=f"no embedded {part} model here: .*limner train clip"):
            open_clip(name)


def test_a_stylegan_is_halved_and_opens(tmp_path, package, monkeypatch):
    torch.manual_seed(0)
    shape = Shape((6, 5, 4), width=8, mapping_layers=2)
    write(tmp_path / "model", Generator(shape), Discriminator(shape))
    embed(monkeypatch, "--stylegan", tmp_path / "model")
    folder = package / "stylegan"
    before, after = open_stylegan(tmp_path / "model"), open_stylegan(folder)
    card = (folder / "README.md").read_text()
    assert before.discriminator is not None and after.discriminator is None
    assert after.licence == "MIT" and "world `faces`" in card and "`scenes`" not in card
    z, still = torch.randn(2, 8), torch.zeros(1, shape.noise)
    seen = (each.synthesis(each.repeated(each.mapping(z)), still) for each in (after, before))
    torch.testing.assert_close(*seen, atol=2e-2, rtol=0)
    sizes = [
        (each / "generator.safetensors").stat().st_size for each in (folder, tmp_path / "model")
    ]
    assert sizes[0] < 0.8 * sizes[1]
