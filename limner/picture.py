"""A picture: pixels in [0, 1], the recipe that made them, and where they came from.

Files are read as PNG, JPEG or WebP and nothing else, and are written whole or not at all. What
limner painted carries a machine-readable mark that a model made it (IPTC's digital source type);
a PNG carries its recipe too, so that `limner replay` can make it again.
"""

from __future__ import annotations

import io
import json
import math
import os
import textwrap
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps, PngImagePlugin
from torch import Tensor
from torch.nn import functional

from limner.errors import BadInput

__all__ = ["Picture", "from_bytes", "from_uint8", "grid", "load", "psnr", "resize", "save_bytes"]

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
MAX_PIXELS = 64_000_000  # more than today's cameras take; a bomb stops here, before it is unpacked
MADE_BY_MODEL = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    f'Iptc4xmpExt:DigitalSourceType="{MADE_BY_MODEL}"/></rdf:RDF></x:xmpmeta>'
)


@dataclass(frozen=True, eq=False)
class Picture:
    """pixels (3, h, w) float32 in [0, 1], RGB; `recipe` is None unless a model painted it."""

    pixels: Tensor
    recipe: dict[str, Any] | None = None
    path: Path | None = None

    def image(self) -> Image.Image:
        """The picture as a Pillow image, 8 bits a channel."""
        return Image.fromarray(self.uint8())

    def uint8(self) -> np.ndarray:
        """The picture as (h, w, 3) uint8, each value rounded to the nearest."""
        levels = self.pixels.detach().float().clamp(0, 1).mul(255).round()
        return levels.to(torch.uint8).permute(1, 2, 0).cpu().contiguous().numpy()

    def bytes(self, kind: str = "PNG", *, recipe: bool = True) -> bytes:
        """The encoded file: kind PNG, JPEG or WEBP. The model's mark stays without a recipe."""
        out = io.BytesIO()
        marked = self.recipe is not None
        if kind == "PNG":
            self.image().save(out, "PNG", pnginfo=self._chunks(recipe))
        elif marked:
            self.image().save(out, kind, quality=95, xmp=_XMP.encode())
        else:
            self.image().save(out, kind, quality=95)
        return out.getvalue()

    def save(self, path: str | Path, *, recipe: bool = True) -> Path:
        """Writes PNG, JPEG or WebP by the suffix, whole or not at all; else BadInput."""
        path = Path(path)
        kind = FORMATS.get(path.suffix.lower())
        if kind is None:
            raise BadInput(
                f"cannot write {str(path)!r}: a picture's name ends in {', '.join(FORMATS)}"
            )
        return save_bytes(path, self.bytes(kind, recipe=recipe))

    def _chunks(self, recipe: bool) -> PngImagePlugin.PngInfo:
        info = PngImagePlugin.PngInfo()
        if self.recipe is not None:
            info.add_itxt("digitalSourceType", MADE_BY_MODEL)
            info.add_itxt("XML:com.adobe.xmp", _XMP)
            if recipe:
                text = json.dumps(self.recipe, ensure_ascii=False, sort_keys=True)
                # Half a surrogate pair, which UTF-8 lacks, becomes JSON's own code of it.
                info.add_itxt("limner", text.encode("utf-8", "backslashreplace"))
        return info


def save_bytes(path: Path, data: bytes) -> Path:
    """Writes a file whole or not at all: a temporary name beside it, synced, then renamed.

    Raises BadInput naming the reason when the folder is missing or not writable, or the disk full.
    """
    if path.is_dir():
        raise BadInput(f"cannot write {str(path)!r}: it is a folder; give a file's name")
    temporary = path.with_name(f".{path.name[:100]}.{os.getpid()}.part")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInput(f"cannot write {str(path)!r}: {reason}; choose another place") from None
    finally:
        with suppress(OSError, ValueError):
            temporary.unlink()
    return path


