"""Pieces of HTML of the page: pictures, progress, empty states, notices. All text is escaped."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from limner.studio._page_fields import label_of
from limner.studio.problems import without_paths

if TYPE_CHECKING:
    from limner.studio import Job
    from limner.studio.crew import Live
    from limner.studio.gallery import Kept

__all__ = [
    "Html",
    "act",
    "ago",
    "chips",
    "empty",
    "failed",
    "file_of",
    "icon",
    "line",
    "live_stage",
    "notice",
    "painted",
    "seconds",
    "table",
    "thumbnail_of",
    "tile",
]

# Drawn on 24 x 24 with a line 1.6 wide.
_ICONS = {
    "paint": "M4 20c3 0 5-1 5-4a2.5 2.5 0 0 1 5 0M13 14l7-10-10 7",
    "edit": "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
    "layout": "M4 4h9v7H4zM11 14h9v6h-9zM16 4h4v4h-4zM4 15h4v5H4z",
    "compare": "M4 5h7v14H4zM14 5h6v14h-6M14 12h6M14 5v14",
    "explain": "M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6",
    "interpolate": "M3 12a3 3 0 1 0 6 0 3 3 0 1 0-6 0M15 12a3 3 0 1 0 6 0 3 3 0 1 0-6 0M9 12h6",
    "more": "M5 5h5v5H5zM14 5h5v5h-5zM5 14h5v5H5zM16.5 13v7M13 16.5h7",
    "gallery": "M4 5h16v14H4zM4 16l5-5 4 4 3-2 4 4M15 9h.5",
    "jobs": "M9 6h11M9 12h11M9 18h11M4 6h1M4 12h1M4 18h1",
    "models": "M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9",
    "star": "M12 4l2.5 5.2 5.5.8-4 4 1 5.7-5-2.8-5 2.8 1-5.7-4-4 5.5-.8z",
    "save": "M12 4v11M7 11l5 5 5-5M5 20h14",
    "vary": "M4 8h10l-3-3M20 16H10l3 3",
    "again": "M19 12a7 7 0 1 1-2-5M19 4v4h-4",
    "alert": "M12 4l9 16H3zM12 10v5M12 17.5h.01",
    "open": "M5 12h13M13 7l5 5-5 5",
}

_COMMANDS = re.compile(r" \((?:limner [a-z]|--[a-z])[^()]*\)")


def icon(name: str) -> str:
    """A drawing that says what a word beside it says, too."""
    return (
        '<svg viewBox="0 0 24 24" width="18" height="18" fill="none" stroke="currentColor" '
        'stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">'
        f'<path d="{_ICONS[name]}"/></svg>'
    )


def act(
    do: str,
    text: str,
    /,
    *,
    id: str = "",
    go: str = "",
    look: str = "quiet",
    sign: str = "",
    **more: str,
) -> str:
    """A button. do: of the event "act" that it is; go: the room that is shown at once."""
    data = {"do": do, "id": id, "go": go, **more}
    said = "".join(f' data-{name}="{escape(value)}"' for name, value in data.items() if value)
    drawn = icon(sign) if sign else ""
    inner = f"{drawn}<span>{escape(text)}</span>"
    return f'<button type="button" class="act {look}"{said}>{inner}</button>'


def file_of(id: str, **asked: str) -> str:
    """Where a browser finds a picture of the gallery."""
    query = "&".join(f"{name}={value}" for name, value in asked.items())
    return f"/api/pictures/{id}/file" + (f"?{query}" if query else "")


def thumbnail_of(id: str, side: int = 256) -> str:
    return f"/api/pictures/{id}/thumbnail?side={side}"


def notice(text: str | None) -> str:
    """One plain line beside the control it is about; nothing for None."""
    if not text:
        return ""
    return f'<p class="notice" role="alert">{escape(line(text))}</p>'


def line(text: str) -> str:
    """A message as a sentence of the page: a command's options are called as its fields are, and
    what it says in brackets of a command line is left out."""
    told = _COMMANDS.sub("", " ".join(without_paths(text).split()))
    told = re.sub(r"(?<!\S)--([a-z][a-z-]*)", lambda m: label_of(m[1].replace("-", "_")), told)
    return told[:1].upper() + told[1:]


def empty(title: str, hint: str, sign: str = "gallery") -> str:
    """What stands where nothing is yet."""
    return (
        f'<div class="empty">{icon(sign)}<p class="empty-title">{escape(title)}</p>'
        f'<p class="empty-hint">{escape(hint)}</p></div>'
    )


def chips(texts: Iterable[str], label: str, do: str = "fill", go: str = "") -> str:
    """Words to click."""
    made = "".join(act(do, text, text=text, look="chip", go=go) for text in texts)
    return f'<div class="chips" role="group" aria-label="{escape(label)}">{made}</div>'


def live_stage(job: Job, live: Live | None, place: int, typical: float | None) -> str:
    """A job that waits or is painted: the last preview, how far it is, how long it takes."""
    step, total = (live.step, live.total) if live else (0, 0)
    share = round(100 * step / total) if total else 0
    if live and live.preview:
        data = base64.b64encode(live.preview).decode()
        seen = f'<img src="data:image/jpeg;base64,{data}" alt="Preview at step {step} of {total}">'
    else:
        seen = '<div class="blank" aria-hidden="true"></div>'
    told = _told(job, live, place, typical)
    return (
        f'<figure class="one is-live" data-job="{job.id}">{seen}</figure>'
        f'<div class="progress" role="progressbar" aria-label="Progress" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{share}"><i style="width:{share}%"></i></div>'
        f'<div class="told"><span aria-live="polite">{escape(told)}</span>'
        f"{act('cancel', 'Cancel', id=job.id, look='plain')}</div>"
    )


def _told(job: Job, live: Live | None, place: int, typical: float | None) -> str:
    if job.state == "queued":
        before = "next in line" if place == 0 else f"{place} before it"
        return f"Waiting, {before}" + (
            f" · about {seconds(typical * (place + 1))}" if typical else ""
        )
    if live is None or not live.total:
        return "Opening the model" + (f" · about {seconds(typical)} in all" if typical else "")
    # The first step opens what is needed: nothing can be told by it.
    left = f" · {seconds(live.left)} left" if live.left is not None and live.step > 1 else ""
    return f"Step {live.step} of {live.total}{left}"


def painted(pictures: Sequence[Kept], more: str = "") -> str:
    """What a job made, large; each with what can be done with it."""
    shape = "one" if len(pictures) == 1 else "several"
    figures = "".join(_figure(each) for each in pictures)
    return f'<div class="made {shape}">{figures}</div>{more}'


def _figure(kept: Kept) -> str:
    name = escape(kept.prompt or kept.task or "A picture")
    star = act(
        "favourite",
        "Favourite",
        id=kept.id,
        sign="star",
        look="quiet is-on" if kept.favourite else "quiet",
        on="" if kept.favourite else "1",
    )
    tools = (
        star
        + act("edit", "Edit", id=kept.id, go="edit", sign="edit")
        + act("vary", "Vary", id=kept.id, go="edit", sign="vary")
        + f'<a class="act quiet" href="{file_of(kept.id)}" download="limner-{kept.id}.png">'
        f"{icon('save')}<span>Save</span></a>"
    )
    return (
        f'<figure data-picture="{kept.id}"><img src="{file_of(kept.id)}" alt="{name}" '
        f'width="{kept.width}" height="{kept.height}"><figcaption>'
        f'<span class="facts">{escape(facts(kept))}</span><span class="tools">{tools}</span>'
        "</figcaption></figure>"
    )


def facts(kept: Kept) -> str:
    """What is known of a picture in a line."""
    said = (kept.recipe or {}).get("arguments") or {}
    known = [str(said["compare"])] if kept.task == "guide" and said.get("compare") else []
    known += [f"{kept.width} × {kept.height}"]
    known += [f"seed {kept.seed}"] if kept.seed is not None else []
    known += [seconds(kept.seconds)] if kept.seconds is not None else []
    return " · ".join(known)


def failed(job: Job) -> str:
    """Why there is no picture."""
    said = (job.error or {}).get("message", "")
    titles = {"cancelled": "Cancelled", "quarantined": "Set aside"}
    hint = said or "Nothing was painted. The settings are still here: press the button once more."
    return empty(titles.get(job.state, "This did not work"), line(hint), "alert")


def tile(kept: Kept, caption: str = "") -> str:
    """A picture of the gallery, small."""
    name = escape(kept.prompt or kept.task or "A picture")
    star = f'<i class="star">{icon("star")}</i>' if kept.favourite else ""
    told = f"<span>{escape(caption)}</span>" if caption else ""
    return (
        f'<li><button type="button" class="tile" data-do="open" data-id="{kept.id}" '
        f'title="{name}"><img loading="lazy" src="{thumbnail_of(kept.id)}" alt="{name}">'
        f"{star}{told}</button></li>"
    )


class Html(str):
    """A table's cell that is HTML already."""


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A column for each key that any row has a value for."""
    keys = list(dict.fromkeys(key for row in rows for key in row if row[key] is not None))
    if not keys:
        return ""
    head = "".join(f'<th scope="col">{escape(label_of(key))}</th>' for key in keys)
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(row.get(key))}</td>" for key in keys) + "</tr>"
        for row in rows
    )
    whole = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="scroll"><table>{whole}</table></div>'


def _cell(value: Any) -> str:
    if value is None or isinstance(value, Html):
        return value or ""
    return escape(f"{value:.3g}" if isinstance(value, float) else str(value))


def seconds(time_: float) -> str:
    """How long: 0.8 s, 12 s, 3 min."""
    if time_ < 10:
        return f"{max(time_, 0.1):.1f} s"
    return f"{time_:.0f} s" if time_ < 100 else f"{time_ / 60:.0f} min"


def ago(then: float) -> str:
    """How long ago: just now, 5 min ago, or the day."""
    past = time.time() - then
    if past < 60:
        return "just now"
    if past < 3600:
        return f"{past / 60:.0f} min ago"
    if past < 24 * 3600:
        return f"{past / 3600:.0f} h ago"
    return time.strftime("%d %b %Y", time.localtime(then)).lstrip("0")
