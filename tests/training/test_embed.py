"""Models on their way into the package."""

import sys
from pathlib import Path

import pytest
import torch

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


def test_a_second_clip_is_small_whole_and_opens(tmp_path, monkeypatch):
    plain = tiny_clip()
    resnet = dict(tower="resnet", channels=4, size=32, width=64, layers=1)
    made = Clip(plain.data, plain.tokenizer, **resnet)
    made.export(tmp_path / "model")
    monkeypatch.setattr(_embed, "FOLDER", tmp_path / "in")
    said = ["_embed", "--clip-second", str(tmp_path / "model")]
    monkeypatch.setattr(sys, "argv", said)
    _embed.main()
    folder = tmp_path / "in" / "clip-second"
    before = open_clip(tmp_path / "model")
    after = open_clip(folder)
    assert after.licence == "MIT" and "ResNet" in (folder / "README.md").read_text()
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


def test_a_name_of_our_own_that_is_not_here_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "__file__", str(tmp_path / "models" / "embedded.py"))
    for name, part in models.CLIPS.items():
        with pytest.raises(BadInput, match=f"no embedded {part} model here: .*limner train clip"):
            open_clip(name)


def test_a_stylegan_is_halved_and_opens(tmp_path, monkeypatch):
    torch.manual_seed(0)
    shape = Shape((6, 5, 4), width=8, mapping_layers=2)
    write(tmp_path / "model", Generator(shape), Discriminator(shape))
    monkeypatch.setattr(_embed, "FOLDER", tmp_path / "in")
    monkeypatch.setattr(sys, "argv", ["_embed", "--stylegan", str(tmp_path / "model")])
    _embed.main()
    folder = tmp_path / "in" / "stylegan"
    before, after = open_stylegan(tmp_path / "model"), open_stylegan(folder)
    card = (folder / "README.md").read_text()
    assert after.licence == "MIT" and "world `faces`" in card and "`scenes`" not in card
    z, still = torch.randn(2, 8), torch.zeros(1, shape.noise)
    seen = (each.synthesis(each.repeated(each.mapping(z)), still) for each in (after, before))
    torch.testing.assert_close(*seen, atol=2e-2, rtol=0)
    sizes = [
        (each / "generator.safetensors").stat().st_size for each in (folder, tmp_path / "model")
    ]
    assert sizes[0] < 0.8 * sizes[1]
