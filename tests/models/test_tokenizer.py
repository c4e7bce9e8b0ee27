"""The tokenizer: ids, windows and special tokens as transformers' CLIPTokenizer has them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.errors import BadInput
from limner.models._tokenizer import Tokenizer, open_tokenizer

TEXTS = [
    "a red cube",
    "A  RED\ncube!!",
    "it's the cat's: 123 dogs, naïve façade",
    "日本語 🐎 <|endoftext|> tail",
    "",
    "word" * 30,
]


@pytest.fixture(scope="module", params=["tokenizer.json", "vocab.json and merges.txt"])
def folder(
    request: pytest.FixtureRequest,
    sd_folder: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A tokenizer in either of the forms in which models carry one."""
    whole = sd_folder("sd1") / "tokenizer"
    if request.param == "tokenizer.json":
        return whole
    old = tmp_path_factory.mktemp("tokenizer")
    model = json.loads((whole / "tokenizer.json").read_text())["model"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (old / "vocab.json").write_text(json.dumps(model["vocab"]))
    (old / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    (old / "special_tokens_map.json").write_text(
        json.dumps({"bos_token": {"content": "<|startoftext|>"}, "pad_token": "<|endoftext|>"})
    )
    (old / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 77}))
    return old


@pytest.fixture(scope="module")
def both(folder: Path, sd_folder: Callable[[str], Path]) -> tuple[Tokenizer, object]:
    from transformers import CLIPTokenizer

    return open_tokenizer(folder, 77), CLIPTokenizer.from_pretrained(sd_folder("sd1") / "tokenizer")


def test_ids_are_transformers(both: tuple) -> None:
    mine, theirs = both
    for text in TEXTS:
        wanted = theirs(text, padding="max_length", truncation=True).input_ids
        assert mine.filled(mine.windows(text)[0]) == wanted
    assert (
        mine.batch(TEXTS).tolist() == theirs(TEXTS, padding="max_length", truncation=True).input_ids
    )


@settings(max_examples=40, deadline=None)
@given(text=st.text(max_size=80))
def test_any_text_is_tokenized_as_by_transformers(both: tuple, text: str) -> None:
    mine, theirs = both
    assert mine.ids(text) == theirs(text, add_special_tokens=False).input_ids


def test_windows_hold_every_token(both: tuple) -> None:
    mine, _ = both
    text = "a red cube on top of the blue sphere and " * 40
    windows = mine.windows(text)
    assert [token for window in windows for token in window] == mine.ids(text)
    assert {len(window) for window in windows[:-1]} == {75}
    assert all(len(mine.filled(window)) == 77 for window in windows)
    assert mine.windows("") == [[]]


def test_ids_go_back_to_words(both: tuple) -> None:
    mine, _ = both
    assert mine.text(mine.ids("a red cube on top of the cat")) == "a red cube on top of the cat"


def test_the_shorter_of_what_file_and_network_allow(folder: Path) -> None:
    assert open_tokenizer(folder, 77).length == 77
    assert open_tokenizer(folder, 40).length == 40
    assert open_tokenizer(folder, 100).length == 77


def test_broken_files(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no tokenizer in"):
        open_tokenizer(tmp_path, 77)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(BadInput, match="is broken"):
        open_tokenizer(tmp_path, 77)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.json").write_text("[1]")
    (tmp_path / "merges.txt").write_text("a b c d")
    with pytest.raises(BadInput, match="is broken"):
        open_tokenizer(tmp_path, 77)
