"""Pictures from outside: decoded within limits, and encoded anew with nothing but their pixels.

What a file claims is checked before it is unpacked: its bytes, its sides, how often its parts would
be gone through. EXIF, XMP, ICC profiles and comments end here.
"""

from __future__ import annotations

import io
import struct
import warnings

import numpy as np
from PIL import Image, ImageOps

from limner.errors import BadInput

__all__ = ["MOST_BYTES", "MOST_PIXELS", "cleaned", "mask_within"]

MOST_BYTES = 20_000_000
MOST_PIXELS = 16_000_000
# A progressive JPEG is gone through once a scan; usual ones have about ten.
_MOST_SCANS, _MOST_SCANNED = 100, 12 * MOST_PIXELS
_PNG, _KEPT_CHUNKS = b"\x89PNG\r\n\x1a\n", (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf")
_MOST_CHUNKS = 20_000  # usual encoders write parts of 8 or 32 KB
_MOST_EXIF = 65_536  # bytes: only which way is up is read of it
_NUMBERED = ("P", "L", "1")  # modes whose numbers name classes in a map


def cleaned(data: bytes, kind: str = "picture") -> tuple[bytes, tuple[int, int]]:
    """A PNG, JPEG or WebP as a plain PNG, with its width and height. Raises BadInput.

    kind: "picture": RGB, transparency laid on white as `limner.picture.load` does; "mask": grey,
          white where it is to be painted, which in a file with transparency is what is transparent
          (as OpenAI's edits have it); "map": palette indices or grey values stay what they are
    """
    image = _decoded(data)
    if kind == "mask":
        image = _mask(image) if _has_alpha(image) else _rgb(image).convert("L")
    elif kind == "picture" or image.mode not in _NUMBERED or _has_alpha(image):
        image = _rgb(image)
    elif image.mode == "1":
        image = image.convert("L")
    return _encoded(image), image.size


def mask_within(data: bytes) -> bytes | None:
    """The mask, as a PNG, that a picture's transparent parts make; None where it has none."""
    image = _decoded(data)
    if not _has_alpha(image):
        return None
    mask = _mask(image)
    return _encoded(mask) if mask.getextrema() != (0, 0) else None


def _encoded(image: Image.Image) -> bytes:
    """Into a new picture, so that nothing of the old one's metadata comes along."""
    plain = Image.frombytes(image.mode, image.size, image.tobytes())
    if image.mode == "P":
        plain.putpalette(image.getpalette() or [])
    out = io.BytesIO()
    plain.save(out, "PNG", compress_level=1)
    return out.getvalue()


def _decoded(data: bytes) -> Image.Image:
    """Upright, the first frame. Raises BadInput."""
    if not data:
        raise BadInput("the picture is empty: upload a PNG, JPEG or WebP")
    if len(data) > MOST_BYTES:
        raise BadInput(f"the picture has {len(data):,} bytes: up to {MOST_BYTES:,} can be")
    data = _pixels_alone(data) if data.startswith(_PNG) else data
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        _check_size(*_webp_size(data))  # Pillow makes room for a WebP's frame as it opens it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is judged here, the rest is not the user's
            image = Image.open(io.BytesIO(data), formats=["PNG", "JPEG", "WEBP"])
            _check_size(*image.size)
            if image.format == "JPEG":
                _check_scans(data, image.width * image.height)
            image.load()
            return ImageOps.exif_transpose(image)
    except BadInput:
        raise
    except Image.DecompressionBombError:
        raise BadInput(f"the picture has over {MOST_PIXELS:,} pixels: give a smaller one") from None
    except Exception:
        # Pillow raises a dozen unrelated types on broken files; each means the same to the user.
        raise BadInput("this is no PNG, JPEG or WebP picture, or a broken one") from None


def _check_size(width: int, height: int) -> None:
    if not 0 < width * height <= MOST_PIXELS:
        raise BadInput(
            f"the picture is {width}x{height} pixels: up to {MOST_PIXELS:,} in all can be"
        )


def _check_scans(data: bytes, pixels: int) -> None:
    scans = data.count(b"\xff\xda")
    if scans > _MOST_SCANS or scans * pixels > max(_MOST_SCANNED, pixels * 12):
        raise BadInput(f"the JPEG is in {scans} parts, one over the other: save it as a usual one")


def _pixels_alone(data: bytes) -> bytes:
    """A PNG without the chunks that only tell of it, which could be a hundred megabytes of text."""
    out, at, left = bytearray(_PNG), len(_PNG), _MOST_CHUNKS
    while at + 12 <= len(data):
        left -= 1
        if not left:
            raise BadInput(f"the PNG is in over {_MOST_CHUNKS:,} parts: save it as a usual one")
        (length,) = struct.unpack_from(">I", data, at)
        name = data[at + 4 : at + 8]
        if name in _KEPT_CHUNKS and not (name == b"eXIf" and length > _MOST_EXIF):
            out += data[at : at + 12 + length]
        at += 12 + length
        if name == b"IEND":
            break
    return bytes(out)


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height as its first part claims them (RFC 9649, section 2). Raises BadInput."""
    kind, at = data[12:16], data[20:30]
    if len(at) == 10 and kind == b"VP8X":
        return 1 + int.from_bytes(at[4:7], "little"), 1 + int.from_bytes(at[7:10], "little")
    if len(at) == 10 and kind == b"VP8 " and at[3:6] == b"\x9d\x01\x2a":
        return tuple(side & 0x3FFF for side in struct.unpack("<HH", at[6:10]))  # type: ignore[return-value]
    if len(at) == 10 and kind == b"VP8L" and at[0] == 0x2F:
        bits = int.from_bytes(at[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    raise BadInput("this is no WebP picture, or a broken one")


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info


def _mask(image: Image.Image) -> Image.Image:
    """White where it is transparent."""
    alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    return Image.fromarray(255 - alpha)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "I;16", "I;16B", "I;16L"):  # Pillow would clip 16 bits, not scale them
        grey = (np.asarray(image).astype(np.int64) // 257).clip(0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if _has_alpha(image):
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")
