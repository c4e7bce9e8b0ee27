"""A request from the page on its way: submitted, followed with its previews, shown."""

from __future__ import annotations

import asyncio
import base64
import io
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from PIL import Image

from limner.errors import LimnerError
from limner.studio import FINAL, Job
from limner.studio._page_html import Html, failed, line, live_stage, painted, table
from limner.studio.problems import problem_of

if TYPE_CHECKING:
    from limner.studio.gallery import Kept
    from limner.studio.studio import Studio

__all__ = [
    "View",
    "again",
    "files_of",
    "follow",
    "is_words",
    "pictures_of",
    "shown",
    "submitted",
    "told",
]

View = Callable[["Studio", Job], str]  # a job that is done, as HTML

_POLLED = 0.5  # seconds between looks at a job that waits
_SMALL = 96  # pixels of a picture in a table


def told(error: Exception) -> str:
    """A line for people, whatever went wrong."""
    return problem_of(error).message


async def submitted(
    studio: Studio, task: str, said: Mapping[str, Any], pictures: Mapping[str, Any]
) -> Job:
    """The accepted job. pictures: by parameter, an id of the gallery, several, or a file's bytes.

    Raises LimnerError."""

    def submit() -> Job:
        return studio.submit(task, said, files_of(studio, pictures))

    return await asyncio.to_thread(submit)


def files_of(studio: Studio, pictures: Mapping[str, Any]) -> dict[str, Any]:
    """The bytes of pictures that are named by their ids."""

    def read(one: Any) -> Any:
        if isinstance(one, bytes):
            return one
        if isinstance(one, str):
            return studio.gallery.export(one)
        return [read(each) for each in one]

    return {name: read(each) for name, each in pictures.items() if each}


async def follow(studio: Studio, job_id: str, view: View) -> AsyncIterator[tuple[Job, str]]:
    """The job and how it looks, again and again until it is final. Nothing for no such job."""
    job = await asyncio.to_thread(studio.queue.get, job_id)
    if job is None:
        return
    typical = await asyncio.to_thread(studio.queue.typical, job.task)
    while job is not None and job.state == "queued":
        place = await asyncio.to_thread(studio.queue.place, job_id)
        yield job, live_stage(job, None, place, typical)
        await asyncio.sleep(_POLLED)
        job = await asyncio.to_thread(studio.queue.get, job_id)
    if job is None:
        return
    if job.state not in FINAL:
        yield job, live_stage(job, studio.crew.live(job_id), 0, typical)
        async for live in studio.crew.watch(job_id):
            if isinstance(live, Job):
                job = live
                break
            yield job, live_stage(job, live, 0, typical)
    yield job, await asyncio.to_thread(seen, studio, job, view)


def seen(studio: Studio, job: Job, view: View) -> str:
    """A final job."""
    return view(studio, job) if job.state == "done" else failed(job)


def pictures_of(studio: Studio, job: Job) -> list[Kept]:
    """Those of a job's pictures that are still in the gallery."""
    found = [studio.gallery.get(id) for id in job.pictures]
    return [kept for kept in found if kept is not None]


def shown(studio: Studio, job: Job) -> str:
    """The usual view: the pictures, and as a table what else a task found out."""
    return painted(pictures_of(studio, job), _results(studio, job))


def _results(studio: Studio, job: Job) -> str:
    """Lists of names and shares become rows; single values and notices lines."""
    result = job.result or {}
    given = job.arguments.get("pictures") or []
    rows: list[dict[str, Any]] = []
    for place, each in enumerate(result.get("results", [])):
        name = each.get("upload") or (given[place] if place < len(given) else "")
        rows += _rows(place + 1, each, _small(studio, name))
    lines = {name: value for name, value in result.items() if isinstance(value, (int, float))}
    notices = "".join(
        f'<p class="facts">{escape(line(each))}</p>' for each in result.get("notices", [])
    )
    return notices + table(rows) + table([lines] if lines else [])


def _rows(number: int, found: Mapping[str, Any], seen: Html | None) -> list[dict[str, Any]]:
    for name in ("captions", "labels"):
        if isinstance(found.get(name), Mapping):
            return [
                {"picture": None if place else seen or number, name[:-1]: text, "share": share}
                for place, (text, share) in enumerate(found[name].items())
            ]
    flat: dict[str, Any] = {"place": number, "picture": seen}
    for name, value in found.items():
        inner = value if isinstance(value, Mapping) else {name: value}
        flat |= {key: each for key, each in inner.items() if not isinstance(each, (list, dict))}
    flat.pop("upload", None)
    return [flat]


def _small(studio: Studio, name: str) -> Html | None:
    """An upload for a table; None where it is gone or never was."""
    try:
        image = Image.open(studio.store.upload(name)).convert("RGB") if name else None
    except OSError:
        return None
    if image is None:
        return None
    image.thumbnail((_SMALL, _SMALL))
    image.save(out := io.BytesIO(), "PNG")
    data = base64.b64encode(out.getvalue()).decode()
    return Html(f'<img class="given" src="data:image/png;base64,{data}" alt="The picture given">')


async def again(studio: Studio, kept: Kept) -> Job:
    """A new job with what a picture's job was told, and another seed. Raises LimnerError."""
    job = await asyncio.to_thread(studio.queue.get, kept.job) if kept.job else None
    if job is None:
        raise LimnerError("what it was painted with is not known here")
    form = studio.forms[job.task]
    files, said = dict[str, Any](), dict[str, Any]()
    for name, value in job.arguments.items():
        if name in form.uploads and not is_words(value):
            files[name] = _upload(studio, value)
        else:
            said[name] = value
    if "seed" in form.fields.model_fields:
        said["seed"] = random.randrange(2**32)
    return await submitted(studio, job.task, said, files)


def _upload(studio: Studio, name: str | Sequence[str]) -> Any:
    if isinstance(name, str):
        return studio.store.upload(name).read_bytes()
    return [studio.store.upload(each).read_bytes() for each in name]


def is_words(value: Any) -> bool:
    """Whether words stand where a picture may: they never end as an upload's name does."""
    return isinstance(value, str) and not value.endswith(".png")
