import io
import random
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from limner.data._decode import captions_in, decode
from limner.errors import BadInput


def encoded(image, kind="PNG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def noisy(height, width, channels=3):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (9, 9, channels), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def test_a_picture_of_the_right_size_is_untouched():
    array = noisy(16, 16)
    assert np.array_equal(decode(encoded(Image.fromarray(array)), "a.png", 16), array)


@pytest.mark.parametrize(("height", "width"), [(60, 90), (90, 60), (10, 30)])
def test_shrinks_with_antialiasing_and_keeps_the_middle(height, width):
    """Against the middle of torch's antialiased bicubic."""
    array = noisy(height, width)
    scaled = (20 * height // min(height, width), 20 * width // min(height, width))
    whole = torch.from_numpy(array.copy()).permute(2, 0, 1)[None].float()
    small = F.interpolate(whole, size=scaled, mode="bicubic", antialias=True)
    top, left = (scaled[0] - 20) // 2, (scaled[1] - 20) // 2
    small = small[0, :, top : top + 20, left : left + 20]
    expected = small.permute(1, 2, 0).clamp(0, 255).numpy()
    found = decode(encoded(Image.fromarray(array)), "a.png", 20)
    assert found.shape == (20, 20, 3) and found.dtype == np.uint8
    assert np.abs(found - expected).max() < 1.5


def test_every_kind_and_mode_becomes_rgb():
    rgb = Image.fromarray(noisy(24, 24))
    jpeg = {"quality": 98, "subsampling": 0}
    for kind, options in (("PNG", {}), ("JPEG", jpeg), ("WEBP", {"lossless": True})):
        found = decode(encoded(rgb, kind, **options), "a", 24)
        assert np.abs(found.astype(int) - np.asarray(rgb)).mean() < (2 if kind == "JPEG" else 0.1)
    grey = np.asarray(rgb.convert("L"))
    sixteen = grey.astype(np.uint16) * 257 + (grey < 200) * np.uint16(100)
    for image in (rgb.convert("L"), Image.fromarray(sixteen)):
        assert np.array_equal(decode(encoded(image), "a", 24), grey[..., None].repeat(3, axis=2))
    cmyk = decode(encoded(rgb.convert("CMYK"), "JPEG", **jpeg), "a", 24)
    assert np.abs(cmyk.astype(int) - np.asarray(rgb)).mean() < 4
    palette = rgb.quantize(200)
    assert np.array_equal(decode(encoded(palette), "a", 24), np.asarray(palette.convert("RGB")))


def test_transparency_is_laid_on_white():
    array = np.zeros((8, 8, 4), np.uint8)
    array[:, :4, 3] = 255
    found = decode(encoded(Image.fromarray(array)), "a", 8)
    assert (found[:, :4] == 0).all() and (found[:, 4:] == 255).all()
    masked = Image.fromarray(np.tile(np.uint8([0, 1]), (8, 4)))
    masked.putpalette([255, 0, 0, 0, 0, 255])
    found = decode(encoded(masked, transparency=1), "a", 8)
    assert (found[:, 0] == (255, 0, 0)).all() and (found[:, 1] == 255).all()


def test_stands_upright_as_exif_says():
    array = noisy(16, 16)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter clockwise
    found = decode(encoded(Image.fromarray(array), exif=exif), "a", 16)
    assert np.array_equal(found, np.rot90(array, -1))


def test_a_large_jpeg_is_decoded_small_and_looks_the_same():
    data = encoded(Image.fromarray(noisy(1024, 1024)), "JPEG", quality=95)
    as_png = encoded(Image.open(io.BytesIO(data)))
    found, exact = (decode(each, "a", 32).astype(int) for each in (data, as_png))
    assert np.abs(found - exact).max() <= 4


def bomb(width, height):
    """A PNG whose header promises pixels that are not there."""

    def chunk(kind, body):
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def test_what_is_no_picture_is_named():
    whole = encoded(Image.fromarray(noisy(64, 64)))
    gif = encoded(Image.fromarray(noisy(8, 8)), "GIF")
    for data in (b"", b"hello", whole[: len(whole) // 2], gif, bomb(100, 100)):
        with pytest.raises(BadInput, match=r"'cats/1\.png' is no PNG, JPEG or WebP picture"):
            decode(data, "cats/1.png", 16)
    with pytest.raises(BadInput, match="is 9000x9000, over 64 Mpixels"):
        decode(bomb(9000, 9000), "1.png", 16)
    with pytest.raises(BadInput, match="decompression bomb"):  # Pillow itself
        decode(bomb(60000, 60000), "1.png", 16)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_mutated_pictures_give_pictures_or_bad_input(kind):
    rng, whole = random.Random(0), encoded(Image.fromarray(noisy(32, 32)), kind)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        with suppress(BadInput):
            assert decode(bytes(data), "x", 16).shape == (16, 16, 3)


def test_captions_are_lines_with_their_spaces_in_order():
    text = b"\xef\xbb\xbfa  red\tcube \r\n\n a ball\n"
    assert captions_in(text, "1.txt") == ["a red cube", "a ball"]
    assert captions_in(["a\ncube", " "], "1.txt") == ["a cube"]
    for text, complaint in (
        (b" \n", "empty"),
        ([], "empty"),
        (b"\xff\xfe\x00", "not UTF-8"),
        ("x" * 32_001, "32,000 characters"),
        ("half \ud83d", "half a character"),
    ):
        with pytest.raises(BadInput, match=f"'?1.txt'?.*{complaint}"):
            captions_in(text, "1.txt")
