"""Where a picture is chosen: from disk, from the gallery, with a brush over it where one masks."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import gradio as gr

from limner.errors import BadInput
from limner.studio._page_html import icon
from limner.studio._page_theme import script
from limner.studio.uploads import cleaned

__all__ = ["Chosen", "chosen", "easel", "mask_of", "pile"]

_DATA = "data:image/png;base64,"
Chosen = dict[str, Any]

_FILE = (
    '<label class="act plain file">'
    '<input type="file" accept="image/png,image/jpeg,image/webp"{many}>'
    "<span>Choose {what}</span></label>"
)


def easel(label: str, *, brush: bool, elem_id: str) -> gr.HTML:
    """One picture; its value is what `chosen` and `mask_of` read."""
    tools = _BRUSH if brush else ""
    html = (
        f'<section class="easel" aria-label="{label}"><div data-part="choose" class="choose">'
        f'{icon("gallery")}<p class="empty-title">{label}</p>'
        f'<p class="empty-hint">Drop a picture here, or</p>{_FILE.format(many="", what="a file")}'
        '</div><div data-part="board" class="board" hidden><div class="paper">'
        f'<img data-part="picture" alt="{label}"><canvas data-part="canvas" '
        'aria-label="Mask: brush over what is to be painted anew"></canvas></div>'
        f'<div class="brushes">{tools}<span class="spring"></span>'
        '<span data-part="size" class="facts"></span>'
        '<button type="button" data-part="other" class="act plain"><span>Another picture</span>'
        '</button></div></div><p data-part="complaint" class="notice" role="alert" hidden></p>'
        '<div data-part="recent" class="recent" hidden><p class="facts">From the gallery</p>'
        '<div data-part="strip" class="strip"></div></div></section>'
    )
    return gr.HTML(
        {"picture": "", "mask": ""},
        html_template=html if brush else html.replace("<canvas ", "<canvas hidden "),
        js_on_load=script("page_easel.js"),
        apply_default_css=False,
        elem_id=elem_id,
        elem_classes=["is-masking"] if brush else None,
    )


_BRUSH = (
    '<span class="mask-tools"><button type="button" data-part="brush" class="act plain" '
    'aria-pressed="true"><span>Brush</span></button>'
    '<button type="button" data-part="eraser" class="act plain" aria-pressed="false">'
    "<span>Eraser</span></button>"
    '<label class="wide">Width<input type="range" data-part="width" min="2" max="50" value="16">'
    "</label>"
    '<button type="button" data-part="undo" class="act plain"><span>Undo</span></button>'
    '<button type="button" data-part="clear" class="act plain"><span>Clear</span></button></span>'
)


def pile(label: str, several: bool, elem_id: str) -> gr.HTML:
    """Pictures of a form that is derived: one or several ids, taken from disk or the gallery."""
    many = " multiple" if several else ""
    html = (
        f'<section class="pile" aria-label="{label}" data-several="{int(several)}">'
        f'<p class="pile-label">{label}</p><div data-part="held" class="strip"></div>'
        f'<div class="pile-do">{_FILE.format(many=many, what="files" if several else "a file")}'
        '<button type="button" data-part="look" class="act plain" aria-expanded="false">'
        "<span>From the gallery</span></button></div>"
        '<p data-part="complaint" class="notice" role="alert" hidden></p>'
        '<div data-part="strip" class="strip" hidden></div></section>'
    )
    return gr.HTML(
        {"pictures": []},
        html_template=html,
        js_on_load=script("page_pile.js"),
        apply_default_css=False,
        elem_id=elem_id,
    )


def chosen(value: Any) -> str | list[str]:
    """The id, or for a pile the ids, that a component holds; "" or [] for none."""
    if not isinstance(value, dict):
        return ""
    if "pictures" in value:
        return [str(each) for each in value["pictures"]]
    return str(value.get("picture") or "")


def mask_of(value: Any) -> bytes | None:
    """The mask as a PNG; None where nothing is masked. Raises BadInput."""
    mask = value.get("mask") if isinstance(value, dict) else None
    if not mask:
        return None
    if not (isinstance(mask, str) and mask.startswith(_DATA)):
        raise BadInput("the mask is no PNG")
    try:
        data = base64.b64decode(mask.removeprefix(_DATA), validate=True)
    except binascii.Error:
        raise BadInput("the mask is broken: brush once more") from None
    # A browser's PNG has an opacity, which in an upload would say what is masked; this one does so
    # by black and white.
    return cleaned(data)[0]
