"""The room in which a picture is changed: masked with a brush, widened, varied, enlarged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from limner.studio._page_bench import QUIET, Bench, Room, bench, room, wire
from limner.studio._page_easel import chosen, easel, mask_of

if TYPE_CHECKING:
    from limner.studio.studio import Studio

__all__ = ["Edit", "edit_room"]

# The tasks that change one picture: what they are called here, and what is seen of each at once.
_WAYS: dict[str, tuple[str, tuple[tuple[str, ...], ...]]] = {
    "inpaint": ("Inpaint", (("prompt",), ("count", "strength"), ("seed",))),
    "outpaint": ("Outpaint", (("prompt",), ("left", "right"), ("top", "bottom"), ("seed",))),
    "restyle": ("Restyle", (("prompt",), ("strength", "count"), ("seed",))),
    "vary": ("Vary", (("prompt",), ("keep", "count"), ("seed",))),
    "upscale": ("Upscale", ((), ("by", "to"), ("detail",))),
    "textdiff": ("Swap words", (("before", "after"), ("amount",), ("words",))),
    "edit": ("By a text", (("text",), ("method",), ("strength", "steps"), ("seed",))),
}
_PRESS = {"textdiff": "Swap", "edit": "Edit"}  # on the button, where it is not what it is called
_MASKED = {"inpaint", "edit"}


@dataclass(frozen=True)
class Edit:
    """The room's components; `touched` are those that other rooms may change."""

    place: Room
    benches: dict[str, Bench]
    way: gr.Radio
    easel: gr.HTML
    folds: dict[str, gr.Column]

    @property
    def touched(self) -> list[Any]:
        return [self.way, self.easel, *self.folds.values()]

    def given(self, id: str, task: str = "") -> dict[Any, Any]:
        """The easel with a picture of the gallery on it."""
        shown: dict[Any, Any] = {self.easel: gr.HTML(value={"picture": id, "mask": ""})}
        if not task:
            return shown
        changed = self.showing(task)
        classes = ["is-masking"] if task in _MASKED else []
        both = gr.HTML(value={"picture": id, "mask": ""}, elem_classes=classes)
        return changed | {self.easel: both}

    def showing(self, task: str) -> dict[Any, Any]:
        """The room with the form of a task; nothing for a task that is asked for elsewhere."""
        if task not in self.benches:
            return {}
        classes = ["is-masking"] if task in _MASKED else []
        folds = {fold: gr.Column(visible=name == task) for name, fold in self.folds.items()}
        return {self.way: task, self.easel: gr.HTML(elem_classes=classes), **folds}


def edit_room(studio: Studio) -> Edit:
    """The room: how, and its form, on the left; the picture and what comes of it beside."""
    ways = {task: way for task, way in _WAYS.items() if task in studio.forms}
    first = next(iter(ways))
    benches, folds = dict[str, Bench](), dict[str, gr.Column]()
    with gr.Row(elem_classes=["room"]):
        with gr.Column(elem_classes=["controls"], scale=0):
            way = gr.Radio(
                [(called, task) for task, (called, _) in ways.items()],
                value=first,
                label="What to do",
                elem_classes=["ways"],
            )
            for task, (called, front) in ways.items():
                with gr.Column(visible=task == first, elem_classes=["fold"]) as folds[task]:
                    gr.HTML(
                        f'<p class="lead">{studio.forms[task].summary}</p>', apply_default_css=False
                    )
                    benches[task] = bench(
                        studio, task, front=front, press=_PRESS.get(task, called), lines=2
                    )
        with gr.Column(elem_classes=["seen"]):
            board = easel("Picture to change", brush=True, elem_id="easel")
            place = room("edit", "Nothing changed yet", "Choose a picture and say what to change.")
    made = Edit(place, benches, way, board, folds)
    for task, own in benches.items():
        _wire(studio, made, task, own)
    way.input(made.showing, way, [way, board, *folds.values()], **QUIET)
    return made


def _wire(studio: Studio, made: Edit, task: str, own: Bench) -> None:
    uploads = studio.forms[task].uploads

    def read(board: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        pictures: dict[str, Any] = {"picture": chosen(board)}
        mask = mask_of(board) if task in _MASKED and "mask" in uploads else None
        return {}, pictures | ({"mask": mask} if mask else {})

    wire(studio, own, made.place, beside=[made.easel], read=read)
