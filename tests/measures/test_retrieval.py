from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from limner import open_clip
from limner.measures.retrieval import ranked, retrieval
from limner.worlds.scenes import World


def by_hand(cosines: np.ndarray, captions: list[str]) -> list[int]:
    """How many wrong captions are at least as near as the nearest right one."""
    out = []
    for row, said in zip(cosines, captions):
        best = max(c for c, caption in zip(row, captions) if caption == said)
        out.append(sum(c >= best for c, caption in zip(row, captions) if caption != said))
    return out


def test_places_are_counted_as_by_hand_and_equal_captions_are_right() -> None:
    rng = np.random.default_rng(0)
    captions = [f"caption {i}" for i in rng.integers(0, 9, 40)]
    cosines = rng.normal(size=(40, 40)) + 1.5 * np.eye(40)
    found = ranked(torch.from_numpy(cosines), captions)
    assert found == by_hand(cosines, captions) and 0 in found and max(found) > 5
    apart = [f"caption {i}" for i in range(40)]
    plain = ranked(torch.from_numpy(cosines), apart)
    assert [p == 0 for p in plain] == (cosines.argmax(1) == np.arange(40)).tolist()


def test_a_tie_with_a_wrong_caption_is_no_hit() -> None:
    assert ranked(torch.ones(2, 2), ["a", "b"]) == [1, 1]
    assert ranked(torch.ones(2, 2), ["a", "a"]) == [0, 0]


def test_it_is_over_the_plainest_captions_of_unseen_scenes(clip_folder: Path) -> None:
    clip = open_clip(clip_folder)
    found = retrieval(clip, count=40, seed=3)
    drawn = World(3, split="held_out").draw(range(40))
    captions = [texts[0] for texts in drawn.captions]
    pictures = clip.embed_pictures(torch.from_numpy(drawn.pictures).permute(0, 3, 1, 2) / 255)
    cosines = (pictures @ clip.embed_texts(captions).T).numpy()
    text, picture = by_hand(cosines, captions), by_hand(cosines.T, captions)
    assert found.text.n == found.picture.n == 40
    assert found.text.right == text.count(0) and found.picture.right == picture.count(0)
    assert found.text_five.right == sum(place < 5 for place in text) > 0
