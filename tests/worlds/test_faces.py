"""The world faces: the same portrait always, its truth is what the pixels show, it is free."""

import json
import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion

from limner.errors import BadInput
from limner.worlds import _faces_clothes, _faces_rooms, _faces_things
from limner.worlds._faces_face import RANGES, WORDS, age_group, expression
from limner.worlds.faces import PARTS, Face, World, canonical, held_out, landmarks, paint

WORLD = World(seed=3)
BATCH = WORLD.draw(range(150), annotate=True)
MANY = [WORLD.face(index) for index in range(4000)]


def part(parts, *names):
    return np.isin(parts, [PARTS.index(name) for name in names])


# ---- the same always ---------------------------------------------------------------------------


def test_a_picture_is_the_same_in_any_batch_and_order():
    other = World(seed=3).draw([17, 5, 149], annotate=True)
    for row, index in enumerate([17, 5, 149]):
        assert np.array_equal(other.pictures[row], BATCH.pictures[index])
        assert np.array_equal(other.maps[row], BATCH.maps[index])
        assert other.captions[row] == BATCH.captions[index]
        assert other.truth(row) == BATCH.truth(index)
    assert np.array_equal(World(seed=3).draw([5]).pictures[0], BATCH.pictures[5])
    second = next(WORLD.stream(4, 2))
    assert np.array_equal(second.pictures, BATCH.pictures[4:6]) and not second.maps


# ---- one attribute changed ---------------------------------------------------------------------

SHE = Face("feminine", hair="wavy", hair_colour="auburn", yaw=0.2, pitch=-0.1, roll=0.08)
HE = Face("masculine", 0.6, "tan", hair="short", beard="short", moustache="thick", yaw=-0.25)
SKIN = ("skin", "eyes", "brows", "mouth", "beard")
TOUCHES = [  # what changes, and the parts that may look different, before or after
    ({"smile": 1.0}, SKIN),
    ({"smile": -0.9}, SKIN),
    ({"surprise": 0.9}, SKIN),
    ({"lipstick": "red"}, ("mouth",)),
    ({"eye_shadow": "blue"}, ("skin", "eyes", "brows")),
    ({"blush": "blush"}, SKIN),
    ({"eye_colour": "blue"}, ("eyes",)),
    ({"eye_size": 1.0}, ("skin", "eyes", "brows")),
    ({"nose_size": 1.0}, SKIN),
    ({"brows": 1.0}, ("skin", "brows", "eyes")),
    ({"glasses": "round"}, ("glasses", *SKIN)),
    ({"glasses": "sunglasses"}, ("glasses",)),
    ({"earrings": "hoops"}, ("earrings",)),
    ({"ear_size": 1.0}, ("skin", "hair", "background")),
    ({"hat": "beanie"}, ("hat", "hair", "background", *SKIN)),
    ({"hair": "bald"}, ("hair", *SKIN)),
    ({"hair_colour": "blue"}, ("hair", "brows", "beard")),
    ({"grain": 5}, ("hair", "beard")),
    ({"beard": "long"}, ("beard",)),
    ({"moustache": "none"}, ("beard",)),
    ({"skin": "dark"}, SKIN),
    ({"background": "gradient"}, ("background",)),
    ({"background_colour": "pink"}, ("background",)),
    ({"clothes": "jacket"}, ("clothes", "skin", "background")),
    ({"clothes_colour": "red"}, ("clothes",)),
]


@pytest.mark.parametrize("face", [SHE, HE], ids=["she", "he"])
@pytest.mark.parametrize(("change", "may"), TOUCHES, ids=lambda each: str(each))
def test_one_attribute_changes_what_it_touches_and_nothing_else(face, change, may):
    """Three pixels around a part are its soft edge.

    A few pixels more may differ: where two soft edges meet, what is behind both shines through.
    """
    picture, parts = paint(face)
    other, others = paint(replace(face, **change))
    changed = (picture != other).any(-1)
    may_differ = part(parts, *may) | part(others, *may)
    assert (changed & ~binary_dilation(may_differ, np.ones((7, 7)))).sum() <= 16
    if face == HE:  # she has no beard, and her ears are under her hair
        assert changed.any()


