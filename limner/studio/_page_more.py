"""The room for the tasks that have no room of their own: forms as they derive from signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from limner.studio._page_bench import QUIET, Bench, Room, bench, room, wire
from limner.studio._page_easel import chosen, pile
from limner.studio._page_fields import label_of

if TYPE_CHECKING:
    from limner.studio.studio import Studio

__all__ = ["More", "more_room"]

# What stands above a form's button, wherever a form has it.
_ABOVE = (
    "prompt", "text", "before", "after", "target", "source", "captions", "labels", "legend", "add",
    "remove",
)  # fmt: skip
_CALLED = {"paint": "Paint by search"}  # where another room is called as the task is


@dataclass(frozen=True)
class More:
    """The room's components; `touched` are those that other rooms may change."""

    place: Room
    benches: Mapping[str, Bench]
    which: gr.Dropdown
    folds: Mapping[str, gr.Column]

    @property
    def touched(self) -> list[Any]:
        return [self.which, *self.folds.values()]

    def showing(self, task: str) -> dict[Any, Any]:
        """The room with the form of a task; nothing for a task that is asked for elsewhere."""
        if task not in self.folds:
            return {}
        folds = {fold: gr.Column(visible=name == task) for name, fold in self.folds.items()}
        return {self.which: task, **folds}


def more_room(studio: Studio, elsewhere: Sequence[str]) -> More:
    """The room and its forms. elsewhere: tasks that have another room."""
    tasks = [task for task in studio.forms if task not in elsewhere]
    benches, folds, piles = dict[str, Bench](), dict[str, gr.Column](), dict[str, list[gr.HTML]]()
    with gr.Row(elem_classes=["room"]):
        with gr.Column(elem_classes=["controls"], scale=0):
            which = gr.Dropdown(
                [(_called(task), task) for task in tasks],
                value=tasks[0],
                label="Task",
                filterable=False,
            )
            for task in tasks:
                form = studio.forms[task]
                with gr.Column(visible=task == tasks[0], elem_classes=["fold"]) as folds[task]:
                    gr.HTML(f'<p class="lead">{form.summary}</p>', apply_default_css=False)
                    piles[task] = [
                        pile(label_of(name), name in form.several, f"{task}-{name}")
                        for name in form.uploads
                    ]
                    above = tuple(name for name in _ABOVE if name in form.fields.model_fields)
                    front = (above, ("count",), ("seed",))
                    benches[task] = bench(studio, task, front=front, press=_called(task), lines=2)
        with gr.Column(elem_classes=["seen"]):
            place = room("more", "Nothing here yet", "Choose a task; what it gives is shown here.")
    for task, own in benches.items():
        _wire(studio, place, task, own, piles[task])
    made = More(place, benches, which, folds)
    which.input(made.showing, which, made.touched, **QUIET)
    return made


def _called(task: str) -> str:
    return _CALLED.get(task) or label_of(task)


def _wire(studio: Studio, place: Room, task: str, own: Bench, piles: Sequence[gr.HTML]) -> None:
    form = studio.forms[task]

    def read(*held: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        pictures: dict[str, Any] = {}
        for name, value in zip(form.uploads, held):
            ids = chosen(value)
            if ids:
                pictures[name] = ids if name in form.several else ids[0]
        return {}, pictures

    wire(studio, own, place, beside=piles, read=read)
