from __future__ import annotations

from dataclasses import replace

import pytest

from limner.worlds._faces_captions import canonical
from limner.worlds._faces_truths import TRUTHS, truths
from limner.worlds.faces import Face, World

PLAIN = Face(presentation="feminine")


@pytest.mark.parametrize(
    ("name", "yes", "no"),
    [
        ("smile", {"smile": 0.9}, {"smile": -0.9}),
        ("sad", {"smile": -0.9}, {"smile": 0.9}),
        ("surprised", {"surprise": 0.9}, {"smile": 0.9}),
        ("glasses", {"glasses": "sunglasses"}, {}),
        ("sunglasses", {"glasses": "sunglasses"}, {"glasses": "round"}),
        ("beard", {"beard": "goatee"}, {"moustache": "thick"}),
        ("moustache", {"moustache": "thin"}, {"beard": "long"}),
        ("hair", {"hair": "buzz"}, {"hair": "bald"}),
        ("curly hair", {"hair": "afro"}, {"hair": "wavy"}),
        ("blonde hair", {"hair_colour": "blonde"}, {"hair": "bald", "hair_colour": "blonde"}),
        ("black hair", {"hair_colour": "black"}, {"hair_colour": "blue"}),
        ("grey hair", {"hair_colour": "white"}, {"hair_colour": "blonde"}),
        ("hat", {"hat": "beanie"}, {}),
        ("lipstick", {"lipstick": "pink"}, {"blush": "blush"}),
        ("old", {"age": 0.8}, {"age": 0.7}),
        ("child", {"age": 0.1}, {"age": 0.3}),
        ("feminine", {}, {"presentation": "masculine"}),
    ],
)
def test_yes_and_no(name: str, yes: dict, no: dict) -> None:
    assert truths(replace(PLAIN, **yes))[name] is True
    assert truths(replace(PLAIN, **no))[name] is False


@pytest.mark.parametrize(
    ("name", "face", "style"),
    [
        ("beard", {"beard": "stubble"}, None),
        ("hair", {"hair": "balding"}, None),
        ("hair", {"hair": "bald", "hat": "cap"}, None),
        ("blonde hair", {"hair_colour": "blonde", "hat": "cap"}, None),
        ("feminine", {"presentation": "androgynous"}, None),
        ("lipstick", {"lipstick": "red"}, "pencil sketch"),
        ("grey hair", {"hair_colour": "grey"}, "night"),
    ],
)
def test_what_cannot_be_told(name: str, face: dict, style: str | None) -> None:
    assert truths(replace(PLAIN, **face), style)[name] is None


def test_they_are_what_captions_say() -> None:
    said = {"smile": "smiling", "sad": "looking sad", "surprised": "surprised", "old": " old "}
    world = World(5)
    for number in range(60):
        face = world.face(number)
        true, caption = truths(face), canonical(face)
        assert list(true) == list(TRUTHS)
        for name, words in said.items():
            assert true[name] == (words in caption), caption
        assert true["glasses"] == ("glasses" in caption) and true["hat"] == ("wearing" in caption)
