"""A task's form on the page, and the stage beside it on which its job is followed."""

from __future__ import annotations

import traceback
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import gradio as gr

from limner.errors import BadInput, LimnerError
from limner.studio._page_fields import Control, control, said_of
from limner.studio._page_html import empty, notice
from limner.studio._page_run import View, follow, shown, submitted, told
from limner.studio._page_theme import script

if TYPE_CHECKING:
    from gradio.components import Component

    from limner.studio.studio import Studio

__all__ = [
    "QUIET",
    "Bench",
    "Room",
    "acting",
    "bench",
    "line_of",
    "page_of",
    "resumes",
    "room",
    "wire",
]

# Of every event: none is part of an API (that is /api), none dims what it writes to, and none
# waits for another.
QUIET: dict[str, Any] = {
    "api_visibility": "private",
    "show_progress": "hidden",
    "concurrency_limit": None,
}
_MOST_FOLLOWED = 1000  # pages; the oldest is forgotten
# What most people leave alone, in this order, below what a room shows first.
_LAST = ("model", "adapter", "decoder", "precision", "first")


@dataclass(frozen=True)
class Room:
    """name: of its tab; stage: where jobs are seen; kept: the last job, which a reload finds."""

    name: str
    stage: gr.HTML
    kept: gr.BrowserState
    view: View
    blank: str
    _followed: OrderedDict[str, str] = field(default_factory=OrderedDict)

    async def follow(self, studio: Studio, job_id: str, page: str) -> AsyncIterator[str]:
        """The stage's HTML, until the job is final or the page follows another one here."""
        self._followed[page] = job_id
        while len(self._followed) > _MOST_FOLLOWED:
            self._followed.popitem(last=False)
        async for _, html in follow(studio, job_id, self.view):
            if self._followed.get(page) != job_id:
                return
            yield html


@dataclass(frozen=True)
class Bench:
    """A task's form: its controls by field, the button that starts it, and the line below that."""

    task: str
    controls: Mapping[str, Control]
    go: gr.Button
    note: gr.HTML

    @property
    def parts(self) -> list[Component]:
        return [each.part for each in self.controls.values()]


def acting(value: Any = "", **look: Any) -> gr.HTML:
    """HTML whose buttons become the event "act"."""
    return gr.HTML(value, js_on_load=script("page_acts.js"), apply_default_css=False, **look)


def room(name: str, title: str, hint: str, view: View = shown) -> Room:
    """The stage of a room; call it where the stage is to be."""
    blank = empty(title, hint, name)
    stage = acting(blank, elem_classes=["stage"], elem_id=f"{name}-stage")
    kept = gr.BrowserState("", storage_key=f"limner-{name}", secret="limner")
    return Room(name, stage, kept, view, blank)


def bench(
    studio: Studio,
    task: str,
    *,
    front: Sequence[Sequence[str]],
    press: str = "Paint",
    under: Callable[[], None] = lambda: None,
    start: Mapping[str, Any] = MappingProxyType({}),
    lines: int = 3,
) -> Bench:
    """Builds the form of a task.

    front: rows of fields that are seen at once; the first row stands above the button. All other
           fields are below, folded
    under: builds what stands between the first row and the button
    start: values that the room begins with, instead of the form's own
    """
    form = studio.forms[task]
    names = list(form.fields.model_fields)
    rows = [[name for name in row if name in names] for row in front]
    made: dict[str, Control] = {}
    for name in rows[0]:
        made[name] = control(form, name, lines=lines, info=False, elem_classes=["words"])
    under()
    go = gr.Button(press, variant="primary", elem_classes=["go"], elem_id=f"go-{task}")
    note = gr.HTML("", apply_default_css=False, elem_classes=["note"])
    for row in filter(None, rows[1:]):
        made |= _row(form, row)
    rest = [name for name in names if name not in made]
    rest.sort(key=lambda name: _LAST.index(name) if name in _LAST else -1)
    if rest:
        with gr.Accordion("More settings", open=False, elem_classes=["more"]):
            made |= {name: control(form, name) for name in rest}
    for name, value in start.items():
        made[name].part.value = value
    order = {name: made[name] for name in names}
    return Bench(task, order, go, note)


def _row(form: Any, names: Sequence[str]) -> dict[str, Control]:
    """Fields side by side; a seed comes with a button that throws dice."""
    with gr.Row(elem_classes=["fields", f"of-{len(names)}"]):
        made = {}
        for name in names:
            if name != "seed":
                made[name] = control(form, name, info=False, narrow=len(names) > 1)
                continue
            with gr.Row(elem_classes=["seed"]):
                made[name] = control(form, name, info=False)
                dice = gr.Button("Another seed", elem_classes=["dice"], min_width=40, scale=0)
                dice.click(
                    None,
                    None,
                    made[name].part,
                    js="() => Math.floor(Math.random() * 2 ** 32)",
                    api_visibility="private",
                )
    return made


def wire(
    studio: Studio,
    made: Bench,
    place: Room,
    *,
    beside: Sequence[Component] = (),
    read: Callable[..., tuple[dict[str, Any], dict[str, Any]]] = lambda *_: ({}, {}),
) -> None:
    """Lets the bench's button start a job that is followed on the room's stage.

    beside: further components; read: makes of their values fields and pictures. Raises BadInput
    """
    controls = list(made.controls.values())

    async def run(request: gr.Request, *values: Any) -> AsyncIterator[Any]:
        try:
            fields, pictures = read(*values[len(controls) :])
            said = said_of(controls, values) | fields
            check_missing(studio, made.task, said, pictures)
            job = await submitted(studio, made.task, said, pictures)
        except Exception as error:
            yield {made.note: notice(line_of(error))}
            return
        yield {made.note: "", place.kept: job.id}
        async for html in place.follow(studio, job.id, page_of(request)):
            yield {place.stage: html}

    made.go.click(
        run,
        [*made.parts, *beside],
        [place.stage, made.note, place.kept],
        trigger_mode="multiple",
        **QUIET,
    )


def check_missing(
    studio: Studio, task: str, said: Mapping[str, Any], pictures: Mapping[str, Any]
) -> None:
    """What the form would say, too, said as the page asks for it. Raises BadInput."""
    form = studio.forms[task]
    for name in form.needed:
        if name == "mask" and not pictures.get(name):
            raise BadInput("nothing is masked: brush over what is to be painted anew")
        if not pictures.get(name) and name not in said:
            words = ", or say it in words" if name in form.words else ""
            raise BadInput(f"choose a picture first{words}")
    for name, each in form.fields.model_fields.items():
        if each.is_required() and name not in said:
            raise BadInput(_ASKED.get(name, f"{name} is empty: fill it in"))


_ASKED = {
    "prompt": "describe what to paint first",
    "text": "describe what is to be seen first",
    "boxes": "draw a box first, or type one",
}


def line_of(error: Exception) -> str:
    if not isinstance(error, LimnerError):
        traceback.print_exception(error)
    return told(error)


def page_of(request: gr.Request) -> str:
    return str(request.session_hash)


def resumes(studio: Studio, place: Room) -> Callable[..., AsyncIterator[Any]]:
    """What a page does when it is loaded: the room's last job is found again."""

    async def resume(kept: str, request: gr.Request) -> AsyncIterator[Any]:
        yield place.blank
        if kept:
            async for html in place.follow(studio, str(kept), page_of(request)):
                yield html

    return resume
