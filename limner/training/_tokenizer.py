"""An own vocabulary: byte-level BPE in the form that CLIP's tokenizer has.

Radford et al. 2021, section 2.4: lower-cased byte-pair encoding. The ids are laid out as in the
published one: 256 bytes, the same 256 ending a word ("a</w>"), one id a merge, <|startoftext|>,
<|endoftext|>. So <|endoftext|> is the highest id, and both ways in which CLIPTextModel looks for a
caption's end find it: the first position of `eos_token_id`, and the highest id of the row. Set
`eos_token_id=tokenizer.eos_token_id` in the text tower's configuration.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from limner.errors import BadInput

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

__all__ = ["make_tokenizer"]

WORD_END = "</w>"
START, END = "<|startoftext|>", "<|endoftext|>"
FIXED_IDS = 2 * 256 + 2  # every byte inside a word and at its end, and the two marks


def make_tokenizer(
    captions: Iterable[str],
    folder: Path,
    vocab_size: int = 2048,  # ids at most: 514 fixed ones, then merges, fewer if captions are few
    length: int = 48,  # tokens of a caption, start and end among them
) -> CLIPTokenizer:
    """Learn a vocabulary from captions and save it as a transformers folder.

    The same captions in any order give the same bytes. `len(tokenizer)` is the number of ids.
    Any text can be written: what is in no caption falls apart into bytes.

    Raises BadInput without captions, or when vocab_size or length leaves no room for words.
    """
    if vocab_size < FIXED_IDS:
        raise BadInput(
            f"vocab_size is {vocab_size}; at least {FIXED_IDS} are needed (all bytes, two marks)"
        )
    if length < 3:
        raise BadInput(f"length is {length}; at least 3 tokens are needed (start, one token, end)")
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())  # as published: 256 characters
    merges = _learn_merges(captions, letters, vocab_size - FIXED_IDS)
    endings = [letter + WORD_END for letter in letters]
    # Two merges may spell the same token; it has one id.
    merged = ["".join(pair) for pair in merges]
    tokens = list(dict.fromkeys([*letters, *endings, *merged, START, END]))
    tokenizer = CLIPTokenizer(
        vocab={token: i for i, token in enumerate(tokens)},
        merges=merges,  # type: ignore[arg-type]  # as BPE takes them; the hint is too narrow
        bos_token=START,
        eos_token=END,
        pad_token=END,
        unk_token=END,
        model_max_length=length,
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    tokenizer.backend_tokenizer.model.save(str(folder))  # for older programs
    return CLIPTokenizer.from_pretrained(folder)


def _learn_merges(captions: Iterable[str], letters: list[str], count: int) -> list[tuple[str, str]]:
    """The `count` most useful merges, best first; fewer where the captions have no more pairs."""
    from tokenizers import Tokenizer, models, trainers
    from transformers import CLIPTokenizer

    form = CLIPTokenizer().backend_tokenizer  # its rules of splitting: normaliser and pre-tokeniser
    learner = Tokenizer(models.BPE(end_of_word_suffix=WORD_END))
    learner.normalizer, learner.pre_tokenizer = form.normalizer, form.pre_tokenizer
    endings = [letter + WORD_END for letter in letters]
    trainer = trainers.BpeTrainer(
        vocab_size=2 * len(letters) + count,
        min_frequency=2,
        initial_alphabet=letters,
        # Ties are broken by id. Named here, the endings get theirs in this order, else in that of
        # a hash map, which differs from process to process.
        special_tokens=endings,
        end_of_word_suffix=WORD_END,
        show_progress=False,
    )
    seen = 0

    def counted() -> Iterable[str]:
        nonlocal seen
        for caption in captions:
            seen += 1
            yield caption

    learner.train_from_iterator(counted(), trainer)
    if not seen:
        raise BadInput("there are no captions; a vocabulary is learned from at least one")
    merges = json.loads(learner.to_str())["model"]["merges"]
    return [(left, right) for left, right in merges]
