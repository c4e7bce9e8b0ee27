"""Portraits in a style: who is drawn stays the same, and each style is what its name says."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

from limner.errors import BadInput
from limner.worlds._faces_drawn import drawn
from limner.worlds._faces_face import WORDS
from limner.worlds.faces import PARTS, STYLES, Face, World, landmarks, paint

PLAIN = World(seed=3, split="all").draw(range(60), annotate=True)
MIXED = World(seed=3, split="all", styled=0.5).draw(range(60), annotate=True)
FACES = PLAIN.faces[:12]
SKINNED = [PARTS.index(name) for name in ("skin", "eyes", "brows", "mouth", "beard")]


def coarse(picture):
    """(16, 16, 3): what is left at a glance."""
    return np.asarray(Image.fromarray(picture).resize((16, 16), Image.Resampling.BOX), float)


# ---- who is drawn ------------------------------------------------------------------------------


def test_with_any_share_the_people_are_the_same_and_so_is_what_has_no_style():
    assert MIXED.faces == PLAIN.faces and MIXED.landmarks == PLAIN.landmarks
    for row, style in enumerate(MIXED.styles):
        assert np.array_equal(MIXED.maps[row], PLAIN.maps[row])
        same = np.array_equal(MIXED.pictures[row], PLAIN.pictures[row])
        assert same == (style is None) == (MIXED.captions[row] == PLAIN.captions[row])
    assert PLAIN.styles == [None] * 60


def test_a_share_is_a_share_and_every_style_comes_as_often():
    world, styles = World(seed=1, styled=0.4), []
    noise = np.arange(2000)
    world.face = lambda index: Face()  # what is asked here needs no other people
    for start in range(0, 2000, 500):
        styles += drawn_styles(world, noise[start : start + 500])
    counts = [styles.count(style) for style in (None, *STYLES)]
    assert sum(counts) == 2000
    assert abs(counts[0] - 1200) < 90  # four deviations
    assert all(abs(count - 160) < 50 for count in counts[1:])
    everyone = World(seed=1, styled=1.0)
    everyone.face = world.face
    assert None not in drawn_styles(everyone, noise[:100])


def drawn_styles(world, indices):
    """Their styles, without the painting."""
    from limner.worlds import faces

    with pytest.MonkeyPatch.context() as patch:
        nothing = np.zeros((128, 128, 3), np.uint8), np.zeros((128, 128), np.uint8)
        patch.setattr(faces, "paint", lambda face, style: nothing)
        return world.draw(indices).styles


def test_a_styled_picture_is_the_same_in_any_batch_and_order():
    other = World(seed=3, split="all", styled=0.5).draw([41, 5, 17])
    for row, index in enumerate([41, 5, 17]):
        assert np.array_equal(other.pictures[row], MIXED.pictures[index])
        assert other.styles[row] == MIXED.styles[index]
        assert other.captions[row] == MIXED.captions[index]


def test_truth_tells_the_style():
    row = MIXED.styles.index("zombie")
    assert json.loads(json.dumps(MIXED.truth(row)))["style"] == "zombie"
    assert PLAIN.truth(row)["style"] is None


@pytest.mark.parametrize("style", STYLES)
def test_a_style_is_drawn_at_once_or_after(style):
    """`paint` of one face draws what the world draws, with the parts of the plain picture."""
    row = MIXED.styles.index(style)
    picture, parts = paint(MIXED.faces[row], style)
    assert picture.dtype == np.uint8 and np.array_equal(picture, MIXED.pictures[row])
    assert np.array_equal(parts, MIXED.maps[row])


# ---- what the styles are -----------------------------------------------------------------------


def test_a_pencil_sketch_is_grey_on_white_paper_and_dark_where_lines_are():
    for face in FACES:
        plain, parts = paint(replace(face, background="plain"))
        sketch = drawn(plain, parts, "pencil sketch", face.grain).astype(int)
        assert (sketch == sketch[..., :1]).all()
        away = binary_erosion(parts == 0, iterations=4)
        assert sketch[away].mean() > 215
        pupils = [sketch[y, x, 0] for x, y in eyes(face)]
        if face.glasses != "sunglasses":
            assert min(pupils) < 140
        assert sketch.min() < 90


def eyes(face):
    """The pixels (x, y) around the middles of both eyes."""
    spots = landmarks(face)
    middles = (spots["left_eye"], spots["right_eye"])
    return [(x + i, y + j) for x, y in middles for i in (-2, 0, 2) for j in (-2, 0, 2)]


def test_a_watercolor_is_thin_colour_on_paper_that_stays_white_at_the_margin():
    for face in FACES:
        plain, parts = paint(face)
        wash = drawn(plain, parts, "watercolor", face.grain)
        margin = np.concatenate([wash[0], wash[-1], wash[:, 0], wash[:, -1]])
        assert np.median(margin, 0).min() > 235
        inner, was = (coarse(each)[2:-2, 2:-2] for each in (wash, plain))
        assert inner.mean() > was.mean()  # paper shines through
        assert np.corrcoef(inner.ravel(), was.ravel())[0, 1] > 0.9
        ran, sharp = (
            np.abs(np.diff(each[40:90, 40:90].astype(int), axis=1)) for each in (wash, plain)
        )
        assert ran.mean() < sharp.mean()


def test_pixel_art_is_of_even_cells_in_few_colours_and_keeps_hues():
    for face in FACES:
        plain, parts = paint(face)
        art = drawn(plain, parts, "pixel art", face.grain)
        cells = art[::4, ::4]
        assert np.array_equal(cells.repeat(4, 0).repeat(4, 1), art)
        brightest = cells.max(2)
        assert len(np.unique(brightest)) <= 9
        was = coarse(plain)
        assert np.corrcoef(coarse(art).ravel(), was.ravel())[0, 1] > 0.9
        if face.background == "plain":
            ground = binary_erosion(parts == 0, iterations=6)
            colour, before = (np.median(each[ground], 0) for each in (art, plain))
            np.testing.assert_allclose(colour / colour.max(), before / before.max(), atol=0.01)


def test_a_zombie_is_green_where_there_was_skin_and_as_it_was_elsewhere():
    for face in FACES:
        (plain, parts), (zombie, others) = paint(face), paint(face, "zombie")
        assert np.array_equal(parts, others)
        changed = (plain != zombie).any(-1)
        reach = binary_dilation(np.isin(parts, SKINNED), np.ones((7, 7)))
        if face.glasses == "sunglasses":  # skin shines through them, a little
            reach |= parts == PARTS.index("glasses")
        if face.hair in ("buzz", "balding", "mohawk"):  # and through thin hair
            reach |= binary_dilation(parts == PARTS.index("hair"), np.ones((7, 7)))
        assert (changed & ~reach).sum() <= 16
        skin = binary_erosion(parts == PARTS.index("skin"), iterations=2)
        assert changed[skin].all()
        red, green, blue = np.median(zombie[skin], 0)
        assert green > 1.15 * red and green > 1.3 * blue


def test_a_zombie_s_skin_keeps_its_order_and_its_eyes_lie_in_the_dark():
    greens = []
    for skin in WORDS["skin"]:
        face = Face("masculine", 0.4, skin=skin, hair="bald")
        (plain, parts), (zombie, _) = paint(face), paint(face, "zombie")
        greens.append(np.median(zombie[parts == PARTS.index("skin")], 0)[1])
        assert under_the_eye(zombie, face) < 0.7 * under_the_eye(plain, face)
    assert greens == sorted(greens, reverse=True)


def under_the_eye(picture, face):
    """How bright it is there, beside the cheek."""
    spots = landmarks(face)
    (x, y), (corner, _) = spots["left_eye"], spots["mouth_left"]
    cheek = picture[spots["nose"][1] + 4, corner - 3 : corner]
    return picture[y + 6 : y + 9, x - 2 : x + 3].mean() / cheek.mean()


def test_a_night_is_dark_and_blue_with_a_dim_light():
    grey = np.full((128, 128, 3), 200, np.uint8)
    night = drawn(grey, np.zeros((128, 128), np.uint8), "night", 0).astype(float)
    assert (night[..., 2] > night[..., 1]).all() and (night[..., 1] > night[..., 0]).all()
    lit = night.mean(-1)
    assert lit[20:80, 20:80].mean() > 1.8 * lit[100:, 100:].mean()  # the light, and away from it
    for face in FACES:
        plain, dark = paint(face)[0].astype(float), paint(face, "night")[0].astype(float)
        assert dark.mean() < 0.55 * plain.mean()
        assert dark[..., 2].mean() > 1.3 * dark[..., 0].mean()
        # lamp and lightness told apart: what was brighter at a place still is
        ratio = dark.sum(-1) / np.maximum(night.sum(-1), 1)
        assert np.corrcoef(ratio.ravel(), plain.mean(-1).ravel())[0, 1] > 0.95


def test_paper_and_strokes_are_those_of_the_face():
    one, other = Face(grain=5), Face(grain=9000)
    for style in ("pencil sketch", "watercolor"):
        plain, parts = paint(one)
        assert not np.array_equal(*(drawn(plain, parts, style, f.grain) for f in (one, other)))


# ---- the doors, and what is refused ------------------------------------------------------------


def test_a_style_that_nobody_draws_is_refused():
    with pytest.raises(BadInput, match=r"pencil sketch, watercolor, .* not 'cubism'"):
        paint(Face(), "cubism")


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(BadInput, match=r"styled .*: give a share from 0 to 1"):
        World(styled=share)


def test_the_share_is_read_from_the_name_of_the_data():
    from limner.data._open import open_data

    data = open_data("world:faces?styled=0.5&split=all", size=128, seed=3)
    pictures, captions = data.batch(range(10))
    assert np.array_equal(pictures, MIXED.pictures[:10])
    assert all(said in told for said, told in zip(captions, MIXED.captions))
    with pytest.raises(BadInput, match=r"styled 3\.0: give a share"):
        open_data("world:faces?styled=3")
    with pytest.raises(BadInput, match="styled='half'"):
        open_data("world:faces?styled=half")
