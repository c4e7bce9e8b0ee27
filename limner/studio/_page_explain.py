"""The room that shows where each word looked while a picture was painted."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from PIL import Image

from limner.errors import BadInput
from limner.studio._page_bench import Bench, Room, bench, room, wire
from limner.studio._page_easel import chosen, pile
from limner.studio._page_html import empty, file_of
from limner.studio._page_run import pictures_of

if TYPE_CHECKING:
    from limner.studio import Job
    from limner.studio.studio import Studio

__all__ = ["explain_room"]

_FRONT = (("subject",), ("size", "steps"), ("seed",))
_SHADE = (20, 18, 15)  # over what a word did not look at


def explain_room(studio: Studio) -> tuple[Room, Bench]:
    """The room and its form: words to paint, or a picture to look at."""
    with gr.Row(elem_classes=["room"]):
        with gr.Column(elem_classes=["controls"], scale=0):
            held: list[gr.HTML] = []
            own = bench(
                studio,
                "explain",
                front=_FRONT,
                press="Explain",
                under=lambda: held.append(pile("Or a picture", False, "explain-picture")),
                lines=2,
            )
        with gr.Column(elem_classes=["seen"]):
            place = room(
                "explain",
                "Nothing explained yet",
                "Say what to paint, or choose a picture, and see where each word looked.",
                _view,
            )

    def read(value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return {}, {"subject": (chosen(value) or [""])[0]}

    wire(studio, own, place, beside=held, read=read)
    return place, own


def _view(studio: Studio, job: Job) -> str:
    """The picture, the words to choose among, and the chosen word's map over it."""
    result, kept = job.result or {}, pictures_of(studio, job)
    words, maps = result.get("words") or [], result.get("maps") or []
    if not kept:
        return empty("Not in the gallery any more", "Its pictures were deleted.", "explain")
    if len(kept) > 1:
        source = file_of(kept[0].id)
    else:
        source = _source(studio, job)
    first = next((place for place, word in enumerate(words) if len(str(word)) > 2), 0)
    chips = "".join(
        f'<label class="act chip"><input type="radio" name="word-{job.id}" data-word="{place}"'
        f"{' checked' if place == first else ''}>{escape(str(word))}</label>"
        for place, word in enumerate(words)
    )
    layers = "".join(
        f'<img class="heat" data-word="{place}" src="{_heat(each)}" '
        f'alt="Where {escape(str(words[place]))} looked">'
        for place, each in enumerate(maps)
    )
    style = "".join(
        f'.looked:has([data-word="{place}"]:checked) .heat[data-word="{place}"]{{opacity:1}}'
        for place in range(len(maps))
    )
    whole = file_of(kept[-1].id)
    return (
        f'<div class="looked"><style>{style}</style><figure class="one"><span class="under-marks">'
        f'<img src="{source}" alt="{escape(str(result.get("prompt", "")))}">{layers}'
        "</span></figure>"
        f'<div class="chips looked-words" role="radiogroup" aria-label="Words">{chips}</div>'
        f'<details class="whole"><summary>All words and steps on one sheet</summary>'
        f'<img src="{whole}" alt="All words and steps"></details></div>'
    )


def _source(studio: Studio, job: Job) -> str:
    """A picture that was looked at and not painted is the job's upload."""
    name = str(job.arguments.get("subject", ""))
    if not name.endswith(".png"):
        return ""
    try:
        data = studio.store.upload(name).read_bytes()
    except OSError:
        return ""
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def _heat(shares: list[list[float]]) -> str:
    """A map (h, w) of shares as a shade that lies over the picture: what got most is clear."""
    values = np.asarray(shares, dtype=np.float32)
    if values.ndim != 2 or not values.size:
        raise BadInput("the maps cannot be read")
    low, high = float(values.min()), float(values.max())
    clear = (values - low) / (high - low) if high > low else np.zeros_like(values)
    inked = np.empty((*values.shape, 4), np.uint8)
    inked[..., :3] = _SHADE
    inked[..., 3] = ((1 - clear) * 215).round()
    out = io.BytesIO()
    Image.fromarray(inked).save(out, "PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
