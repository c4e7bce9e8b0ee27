"""Pictures from elsewhere: recipes of other tools kept as text, everything else dropped."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, PngImagePlugin

from limner.errors import BadInput
from limner.picture import MADE_BY_MODEL, Picture, load
from limner.studio.gallery import Gallery
from limner.studio.store import Store

CAT = "a cat, (detailed:1.2)\non a mat"
A1111 = (
    f"{CAT}\nNegative prompt: blurry, text\nSteps: 20, Sampler: Euler a, "
    "CFG scale: 7, Seed: 1234, Size: 512x512, Model hash: abc, Model: dreamlike, Version: v1.9"
)
COMFY = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 99, "model": ["9", 0], "positive": ["6", 0], "negative": ["7", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd15.safetensors"}},
    "6": {"class_type": "ConditioningArea", "inputs": {"width": 5, "conditioning": ["8", 0]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "ugly", "clip": ["4", 1]}},
    "8": {"class_type": "CLIPTextEncode", "inputs": {"text": "a comfy dog", "clip": ["4", 1]}},
    "9": {"class_type": "LoraLoader", "inputs": {"strength": 1, "model": ["4", 0]}},
}  # fmt: skip
INVOKE = {
    "positive_prompt": "an owl", "negative_prompt": "day", "seed": 5,
    "model": {"name": "sdxl", "key": "…"},
}  # fmt: skip
BEFORE = {
    "model_weights": "old",
    "image": {"prompt": [{"prompt": "a fox", "weight": 1}], "seed": 6},
}


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return Gallery(Store(tmp_path / "data"))


def png(texts: dict[str, str], **more: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    info = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        try:
            info.add_text(key, text.encode("latin-1"))
        except UnicodeEncodeError:
            info.add_itxt(key, text)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", pnginfo=info, **more)
    return out.getvalue()


CASES = {
    "a1111": ({"parameters": A1111}, CAT, "blurry, text", "dreamlike", 1234),
    "a1111 alone": ({"parameters": "just words"}, "just words", "", None, None),
    "comfy": ({"prompt": json.dumps(COMFY)}, "a comfy dog", "ugly", "sd15.safetensors", 99),
    "invoke": ({"invokeai_metadata": json.dumps(INVOKE)}, "an owl", "day", "sdxl", 5),
    "invoke before": ({"sd-metadata": json.dumps(BEFORE)}, "a fox", "", "old", 6),
    "unknown graph": ({"prompt": '{"1": {}}'}, "", "", None, None),
    "no json": ({"invokeai_metadata": "[" * 5000}, "", "", None, None),
    "of types": ({"sd-metadata": '{"image": {"prompt": 5, "seed": "x"}}'}, "", "", None, None),
    "half": ({"invokeai_metadata": '{"positive_prompt": "\\ud800"}'}, "\\ud800", "", None, None),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_recipes_of_other_tools_are_kept_as_text_and_read_for_the_prompt(gallery, case):
    texts, *expected = CASES[case]
    kept = gallery.bring(png(texts), "a.png")
    assert kept.foreign == next(iter(texts.values())) and kept.recipe is None
    assert [kept.prompt, kept.negative, kept.model, kept.seed] == expected
    assert kept.origin == "imported" and kept.task is None and kept.job is None
    assert [found.kept.id for found in gallery.search(text=expected[0].upper())] == [kept.id]
    assert MADE_BY_MODEL.encode() in gallery.export(kept.id, "JPEG", False)
    assert load(gallery.file(kept.id)).recipe == {"task": "import", "foreign": kept.foreign}


def test_several_texts_are_kept_as_one_object_and_no_more_than_64_kib(gallery):
    both = {"prompt": json.dumps(COMFY), "workflow": '{"nodes": []}'}
    kept = gallery.bring(png(both | {"Comment": "of no tool"}), "a.png")
    assert json.loads(kept.foreign) == both and kept.prompt == "a comfy dog"
    assert b"of no tool" not in gallery.file(kept.id).read_bytes()
    long = gallery.bring(png({"parameters": "é" * 90_000}), "b.png")
    assert long.foreign == "é" * 32_768 and len(long.prompt) == 32_000
    some = gallery.bring(png({"prompt": "{}", "workflow": "w" * 90_000}), "c.png")
    assert some.foreign == "{}"


def test_limner_s_own_recipe_comes_with_the_picture_unless_it_is_huge(gallery):
    recipe = {"task": "generate", "arguments": {"prompt": "a cat", "seed": 3}, "model": None}
    own = gallery.bring(Picture(torch.rand(3, 8, 8), recipe).bytes(), "own.png")
    assert (own.recipe, own.prompt, own.seed, own.task) == (recipe, "a cat", 3, "generate")
    assert own.foreign is None and load(gallery.file(own.id)).recipe == recipe
    odd = {"arguments": "text", "task": 5, "model": ["x"]}
    assert gallery.bring(Picture(torch.rand(3, 8, 8), odd).bytes(), "odd.png").recipe == odd
    huge = gallery.bring(Picture(torch.rand(3, 8, 8), {"x": "y" * 70_000}).bytes(), "huge.png")
    assert huge.recipe is None and huge.foreign is None
    assert len(gallery.export(huge.id)) < 3000


def test_the_same_file_twice_is_one_picture(gallery):
    one, two = gallery.bring(png({}), "a.png"), gallery.bring(png({}), "other.png")
    assert (
        one == two and len(gallery.list()) == 1 and len(list(gallery.store.pictures.iterdir())) == 1
    )
    gallery.delete(one.id)
    assert gallery.bring(png({}), "a.png").id != one.id


def secretive(kind: str) -> bytes:
    """A file that carries SECRET in its EXIF (with a place), XMP, ICC profile and comments."""
    exif = Image.Exif()
    exif[0x010E] = "SECRET"  # ImageDescription
    exif.get_ifd(0x8825)[29] = "SECRET"  # GPSDateStamp
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0SECRET"  # UserComment
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + b"SECRET"
    more: dict[str, object] = {"exif": exif, "icc_profile": profile}
    if kind == "PNG":
        return png({"Comment": "SECRET", "XML:com.adobe.xmp": "<x>SECRET</x>"}, **more)
    more |= {"xmp": b"<x>SECRET</x>"} | ({"comment": b"SECRET"} if kind == "JPEG" else {})
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(out, kind, **more)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_nothing_else_of_a_file_is_in_any_output(gallery, kind):
    data = secretive(kind)
    assert data.count(b"SECRET") >= 4
    kept = gallery.bring(data, "holiday")
    assert kept.foreign is None and kept.recipe is None
    outputs = [gallery.file(kept.id).read_bytes(), gallery.thumbnail(kept.id)]
    outputs += [gallery.export(kept.id, out, r) for out in ("PNG", "JPEG", "WEBP") for r in (0, 1)]
    for output in outputs:
        image = Image.open(io.BytesIO(output))
        image.load()
        assert b"SECRET" not in output and not image.getexif() and "icc_profile" not in image.info
        assert MADE_BY_MODEL.encode() not in output  # a photograph


def test_a_picture_that_says_a_model_made_it_keeps_saying_so(gallery):
    painted = Picture(torch.rand(3, 8, 8), {"task": "generate"})
    for kind in ("JPEG", "WEBP"):
        kept = gallery.bring(painted.bytes(kind), kind)
        assert kept.recipe is None
        assert MADE_BY_MODEL.encode() in gallery.export(kept.id, "PNG", recipe=False)


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", b"%PDF-1.4", png({})[:200], b"\x89PNG\r\n\x1a\n" + b"\0" * 50]
)
def test_what_is_no_picture_is_told_and_nothing_is_kept(gallery, data):
    with pytest.raises(BadInput, match=r"^'holiday\.png' is no PNG, JPEG or WebP picture"):
        gallery.bring(data, "holiday.png")
    assert gallery.list() == [] and list(gallery.store.pictures.iterdir()) == []


def test_bombs_are_refused_before_they_are_unpacked(gallery):
    with pytest.raises(BadInput, match="over 64 million pixels"):
        out = io.BytesIO()
        Image.new("1", (8_100, 8_100)).save(out, "PNG")
        gallery.bring(out.getvalue(), "bomb.png")
    texts = {f"parameters{n}": "x" for n in range(3)} | {"parameters": "y" * 2_000_000}
    with pytest.raises(BadInput):  # Pillow's own limit on a packed text
        info = PngImagePlugin.PngInfo()
        for key, text in texts.items():
            info.add_text(key, text, zip=True)
        out = io.BytesIO()
        Image.new("RGB", (8, 8)).save(out, "PNG", pnginfo=info)
        gallery.bring(out.getvalue(), "texts.png")


def test_mutated_files_are_a_picture_or_told(gallery):
    chance = random.Random(0)
    seeds = [secretive(kind) for kind in ("PNG", "JPEG", "WEBP")] + [png({"parameters": A1111})]
    for _ in range(120):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        del data[chance.choice([len(data), chance.randrange(len(data))]) :]
        try:
            gallery.bring(bytes(data), "mutated")
        except BadInput:
            continue
    assert len(gallery.list(limit=500)) == len(list(gallery.store.pictures.iterdir()))
