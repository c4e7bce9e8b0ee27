"""From the bytes of captioned pictures to what training takes."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, ImageOps

from limner.errors import BadInput, LimnerError
from limner.picture import FORMATS, MAX_PIXELS

__all__ = ["captions_in", "decode", "fit"]

MAX_CAPTION = 32_000  # characters; the longest prompt that limner takes


def decode(data: bytes, name: str, size: int) -> np.ndarray:
    """A PNG, JPEG or WebP → uint8 (size, size, 3): upright, transparency on white, middle square.

    Unlike `picture.load` it never holds the whole picture as floats, and a JPEG much larger than
    needed is decoded at a fraction of its size.
    Raises BadInput naming the file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is judged here, the rest is not the user's
            image = Image.open(io.BytesIO(data), formats=sorted(set(FORMATS.values())))
            if image.width * image.height > MAX_PIXELS:
                raise BadInput(
                    f"is {image.width}x{image.height}, over {MAX_PIXELS // 10**6} Mpixels"
                )
            image.draft(
                image.mode, (2 * size, 2 * size)
            )  # a JPEG of at least this; others ignore it
            return fit(_rgb(ImageOps.exif_transpose(image)), size)
    except LimnerError as error:
        raise BadInput(f"{name!r} {error}: replace it, or skip broken pictures") from None
    except Exception as error:
        # Pillow's decoders raise a dozen unrelated types on hostile bytes; each means the same.
        raise BadInput(
            f"{name!r} is no PNG, JPEG or WebP picture, or a broken one ({error}): "
            "replace it, or skip broken pictures"
        ) from None


def fit(image: Image.Image, size: int) -> np.ndarray:
    """The middle square at size, antialiased: uint8 (size, size, 3)."""
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    return np.asarray(image)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # Pillow would clip 16 bits of grey, not scale them
        grey = np.asarray(image).clip(0, 65535) // 257
        image = Image.fromarray(grey.astype(np.uint8))
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def captions_in(text: bytes | str | list[str], name: str) -> list[str]:
    """Captions, one a line (or one an entry), spaces put in order; BadInput when there is none."""
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise BadInput(f"the caption in {name!r} is not UTF-8 text: save it as UTF-8") from None
    lines = text.splitlines() if isinstance(text, str) else text
    found = [" ".join(line.split()) for line in lines]
    found = [line for line in found if line]
    if not found:
        raise BadInput(f"the caption in {name!r} is empty: write what its picture shows")
    if any(
        "\ud800" <= letter <= "\udfff" for line in found for letter in line
    ):  # JSON can hold them
        raise BadInput(f"the caption in {name!r} has half a character (a surrogate): correct it")
    if max(map(len, found)) > MAX_CAPTION:
        raise BadInput(f"a caption in {name!r} has over {MAX_CAPTION:,} characters: shorten it")
    return found
