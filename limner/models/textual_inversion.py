"""Words that others have learned (Gal et al. 2022, "An Image is Worth One Word"): `.safetensors`
with the embeddings (n, d) of a word's n tokens.

Diffusers' files name the tensor by the word (`<cat-toy>`), those of A1111 call it `emb_params` and
are named by the word themselves. In a prompt the word stands for all of its tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.models import _folder
from limner.models.diffusers import Parts

__all__ = ["is_word", "with_word"]

_NAMELESS = "emb_params"
_TABLE = "embeddings.token_embedding.weight"


def is_word(tensors: Mapping[str, Tensor]) -> bool:
    """Whether a file with these tensors is a learned word."""
    return len(tensors) == 1 and all(0 < tensor.ndim <= 2 for tensor in tensors.values())


def with_word(parts: Parts, file: str | Path) -> Parts:
    """The parts with one word more. Raises BadInput for one of another model, or known already."""
    path = Path(file).expanduser()
    ((name, vectors),) = _folder.tensors([path]).items()
    word = path.stem if name in (_NAMELESS, "*") else name
    vectors = vectors[None] if vectors.ndim == 1 else vectors
    table = parts.text.get(_TABLE)
    if table is None or vectors.shape[1] != table.shape[1] or not vectors.is_floating_point():
        width = "none" if table is None else table.shape[1]
        raise BadInput(
            f"{str(path)!r} holds {tuple(vectors.shape)} {vectors.dtype} for a word, the model's "
            f"words have {width} numbers: it is for another model"
        )
    if not 1 <= len(vectors) <= parts.tokenizer.room:
        raise BadInput(f"{str(path)!r} holds {len(vectors)} tokens: give 1 to a window's room")
    first = len(table)
    tokenizer = parts.tokenizer.with_word(word, range(first, first + len(vectors)), path)
    return replace(
        parts,
        text=parts.text | {_TABLE: torch.cat([table.float(), vectors.float()])},
        text_config=parts.text_config | {"vocab_size": first + len(vectors)},
        tokenizer=tokenizer,
        files=(*parts.files, path),
    )