def test_a_smile_leaves_hair_clothes_and_background_alone_and_bends_the_mouth():
    for face in BATCH.faces[:40]:
        if face.hair in ("buzz", "balding", "mohawk"):  # a brow may touch thin hair
            continue
        glad, parts = paint(replace(face, smile=1.0, surprise=0.0))
        sad, others = paint(replace(face, smile=-1.0, surprise=0.0))
        still = part(parts, "hair", "clothes", "background", "hat") & (parts == others)
        still = binary_erosion(still, iterations=2)
        assert np.array_equal(glad[still], sad[still]) and still.any()
    up, down = landmarks(replace(HE, smile=1.0)), landmarks(replace(HE, smile=-1.0))
    assert up["mouth_left"][1] < down["mouth_left"][1] - 4


def test_poses_move_the_features_over_the_head():
    right, left = landmarks(Face(yaw=0.5)), landmarks(Face(yaw=-0.5))
    assert right["nose"][0] > 64 + 10 and left["nose"][0] < 64 - 10
    assert landmarks(Face(pitch=0.3))["nose"][1] < landmarks(Face(pitch=-0.3))["nose"][1] - 10
    leant = landmarks(Face(roll=0.25))
    assert leant["left_eye"][1] < leant["right_eye"][1] - 3


def test_every_value_can_be_seen():
    """Each word of an attribute draws another picture, on a head that shows it."""
    base = Face("masculine", hat="none", hair="short", background="room")
    for name, words in WORDS.items():
        start = replace(base, hat="cap") if name == "hat_colour" else base
        drawn = {paint(replace(start, **{name: word}))[0].tobytes() for word in words}
        assert len(drawn) == len(words), name
    for name, (least, most) in RANGES.items():
        ends = [paint(replace(base, **{name: value}))[0] for value in (least, most)]
        assert not np.array_equal(*ends), name


# ---- truth -------------------------------------------------------------------------------------


def nearest(table, pixels):
    middle = np.median(pixels, 0)
    return min(table, key=lambda name: np.abs(np.array(table[name]) - middle).sum())


def test_masks_share_out_the_picture_and_agree_with_the_maps():
    for row in range(150):
        masks = BATCH.masks[row]
        assert masks.shape == (len(PARTS), 128, 128) and (masks.sum(0) == 1).all()
        assert np.array_equal(masks.argmax(0), BATCH.maps[row])
    assert WORLD.nouns == PARTS[1:]


def test_the_colours_inside_the_masks_are_the_named_ones():
    seen = set()
    for row, face in enumerate(BATCH.faces):
        picture, parts = BATCH.pictures[row], BATCH.maps[row]
        inside = {
            name: picture[binary_erosion(part(parts, name), iterations=2)].astype(float)
            for name in ("background", "clothes", "hat", "skin")
        }
        if face.background == "plain" and face.glasses == "none":  # a clear lens tints a little
            exact = inside["background"] == _faces_rooms.COLOURS[face.background_colour]
            assert exact.all(-1).mean() > 0.997  # but for tips of hair thinner than half a pixel
        named = nearest(_faces_clothes.COLOURS, inside["clothes"])
        assert named == face.clothes_colour
        if face.hat in ("beanie", "cap"):
            assert nearest(_faces_things.HATS, inside["hat"]) == face.hat_colour
        red, green, blue = np.median(inside["skin"], 0)
        assert red > green > blue
        seen.add((face.skin, int(red)))
        eyes = picture[part(parts, "eyes")]
        if face.glasses != "sunglasses":
            assert eyes.max() > 205 and eyes.min() < 70  # the white and the pupil
    tones = [np.mean([red for skin, red in seen if skin == tone]) for tone in WORDS["skin"]]
    assert tones == sorted(tones, reverse=True)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("background", {"background_colour": "grey"}),
        ("clothes", {"clothes_colour": "black"}),
        ("hat", {"hat_colour": "black"}),
        ("hair", {"hair_colour": "black"}),
        ("mouth", {"lipstick": "purple"}),
    ],
)
def test_a_mask_is_what_recolouring_its_part_changes(name, change):
    """Every pixel of the mask changes, and beyond it and its soft edge next to none does."""
    face = Face("feminine", hair="wavy", hair_colour="blonde", hat="beanie", lipstick="red")
    face = replace(face, yaw=0.3, roll=-0.1, background_colour="yellow", clothes_colour="yellow")
    (picture, parts), (other, others) = paint(face), paint(replace(face, **change))
    assert np.array_equal(parts, others)
    changed, mask = (picture != other).any(-1), part(parts, name)
    assert mask.sum() > 60 and changed[mask].all()
    also = part(parts, "brows") if name == "hair" else np.zeros_like(mask)
    assert changed[~binary_dilation(mask | also, np.ones((3, 3)))].sum() <= 16


