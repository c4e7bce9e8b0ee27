"""The studio as the API and the page see it: jobs go in, pictures come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from limner.errors import BadInput
from limner.studio import Job
from limner.studio.crew import Crew
from limner.studio.forms import forms
from limner.studio.gallery import Gallery
from limner.studio.queue import Queue
from limner.studio.store import Store
from limner.studio.uploads import cleaned

__all__ = ["Studio"]

Upload = bytes | Sequence[bytes]


class Studio:
    """A data folder, the process that paints, and what they can be asked.

    folder:  where all of it is kept
    models:  folders and hub ids of further models that clients may name
    most:    how many jobs may wait
    at:      called at named points, see `limner.studio.store.POINTS`
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        models: Sequence[str] = (),
        most: int = 256,
        at: Callable[[str], None] = lambda point: None,
    ) -> None:
        from limner.studio._models import aliases

        self.store = Store(folder, at)
        self.queue = Queue(self.store, most)
        self.gallery = Gallery(self.store)
        self.crew = Crew(self.store, self.queue, models=models, at=at)
        self.models = aliases(models)
        self.forms = forms(list(self.models))
        self._held = ExitStack()

    def open(self) -> None:
        """Takes the folder, puts back what a dead server ran, starts the worker. Raises BadInput
        where another server has it."""
        self._held.enter_context(self.store.locked())
        try:
            self.queue.recover()
            self.crew.start()
        except BaseException:
            self._held.close()
            raise

    def close(self, within: float = 30.0) -> None:
        """Lets the running job end within so many seconds, or puts it back."""
        self.crew.stop(within)
        self.store.close()
        self._held.close()

    def submit(
        self,
        task: str,
        said: Mapping[str, Any],
        uploads: Mapping[str, Upload] | None = None,
        repeat: str | None = None,
    ) -> Job:
        """Checks a request, keeps its pictures, and puts it in the queue, on disk.

        Args:
            task: a name in `forms`
            said: its fields
            uploads: the files of its pictures by parameter, of some parameters several
            repeat: an Idempotency-Key: said again, it gives the first job

        Raises BadInput, QueueFull and NoSpace; nothing is kept then.
        """
        form = self.forms.get(task)
        if form is None:
            raise BadInput(f"no task {task[:40]!r}: choose one of {', '.join(self.forms)}")
        if repeat is not None and (known := self.queue.repeated(repeat)) is not None:
            return known
        arguments = form.checked(said)
        files = {name: _listed(data) for name, data in (uploads or {}).items()}
        form.check_uploads({name: len(each) for name, each in files.items()}, arguments)
        clean = {name: [_clean(task, name, data) for data in each] for name, each in files.items()}
        for name, each in clean.items():
            for _, size in each:
                form.check_sizes({name: size}, arguments)
        pictures, shape = form.pictures(arguments), form.shape(arguments)
        kept: list[str] = []
        try:
            for name, each in clean.items():
                names = [self.store.write_upload(png) for png, _ in each]
                kept += names
                arguments[name] = names if name in form.several else names[0]
            job = self.queue.accept(task, arguments, shape=shape, pictures=pictures, repeat=repeat)
        except BaseException:
            self._forget(kept)
            raise
        self.crew.wake()
        return job

    def _forget(self, names: Sequence[str]) -> None:
        for name in names:
            with suppress(OSError):
                self.store.upload(name).unlink()


def _listed(data: Upload) -> list[bytes]:
    return [data] if isinstance(data, bytes) else list(data)


def _clean(task: str, name: str, data: bytes) -> tuple[bytes, tuple[int, int]]:
    kind = "map" if (task, name) == ("map", "picture") else "picture"
    try:
        return cleaned(data, "mask" if name == "mask" else kind)
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from None
