"""What descriptions may hold, and a part of benchmarks/mutated_files.py."""

from __future__ import annotations

import json
import sys
import time
import tracemalloc
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from limner.errors import BadInput
from limner.models import _folder
from limner.models._bounds import check_json, refusing

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from _mutations import mutated
from _small_models import built
from mutated_files import tried

BOMBS = {
    "config.json": [
        b"[" * 500_000,
        b'{"a":' * 90 + b"0" + b"}" * 90,
        b'{"a": [' + b"{}," * 200_000 + b"0]}",
        b'{"a": [' + b"0," * 400_000 + b"0]}",
        b'{"a": "' + b"x" * 2_000_000 + b'"}',
        b'{"a": "[\\"", "b": ' + b"[" * 70 + b"]" * 70 + b"}",
        '{"a": 1}'.encode("utf-16"),
        b'{"a": NaN}',
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
    "model.safetensors.index.json": [b'{"weight_map": {' + b'"a":{},' * 5000 + b'"b": 0}}'],
    "tokenizer.json": [b"[" + b"{}," * 2_000_000 + b"0]"],
}


@pytest.mark.parametrize(
    "name, text", [(name, text) for name, texts in BOMBS.items() for text in texts]
)
def test_a_bomb_is_refused_before_it_is_parsed(tmp_path: Path, name: str, text: bytes) -> None:
    (tmp_path / name).write_bytes(text)
    began = time.process_time()
    tracemalloc.start()
    with pytest.raises(BadInput) as raised:
        _folder.read_json(tmp_path / name)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(raised.value) and peak < 64e6 and time.process_time() - began < 2


def test_brackets_between_quotes_are_words(tmp_path: Path) -> None:
    said = {"vocab": {f"[[{{,\\{i}": i for i in range(3000)}, 'a\\"[': '"' + "[" * 99 + "\\"}
    for name in ("config.json", "vocab.json"):
        (tmp_path / name).write_text(json.dumps(said))
        check_json(tmp_path / name)
        assert _folder.read_json(tmp_path / name) == said
    check_json(tmp_path / "none.json")


def test_headers_that_lie_or_crowd(tmp_path: Path) -> None:
    empty = b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    crowd = b"{" + b",".join(empty % i for i in range(70_000)) + b"}"
    file = tmp_path / "a.safetensors"
    for content in (
        b"",
        b"1234",
        (2**63).to_bytes(8, "little") + b"{}",
        (17_000_000).to_bytes(8, "little") + bytes(17_000_100),
        len(crowd).to_bytes(8, "little") + crowd,
    ):
        file.write_bytes(content)
        for read in (
            lambda: _folder.tensors([file]),
            lambda: _folder.header(file),
            lambda: list(_folder.described(file)),
        ):
            with pytest.raises(BadInput, match="safetensors"):
                read()
    save_file({"w": torch.ones(2)}, file)
    assert [name for name, _ in _folder.described(file)] == ["w"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_that_are_no_numbers_are_refused(dtype: torch.dtype) -> None:
    def make(_: object) -> torch.nn.Module:
        return torch.nn.Linear(200, 2)

    state = {"weight": torch.full((2, 200), 60000.0, dtype=dtype), "bias": torch.zeros(2)}
    _folder.assembled(make, {}, state, Path("x"))  # whose sum is no number of sixteen bits
    for bad in (float("inf"), float("nan")):
        state["weight"][1, 7] = bad
        with pytest.raises(BadInput, match="no numbers, in 'weight'"):
            _folder.assembled(make, {}, state, Path("x"))


def test_what_an_opener_stumbles_over_is_one_line() -> None:
    @refusing
    def opens(name: str) -> None:
        raise KeyError("a\nb")

    with pytest.raises(BadInput, match=r"the model 'x' cannot be opened \(KeyError") as raised:
        opens("x")
    assert "\n" not in str(raised.value) and isinstance(raised.value.__cause__, KeyError)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("mutated")
    for family in ("sd1", "clip", "vqgan", "stylegan", "biggan"):
        built(family, place / family)
    return place


@pytest.mark.parametrize(
    "family, count", [("sd1", 20), ("clip", 35), ("vqgan", 70), ("stylegan", 60), ("biggan", 15)]
)
def test_spoilt_files_of_a_family(models: Path, family: str, count: int) -> None:
    fates = [tried(family, models / family, number) for number in range(count)]
    assert not [each for each in fates if each["wrong"]]
    refused = [each for each in fates if each["line"]]
    assert len(refused) > count / 2, "what is spoilt so is mostly noticed"


def test_the_same_number_spoils_the_same_way() -> None:
    from random import Random

    content = json.dumps({"a": [1, 2], "b": {"c": 3}}).encode()
    for number in range(50):
        first = mutated("a.json", content, Random(number))
        assert first == mutated("a.json", content, Random(number))
