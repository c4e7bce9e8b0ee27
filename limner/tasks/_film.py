"""Films: pictures one after another, as an animated GIF or an MP4."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from limner.errors import BadInput
from limner.picture import save_bytes
from limner.tasks._checks import check_writable

__all__ = ["MOST_FRAMES", "check_film", "is_frame", "write_film"]

MOST_FRAMES = 120  # ten seconds; every frame is held until the film is written
_RATE = 12  # frames a second


def check_film(path: str | Path, size: tuple[int, int]) -> Path:
    """The path, when a film of this size (width, height) can be written there; else BadInput."""
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".gif", ".mp4"):
        raise BadInput(f"cannot write the film {str(path)!r}: its name ends in .gif or .mp4")
    if kind == ".mp4":
        even = "x".join(str(side + side % 2) for side in size)
        if size[0] % 2 or size[1] % 2:
            raise BadInput(
                f"a film of {size[0]}x{size[1]}: an .mp4 has even sides; give --size {even}, or a "
                ".gif"
            )
        try:
            import av  # noqa: F401
            import imageio  # noqa: F401
        except ImportError:
            raise BadInput(
                "an .mp4 needs imageio and av: pip install 'limner[video]', or give a .gif"
            ) from None
    return check_writable(path)


def is_frame(step: int, steps: int) -> bool:
    """Whether a film shows the picture after this step, 1 … `steps`: at an even stride, the last
    one always, MOST_FRAMES at most."""
    frames = min(steps, MOST_FRAMES)
    return step * frames // steps > (step - 1) * frames // steps


def write_film(path: Path, frames: Sequence[np.ndarray]) -> Path:
    """Frames (h, w, 3) uint8 as a file, whole or not at all."""
    return save_bytes(path, _gif(frames) if path.suffix.lower() == ".gif" else _mp4(frames))


def _gif(frames: Sequence[np.ndarray]) -> bytes:
    first, *rest = (Image.fromarray(frame) for frame in frames)
    out = io.BytesIO()
    first.save(out, "GIF", save_all=True, append_images=rest, duration=1000 // _RATE, loop=0)
    return out.getvalue()


def _mp4(frames: Sequence[np.ndarray]) -> bytes:
    from imageio.v3 import imwrite

    film: bytes = imwrite(
        "<bytes>", np.stack(frames), extension=".mp4", plugin="pyav", codec="libx264", fps=_RATE
    )
    return film
