"""One job, or several in one pass, painted: watched, shown and stopped while they are."""

from __future__ import annotations

import base64
import gc
import io
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.prompt import Notice
from limner.studio import Job
from limner.studio._models import Models
from limner.studio._wire import LOOKED, Outgoing
from limner.studio.forms import Form, Result
from limner.studio.store import is_id
from limner.tasks import Progress, Watch

if TYPE_CHECKING:
    from limner.picture import Picture
    from limner.tasks._side_by_side import Request

__all__ = ["Cancelled", "Painting", "is_out_of_memory", "recovered", "with_notices"]

_BETWEEN_PREVIEWS = 0.5  # seconds
_BETWEEN_LINES = 0.05
_SIDE, _QUALITY = 256, 80  # of a preview, a JPEG
_NO_MEMORY = re.compile(r"can't allocate memory|not enough memory|out of memory", re.IGNORECASE)


class Cancelled(BaseException):
    """Raised in a task's watcher; nothing that the task itself handles."""


class Painting:
    """What is cancelled and looked at, and the watchers that know of it.

    told:  where the server hears of progress
    at:    called after each step
    """

    def __init__(self, told: Outgoing, at: Callable[[], None] = lambda: None) -> None:
        self.told, self.at = told, at
        self._cancelled: set[str] = set()
        self._looked: dict[str, float] = {}  # until when
        self._lock = threading.Lock()

    def cancel(self, job: str) -> None:
        with self._lock:
            self._cancelled.add(job)

    def is_cancelled(self, job: str) -> bool:
        with self._lock:
            return job in self._cancelled

    def look(self, job: str) -> None:
        with self._lock:
            self._looked[job] = time.monotonic() + LOOKED

    def forget(self, job: str) -> None:
        with self._lock:
            self._cancelled.discard(job)
            self._looked.pop(job, None)

    def alone(self, job: Job, form: Form, models: Models) -> Result:
        """Raises Cancelled, and what the task raises."""
        said, uploads = _parted(job, form)
        with _noticed() as notices:
            result = form.run(said, uploads, self._watcher(job, _stop), models)
        return with_notices(result, notices)

    def request(self, job: Job, models: Models) -> tuple[Request, list[str]]:
        """A generate job as one of a pass, and what there was to warn of. Raises BadInput."""
        from limner.tasks._side_by_side import asked
        from limner.tasks._signature import hints
        from limner.tasks.generate import generate

        said = models.opened("generate", dict(job.arguments), hints(generate))
        if "guidance_interval" in said:
            said["guidance_interval"] = tuple(said["guidance_interval"])
        with _noticed() as notices:
            request = asked(said.pop("prompt"), **said)
        return request, notices

    def together(
        self, jobs: Sequence[Job], requests: Sequence[Request], drop: Callable[[Job], None]
    ) -> list[list[Picture] | None]:
        """The pictures of each, from one pass. One that is cancelled is dropped at once, and the
        others go on: it has None. Raises Cancelled where none is left."""
        from limner.tasks._side_by_side import paint_together

        left = {job.id for job in jobs}

        def out(job: Job) -> None:
            if job.id in left:
                left.remove(job.id)
                drop(job)
            if not left:
                raise Cancelled

        made = paint_together(requests, [self._watcher(job, out) for job in jobs])
        return [each if job.id in left else None for job, each in zip(jobs, made)]

    def _watcher(self, job: Job, cancelled: Callable[[Job], None]) -> Watch:
        """Tells the server of progress, with a preview where somebody looks; calls `cancelled`
        once the job is."""
        spoke = shown = 0.0
        over = False

        def watch(progress: Progress) -> None:
            nonlocal spoke, shown, over
            self.at()
            if over:  # the others of its pass go on
                return
            if self.is_cancelled(job.id):
                over = True
                return cancelled(job)
            now = time.monotonic()
            message: dict[str, Any] = {}
            if now - shown >= _BETWEEN_PREVIEWS and self._is_looked_at(job.id, now):
                shown, message = now, _preview(progress)
            last = progress.step == progress.total
            if message or last or now - spoke >= _BETWEEN_LINES:
                spoke = now
                message |= {"job": job.id, "step": progress.step, "total": progress.total}
                self.told.say(event="progress", **message)

        return watch

    def _is_looked_at(self, job: str, now: float) -> bool:
        with self._lock:
            return self._looked.get(job, 0.0) > now


@contextmanager
def _noticed() -> Iterator[list[str]]:
    """Collects what limner warns of, such as words that the model does not know."""
    notices: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", Notice)
        yield notices
    notices += dict.fromkeys(str(each.message) for each in caught)


def with_notices(result: Result, notices: Sequence[str]) -> Result:
    """The result with what there was to warn of, for the asker to see."""
    return replace(result, data=(result.data or {}) | {"notices": notices}) if notices else result


def _stop(job: Job) -> None:
    raise Cancelled


def _parted(job: Job, form: Form) -> tuple[dict[str, Any], dict[str, Path | list[Path]]]:
    """A job's arguments without its uploads, and these as files, by paths in the data folder."""
    said = dict(job.arguments)
    uploads: dict[str, Path | list[Path]] = {}
    for name in form.uploads:
        value = said.get(name)
        if isinstance(value, list) and all(_is_upload(each) for each in value):
            uploads[name] = [Path("uploads") / each for each in said.pop(name)]
        elif _is_upload(value):
            uploads[name] = Path("uploads") / said.pop(name)
    return said, uploads


def _is_upload(value: object) -> bool:
    return isinstance(value, str) and value.endswith(".png") and is_id(value.removesuffix(".png"))


def _preview(progress: Progress) -> dict[str, str]:
    """The first picture that is expected to come out, a small JPEG in base64."""
    pictures = progress.preview()
    if not pictures:
        return {}
    image = pictures[0].image()
    image.thumbnail((_SIDE, _SIDE))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_QUALITY)
    return {"preview": base64.b64encode(out.getvalue()).decode()}


def is_out_of_memory(error: Exception) -> bool:
    """Python's and torch's; of torch on a CPU only the words tell."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(str(error)))


def recovered(error: Exception) -> None:
    """Lets go of what a failed task held, so that the next one has it."""
    import torch

    error.__traceback__ = None
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
