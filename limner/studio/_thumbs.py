"""Small copies of pictures for lists of them, made once and kept."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from limner.errors import BadInput
from limner.picture import from_uint8, load
from limner.studio._disk import NoSpace, write_files
from limner.studio.store import SIDES, NotFound, Store

__all__ = ["thumbnail"]


def thumbnail(store: Store, file: Path, side: int) -> bytes:
    """A WebP of the picture in this file, no side of it over the least of 128, 256 and 512 that is
    not below `side`; never larger than the picture. Raises NotFound where the file is gone."""
    bound = next((each for each in SIDES if each >= side), SIDES[-1])
    kept = store.thumb(file.stem, bound)
    with suppress(OSError):
        return kept.read_bytes()
    try:
        picture = load(file)
    except BadInput:
        raise NotFound("the picture's file is missing or broken") from None
    image = picture.image()
    image.thumbnail((bound, bound), Image.Resampling.LANCZOS)
    small = from_uint8(np.asarray(image), recipe=picture.recipe)
    data = small.bytes("WEBP", recipe=False)  # keeps the mark of what a model made
    with suppress(NoSpace, OSError):  # what could be made again is not worth a refusal
        write_files(store.thumbs, {kept.name: data})
    return data
