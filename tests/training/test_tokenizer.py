import json
import os
import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from limner.errors import BadInput
from limner.training._tokenizer import make_tokenizer

ROOT = Path(__file__).parents[2]
CAPTIONS = [
    f"a {colour} {thing} {relation} a {other} cube, in the snow"
    for colour in ("red", "green", "blue")
    for thing in ("cone", "ball", "astronaut", "hedgehog")
    for relation in ("on top of", "left of", "riding")
    for other in ("yellow", "golden")
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tokenizer") / "made" / "here"


@pytest.fixture(scope="module")
def tokenizer(folder):
    return make_tokenizer(CAPTIONS, folder, vocab_size=620, length=20)


def contents(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_layout_is_clips(tokenizer):
    assert len(tokenizer) <= 620
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|startoftext|>", "<|endoftext|>")
    assert tokenizer.bos_token_id == len(tokenizer) - 2
    assert tokenizer.eos_token_id == len(tokenizer) - 1  # the highest, as older poolings expect
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    assert tokenizer.model_max_length == 20
    assert sorted(tokenizer.get_vocab().values()) == list(range(len(tokenizer)))
    # the published vocabulary begins "!", '"', "#" and its 256th id is "!</w>"
    first = tokenizer.convert_ids_to_tokens([0, 1, 255, 256, 511])
    assert first == ["!", '"', "Ń", "!</w>", "Ń</w>"]


def test_round_trip(tokenizer):
    ids = tokenizer(CAPTIONS[0]).input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == CAPTIONS[0].replace(",", " ,")
    assert len(tokenizer("a red cube").input_ids) == 5  # frequent words are one token each
    foreign = "a žluťoučký 猫 & 7 robots"
    ids = tokenizer(foreign).input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == foreign
    assert tokenizer("A RED\n  CUBE").input_ids == tokenizer("a red cube").input_ids


def test_merging_agrees_with_the_algorithm_done_by_hand(tokenizer, folder):
    """Sennrich et al. 2016: always the earliest learned pair; in plain Python on merges.txt."""
    lines = (folder / "merges.txt").read_text().splitlines()
    rank = {tuple(line.split()): i for i, line in enumerate(lines) if not line.startswith("#")}
    vocabulary = json.loads((folder / "vocab.json").read_text())
    for word in ("astronaut", "yellowish", "red", "zebra", "x"):
        parts = [*word[:-1], word[-1] + "</w>"]
        while pairs := [pair for pair in pairwise(parts) if pair in rank]:
            best, i = min(pairs, key=rank.__getitem__), 0
            while i < len(parts) - 1:
                if (parts[i], parts[i + 1]) == best:
                    parts[i : i + 2] = ["".join(best)]
                i += 1
        assert tokenizer(word).input_ids[1:-1] == [vocabulary[part] for part in parts]


def test_called_as_diffusers_does(tokenizer):
    prompts = ["a red cube", "a hedgehog " * 50]
    call = {"padding": "max_length", "max_length": tokenizer.model_max_length, "truncation": True}
    ids = tokenizer(prompts, **call, return_tensors="pt").input_ids
    assert ids.shape == (2, 20)
    assert (ids[:, 0] == tokenizer.bos_token_id).all()
    assert ids[0, 4:].tolist() == [tokenizer.eos_token_id] * 16
    assert ids[1, -1] == tokenizer.eos_token_id and ids[1, -2] < tokenizer.bos_token_id


def test_opened_again_it_agrees(tokenizer, folder):
    from transformers import AutoTokenizer, CLIPTokenizer

    for opened in (CLIPTokenizer.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)):
        assert type(opened).__name__.startswith("CLIPTokenizer")
        assert opened.model_max_length == 20
        assert opened.eos_token_id == opened.pad_token_id == tokenizer.eos_token_id
        for text in [*CAPTIONS, "", "<|endoftext|>", "it's 1,234 déjà-vu 猫!?"]:
            assert opened(text).input_ids == tokenizer(text).input_ids


def test_the_older_files_say_the_same(tokenizer, folder, tmp_path):
    from transformers import CLIPTokenizer

    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    opened = CLIPTokenizer.from_pretrained(tmp_path)
    for text in [*CAPTIONS, "it's 1,234 déjà-vu 猫!?"]:
        assert opened(text).input_ids == tokenizer(text).input_ids


def test_clips_text_tower_pools_at_the_end(tokenizer):
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=20,
        num_attention_heads=2,
        eos_token_id=tokenizer.eos_token_id,
        **sizes,
    )
    ids = tokenizer(["a red cube"], padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        out = CLIPTextModel(config).eval()(ids)
    assert torch.equal(out.pooler_output[0], out.last_hidden_state[0, 4])


def test_same_captions_same_bytes_in_any_order_and_process(tmp_path):
    """Other processes have other hash seeds; ties between pairs must not depend on them."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnop0123é", k=rng.randint(1, 6))) for _ in range(400)]
    captions = [" ".join(rng.sample(words, 6)) for _ in range(300)]
    script = (
        "import sys; from pathlib import Path\n"
        "from limner.training._tokenizer import make_tokenizer\n"
        "make_tokenizer(sys.stdin.read().splitlines(), Path(sys.argv[1]), 900)"
    )
    make_tokenizer(captions, tmp_path / "here", 900)
    subprocess.run(
        [sys.executable, "-c", script, tmp_path / "there"],
        input="\n".join(rng.sample(captions, len(captions))),
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_bad_input_is_named(tmp_path):
    with pytest.raises(BadInput, match="no captions"):
        make_tokenizer([], tmp_path)
    with pytest.raises(BadInput, match="vocab_size is 500; at least 514"):
        make_tokenizer(CAPTIONS, tmp_path, vocab_size=500)
    with pytest.raises(BadInput, match="length is 2"):
        make_tokenizer(CAPTIONS, tmp_path, length=2)
    assert not list(tmp_path.iterdir())