def test_what_is_worn_or_grown_has_a_mask_and_nothing_else_has():
    for row, face in enumerate(BATCH.faces):
        counts = {name: int(part(BATCH.maps[row], name).sum()) for name in PARTS}
        assert (counts["glasses"] > 60) == (face.glasses != "none")
        assert (counts["earrings"] > 8) == (face.earrings != "none") == (counts["earrings"] > 0)
        assert (counts["hat"] > 500) == (face.hat != "none") == (counts["hat"] > 0)
        assert (counts["beard"] > 8) == (face.beard != "none" or face.moustache != "none")
        bare = face.hair == "bald" or (face.hat != "none" and face.hair == "mohawk")
        assert (counts["hair"] > 30) == (not bare)
        assert (counts["eyes"] > 30) == (face.glasses != "sunglasses")
        assert min(counts[name] for name in ("background", "clothes", "skin", "mouth")) > 25


def test_landmarks_lie_in_the_face():
    for row, spots in enumerate(BATCH.landmarks):
        assert all(isinstance(value, int) for spot in spots.values() for value in spot)
        at = {name: PARTS[BATCH.maps[row][y, x]] for name, (x, y) in spots.items()}
        assert {at["left_eye"], at["right_eye"]} <= {"eyes", "glasses"}
        assert at["nose"] == "skin" and at["chin"] in ("skin", "beard")
        assert {at["mouth_left"], at["mouth_right"]} <= {"mouth", "skin", "beard"}
        assert spots["left_eye"][0] < spots["right_eye"][0]
        assert spots["mouth_left"][0] < spots["mouth_right"][0]
        eyes = (spots["left_eye"][1] + spots["right_eye"][1]) / 2
        mouth = (spots["mouth_left"][1] + spots["mouth_right"][1]) / 2
        assert eyes < spots["nose"][1] < mouth + 2 and mouth < spots["chin"][1] + 1


def test_truth_is_json_and_holds_all_attributes():
    told = json.loads(json.dumps(BATCH.truth(7)))
    assert told["captions"] == BATCH.captions[7] and told["hair"] == BATCH.faces[7].hair
    assert {*WORDS, *RANGES, "age_group", "expression", "landmarks", "parts"} <= set(told)
    assert told["landmarks"]["nose"] == list(BATCH.landmarks[7]["nose"])
    assert World(3).draw([7]).truth(0)["landmarks"] is None


# ---- captions ----------------------------------------------------------------------------------


