"""Words that others have learned (Gal et al. 2022, "An Image is Worth One Word"): `.safetensors`
with the embeddings (n, d) of a word's n tokens.

Diffusers' files name the tensor by the word (`<cat-toy>`), those of A1111 call it `emb_params` and
are named by the word themselves; so are those of XL, with one for each text encoder, `clip_l` and
`clip_g`. In a prompt the word stands for all of its tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.models import _folder
from limner.models._tokenizer import Tokenizer
from limner.models.diffusers import Parts, SecondText

__all__ = ["is_word", "with_word"]

_NAMELESS = "emb_params"
_XL = ("clip_l", "clip_g")  # of the first encoder and the second
_TABLE = "embeddings.token_embedding.weight"


def is_word(tensors: Mapping[str, Tensor]) -> bool:
    """Whether a file with these tensors is a learned word."""
    known = len(tensors) == 1 or set(tensors) == set(_XL)
    return known and all(0 < tensor.ndim <= 2 for tensor in tensors.values())


def with_word(parts: Parts, file: str | Path) -> Parts:
    """The parts with one word more. Raises BadInput for one of another model, or known already."""
    path = Path(file).expanduser()
    held = _folder.tensors([path])
    wanted = 1 if parts.second is None else 2
    if len(held) != wanted:
        raise BadInput(
            f"{str(path)!r} holds a word for {len(held)} text encoders, the model has {wanted}: "
            "it is for another model"
        )
    if len(held) == 2 and len({len(torch.atleast_2d(each)) for each in held.values()}) > 1:
        raise BadInput(
            f"{str(path)!r} holds different numbers of tokens for the two: it is damaged"
        )
    name = next(iter(held))
    word = path.stem if name in (_NAMELESS, "*", *_XL) else name
    first = held[_XL[0]] if parts.second else held[name]
    text, config, tokenizer = _told(
        parts.text, parts.text_config, parts.tokenizer, word, first, path
    )
    out = replace(parts, text=text, text_config=config, tokenizer=tokenizer)
    if parts.second is not None:
        second = parts.second
        more = _told(second.weights, second.config, second.tokenizer, word, held[_XL[1]], path)
        out = replace(out, second=SecondText(more[1], more[0], more[2], second.zeros))
    return replace(out, files=(*parts.files, path))


def _told(
    weights: dict[str, Tensor],
    config: dict[str, Any],
    tokenizer: Tokenizer,
    word: str,
    vectors: Tensor,
    path: Path,
) -> tuple[dict[str, Tensor], dict[str, Any], Tokenizer]:
    """A text encoder's weights, config and tokenizer with one word more."""
    vectors = torch.atleast_2d(vectors)
    table = weights.get(_TABLE)
    if table is None or vectors.shape[1] != table.shape[1] or not vectors.is_floating_point():
        width = "none" if table is None else table.shape[1]
        raise BadInput(
            f"{str(path)!r} holds {tuple(vectors.shape)} {vectors.dtype} for a word, the model's "
            f"words have {width} numbers: it is for another model"
        )
    if not 1 <= len(vectors) <= tokenizer.room:
        raise BadInput(f"{str(path)!r} holds {len(vectors)} tokens: give 1 to a window's room")
    begin = len(table)
    more = weights | {_TABLE: torch.cat([table.float(), vectors.float()])}
    # The end is named: configs from before 2023 leave it to be found as the highest id.
    told = {"vocab_size": begin + len(vectors), "eos_token_id": tokenizer.end}
    spoken = tokenizer.with_word(word, range(begin, begin + len(vectors)), path)
    return more, config | told, spoken
