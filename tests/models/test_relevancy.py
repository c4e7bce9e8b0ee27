"""Relevancy, against transformers' attentions and a plain loop over layers and heads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from limner import open_clip
from limner.noise import Noise


@pytest.fixture(scope="module")
def pictures():
    return Noise(3, range(2)).uniform((3, 32, 32))


def by_transformers(folder, clip, pictures, wanted):
    from transformers import CLIPModel

    model = CLIPModel.from_pretrained(folder, attn_implementation="eager").eval()
    mean, std = (torch.tensor(each)[:, None, None] for each in (clip.mean, clip.std))
    seen = model.vision_model((pictures - mean) / std, output_attentions=True)
    found = model.visual_projection(seen.pooler_output)
    cosine = torch.nn.functional.cosine_similarity(found, wanted[None]).sum()
    slopes = torch.autograd.grad(cosine, seen.attentions)
    rows = []
    for row in range(len(pictures)):
        reached = np.eye(17)
        for attention, slope in zip(seen.attentions, slopes):
            heads = [
                np.maximum((a * s).detach().numpy(), 0) for a, s in zip(attention[row], slope[row])
            ]
            reached = reached + np.mean(heads, 0) @ reached
        rows.append(reached[0, 1:].reshape(4, 4))
    return np.stack(rows)


def test_is_that_of_transformers_attentions(clip_folder, pictures):
    clip = open_clip(clip_folder)
    wanted = clip.embed_texts(["a red cat"])[0]
    found = clip.relevancy(pictures, wanted)
    expected = by_transformers(clip_folder, clip, pictures, wanted)
    assert found.shape == (2, 4, 4) and float(found.min()) >= 0
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-8)
    assert not found.requires_grad


def test_depends_on_the_words(clip_folder, pictures):
    clip = open_clip(clip_folder)
    one, other = clip.embed_texts(["a cat", "blue sphere"])
    assert not torch.allclose(
        clip.relevancy(pictures, one), clip.relevancy(pictures, other), rtol=1e-2
    )
