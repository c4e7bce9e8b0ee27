"""The room in which things are given places: boxes, drawn or typed, and what comes of them."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import gradio as gr

from limner.errors import BadInput
from limner.studio._page_bench import QUIET, Bench, Room, bench, room, wire
from limner.studio._page_html import painted
from limner.studio._page_run import pictures_of
from limner.studio._page_theme import script

if TYPE_CHECKING:
    from limner.studio import Job
    from limner.studio.studio import Studio

__all__ = ["layout_room"]

_FRONT = (("prompt", "boxes"), ("count", "size"), ("seed",))


def layout_room(studio: Studio) -> tuple[Room, Bench]:
    """The room and its form; what is drawn is written into the form's field, and the other way."""
    with gr.Row(elem_classes=["room"]):
        with gr.Column(elem_classes=["controls"], scale=0):
            own = bench(studio, "layout", front=_FRONT, lines=2)
        with gr.Column(elem_classes=["seen", "two"]):
            drawn = gr.HTML(
                "",
                html_template='<div class="boxes"><p class="facts">Draw boxes, and say what is in '
                'each</p><div class="sheet-frame"><p class="boxes-hint">Drag here to draw a box</p>'
                '<div class="sheet-of-boxes"></div></div></div>',
                js_on_load=script("page_boxes.js"),
                apply_default_css=False,
                elem_id="boxes",
            )
            place = room(
                "layout",
                "Nothing painted yet",
                "Draw boxes, describe the whole, press Paint.",
                _view,
            )
    boxes = own.controls["boxes"].part
    drawn.drawn(None, drawn, boxes, js="(value) => value", api_visibility="private")
    # By way of the server: what a script alone has written to it, HTML does not watch.
    typed = [boxes.input, boxes.blur]  # type: ignore[attr-defined]
    gr.on(typed, _same, boxes, drawn, trigger_mode="always_last", **QUIET)
    wire(studio, own, place)
    return place, own


def _same(text: str) -> str:
    return text


def _view(studio: Studio, job: Job) -> str:
    """The pictures, with the boxes over them while the pointer is there or the switch is on."""
    from limner.tasks._regions import boxes_of

    try:
        found = boxes_of(str(job.arguments.get("boxes", "")))
    except BadInput:
        found = []
    marks = "".join(
        f'<i class="mark" style="left:{x0:.1%};top:{y0:.1%};width:{x1 - x0:.1%};'
        f'height:{y1 - y0:.1%}"><b>{escape(words)}</b></i>'
        for words, (x0, y0, x1, y1) in found
    )
    shown = painted(pictures_of(studio, job))
    switch = '<label class="switch"><input type="checkbox" checked>Show the boxes</label>'
    return f'<div class="marked">{switch}{_with_marks(shown, marks)}</div>'


def _with_marks(shown: str, marks: str) -> str:
    """Each picture with the marks over it."""
    head, *figures = shown.split("<img ")
    parts = [head]
    for figure in figures:
        image, rest = figure.split(">", 1)
        parts.append(f'<span class="under-marks"><img {image}>{marks}</span>{rest}')
    return "".join(parts)
