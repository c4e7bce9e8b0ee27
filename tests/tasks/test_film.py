"""Films: frames at an even stride, files that Pillow and av read back."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from limner.errors import BadInput
from limner.tasks._film import check_film, is_frame, write_film


def frames(width: int, height: int, count: int = 9) -> list[np.ndarray]:
    return [np.full((height, width, 3), 25 * i, np.uint8) for i in range(count)]


def test_a_gif_holds_every_frame(tmp_path: Path) -> None:
    path = write_film(check_film(tmp_path / "out.gif", (31, 17)), frames(31, 17))
    with Image.open(path) as film:
        assert (film.size, film.n_frames) == ((31, 17), 9)
        film.seek(5)
        assert np.abs(np.asarray(film.convert("RGB")).astype(int) - 125).max() <= 2


def test_an_mp4_holds_every_frame(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = write_film(check_film(tmp_path / "out.mp4", (48, 64)), frames(48, 64))
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        assert (stream.width, stream.height, stream.codec_context.name) == (48, 64, "h264")
        assert stream.codec_context.pix_fmt == "yuv420p"  # what every player shows
        means = [frame.to_ndarray(format="rgb24").mean() for frame in film.decode(video=0)]
    assert means == pytest.approx([25 * i for i in range(9)], abs=4)


@pytest.mark.parametrize("steps", [1, 7, 120, 121, 1000])
def test_frames_are_an_even_stride(steps: int) -> None:
    shown = [step for step in range(1, steps + 1) if is_frame(step, steps)]
    assert len(shown) == min(steps, 120)
    assert shown[-1] == steps
    gaps = np.diff([0, *shown])
    assert gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize(
    ("name", "size", "reason"),
    [
        ("out.avi", (8, 8), "ends in .gif or .mp4"),
        ("out", (8, 8), "ends in .gif or .mp4"),
        ("out.mp4", (127, 95), "--size 128x96, or a .gif"),
        ("nowhere/deep/out.gif", (8, 8), "no folder"),
    ],
)
def test_what_it_refuses(tmp_path: Path, name: str, size: tuple[int, int], reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        check_film(tmp_path / name, size)


def test_without_av_an_mp4_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(BadInput, match=r"pip install 'limner\[video\]', or give a \.gif"):
        check_film(tmp_path / "out.mp4", (8, 8))