def phrases():
    """Every phrase that a caption may hold, and when it is true."""

    def has(name, value, also=lambda face: True):
        return lambda face: getattr(face, name) == value and also(face)

    def bare(face):
        return face.hat == "none"

    adults = {"feminine": "woman", "masculine": "man", "androgynous": "person"}
    children = {"feminine": "girl", "masculine": "boy", "androgynous": "child"}
    limits = {"young": (0.22, 0.5), "middle-aged": (0.5, 0.75), "old": (0.75, 1.1)}
    for who, noun in adults.items():
        yield children[who], lambda f, w=who: f.presentation == w and f.age < 0.22
        for group, (low, high) in limits.items():
            yield (
                f"{group} {noun}",
                lambda f, w=who, a=low, b=high: f.presentation == w and a <= f.age < b,
            )
    hair = {
        "thinning {} hair": ("balding", bare), "{} buzz cut": ("buzz", bare),
        "short {} hair": ("short", None), "{} quiff": ("quiff", bare),
        "{} mohawk": ("mohawk", bare), "curly {} hair": ("curly", bare), "{} afro": ("afro", bare),
        "{} bob": ("bob", None), "long straight {} hair": ("straight", None),
        "long wavy {} hair": ("wavy", None), "{} hair in a ponytail": ("ponytail", None),
        "{} hair in a bun": ("bun", bare), "braided {} hair": ("braids", None),
    }  # fmt: skip
    for colour in WORDS["hair_colour"]:
        for words, (style, when) in hair.items():
            yield (
                words.format(colour),
                lambda f, c=colour, s=style, w=when: (
                    f.hair == s and f.hair_colour == c and (w is None or w(f))
                ),
            )
        yield f"{colour} hair", lambda f, c=colour: f.hair_colour == c and f.hat != "none"
    yield "bald head", has("hair", "bald", bare)
    for beard, words in {
        "stubble": "stubble",
        "goatee": "goatee",
        "short": "short beard",
        "long": "long beard",
    }.items():
        yield words, has("beard", beard)
    for name, form in {
        "moustache": "{} moustache", "glasses": "{} glasses", "lipstick": "{} lipstick",
        "skin": "{} skin", "shape": "{} face",
    }.items():  # fmt: skip
        for value in WORDS[name]:
            yield form.format(value), has(name, value)
    yield "sunglasses", has("glasses", "sunglasses")
    yield "heart-shaped face", has("shape", "heart")
    yield "blush", has("blush", "blush")

    def seen(face):
        return face.glasses != "sunglasses"

    for value in WORDS["eye_shadow"]:
        yield f"{value} eye shadow", has("eye_shadow", value, seen)
    for value in WORDS["eye_colour"]:
        yield (
            f"{value} eyes",
            has("eye_colour", value, lambda f: seen(f) and abs(f.eye_size) <= 0.4),
        )
        yield f"big {value} eyes", has("eye_colour", value, lambda f: seen(f) and f.eye_size > 0.4)
        yield (
            f"small {value} eyes",
            has("eye_colour", value, lambda f: seen(f) and f.eye_size < -0.4),
        )
    for value, words in {"studs": "stud", "hoops": "hoop", "drops": "drop"}.items():
        yield f"{words} earrings", has("earrings", value)
    for words, name, sign in (
        ("thick eyebrows", "brows", 1), ("thin eyebrows", "brows", -1),
        ("big ears", "ear_size", 1), ("small ears", "ear_size", -1),
        ("big nose", "nose_size", 1), ("small nose", "nose_size", -1),
        ("looking to the right", "yaw", 0.4), ("looking to the left", "yaw", -0.4),
        ("looking up", "pitch", 0.3), ("looking down", "pitch", -0.3),
        ("with the head tilted to the right", "roll", 0.2),
        ("with the head tilted to the left", "roll", -0.2),
    ):  # fmt: skip
        limit = abs(sign) / 2
        yield words, lambda f, n=name, s=sign, m=limit: getattr(f, n) * np.sign(s) > m
    for colour, hat in product(WORDS["hat_colour"], WORDS["hat"][1:]):
        yield f"{colour} {hat}", lambda f, c=colour, h=hat: (f.hat_colour, f.hat) == (c, h)
    for colour, top in product(WORDS["clothes_colour"], WORDS["clothes"]):
        yield f"{colour} {top}", lambda f, c=colour, t=top: (f.clothes_colour, f.clothes) == (c, t)
    places = {"plain": "in front of a {} wall", "gradient": "in front of a glowing {} wall",
              "room": "in a {} room"}  # fmt: skip
    for (kind, form), colour in product(places.items(), WORDS["background_colour"]):
        yield (
            form.format(colour),
            lambda f, k=kind, c=colour: (f.background, f.background_colour) == (k, c),
        )
    yield "smiling", lambda f: f.smile > 0.33 and f.surprise <= 0.5
    yield "looking sad", lambda f: f.smile < -0.33 and f.surprise <= 0.5
    yield "looking surprised", lambda f: f.surprise > 0.5
    yield "with a neutral expression", lambda f: abs(f.smile) <= 0.33 and f.surprise <= 0.5


