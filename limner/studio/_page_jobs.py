"""The room that lists what was asked for, and lets it be cancelled or tried once more."""

from __future__ import annotations

import asyncio
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from limner.studio import FINAL, Job
from limner.studio._page_bench import QUIET, acting, line_of
from limner.studio._page_fields import label_of
from limner.studio._page_html import act, ago, empty, line, notice, seconds, thumbnail_of

if TYPE_CHECKING:
    from limner.studio.studio import Studio

__all__ = ["jobs_html", "jobs_room"]

_MOST = 60
_EVERY = 1.5  # seconds, while the room is open
_AGAIN = ("failed", "cancelled", "quarantined")
_STATES = {
    "queued": "Waiting",
    "running": "Painting",
    "done": "Done",
    "failed": "Did not work",
    "cancelled": "Cancelled",
    "quarantined": "Set aside",
}


def jobs_room(studio: Studio) -> tuple[gr.HTML, gr.Timer, Any]:
    """The list, the clock that keeps it new, and what writes it."""
    with gr.Column(elem_classes=["page-wide"]):
        gr.HTML(
            '<h1>Jobs</h1><p class="lead">What was asked for, from this page or another, and by '
            "programs. It is kept when the studio stops.</p>",
            apply_default_css=False,
        )
        note = gr.HTML("", apply_default_css=False, elem_classes=["note"])
        listed = acting("", elem_id="jobs-list")
    clock = gr.Timer(_EVERY, active=False)

    def refresh() -> str:
        return jobs_html(studio)

    async def done(event: gr.EventData) -> dict[Any, Any]:
        data = event._data
        try:
            if data.get("do") == "cancel":
                await asyncio.to_thread(studio.crew.cancel, data["id"])
            elif data.get("do") == "retry":
                await asyncio.to_thread(studio.queue.retry, data["id"])
                studio.crew.wake()
        except Exception as error:
            return {note: notice(line_of(error))}
        return {note: "", listed: await asyncio.to_thread(refresh)}

    clock.tick(refresh, None, listed, **QUIET)
    listed.act(done, None, [note, listed], trigger_mode="multiple", **QUIET)
    return listed, clock, refresh


def jobs_html(studio: Studio) -> str:
    """The newest first, with what can be done about each."""
    jobs = studio.queue.list(limit=_MOST)
    if not jobs:
        return empty(
            "No jobs yet", "Whatever you paint is listed here, while it waits and after.", "jobs"
        )
    typical = {task: studio.queue.typical(task) for task in {job.task for job in jobs}}
    counts = studio.queue.counts()
    told = " · ".join(
        f"{counts[state]} {_STATES[state].lower()}" for state in _STATES if counts.get(state)
    )
    rows = "".join(_row(studio, job, typical[job.task]) for job in jobs)
    return f'<p class="counts">{escape(told)}</p><ul class="jobs">{rows}</ul>'


def _row(studio: Studio, job: Job, typical: float | None) -> str:
    state = (
        "cancelling" if job.state == "running" and studio.queue.cancelling(job.id) else job.state
    )
    words = escape(_words(job))
    return (
        f'<li class="job is-{state}" data-job="{job.id}">{_seen(job)}'
        f'<div class="job-what"><p class="job-words" title="{words}">{words}</p>'
        f'<p class="job-told">{escape(_told(studio, job, typical))}</p></div>'
        f'<p class="job-state"><i class="dot"></i>{_STATES.get(state, "Stopping")}</p>'
        f'<div class="job-do">{_button(job, state)}</div></li>'
    )


def _seen(job: Job) -> str:
    if not job.pictures:
        return '<span class="job-seen"></span>'
    more = f"<b>{len(job.pictures)}</b>" if len(job.pictures) > 1 else ""
    source = thumbnail_of(job.pictures[0], 128)
    return (
        f'<button type="button" class="job-seen" data-do="open" data-id="{job.pictures[0]}" '
        f'aria-label="Show what was painted"><img src="{source}" alt="">{more}</button>'
    )


def _words(job: Job) -> str:
    for name in ("prompt", "text", "after", "subject", "target", "a"):
        said = job.arguments.get(name)
        if isinstance(said, str) and said and not said.endswith(".png"):
            return said
    return label_of(job.task)


def _told(studio: Studio, job: Job, typical: float | None) -> str:
    told = [label_of(job.task), ago(job.created)]
    live = studio.crew.live(job.id) if job.state == "running" else None
    if live and live.total:
        told.append(f"step {live.step} of {live.total}")
    if live and live.left is not None and live.step > 1:
        told.append(f"{seconds(live.left)} left")
    if job.state == "queued":
        place = studio.queue.place(job.id)
        told.append("next in line" if not place else f"{place} before it")
        told += [f"about {seconds(typical * (place + 1))}"] if typical else []
    if job.state in FINAL and job.started and job.finished:
        told.append(f"took {seconds(job.finished - job.started)}")
    if job.error:
        told.append(line(job.error.get("message", "")))
    return " · ".join(told)


def _button(job: Job, state: str) -> str:
    if state in ("queued", "running"):
        return act("cancel", "Cancel", id=job.id, look="plain")
    if state in _AGAIN:
        return act("retry", "Retry", id=job.id, look="plain")
    return ""
