from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limner import Picture, open_clip, rank
from limner.errors import BadInput


def test_the_highest_cosine_comes_first(clip_folder: Path, tmp_path: Path) -> None:
    clip = open_clip(clip_folder)
    generator = torch.Generator().manual_seed(0)
    pictures = [Picture(torch.rand(3, 40, 32 + i, generator=generator)) for i in range(4)]
    files = [picture.save(tmp_path / f"{i}.png") for i, picture in enumerate(pictures)]
    ranked = rank("a red cube", files, clip=clip_folder)
    wanted = {}
    for file in files:
        from limner import load

        seen = clip.embed_pictures(load(file).pixels[None])
        wanted[file] = float((seen @ clip.embed_texts(["a red cube"]).T).squeeze())
    assert [each.picture.path for each in ranked] == sorted(files, key=lambda file: -wanted[file])
    for each in ranked:
        assert each.score == pytest.approx(wanted[each.picture.path], abs=1e-5)  # type: ignore[index]


def test_what_it_refuses(clip_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="prompt is empty"):
        rank("", [tmp_path], clip=clip_folder)
    with pytest.raises(BadInput, match="no pictures"):
        rank("a cat", [], clip=clip_folder)
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(BadInput, match=r"text\.png.*no PNG"):
        rank("a cat", [tmp_path / "text.png"], clip=clip_folder)
    with pytest.raises(BadInput, match="no model at"):
        rank("a cat", [tmp_path / "text.png"], clip="/no/such/clip")