def load(path: str | Path) -> Picture:
    """Reads a PNG, JPEG or WebP: upright as its EXIF says, transparency laid on white, RGB.

    Sixteen-bit, grey, palette and CMYK files are welcome; of an animation the first frame.
    Raises BadInput for what is missing, is no picture, is broken or has over 64 million pixels.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInput(f"cannot read the picture {str(path)!r}: {reason}") from None
    try:
        pixels, recipe = _decode(data)
    except BadInput as error:
        raise BadInput(f"{str(path)!r} {error}") from None
    return Picture(pixels, recipe, path)


def from_bytes(data: bytes) -> Picture:
    """What `load` gives for a file of these bytes. Raises BadInput: "is no PNG …"."""
    return Picture(*_decode(data))


def _decode(data: bytes) -> tuple[Tensor, dict[str, Any] | None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is judged here, the rest is not the user's
            image = Image.open(io.BytesIO(data), formats=["PNG", "JPEG", "WEBP"])
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            image.load()
            recipe = _recipe(image)
            return _rgb(ImageOps.exif_transpose(image)), recipe
    except Image.DecompressionBombError:
        most = MAX_PIXELS // 10**6
        raise BadInput(f"has over {most} million pixels: make it smaller") from None
    except Exception as error:
        # Pillow's decoders meet hostile bytes here and raise a dozen unrelated types (OSError,
        # SyntaxError, struct.error, zlib.error, EOFError …); each means the same to the user.
        raise BadInput(f"is no PNG, JPEG or WebP picture, or a broken one ({error})") from None


def _recipe(image: Image.Image) -> dict[str, Any] | None:
    text = image.info.get("limner")
    if not isinstance(text, str):
        return None
    try:
        recipe = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return recipe if isinstance(recipe, dict) else None


def _rgb(image: Image.Image) -> Tensor:
    """Any mode → (3, h, w) float32 in [0, 1]."""
    if image.mode in ("I", "I;16", "I;16B", "I;16L"):  # Pillow would clip 16 bits, not scale them
        grey = np.asarray(image).astype(np.float32) / 65535
        return torch.from_numpy(grey).clamp(0, 1).expand(3, -1, -1).contiguous()
    if image.mode in ("LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return _from_array(np.asarray(image.convert("RGB")))


def _from_array(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.copy()).permute(2, 0, 1).float().div(255).contiguous()


def from_uint8(array: np.ndarray | Tensor, *, recipe: dict[str, Any] | None = None) -> Picture:
    """(h, w, 3) uint8 → Picture."""
    array = np.asarray(array)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise BadInput(f"got {array.dtype} {array.shape}: expected uint8 (h, w, 3)")
    return Picture(_from_array(array), recipe)


def resize(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """(…, 3, h, w) in [0, 1] → (…, 3, *size) in [0, 1]: bicubic, antialiased when it shrinks."""
    if tuple(pixels.shape[-2:]) == tuple(size):
        return pixels
    flat = pixels.reshape(-1, *pixels.shape[-3:])
    flat = functional.interpolate(flat, size=size, mode="bicubic", antialias=True)
    return flat.clamp(0, 1).reshape(*pixels.shape[:-2], *size)


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in decibels of two equal shapes in [0, 1]; inf if they agree."""
    if a.shape != b.shape:
        raise BadInput(f"cannot compare {tuple(a.shape)} with {tuple(b.shape)}: sizes differ")
    error = float((a.double() - b.double()).square().mean())
    return math.inf if error == 0 else -10 * math.log10(error)


def grid(
    pictures: Sequence[Picture], columns: int | None = None, labels: Sequence[str] | None = None
) -> Picture:
    """A contact sheet on white: `columns` a row (default: near a square), a caption under each.

    Cells take the largest picture's size. The sheet is marked as a model's work if any is.
    """
    if not pictures:
        raise BadInput("no pictures for the sheet: give at least one")
    if labels is not None and len(labels) != len(pictures):
        raise BadInput(f"{len(labels)} labels for {len(pictures)} pictures: give one for each")
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    height = max(picture.pixels.shape[1] for picture in pictures)
    width = max(picture.pixels.shape[2] for picture in pictures)
    gap, size = max(2, width // 32), max(9, min(width // 10, 18))
    font = ImageFont.load_default(size)
    letters = max(4, int(width / (size * 0.52)))  # the default font is about half as wide as high
    captions = [textwrap.wrap(label, letters)[:4] for label in labels or [""] * len(pictures)]
    text = max(len(lines) for lines in captions) * (size + 3)
    rows = math.ceil(len(pictures) / columns)
    cell = (width + gap, height + text + gap)
    sheet = Image.new("RGB", (columns * cell[0] + gap, rows * cell[1] + gap), "white")
    draw = ImageDraw.Draw(sheet)
    for place, (picture, lines) in enumerate(zip(pictures, captions)):
        x = gap + place % columns * cell[0]
        y = gap + place // columns * cell[1]
        sheet.paste(picture.image(), (x, y))
        for line, words in enumerate(lines):
            draw.text((x, y + height + 1 + line * (size + 3)), words, fill="black", font=font)
    recipes = [picture.recipe for picture in pictures]
    made = any(recipe is not None for recipe in recipes)
    recipe = {"task": "sheet", "of": recipes} if made else None
    return from_uint8(np.asarray(sheet), recipe=recipe)
