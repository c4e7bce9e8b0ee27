from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limner import Picture, classify, open_clip
from limner.errors import BadInput
from limner.models.clip import Clip

PICTURES = [
    Picture(torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(i))) for i in (0, 1)
]


@pytest.fixture(scope="module")
def clip(clip_folder: Path) -> Clip:
    return open_clip(clip_folder)


def test_it_is_the_softmax_of_cosines_with_mean_embeddings(clip: Clip) -> None:
    templates = ["a photo of {a}", "the {}"]
    found = classify(PICTURES, labels=["cat", "horse", "apple"], templates=templates, clip=clip)
    sentences = [
        ["a photo of a cat", "the cat"],
        ["a photo of a horse", "the horse"],
        ["a photo of an apple", "the apple"],
    ]
    means = torch.stack([clip.embed_texts(each).mean(0) for each in sentences])
    means = means / means.norm(dim=1, keepdim=True)
    seen = torch.cat([clip.embed_pictures(each.pixels[None]) for each in PICTURES])
    wanted = torch.softmax(clip.logit_scale * seen @ means.T, 1)
    for row, each in zip(wanted, found, strict=True):
        assert list(each.labels.values()) == sorted(each.labels.values(), reverse=True)
        assert sum(each.labels.values()) == pytest.approx(1)
        got = [each.labels[label] for label in ("cat", "horse", "apple")]
        assert got == pytest.approx(row.tolist(), abs=1e-5)
        assert each.label == next(iter(each.labels))


def test_labels_as_text_and_templates_from_a_file(clip: Clip, tmp_path: Path) -> None:
    path = tmp_path / "templates.txt"
    path.write_text("a photo of {a}\nthe {}\n")
    listed = classify(
        PICTURES, labels=["cat", "dog"], templates=["a photo of {a}", "the {}"], clip=clip
    )
    named = classify(PICTURES, labels=" cat, dog,cat ,", templates=path, clip=clip)
    assert [each.labels for each in listed] == [each.labels for each in named]
    default = classify(PICTURES, labels="cat,dog", clip=clip)
    assert default[0].labels != named[0].labels


def test_what_it_refuses(clip: Clip, tmp_path: Path) -> None:
    for labels in ("", "cat", "cat,,cat", []):
        with pytest.raises(BadInput, match="give at least two"):
            classify(PICTURES, labels=labels, clip=clip)
    with pytest.raises(BadInput, match="No such file"):
        classify(PICTURES, labels="a,b", templates=tmp_path / "nowhere.txt", clip=clip)
    with pytest.raises(BadInput, match="no pictures"):
        classify([], labels="a,b", clip=clip)
