"""transformers and diffusers, opening and saving without bars and remarks on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet"]


@contextmanager
def quiet() -> Iterator[None]:
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
