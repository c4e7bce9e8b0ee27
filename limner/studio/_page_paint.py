"""The room in which words become pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from limner.studio._page_bench import Bench, Room, acting, bench, room, wire
from limner.studio._page_html import chips

if TYPE_CHECKING:
    from limner.studio.studio import Studio

__all__ = ["FRONT", "paint_room", "prompts_to_try"]

# Fields that are seen at once, row by row.
FRONT = (
    ("prompt",),
    ("negative",),
    ("count", "size"),
    ("seed",),
    ("steps", "guidance_scale"),
    ("sampler",),
    ("fast",),
)


def paint_room(studio: Studio) -> tuple[Room, Bench, gr.HTML]:
    """The room, its form, and its examples to click."""
    with gr.Row(elem_classes=["room"]):
        with gr.Column(elem_classes=["controls"], scale=0):
            own = bench(studio, "generate", front=FRONT)
        with gr.Column(elem_classes=["seen"]):
            place = room(
                "paint", "Nothing painted yet", "Describe something and press Paint, or try one:"
            )
            examples = acting(chips(prompts_to_try(), "Prompts to try"), elem_classes=["examples"])
    wire(studio, own, place)
    return place, own, examples


def prompts_to_try() -> list[str]:
    """One prompt of most kinds that the measure `compose` asks for."""
    from limner.measures._prompts import prompts

    found: dict[str, str] = {}
    for each in prompts():
        if len(each.words) <= 36:
            found.setdefault(each.kind, each.words)
    return list(found.values())[:6]
