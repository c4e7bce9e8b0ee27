"""What diffusers and transformers open and save, without their bars, remarks and traces of use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from limner.errors import BadInput

__all__ = ["open_part", "quiet", "save_tokenizer"]


@contextmanager
def quiet() -> Iterator[None]:
    """Inside, opening and saving leave stderr to limner."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    both = (of_diffusers, of_transformers)
    before = [(each.get_verbosity(), each.is_progress_bar_enabled()) for each in both]
    for each in both:
        each.set_verbosity_error()
        each.disable_progress_bar()
    try:
        yield
    finally:
        for each, (level, shown) in zip(both, before, strict=True):
            each.set_verbosity(level)
            if shown:
                each.enable_progress_bar()


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """A tokenizer in use remembers how it last cut and padded, and would write that down, too."""
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.save_pretrained(folder)


def open_part(kind: Any, folder: Path, part: str = "") -> Any:
    """A network of diffusers or transformers, from safetensors alone, or BadInput."""
    try:
        with quiet():
            return kind.from_pretrained(folder, subfolder=part, use_safetensors=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        told = str(error).splitlines()[0][:200]
        raise BadInput(
            f"no {kind.__name__} can be read from {str(folder / part)!r}: {told}"
        ) from None