PHRASES = dict(phrases())
LONGEST_FIRST = re.compile(
    "|".join(rf"\b{re.escape(p)}\b" for p in sorted(PHRASES, key=len, reverse=True))
)


def test_every_word_of_every_caption_is_true():
    said = set()
    for start in range(0, 1200, 300):
        batch = captions_of(range(start, start + 300))
        for face, captions in batch:
            assert len(captions) == 4 and captions[0] == canonical(face)
            for caption in captions:
                for phrase in LONGEST_FIRST.findall(caption):
                    assert PHRASES[phrase](face), (phrase, caption, face)
                    said.add(phrase)
                rest = re.findall(r"[\w-]+", LONGEST_FIRST.sub("", caption))
                glue = {"a", "an", "and", "with", "wearing", "portrait", "drawing", "of"}
                assert set(rest) <= glue, caption
                assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", caption), caption
    forms = {"with the head tilted to the left", "looking up", "small nose", "girl", "old person"}
    assert forms <= said and len(said) > 200


def captions_of(indices, style=None):
    """Faces and their captions, without the painting."""
    from limner.noise import Noise
    from limner.worlds._faces_captions import CHOICES, phrasings

    choices = Noise(3, indices).uniform((3, CHOICES), purpose="captions").tolist()
    turns = Noise(3, indices).uniform((3,)).tolist()
    return [
        (MANY[i], phrasings(MANY[i], rows, style, turn if style else None))
        for i, rows, turn in zip(indices, choices, turns)
    ]


NAMED = {  # how a caption says its style, and what it then cannot tell
    "watercolor": (r"\bwatercolor( portrait)?\b", None),
    "pixel art": (r"\bpixel art( portrait)?\b", r"\b(eyes|eyebrows|earrings|ears|nose)\b"),
    "night": (r", at night$", None),
    "zombie": (r"\bzombie\b|\bgreen skin\b", r"\bskin\b"),
    "pencil sketch": (r"\b(pencil )?sketch\b", "|".join(
        rf"\b{hue}\b" for name in WORDS if "colour" in name for hue in WORDS[name]
    ) + r"|\bskin\b|\bblue eye|\bred lip"),
}  # fmt: skip


@pytest.mark.parametrize("style", NAMED)
def test_every_caption_names_its_style_once_and_tells_what_can_be_seen_in_it(style):
    name, hidden = NAMED[style]
    others = [NAMED[each][0] for each in NAMED if each != style]
    glue = {"a", "an", "and", "with", "wearing", "portrait", "drawing", "of"}
    for (face, captions), (_, plain) in zip(
        captions_of(range(300), style), captions_of(range(300)), strict=True
    ):
        assert captions[0] == canonical(face, style) and len(captions) == 4
        for caption, before in zip(captions, plain, strict=True):
            assert 1 <= len(re.findall(name, caption)) <= 1 + caption.count("green skin"), caption
            assert not any(re.search(other, caption) for other in others), caption
            rest = re.sub(" {2,}", " ", re.sub(name, "", caption))
            assert not re.search(hidden or "$^", rest), caption
            assert not re.search(r"\ba [aeiou]|\ban [^aeiou]|, ,|  ", caption), caption
            assert set(re.findall(r"[\w-]+", rest)) <= glue | set(re.findall(r"[\w-]+", before))
            if style != "pencil sketch":
                for phrase in LONGEST_FIRST.findall(rest):
                    assert PHRASES[phrase](face), (phrase, caption, face)


