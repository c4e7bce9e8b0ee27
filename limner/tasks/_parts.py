"""A work of several parts, of which a watcher is told as of one."""

from __future__ import annotations

from limner.tasks import Progress, Watch

__all__ = ["Parts"]


class Parts:
    """`Parts(watch, total).next(steps)` watches the next part, of so many steps."""

    def __init__(self, watch: Watch | None, total: int) -> None:
        self.watch, self.total, self.done = watch, total, 0

    def next(self, steps: int) -> Watch | None:
        """A watcher of the part that comes now; None where nobody watches."""
        watch, before = self.watch, self.done
        self.done += steps
        if watch is None:
            return None

        def onward(progress: Progress) -> None:
            watch(Progress(before + progress.step, self.total, progress.preview))

        return onward
