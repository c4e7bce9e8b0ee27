"""Pictures on disk: what is read, what is refused, what is written."""

from __future__ import annotations

import io
import struct
import time
import zlib
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from limner.errors import BadInput
from limner.picture import MADE_BY_MODEL, Picture, from_bytes, from_uint8, grid, load, psnr, resize

RECIPE = {"task": "generate", "arguments": {"prompt": "zwölf Würfel"}, "sample": 3}


def pixels(height: int = 12, width: int = 20, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_a_png_gives_back_the_same_pixels_and_recipe(tmp_path: Path) -> None:
    array = pixels()
    path = from_uint8(array, recipe=RECIPE).save(tmp_path / "out.png")
    again = load(path)
    assert (again.uint8() == array).all()
    assert again.recipe == RECIPE
    assert again.path == path
    assert (np.asarray(Image.open(path)) == array).all()


def test_the_same_picture_is_the_same_bytes() -> None:
    one, other = (from_uint8(pixels(), recipe=RECIPE).bytes() for _ in range(2))
    assert one == other


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("recipe", [True, False])
def test_what_a_model_painted_says_so(tmp_path: Path, suffix: str, recipe: bool) -> None:
    path = from_uint8(pixels(), recipe=RECIPE).save(tmp_path / f"out{suffix}", recipe=recipe)
    assert MADE_BY_MODEL.encode() in path.read_bytes()
    assert (b"arguments" in path.read_bytes()) == (recipe and suffix == ".png")
    image = Image.open(path)
    image.load()
    xmp = image.info["xmp" if suffix != ".png" else "XML:com.adobe.xmp"]
    found = ElementTree.fromstring(xmp).find(".//{*}Description")
    assert found is not None
    assert MADE_BY_MODEL in found.attrib.values()
    if suffix == ".png":
        assert image.info["digitalSourceType"] == MADE_BY_MODEL


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_what_was_not_painted_does_not(tmp_path: Path, suffix: str) -> None:
    path = from_uint8(pixels()).save(tmp_path / f"out{suffix}")
    assert b"digitalsourcetype" not in path.read_bytes()


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_formats_stay_close(tmp_path: Path, suffix: str) -> None:
    smooth = Picture(
        resize(torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(1)), (64, 64))
    )
    assert psnr(load(smooth.save(tmp_path / f"out{suffix}")).pixels, smooth.pixels) > 35


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    grey = np.array([[0, 257 * 100, 65535]], np.uint16)
    path = saved(Image.fromarray(grey), tmp_path / "deep.png")
    assert load(path).uint8()[0].tolist() == [[0] * 3, [100] * 3, [255] * 3]


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    half = np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [200, 0, 0, 128]]], np.uint8)
    path = saved(Image.fromarray(half), tmp_path / "clear.png")
    assert load(path).uint8()[0].tolist() == [[255] * 3, [0] * 3, [227, 127, 127]]


def test_palettes_with_a_transparent_colour(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    path = saved(image, tmp_path / "palette.png", transparency=0)
    assert load(path).uint8()[0].tolist() == [[255] * 3, [40, 50, 60]]


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "RGB", "RGBA"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = saved(Image.fromarray(pixels()).convert(mode), tmp_path / "any.png")
    wanted = Image.open(path).convert("RGBA").convert("RGB")
    assert (load(path).uint8() == np.asarray(wanted)).all()


def test_cmyk_jpeg(tmp_path: Path) -> None:
    path = saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), tmp_path / "ink.jpg")
    assert np.abs(load(path).uint8().astype(int) - [255, 0, 0]).max() < 12


