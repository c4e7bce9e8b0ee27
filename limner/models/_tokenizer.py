"""CLIP's tokenizer from a transformers folder, through the library `tokenizers` alone.

Transformers' own class does the same (a test holds the two together) and takes a second to import.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.models._bounds import check_json
from limner.models._folder import read_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

__all__ = ["MAX_WINDOWS", "Tokenizer", "clip_tokenizer", "open_tokenizer"]

# How CLIP splits text into words, from the published tokenizer.
_SPLIT = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|"
    r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
_END_OF_WORD = "</w>"
_FIRST, _LAST = "<|startoftext|>", "<|endoftext|>"
_CLIP_MERGES = Path(__file__).parents[1] / "embedded" / "words" / "merges.txt.gz"
_LONGEST_WORD = 200  # letters
# States of a longer prompt are windows side by side; more than these and the rest is cut (and
# `cut_words` names it): every one makes each step slower, and no model was trained on any but one.
MAX_WINDOWS = 8
_LONGEST = 100_000  # above this, model_max_length means "not said"


@dataclass(frozen=True)
class Tokenizer:
    """Text → ids. A window is `length` tokens, its start and end token among them.

    learned:  the ids that stand for a word added later, by the backend's one id of it
    """

    backend: Backend
    start: int
    end: int
    pad: int
    length: int
    learned: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    @property
    def room(self) -> int:
        """How many of a text's own tokens one window holds."""
        return self.length - 2

    def ids(self, text: str) -> list[int]:
        """The text's own tokens, without start and end."""
        ids = self.backend.encode(text, add_special_tokens=False).ids
        return [each for i in ids for each in self.learned.get(i, (i,))]

    def spans(self, text: str, windows: int = MAX_WINDOWS) -> list[tuple[int, int, int]]:
        """Of each token within these windows: from and to in the text, and its place among the
        states of windows side by side, each of which begins with a start token of its own."""
        found = self.backend.encode(text, add_special_tokens=False)
        often = [len(self.learned.get(i, (i,))) for i in found.ids]
        spans = [span for span, count in zip(found.offsets, often) for _ in range(count)]
        cut = [divmod(i, self.room) for i in range(min(len(spans), windows * self.room))]
        return [(a, b, k * self.length + 1 + i) for (a, b), (k, i) in zip(spans, cut)]

    def with_word(self, word: str, ids: Sequence[int], path: Path) -> Tokenizer:
        """One that knows a word more, which stands for these ids; `path` is where it is from.

        Raises BadInput for one that is known already, or cannot be a word.
        """
        from tokenizers import AddedToken
        from tokenizers import Tokenizer as Backend

        if not word.strip() or len(word) > _LONGEST_WORD:
            raise BadInput(f"{str(path)!r} calls its word {word[:60]!r}: rename it")
        if self.backend.token_to_id(word) is not None:
            raise BadInput(f"{str(path)!r} brings {word!r}, which is one already: rename it")
        backend = Backend.from_str(self.backend.to_str())
        backend.add_tokens([AddedToken(word)])
        own = backend.token_to_id(word)
        assert own is not None  # it was added just now
        return replace(self, backend=backend, learned={**self.learned, own: tuple(ids)})

    def windows(self, text: str) -> list[list[int]]:
        """The text's tokens, cut into windows that are not filled up; one at least."""
        ids = self.ids(text)
        return [ids[i : i + self.room] for i in range(0, max(len(ids), 1), self.room)]

    def filled(self, window: Sequence[int]) -> list[int]:
        """A window with its start, its end and padding: `length` ids."""
        ids = [self.start, *window, self.end]
        return ids + [self.pad] * (self.length - len(ids))

    def batch(self, texts: Sequence[str]) -> Tensor:
        """One window a text (b, length), cut where it is full."""
        return torch.tensor([self.filled(self.windows(text)[0]) for text in texts])

    def text(self, ids: Sequence[int]) -> str:
        """Ids back to words."""
        return self.backend.decode(list(ids)).replace(_END_OF_WORD, " ").strip()


