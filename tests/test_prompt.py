from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.errors import BadInput
from limner.prompt import Phrase, check, fill, parse, read_lines, read_templates, words


@pytest.mark.parametrize(
    ("prompt", "phrases"),
    [
        ("a cat", [Phrase("a cat")]),
        ("a cat:2 | a dog:-1", [Phrase("a cat", 2.0), Phrase("a dog", -1.0)]),
        ("a cat : .5|a dog:1e-1", [Phrase("a cat", 0.5), Phrase("a dog", 0.1)]),
        ("photo.png:0.5", [Phrase("photo.png", 0.5, Path("photo.png"))]),
        ("a/b c.JPEG", [Phrase("a/b c.JPEG", 1.0, Path("a/b c.JPEG"))]),
        ("C:\\me\\a.webp:2", [Phrase("C:\\me\\a.webp", 2.0, Path("C:\\me\\a.webp"))]),
        ("the title: a story", [Phrase("the title: a story")]),
        ("art: by night:3", [Phrase("art: by night", 3.0)]),
        ("a screen of 16:9", [Phrase("a screen of 16:9")]),
        ("the clock says 10:30", [Phrase("the clock says 10:30")]),
        ("the number 7 :2", [Phrase("the number 7", 2.0)]),
        ("odds:inf", [Phrase("odds:inf")]),
        ("a cat:", [Phrase("a cat:")]),
    ],
)
def test_parse(prompt: str, phrases: list[Phrase]) -> None:
    assert parse(prompt) == phrases


@pytest.mark.parametrize("prompt", ["a cat |", "| a cat", "a || b", ":2", " :2 | a"])
def test_an_empty_phrase_is_named(prompt: str) -> None:
    with pytest.raises(BadInput, match="empty phrase"):
        parse(prompt)


@pytest.mark.parametrize("prompt", ["", "   ", "\n\t"])
def test_an_empty_prompt(prompt: str) -> None:
    with pytest.raises(BadInput, match="prompt is empty"):
        parse(prompt)


def test_a_prompt_that_is_too_long() -> None:
    assert parse("x" * 32_000)[0].text == "x" * 32_000
    with pytest.raises(BadInput, match="32,001 characters"):
        parse("x" * 32_001)
    with pytest.raises(BadInput, match="negative prompt is NoneType"):
        check(None, "negative prompt")  # type: ignore[arg-type]


@given(st.text())
def test_nothing_is_lost(prompt: str) -> None:
    try:
        phrases = parse(prompt)
    except BadInput:
        return
    parts = prompt.split("|")
    assert len(parts) == len(phrases)
    for part, phrase in zip(parts, phrases, strict=True):
        assert part.strip().startswith(phrase.text)
        rest = part.strip()[len(phrase.text) :]
        assert (
            float(rest.strip().removeprefix(":")) == phrase.weight if rest else phrase.weight == 1
        )


def test_words() -> None:
    assert words("A robot's cat-flap, 2 m: ÉCLAIR") == ["a", "robot's", "cat-flap", "m", "éclair"]


def test_labels_are_filled_in_with_their_article() -> None:
    templates = ["a photo of {a}", "{} made of ice"]
    assert fill(templates, "apple") == ["a photo of an apple", "apple made of ice"]
    assert fill(templates, "red cube") == ["a photo of a red cube", "red cube made of ice"]
    assert fill(templates, "two cats") == ["a photo of two cats", "two cats made of ice"]


def test_templates_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "templates.txt"
    path.write_text("a photo of {}\n\n  art of {a}  \n")
    assert read_templates(path) == ["a photo of {}", "art of {a}"]
    path.write_text("a photo of it\n")
    with pytest.raises(BadInput, match=r"no \{\} or \{a\}"):
        read_templates(path)


def test_lines_from_a_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        read_lines(tmp_path / "nowhere.txt")
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(BadInput, match="has no lines"):
        read_lines(tmp_path / "empty.txt")
    (tmp_path / "raw.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="not UTF-8"):
        read_lines(tmp_path / "raw.txt")