def test_the_captions_tested_here_are_the_ones_drawn():
    assert [captions for _, captions in captions_of(range(20))] == BATCH.captions[:20]


@pytest.mark.parametrize(
    ("face", "caption"),
    [
        (
            Face("feminine", 0.9, hair="bun", hair_colour="grey", glasses="round", smile=0.8),
            "a portrait of an old woman with grey hair in a bun and round glasses, smiling",
        ),
        (
            Face("masculine", 0.6, hair="bald", beard="long", moustache="thick", hat="cap"),
            "a portrait of a middle-aged man with a long beard and a thick moustache "
            "wearing a red cap",
        ),
        (Face(age=0.1, hair="afro", hair_colour="auburn", surprise=1.0),
         "a portrait of a child with an auburn afro, looking surprised"),
        (Face(hair="mohawk", hat="beanie", smile=-1.0),
         "a portrait of a young person wearing a red beanie, looking sad"),
    ],
)  # fmt: skip
def test_canonical_captions(face, caption):
    assert canonical(face) == caption


@pytest.mark.parametrize(
    ("style", "caption"),
    [
        ("pencil sketch", "a pencil sketch of an old woman with a bob and round glasses wearing a "
         "cap, smiling"),
        ("watercolor", "a watercolor of an old woman with an auburn bob and round glasses wearing "
         "a red cap, smiling"),
        ("pixel art", "pixel art of an old woman with an auburn bob and round glasses wearing a "
         "red cap, smiling"),
        ("zombie", "a portrait of an old zombie woman with an auburn bob and round glasses "
         "wearing a red cap, smiling"),
        ("night", "a portrait of an old woman with an auburn bob and round glasses wearing a red "
         "cap, smiling, at night"),
    ],
)  # fmt: skip
def test_canonical_captions_in_a_style(style, caption):
    face = Face("feminine", 0.9, hair="bob", hair_colour="auburn", glasses="round", hat="cap")
    assert canonical(replace(face, smile=0.8), style) == caption


# ---- which faces there are ---------------------------------------------------------------------


def test_every_value_of_every_attribute_occurs():
    for name, words in WORDS.items():
        assert {getattr(face, name) for face in MANY} == set(words)
    for name, (least, most) in RANGES.items():
        values = np.array([getattr(face, name) for face in MANY]) / (most - least)
        assert values.max() - values.min() > 0.9, name
    groups = {"child", "young", "middle-aged", "old"}
    assert {age_group(face.age) for face in MANY} == groups
    assert {expression(face) for face in MANY} == {"smiling", "neutral", "sad", "surprised"}


def test_attributes_are_balanced():
    def share(true):
        return np.mean([true(face) for face in MANY])

    for name in ("beard", "moustache", "glasses", "lipstick", "eye_shadow", "blush", "earrings"):
        assert 0.15 < share(lambda face, n=name: getattr(face, n) != "none") < 0.60, name
    for mood in ("smiling", "neutral", "sad", "surprised"):
        assert 0.13 < share(lambda face, m=mood: expression(face) == m) < 0.60, mood
    assert 0.15 < share(lambda face: face.hair_colour in ("grey", "white")) < 0.60
    assert 0.07 < share(lambda face: face.hat != "none") < 0.15
    assert 0.10 < share(lambda face: face.age < 0.22) < 0.18
    for name in ("skin", "shape", "hair", "eye_colour", "background", "clothes"):
        for word in WORDS[name]:
            assert share(lambda face, n=name, w=word: getattr(face, n) == w) > 0.03, word