def open_tokenizer(folder: Path, longest: int) -> Tokenizer:
    """From tokenizer.json, or vocab.json and merges.txt. `longest` is what the network takes.

    Raises BadInput when the files are missing or broken.
    """
    for file in ("tokenizer.json", "vocab.json"):
        check_json(folder / file)
    options = read_json(folder / "tokenizer_config.json", missing={})
    special = {**read_json(folder / "special_tokens_map.json", missing={}), **options}
    try:
        backend = _backend(folder, _token(special, "unk_token"))
    except BadInput:
        raise
    except Exception as error:  # the library raises plain Exceptions at broken files
        raise BadInput(f"the tokenizer in {str(folder)!r} is broken ({error})") from None
    backend.no_truncation()
    backend.no_padding()
    names = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>"}
    ids: dict[str, int] = {}
    for key in ("bos_token", "eos_token", "pad_token"):
        token = _token(special, key, names.get(key, "<|endoftext|>"))
        number = backend.token_to_id(token)
        if number is None:
            raise BadInput(f"the tokenizer in {str(folder)!r} lacks its {key} {token!r}")
        ids[key] = number
    said = options.get("model_max_length")
    length = int(said) if isinstance(said, (int, float)) and 3 <= said < _LONGEST else longest
    length = min(length, longest)
    return Tokenizer(backend, ids["bos_token"], ids["eos_token"], ids["pad_token"], length)


def _token(special: dict[str, Any], key: str, default: str = "<|endoftext|>") -> str:
    """A special token, which the files give as text or as {"content": text}."""
    said = special.get(key) or default
    return str(said["content"]) if isinstance(said, dict) else str(said)


def _backend(folder: Path, unknown: str) -> Backend:
    from tokenizers import Tokenizer as Backend

    if (folder / "tokenizer.json").is_file():
        return Backend.from_file(str(folder / "tokenizer.json"))
    if not (folder / "vocab.json").is_file() or not (folder / "merges.txt").is_file():
        raise BadInput(
            f"no tokenizer in {str(folder)!r}: needs tokenizer.json, or vocab.json with merges.txt"
        )
    return _from_vocabulary(folder, unknown)


def clip_tokenizer(length: int, pad: str = _LAST) -> Tokenizer:
    """CLIP's own, which comes with limner. Stable Diffusion 2.x pads with "!", its first token."""
    text = gzip.decompress(_CLIP_MERGES.read_bytes()).decode()
    merges = [(first, second) for first, second in map(str.split, text.splitlines())]
    letters = _letters()
    tokens = letters + [letter + _END_OF_WORD for letter in letters]
    tokens += ["".join(merge) for merge in merges] + [_FIRST, _LAST]
    ids = {token: i for i, token in enumerate(tokens)}
    return Tokenizer(_of(ids, merges, _LAST), ids[_FIRST], ids[_LAST], ids[pad], length)


def _letters() -> list[str]:
    """A letter for each byte, in CLIP's order: first those bytes that print as themselves."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = 256 - len(shown)  # these have the letters from U+0100 on
    return [chr(byte) for byte in shown] + [chr(256 + i) for i in range(hidden)]


def _from_vocabulary(folder: Path, unknown: str) -> Backend:
    from tokenizers import models

    vocabulary, merges = models.BPE.read_file(
        str(folder / "vocab.json"), str(folder / "merges.txt")
    )
    return _of(vocabulary, merges, unknown)


def _of(vocabulary: dict[str, int], merges: list[tuple[str, str]], unknown: str) -> Backend:
    from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
    from tokenizers import Tokenizer as Backend

    backend = Backend(
        models.BPE(
            vocabulary,
            merges,
            continuing_subword_prefix="",
            end_of_word_suffix=_END_OF_WORD,
            unk_token=unknown,
        )
    )
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    split = pre_tokenizers.Split(Regex(_SPLIT), behavior="removed", invert=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    known = [t for t in (_FIRST, _LAST) if t in vocabulary]
    backend.add_special_tokens([AddedToken(token, special=True) for token in known])
    return backend
