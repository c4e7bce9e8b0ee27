"""Uploads: pixels and nothing else, within limits, whatever the bytes."""

from __future__ import annotations

import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from limner.errors import BadInput
from limner.studio import uploads
from limner.studio.uploads import cleaned, mask_within


def picture(size: tuple[int, int] = (40, 30), seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise)


def file(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def read(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.load()
    assert image.format == "PNG" and not image.info
    return image


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_nothing_but_the_pixels_is_kept(kind: str) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x8769] = "secret place", {0x9286: "secret"}
    options: dict[str, object] = {"exif": exif, "icc_profile": b"secret profile" * 9}
    if kind == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_text("limner", '{"task": "secret"}')
        info.add_itxt("XML:com.adobe.xmp", "secret")
        options["pnginfo"] = info
    else:
        options |= (
            {"xmp": b"secret", "comment": b"secret"} if kind == "JPEG" else {"xmp": b"secret"}
        )
    data = file(picture(), kind, **options)
    assert b"secret" in data
    png, size = cleaned(data)
    assert b"secret" not in png and size == (40, 30)
    with Image.open(io.BytesIO(data)) as expected:
        assert np.array_equal(np.asarray(read(png)), np.asarray(expected.convert("RGB")))


def test_upright_as_exif_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    for kind in ("PNG", "JPEG", "WEBP"):
        png, size = cleaned(file(picture(), kind, exif=exif))
        assert size == (30, 40) == read(png).size


def test_transparency_is_white_in_a_picture_and_painted_in_a_mask() -> None:
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[:3, :, 3], pixels[3, :, 3] = 0, 128
    data = file(Image.fromarray(pixels))
    seen = np.asarray(read(cleaned(data)[0]))
    assert (seen[:3] == 255).all() and (seen[4:] == 0).all()
    mask = np.asarray(read(cleaned(data, "mask")[0]))
    assert (mask[:3] == 255).all() and (mask[3] == 127).all() and (mask[4:] == 0).all()
    found = mask_within(data)
    assert found is not None and np.array_equal(np.asarray(read(found)), mask)
    assert mask_within(file(picture())) is None
    assert mask_within(file(Image.fromarray(pixels[4:]))) is None  # nothing to paint


def test_grey_masks_stay_and_maps_keep_their_numbers() -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert np.array_equal(np.asarray(read(cleaned(file(Image.fromarray(grey)), "mask")[0])), grey)
    assert np.array_equal(np.asarray(read(cleaned(file(Image.fromarray(grey)), "map")[0])), grey)
    palette = Image.fromarray(grey % 3, "P")
    palette.putpalette([9, 8, 7, 200, 100, 0, 0, 255, 255])
    found = read(cleaned(file(palette), "map")[0])
    assert found.mode == "P" and np.array_equal(np.asarray(found), grey % 3)
    assert np.asarray(read(cleaned(file(palette))[0]))[0, 1].tolist() == [200, 100, 0]


def test_sixteen_bits_are_scaled_not_cut() -> None:
    wide = np.array([[0, 257 * 100], [257 * 200, 65535]], np.uint16)
    seen = np.asarray(read(cleaned(file(Image.fromarray(wide)))[0]))
    assert seen[..., 0].tolist() == [[0, 100], [200, 255]]


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of(width: int, height: int, *more: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(3 * 1024 * 1024), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(more) + chunk(b"IDAT", rows)


def bombs() -> dict[str, bytes]:
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000), 9)) * 60
    webp = bytearray(file(picture(), "WEBP", icc_profile=b"profile" * 9))
    webp[24:30] = (16382).to_bytes(3, "little") * 2
    lossless = bytearray(file(picture(), "WEBP", lossless=True))
    lossless[21:25] = (16382 | 16382 << 14).to_bytes(4, "little")
    lossy = bytearray(file(picture(), "WEBP"))
    lossy[26:30] = struct.pack("<HH", 16383, 16383)
    jpeg = file(picture((400, 400)), "JPEG", progressive=True)
    head, *scans = jpeg.split(b"\xff\xda")
    return {
        "png": png_of(60_000, 60_000),
        "png of no size": png_of(0, 0),
        "png of text": png_of(60_000, 60_000, text),
        "webp": bytes(webp),
        "lossless webp": bytes(lossless),
        "lossy webp": bytes(lossy),
        "jpeg": b"\xff\xda".join([head, *scans[:1] * 3000]),
        "bytes": b"\x89PNG\r\n\x1a\n" + bytes(uploads.MOST_BYTES),
    }


@pytest.mark.parametrize("name", bombs())
def test_bombs_are_refused_at_once(name: str) -> None:
    data = bombs()[name]
    began = time.perf_counter()
    for kind in ("picture", "mask", "map"):
        with pytest.raises(BadInput):
            cleaned(data, kind)
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"icc_profile": b"profile" * 9}])
def test_a_webps_size_is_known_before_it_is_opened(
    options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert uploads._webp_size(file(picture((300, 7)), "WEBP", **options)) == (300, 7)
    monkeypatch.setattr(Image, "open", None)
    for name in ("webp", "lossless webp", "lossy webp"):
        with pytest.raises(BadInput, match="pixels"):
            cleaned(bombs()[name])


def test_a_png_of_much_text_is_read_without_it() -> None:
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000), 9)) * 90
    data = file(picture())
    png, _ = cleaned(data[:33] + text + data[33:])
    assert np.array_equal(np.asarray(read(png)), np.asarray(picture()))


def test_the_largest_picture_is_welcome() -> None:
    data = file(Image.new("RGB", (4000, 4000), "red"), "JPEG")
    assert cleaned(data)[1] == (4000, 4000)
    with pytest.raises(BadInput, match="4001x4000"):
        cleaned(file(Image.new("1", (4001, 4000))))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_mutated_files_are_read_or_refused(kind: str) -> None:
    rng = np.random.default_rng(7)
    data = np.frombuffer(file(picture(), kind), np.uint8)
    for _ in range(150):
        changed = data.copy()
        places = rng.integers(0, len(data), rng.integers(1, 8))
        changed[places] = rng.integers(0, 256, len(places))
        cut = changed[: rng.integers(1, len(data) + 1)] if rng.random() < 0.3 else changed
        try:
            read(cleaned(cut.tobytes())[0])
        except BadInput as error:
            assert "\n" not in str(error) and "/" not in str(error)


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a" + bytes(50), b"%PDF", b"RIFF\0\0\0\0WEBP", b"\x89PNG\r\n\x1a\n", b"x"]
)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        cleaned(data)
    with pytest.raises(BadInput):
        mask_within(data)
