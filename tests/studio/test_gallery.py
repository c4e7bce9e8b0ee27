"""The gallery: what it says of a picture, filters, collections, thumbnails, export and search."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from limner.errors import BadInput
from limner.models.clip import Clip, open_clip
from limner.picture import MADE_BY_MODEL, Picture, from_bytes, load
from limner.studio import _nearest
from limner.studio.gallery import Filters, Gallery
from limner.studio.queue import Made, Queue
from limner.studio.store import NotFound, Store, new_id

WORDS = ["a red cube", "a blue sphere", "a horse on a cat", "a dog", "a Photo of a green cube"]


@pytest.fixture(scope="module")
def clip() -> Clip:
    return open_clip("embedded")


@pytest.fixture
def gallery(tmp_path: Path, clip: Clip) -> Gallery:
    return Gallery(Store(tmp_path / "data"), clip)


def painted(gallery: Gallery, prompt: str, seed: int = 0, **more) -> str:
    """A picture of random pixels, through the queue; its id."""
    queue = Queue(gallery.store)
    job = queue.accept(more.get("task", "generate"), {})
    queue.lease("one")
    pixels = torch.rand(3, 40, 56, generator=torch.Generator().manual_seed(seed))
    said = {"prompt": prompt, "negative": "snow", "seed": seed}
    recipe = {"task": "generate", "arguments": said, "model": {"name": "embedded"}} | more
    queue.finish(job.id, "one", [Made(Picture(pixels, recipe), 1.5)])
    return queue.get(job.id).pictures[0]


def test_a_row_tells_what_the_recipe_and_the_job_say(gallery):
    id = painted(gallery, "A cat", 7)
    kept = gallery.get(id)
    told = (kept.task, kept.prompt, kept.negative, kept.model, kept.seed, kept.seconds)
    assert told == ("generate", "A cat", "snow", "embedded", 7, 1.5)
    assert (kept.width, kept.height, kept.origin, kept.favourite) == (56, 40, "painted", False)
    assert kept.recipe == load(gallery.file(id)).recipe and kept.foreign is None
    assert Queue(gallery.store).get(kept.job).pictures == (id,)


@pytest.mark.parametrize(
    "arguments",
    [
        {"prompt": 5, "seed": 2**70, "negative": None},
        {"prompt": "\ud800 \0", "seed": "x"},
        [],
        None,
    ],
)
def test_a_recipe_of_any_shape_can_be_kept(gallery, arguments):
    id = painted(gallery, "", arguments=arguments, model="text")
    assert gallery.get(id).recipe["arguments"] == arguments and gallery.get(id).seed is None


def test_filters_and_text_meet_what_a_plain_loop_meets(gallery, monkeypatch):
    now = 1_700_000_000.0
    for n, prompt in enumerate(WORDS * 2):
        monkeypatch.setattr("limner.studio._rows.time.time", lambda n=n: now + n)
        id = painted(gallery, prompt, n, task="generate" if n % 2 else "restyle")
        gallery.favourite(id, n % 3 == 0)
        if n > 4:
            gallery.collect(id, "late")
    everything = gallery.list()
    assert [kept.seed for kept in everything] == list(range(9, -1, -1))
    cases = {
        Filters(task="restyle"): lambda kept: kept.task == "restyle",
        Filters(favourite=True): lambda kept: kept.favourite,
        Filters(favourite=False, since=now + 2): lambda kept: (
            not kept.favourite and kept.created >= now + 2
        ),
        Filters(collection="late", until=now + 8): lambda kept: (
            "late" in kept.collections and kept.created < now + 8
        ),
        Filters(model="embedded", origin="painted"): lambda kept: True,
        Filters(model="\ud800"): lambda kept: False,
        Filters(origin="imported"): lambda kept: False,
    }
    for filters, meets in cases.items():
        assert gallery.list(filters) == [kept for kept in everything if meets(kept)]
    page = gallery.list(limit=3)
    assert gallery.list(limit=3, before=page[-1].id) == everything[3:6]
    found = gallery.search(text="A photo")
    assert [each.kept.seed for each in found] == [9, 4] and found[0].score is None
    assert gallery.search(text="%") == [] and len(gallery.search(text="")) == 10
    with pytest.raises(BadInput, match="no origin 'stolen'"):
        gallery.list(Filters(origin="stolen"))


def test_collections_come_and_go_with_their_pictures(gallery):
    one, two = painted(gallery, "a cat"), painted(gallery, "a dog")
    for id in (one, two, one):
        gallery.collect(id, "  best of 2026 ")
    gallery.collect(one, "animals")
    assert gallery.collections() == {"animals": 1, "best of 2026": 2}
    assert gallery.get(one).collections == ("animals", "best of 2026")
    gallery.collect(two, "best of 2026", on=False)
    gallery.delete(one)
    assert gallery.collections() == {}
    for name in ("", " ", "x" * 101, "a\nb", "\ud800"):
        with pytest.raises(BadInput, match="1 to 100 printable"):
            gallery.collect(two, name)


def test_what_is_deleted_is_gone_and_what_is_not_there_is_told(gallery):
    id = painted(gallery, "a cat")
    file, small = gallery.file(id), gallery.thumbnail(id)
    assert small and list(gallery.store.thumbs.iterdir())
    gallery.delete(id)
    assert not file.exists() and not list(gallery.store.thumbs.iterdir())
    assert Queue(gallery.store).list()[0].pictures == ()
    for gone in (id, new_id(), "../../studio", "\ud800"):
        assert gallery.get(gone) is None
        for call in (gallery.file, gallery.thumbnail, gallery.export, gallery.delete):
            with pytest.raises(NotFound):
                call(gone)
        with pytest.raises(NotFound):
            gallery.favourite(gone)


def test_thumbnails_are_small_marked_and_made_once(gallery):
    recipe = {"task": "generate", "arguments": {}}
    queue = Queue(gallery.store)
    job = queue.accept("generate", {})
    queue.lease("one")
    queue.finish(job.id, "one", [Made(Picture(torch.rand(3, 300, 600), recipe), 1.0)])
    (id,) = queue.get(job.id).pictures
    sides = {1: (128, 64), 128: (128, 64), 200: (256, 128), 9999: (512, 256)}
    for side, size in sides.items():
        image = Image.open(io.BytesIO(gallery.thumbnail(id, side)))
        assert image.format == "WEBP" and image.size == size
        assert MADE_BY_MODEL.encode() in image.info["xmp"]
    assert len(list(gallery.store.thumbs.iterdir())) == 3
    gallery.file(id).unlink()
    assert gallery.thumbnail(id, 256)  # kept
    with pytest.raises(NotFound, match="missing or broken"):
        gallery.export(id)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("recipe", [True, False])
def test_an_export_has_the_recipe_if_wanted_and_the_mark_always(gallery, kind, recipe):
    id = painted(gallery, "a very secret cat")
    data = gallery.export(id, kind, recipe)
    assert (b"a very secret cat" in data) == (recipe and kind == "PNG")
    assert MADE_BY_MODEL.encode() in data
    assert from_bytes(data).pixels.shape == (3, 40, 56)
    if kind == "PNG":
        assert (from_bytes(data).uint8() == load(gallery.file(id)).uint8()).all()


def test_an_unknown_kind_is_told(gallery):
    with pytest.raises(BadInput, match="no kind 'SVG'"):
        gallery.export(painted(gallery, "a cat"), "SVG")


def reference(clip: Clip, gallery: Gallery, sought: np.ndarray) -> list[tuple[str, float]]:
    """Cosines in float64 of the pictures as they are on disk, the highest first."""
    rows = []
    for kept in gallery.list():
        seen = clip.embed_pictures(load(gallery.file(kept.id)).pixels[None])[0].double().numpy()
        rows.append((kept.id, float(seen @ sought / np.linalg.norm(seen) / np.linalg.norm(sought))))
    return sorted(rows, key=lambda row: -row[1])


def test_search_is_the_order_of_cosines(gallery, clip):
    for n, prompt in enumerate(WORDS):
        painted(gallery, prompt, n)
    assert gallery.search("a red cube") == []  # nothing is embedded yet
    assert gallery.embed_missing(3) == 3 and gallery.embed_missing() == 2
    assert gallery.embed_missing() == 0
    words = clip.embed_texts(["a red cube"])[0].double().numpy()
    picture = Picture(torch.rand(3, 30, 30))
    like = clip.embed_pictures(picture.pixels[None])[0].double().numpy()
    for said, sought in (
        ({"words": "a red cube"}, words),
        ({"picture": picture}, like),
        ({"words": "a red cube", "picture": picture}, words + like),
    ):
        found = [(each.kept.id, each.score) for each in gallery.search(**said)]
        expected = reference(clip, gallery, sought)
        assert [id for id, _ in found] == [id for id, _ in expected]
        assert np.allclose([s for _, s in found], [s for _, s in expected], atol=1e-3)  # float16
    assert [found.kept.id for found in gallery.search("a dog", limit=2)] == [
        id for id, _ in reference(clip, gallery, clip.embed_texts(["a dog"])[0].double().numpy())
    ][:2]
    with pytest.raises(BadInput):
        gallery.search("")


def test_search_sees_filters_new_pictures_and_deletions(gallery, clip, monkeypatch):
    monkeypatch.setattr(_nearest, "_FIRST", 1)  # the filters are asked of all at the second try
    ids = [painted(gallery, prompt, n) for n, prompt in enumerate(WORDS)]
    gallery.embed_missing()
    gallery.favourite(ids[1])
    gallery.favourite(ids[3])
    found = gallery.search("a dog", filters=Filters(favourite=True), limit=5)
    assert {each.kept.id for each in found} == {ids[1], ids[3]}
    assert found[0].score >= found[1].score
    for id, prompt in zip(ids, WORDS):  # most of them are not among the nearest two
        (alone,) = gallery.search("a dog", text=prompt, limit=1)
        assert alone.kept.id == id
    other = Gallery(Store(gallery.store.folder), clip)  # as another process would
    new = painted(other, "new", 77)
    other.embed_missing()
    assert new in {each.kept.id for each in gallery.search("a dog", limit=10)}
    other.delete(ids[0])
    assert len(gallery.search("a dog", limit=10)) == 5
    assert len(gallery.search("a dog", limit=1)) == 1 and gallery.search("a dog", limit=0) == []


def test_another_clip_s_embeddings_are_made_anew_and_broken_files_are_not_tried_again(
    gallery, clip, tmp_path
):
    from dataclasses import replace

    ids = [painted(gallery, prompt, n) for n, prompt in enumerate(WORDS)]
    gallery.file(ids[2]).write_bytes(b"broken")
    assert gallery.embed_missing() == 5 and gallery.embed_missing() == 0
    assert len(gallery.search("a dog")) == 4
    other = replace(clip, name="other")
    other.__dict__["fingerprint"] = "other"
    changed = Gallery(gallery.store, other)
    assert changed.search("a dog") == []
    assert changed.embed_missing() == 5 and len(changed.search("a dog")) == 4
    assert Gallery(gallery.store, clip).embed_missing() == 5  # it has none of its own any more


def test_the_matrix_grows_by_what_is_new(gallery):
    matrix = _nearest.Matrix()
    rows = np.random.default_rng(0).standard_normal((5, 16)).astype(np.float16)
    for n in range(5):
        painted(gallery, "", n)
    with gallery.store.transaction() as opened:
        numbers = [row[0] for row in opened.execute("SELECT number FROM pictures")]
    for number, row in zip(numbers, rows):
        with gallery.store.transaction() as opened:
            opened.execute(
                "INSERT INTO embeddings (picture, clip, row) VALUES (?, 'c', ?)",
                (number, row.tobytes()),
            )
        matrix.refresh(gallery.store, "c", 16)
        assert matrix.numbers[-1] == number
    sought = np.ones(16, np.float32)
    assert np.allclose(matrix.scores(sought), rows.astype(np.float32) @ sought)


def test_searches_of_several_threads_agree(gallery):
    for n, prompt in enumerate(WORDS):
        painted(gallery, prompt, n)
    gallery.embed_missing()
    expected = gallery.search("a dog")
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda: found.append(gallery.search("a dog"))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 6