def test_exif_turns_the_picture_and_is_not_carried_on(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn clockwise
    exif[0x010E] = "a secret place"
    image = Image.fromarray(np.repeat(np.repeat(pixels(2, 3), 16, 0), 16, 1))
    path = saved(image, tmp_path / "turned.jpg", exif=exif, quality=98, comment=b"secret too")
    picture = load(path)
    assert picture.pixels.shape == (3, 48, 32)
    wanted = np.rot90(np.asarray(image), -1).astype(int)
    assert np.abs(picture.uint8()[8::16, 8::16] - wanted[8::16, 8::16]).mean() < 8
    for suffix in (".png", ".jpg", ".webp"):
        assert b"secret" not in picture.save(tmp_path / f"out{suffix}").read_bytes()


@pytest.mark.parametrize("side", [9_000, 60_000])  # above limner's limit, above Pillow's
def test_a_bomb_is_refused_before_it_goes_off(tmp_path: Path, side: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(10**7))
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    began = time.perf_counter()
    with pytest.raises(BadInput, match="million pixels"):
        load(path)
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("text.png", b"not a picture"),
        ("empty.jpg", b""),
        ("vector.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("gif.png", b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadInput, match=f"{name}.*no PNG, JPEG or WebP"):
        load(tmp_path / name)


def test_a_missing_picture_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        load(tmp_path / "nowhere.png")
    with pytest.raises(BadInput, match="directory"):
        load(tmp_path)
    with pytest.raises(BadInput, match="null"):
        load("a\0b.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_broken_bytes_never_crash(tmp_path: Path, kind: str) -> None:
    whole = from_uint8(pixels(), recipe=RECIPE).bytes(kind)
    rng = np.random.default_rng(4)
    path = tmp_path / "broken"
    refused = 0
    for _ in range(120):
        data = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        for place in rng.integers(0, len(data), rng.integers(1, 9)):
            data[place] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            assert load(path).pixels.isfinite().all()
        except BadInput:
            refused += 1
    assert refused > 60


def test_a_recipe_that_is_no_json_is_none(tmp_path: Path) -> None:
    from PIL import PngImagePlugin

    for text in ("{", "[1]", '"x"'):
        info = PngImagePlugin.PngInfo()
        info.add_itxt("limner", text)
        path = saved(Image.fromarray(pixels()), tmp_path / "odd.png", pnginfo=info)
        assert load(path).recipe is None


def test_writing_where_it_cannot_be_leaves_nothing(tmp_path: Path) -> None:
    picture = from_uint8(pixels())
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("")
    for place, reason in {
        "nowhere/out.png": "No such file",
        "folder.png": "is a folder",
        "out.gif": "name ends in",
        "out": "name ends in",
        "file/out.png": "Not a directory",
        "a\0b.png": "null",
    }.items():
        with pytest.raises(BadInput, match=reason):
            picture.save(tmp_path / place)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]


def test_a_failed_write_keeps_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = from_uint8(pixels()).save(tmp_path / "out.png")
    before = path.read_bytes()
    with open(path, "rb") as opened:
        from_uint8(pixels(seed=2)).save(path)
        assert opened.read() == before  # who reads the old file meanwhile reads it whole
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BadInput, match="No space left"):
        from_uint8(pixels(seed=1)).save(path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["out.png"]


def test_from_uint8_wants_pixels() -> None:
    for wrong in (np.zeros((3, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)):
        with pytest.raises(BadInput, match=r"expected uint8 \(h, w, 3\)"):
            from_uint8(wrong)


def test_resize_is_pillows_bicubic() -> None:
    smooth = Image.fromarray(pixels(5, 7)).resize((90, 70), Image.Resampling.BICUBIC)
    tensor = from_uint8(np.asarray(smooth)).pixels
    for height, width in ((35, 30), (140, 45), (70, 90)):
        wanted = np.asarray(smooth.resize((width, height), Image.Resampling.BICUBIC)) / 255
        got = resize(tensor[None], (height, width))[0].permute(1, 2, 0).numpy()
        assert np.abs(got - wanted).max() < 1.2 / 255


def test_psnr_is_scikit_images() -> None:
    a, b = (from_uint8(pixels(seed=seed)).pixels for seed in (1, 2))
    wanted = peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=1.0)
    assert psnr(a, b) == pytest.approx(wanted, abs=1e-4)
    assert psnr(a, a) == float("inf")
    with pytest.raises(BadInput, match="sizes differ"):
        psnr(a, a[:, :3])


def test_a_sheet_shows_each_picture_with_its_caption() -> None:
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    pictures = [from_uint8(np.full((32, 32, 3), colour, np.uint8)) for colour in colours]
    plain = grid(pictures, columns=2).uint8()
    told = grid(pictures, columns=2, labels=["red", "green", "a long caption for blue"]).uint8()
    for sheet in (plain, told):
        for colour in colours:
            assert (sheet == colour).all(2).sum() == 32 * 32
    assert told.shape[0] > plain.shape[0]
    assert (told.sum(2) < 200).sum() > 20  # letters
    with pytest.raises(BadInput, match="2 labels for 3 pictures"):
        grid(pictures, labels=["a", "b"])
    with pytest.raises(BadInput, match="no pictures"):
        grid([])


def test_a_sheet_of_painted_pictures_is_marked(tmp_path: Path) -> None:
    painted = [from_uint8(pixels(), recipe=RECIPE)]
    path = grid(painted).save(tmp_path / "sheet.png", recipe=False)
    assert MADE_BY_MODEL.encode() in path.read_bytes()
    assert b"limner" not in path.read_bytes()
    assert grid([from_uint8(pixels())]).recipe is None


def test_bytes_can_be_opened(tmp_path: Path) -> None:
    image = Image.open(io.BytesIO(from_uint8(pixels()).bytes("WEBP")))
    assert (image.format, image.size) == ("WEBP", (20, 12))


def test_bytes_are_read_as_their_file_is_and_any_recipe_is_written(tmp_path):
    recipe = {"task": "generate", "arguments": {"prompt": "half a pair \ud800, é"}}
    data = Picture(torch.rand(3, 5, 7), recipe).bytes()
    (tmp_path / "a.png").write_bytes(data)
    seen = from_bytes(data)
    assert seen.recipe == recipe and (seen.pixels == load(tmp_path / "a.png").pixels).all()
    with pytest.raises(BadInput, match="is no PNG, JPEG or WebP"):
        from_bytes(data[:40])