def test_attributes_tell_nothing_about_each_other_but_where_they_should():
    """Correlations of every value with every other; 0.016 is the standard deviation of chance."""
    linked = {"presentation", "age_group", "hair", "hair_colour", "beard", "moustache", "lipstick",
              "eye_shadow", "age"}  # fmt: skip
    names, columns = [], []
    for name, words in {**WORDS, "age_group": ("child", "young", "middle-aged", "old")}.items():
        values = [age_group(f.age) if name == "age_group" else getattr(f, name) for f in MANY]
        for word in words:
            names.append(name)
            columns.append([value == word for value in values])
    for name in RANGES:
        names.append(name)
        columns.append([getattr(face, name) for face in MANY])
    assert all(np.std(column) > 0 for column in columns)
    strength = np.abs(np.corrcoef(np.array(columns, float)))
    moods = {"smile", "surprise"}
    for i, j in product(range(len(names)), repeat=2):
        pair = {names[i], names[j]}
        if i != j and len(pair) > 1 and not pair <= linked and pair != moods:
            assert strength[i, j] < 0.085, (pair, strength[i, j])
    grey = [face.hair_colour in ("grey", "white") for face in MANY]
    assert np.corrcoef(grey, [face.age for face in MANY])[0, 1] > 0.4


def test_no_combination_kept_from_training_is_drawn_in_training_and_the_other_way_round():
    world = World(seed=3, split="held_out")
    kept = [world.face(index) for index in range(150)]
    assert all(held_out(face) for face in kept) and not any(held_out(face) for face in MANY)
    assert not {canonical(face) for face in MANY} & {canonical(face) for face in kept}
    everything = World(seed=3, split="all")
    share = np.mean([held_out(everything.face(index)) for index in range(2000)])
    assert 0.07 < share < 0.13


# ---- the doors, and what is refused ------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hair": "perm"}, "hair is one of short, bald.* not 'perm'"),
        ({"skin": None}, "skin is one of .* not None"),
        ({"smile": 1.5}, "smile is from -1.0 to 1.0, not 1.5"),
        ({"age": float("nan")}, "age is from 0.0 to 1.0, not nan"),
        ({"yaw": "left"}, "yaw is from .* not 'left'"),
        ({"grain": 0.5}, "grain is a whole number"),
        ({"width": None}, "width is from .* not None"),
    ],
)
def test_a_face_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(BadInput, match=message):
        Face(**arguments)


def test_wrong_worlds_and_indices_are_named():
    with pytest.raises(BadInput, match="not 'test'"):
        World(split="test")
    with pytest.raises(BadInput, match="seed -1"):
        World(seed=-1).draw([0])
    with pytest.raises(BadInput, match="sample -3"):
        World().draw([-3])


def test_an_empty_batch_is_a_batch():
    assert World().draw([]).pictures.shape == (0, 128, 128, 3)


def test_the_world_opens_as_data():
    from limner.data._open import open_data

    data = open_data("world:faces", size=128, seed=3)
    pictures, captions = data.batch([5, 9])
    assert np.array_equal(pictures[0], BATCH.pictures[5]) and captions[1] in BATCH.captions[9]


def test_the_world_on_disk_is_the_world(tmp_path, monkeypatch, capsys):
    from limner.cli import main
    from limner.picture import load

    monkeypatch.chdir(tmp_path)
    assert main(["world", "faces", "-o", "faces", "--count", "34", "--seed", "3"]) == 0
    assert capsys.readouterr().out == "faces\n"
    lines = (tmp_path / "faces" / "metadata.jsonl").read_text().splitlines()
    assert len(lines) == 34 and (tmp_path / "faces" / "sheet.png").exists()
    for row in (0, 33):
        line = json.loads(lines[row])
        picture = load(tmp_path / "faces" / line["file_name"]).uint8()
        assert (picture == BATCH.pictures[row]).all()
        assert line["text"] == BATCH.captions[row][0]
        assert line.items() >= json.loads(json.dumps(BATCH.truth(row))).items()
        flat = [value for value, length in line["map"]["runs"] for _ in range(length)]
        assert (np.reshape(flat, (128, 128)) == BATCH.maps[row]).all()
        assert all(PARTS[int(value)] == name for value, name in line["map"]["names"].items())
        areas = [sum(mask["counts"][1::2]) for mask in line["masks"]]
        assert areas == BATCH.masks[row].sum((1, 2)).tolist()
    assert main(["world", "faces", "-o", "none", "--count", "0"]) == 2
    assert main(["world", "faces", "-o", "none", "--split", "test"]) == 2
