from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limner import open_clip
from limner.errors import BadInput
from limner.measures.clip_score import clip_score
from limner.picture import Picture

PICTURES = [
    Picture(torch.randint(256, (3, 40, 32), generator=torch.Generator().manual_seed(i)) / 255)
    for i in range(3)
]
PROMPTS = ["a red cube", "a photo of a cat", "the horse riding"]


def test_it_is_the_cosine_that_transformers_computes_as_a_percentage(clip_folder: Path) -> None:
    from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

    model = CLIPModel.from_pretrained(clip_folder).eval()
    words = CLIPTokenizer.from_pretrained(clip_folder)(PROMPTS, padding=True, return_tensors="pt")
    prepared = CLIPImageProcessor.from_pretrained(clip_folder)(
        [each.image() for each in PICTURES], return_tensors="pt"
    )
    with torch.no_grad():
        out = model(**words, **prepared)
    cosines = (out.image_embeds * out.text_embeds).sum(1)
    wanted = (100 * cosines.clamp(min=0)).tolist()
    found = clip_score(PICTURES, PROMPTS, clip=clip_folder)
    assert found.scores == pytest.approx(wanted, abs=1e-3) and max(wanted) > 0
    assert found.mean == pytest.approx(sum(wanted) / 3, abs=1e-3)
    spread = torch.tensor(wanted).std().item() / 3**0.5
    assert found.standard_error == pytest.approx(spread, abs=1e-3)


class Opposite:
    """A CLIP for which no picture agrees with any text."""

    name = "opposite"

    def embed_pictures(self, pictures):
        return torch.tensor([[1.0, 0.0]]).expand(len(pictures), -1)

    def embed_texts(self, texts):
        return torch.tensor([[-1.0, 0.0]]).expand(len(texts), -1)


def test_a_cosine_below_zero_counts_as_zero() -> None:
    found = clip_score(PICTURES[:1], PROMPTS[:1], clip=Opposite())  # type: ignore[arg-type]
    assert (found.mean, found.standard_error, found.scores) == (0, 0, (0.0,))


def test_it_wants_one_prompt_for_each_picture(clip_folder: Path) -> None:
    clip = open_clip(clip_folder)
    for pictures, prompts in ((PICTURES, PROMPTS[:2]), ([], [])):
        with pytest.raises(BadInput, match="give one for each"):
            clip_score(pictures, prompts, clip=clip)
