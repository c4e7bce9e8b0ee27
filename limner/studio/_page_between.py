"""The room that paints what lies between two pictures, two prompts or two noises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from limner.studio._page_bench import Bench, Room, bench, room, wire
from limner.studio._page_easel import chosen, pile
from limner.studio._page_html import empty, file_of, thumbnail_of
from limner.studio._page_run import pictures_of

if TYPE_CHECKING:
    from limner.studio import Job
    from limner.studio.studio import Studio

__all__ = ["between_room"]

_FRONT = (("space", "a", "b"), ("frames",), ("prompt",), ("seed",))
_SPACE = "words"  # what the room begins with: two prompts are all that it needs


def between_room(studio: Studio) -> tuple[Room, Bench]:
    """The room and its form."""
    held: list[gr.HTML] = []

    def piles() -> None:
        held.append(pile("Or pictures: the first", False, "between-a"))
        held.append(pile("and the last", False, "between-b"))

    with gr.Row(elem_classes=["room"]):
        with gr.Column(elem_classes=["controls"], scale=0):
            own = bench(
                studio,
                "interpolate",
                front=_FRONT,
                press="Interpolate",
                under=piles,
                start={"space": _SPACE},
                lines=2,
            )
        with gr.Column(elem_classes=["seen"]):
            place = room(
                "interpolate",
                "Nothing in between yet",
                "Write two prompts; or choose two pictures, and the space clip.",
                _view,
            )

    def read(a: Any, b: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return {}, {"a": (chosen(a) or [""])[0], "b": (chosen(b) or [""])[0]}

    wire(studio, own, place, beside=held, read=read)
    return place, own


def _view(studio: Studio, job: Job) -> str:
    """One frame at a time, large, and a bar to go through them; below it all of them."""
    kept = pictures_of(studio, job)
    frames = kept[:-1] if len(kept) > 2 else kept  # the last is the sheet
    if not frames:
        return empty("Not in the gallery any more", "Its pictures were deleted.", "interpolate")
    middle = len(frames) // 2
    large = "".join(
        f'<img class="frame{" is-shown" if place == middle else ""}" src="{file_of(each.id)}" '
        f'alt="Frame {place + 1} of {len(frames)}">'
        for place, each in enumerate(frames)
    )
    small = "".join(
        f'<button type="button" data-do="open" data-id="{each.id}" aria-label="Show frame '
        f'{place + 1}"><img src="{thumbnail_of(each.id, 128)}" alt=""></button>'
        for place, each in enumerate(frames)
    )
    return (
        f'<figure class="one frames">{large}</figure>'
        f'<label class="scrub"><span class="facts">From the first to the last</span>'
        f'<input type="range" data-frames min="0" max="{len(frames) - 1}" value="{middle}" '
        f'aria-label="Frame"></label><div class="strip all-frames">{small}</div>'
    )
