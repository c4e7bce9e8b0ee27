"""CLIP: the same embeddings as transformers' CLIPModel."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from limner import open_clip
from limner.errors import BadInput
from limner.models.clip import Clip

TEXTS = ["a red cube", "the cat", ""]


@pytest.fixture(scope="module")
def clip(clip_folder: Path) -> Clip:
    return open_clip(clip_folder)


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float()[None] / 255


def unit(x: torch.Tensor) -> torch.Tensor:
    return x / x.norm(dim=1, keepdim=True)


def test_texts_and_pictures_are_transformers(clip: Clip, clip_folder: Path) -> None:
    from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

    model = CLIPModel.from_pretrained(clip_folder)
    words = CLIPTokenizer.from_pretrained(clip_folder)
    seen = CLIPImageProcessorPil.from_pretrained(clip_folder)
    with torch.no_grad():
        ids = words(TEXTS, padding=True, return_tensors="pt")
        wanted = unit(model.get_text_features(**ids).pooler_output)
        assert torch.allclose(clip.embed_texts(TEXTS), wanted, atol=1e-6)
        for height, width in ((32, 32), (128, 128), (90, 140), (20, 24)):
            image = picture(height, width)
            pixels = seen([image], return_tensors="pt").pixel_values
            wanted = unit(model.get_image_features(pixel_values=pixels).pooler_output)
            # Pillow rounds to bytes after resizing
            assert torch.allclose(clip.embed_pictures(tensor(image)), wanted, atol=3e-3)
    assert clip.logit_scale == pytest.approx(float(model.logit_scale.exp()))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"size": {"shortest_edge": 40}},
        {"size": {"height": 32, "width": 32}},
        {"size": {"height": 45, "width": 45}, "resample": 2},
        {"size": 32, "do_normalize": False},
    ],
)
def test_pictures_are_shown_as_by_transformers(
    clip_folder: Path, tmp_path: Path, change: dict
) -> None:
    from transformers import CLIPImageProcessorPil

    folder = Path(shutil.copytree(clip_folder, tmp_path / "clip"))
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    ours, theirs = open_clip(folder).sight, CLIPImageProcessorPil.from_pretrained(folder)
    for height, width in ((32, 32), (37, 53), (90, 21)):
        image = picture(height, width)
        wanted = theirs([image], return_tensors="pt").pixel_values
        apart = (ours(tensor(image)) - wanted).abs() * 255 * min(ours.std)
        assert apart.max() < 3 and apart.mean() < 0.4  # Pillow rounds and clips to bytes, twice


def test_older_configs_find_the_end_by_the_highest_id(clip_folder: Path, tmp_path: Path) -> None:
    from transformers import CLIPModel, CLIPTokenizer

    folder = Path(shutil.copytree(clip_folder, tmp_path / "clip"))
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["eos_token_id"] = 2
    (folder / "config.json").write_text(json.dumps(config))
    ids = CLIPTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        wanted = unit(CLIPModel.from_pretrained(folder).get_text_features(**ids).pooler_output)
    assert torch.allclose(open_clip(folder).embed_texts(TEXTS), wanted, atol=1e-6)


def test_batches_change_nothing(clip: Clip) -> None:
    pictures = torch.cat([tensor(picture(40, 40, seed)) for seed in range(5)])
    alone = torch.cat([clip.embed_pictures(each[None]) for each in pictures])
    assert torch.allclose(clip.embed_pictures(pictures), alone, atol=1e-5)
    texts = ["a cat", "a red cube on top of the blue sphere", "the dog"]
    alone = torch.cat([clip.embed_texts([text]) for text in texts])
    assert torch.allclose(clip.embed_texts(texts), alone, atol=1e-5)
    many = clip.embed_texts(texts * 50)
    assert torch.allclose(many, alone.repeat(50, 1), atol=1e-5)


def test_every_word_of_a_long_text_counts(clip: Clip) -> None:
    long = "a red cube on top of the blue sphere and " * 6
    cat, dog = clip.embed_texts([long + "cat", long + "dog"])
    assert not torch.allclose(cat, dog, atol=1e-4)
    assert cat.norm() == pytest.approx(1.0, abs=1e-5)


def test_what_is_no_clip(clip_folder: Path, sd_folder, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no model at"):
        open_clip(tmp_path / "nowhere")
    with pytest.raises(BadInput, match="'clip_text_model' model: expected CLIP"):
        open_clip(sd_folder("sd1") / "text_encoder")
    folder = Path(shutil.copytree(clip_folder, tmp_path / "clip"))
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(BadInput, match="no whole safetensors file"):
        open_clip(folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BadInput, match="pickled"):
        open_clip(folder)
    (folder / "config.json").write_text('{"model_type": "clip", "vision_config": 3}')
    with pytest.raises(BadInput, match="vision_config"):
        open_clip(folder)
