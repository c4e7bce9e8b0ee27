"""Memory that was freed is handed back where it matters."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from limner import open_model
from limner.models import _text_to_image
from limner.models._heap import hand_back

SIZE, COUNT = 64 * 1024, 2000  # bytes of a block, too few for a place of its own; blocks


def resident() -> int:
    """Bytes of this process that are in memory."""
    said = Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]
    return 1024 * int(said)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's alone is asked")
def test_what_lies_free_between_what_is_in_use_is_handed_back() -> None:
    blocks = [torch.ones(SIZE, dtype=torch.uint8) for _ in range(COUNT)]
    held = blocks[::10]
    del blocks
    before = resident()
    hand_back()
    assert before - resident() > 0.6 * SIZE * COUNT
    assert all(bool((block == 1).all()) for block in held)


def test_it_is_asked_before_large_pictures_are_decoded(
    sd_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[None] = []
    monkeypatch.setattr(_text_to_image, "hand_back", lambda: asked.append(None))
    model = open_model(sd_folder("own"))
    for side, times in ((8, 0), (64, 1)):
        model.decode(torch.zeros(1, model.channels, side, side))
        assert len(asked) == times
