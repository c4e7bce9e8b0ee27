"""Pictures as OpenAI's clients get them: in base64, or as an address of the gallery."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from limner.picture import Picture, from_bytes, load, resize
from limner.studio import Job
from limner.studio._v1_shapes import Answer, Drawn, event
from limner.studio.problems import Problem
from limner.tasks.generate import size_of

if TYPE_CHECKING:
    from limner.studio._desk import Desk

__all__ = ["Wanted", "completed", "drawn", "partial"]


@dataclass(frozen=True)
class Wanted:
    """How pictures are wanted.

    kind:    image_generation, image_edit or image_variation: what events are called after
    format:  PNG, JPEG or WEBP
    as_:     b64_json or url
    size:    that copies of another size are brought to, or None
    base:    what the server was called by: http://127.0.0.1:7860
    """

    kind: str
    format: str
    as_: str
    size: str | None
    base: str


def drawn(desk: Desk, job: Job, wanted: Wanted) -> Answer:
    """The whole answer of a job that is done."""
    pictures = [_drawn(desk, id, wanted) for id in job.pictures]
    return Answer(
        created=int(job.finished or time.time()),
        data=[each for each, _ in pictures],
        output_format=wanted.format.lower(),
        size=pictures[0][1] if pictures else "0x0",
        job=job.id,
    )


def _drawn(desk: Desk, id: str, wanted: Wanted) -> tuple[Drawn, str]:
    """One picture, and its size."""
    if wanted.as_ == "url":
        kept = desk.studio.gallery.get(id)
        if kept is None:
            raise Problem(404, "a picture of this job has been deleted")
        path = desk.keys.signed(f"/v1/pictures/{id}.{wanted.format.lower()}")
        return Drawn(url=wanted.base + path, id=id), f"{kept.width}x{kept.height}"
    data, size = _bytes(desk, id, wanted)
    return Drawn(b64_json=base64.b64encode(data).decode(), id=id), size


def _bytes(desk: Desk, id: str, wanted: Wanted) -> tuple[bytes, str]:
    """A file of the picture, and its size. A copy of another size is marked, and has no recipe:
    it would not make this copy."""
    picture = load(desk.studio.gallery.file(id))
    height, width = picture.pixels.shape[1:]
    wide, high = (width, height) if wanted.size is None else size_of(wanted.size)
    if (wide, high) == (width, height):
        return picture.bytes(wanted.format), f"{width}x{height}"
    copy = replace(picture, pixels=resize(picture.pixels, (high, wide)))
    return copy.bytes(wanted.format, recipe=False), f"{wide}x{high}"


def completed(desk: Desk, job: Job, wanted: Wanted) -> list[dict[str, Any]]:
    """The events of a job that is done, one for each picture."""
    made = int(job.finished or time.time())
    told = []
    for id in job.pictures:
        data, size = _bytes(desk, id, wanted)
        text = base64.b64encode(data).decode()
        kind = f"{wanted.kind}.completed"
        file = wanted.format.lower()
        told.append(event(kind, data=text, size=size, made=made, kind_of_file=file))
    return told


def partial(preview: bytes, wanted: Wanted, index: int) -> dict[str, Any]:
    """The event of a preview (JPEG): in the format that is wanted, marked as a model's work."""
    picture = Picture(from_bytes(preview).pixels, recipe={"task": "preview"})
    data = base64.b64encode(picture.bytes(wanted.format, recipe=False)).decode()
    height, width = picture.pixels.shape[1:]
    return event(
        f"{wanted.kind}.partial_image",
        data=data,
        size=f"{width}x{height}",
        made=int(time.time()),
        kind_of_file=wanted.format.lower(),
        index=index,
    )
