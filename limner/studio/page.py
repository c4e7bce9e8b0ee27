"""The studio's page: a room for each way to paint, the gallery, the jobs, the models.

It asks the studio alone, as the API does. Pictures come and go over /api/pictures, so that Gradio
carries nothing but words and numbers. The queue is the truth: a page that is loaded anew finds its
job again, and what came of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gradio as gr

from limner.studio._page_act import Acts
from limner.studio._page_bench import QUIET, Bench, Room, resumes
from limner.studio._page_between import between_room
from limner.studio._page_compare import compare_room
from limner.studio._page_edit import edit_room
from limner.studio._page_explain import explain_room
from limner.studio._page_gallery import dialog, gallery_room
from limner.studio._page_html import icon
from limner.studio._page_jobs import jobs_room
from limner.studio._page_layout import layout_room
from limner.studio._page_models import models_room
from limner.studio._page_more import more_room
from limner.studio._page_paint import paint_room
from limner.studio._page_theme import STYLE, script, theme

if TYPE_CHECKING:
    from limner.studio.studio import Studio

__all__ = ["look", "page"]

_MAKE = {
    "paint": "Paint",
    "edit": "Edit",
    "layout": "Layout",
    "compare": "Compare",
    "explain": "Explain",
    "interpolate": "Interpolate",
    "more": "More",
}
_KEEP = {"gallery": "Gallery", "jobs": "Jobs", "models": "Models"}


def look() -> dict[str, Any]:
    """What `gradio.mount_gradio_app` is told besides the page: colours, style and script."""
    return {"theme": theme(), "css_paths": [STYLE], "js": script()}


def page(studio: Studio) -> gr.Blocks:
    """The page over a studio; mount it at "/" beside the studio's API, with `look()`."""
    with gr.Blocks(title="limner studio", analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(_rail(), elem_id="rail", js_on_load=_GO, apply_default_css=False)
        with gr.Tabs(elem_id="rooms") as tabs:
            with _tab("paint"):
                paint, generate, examples = paint_room(studio)
            with _tab("edit"):
                edit = edit_room(studio)
            with _tab("layout"):
                layout, boxed = layout_room(studio)
            with _tab("compare"):
                compared, sheets, compare_again = compare_room(studio)
            with _tab("explain"):
                explain, explained = explain_room(studio)
            with _tab("interpolate"):
                between, interpolated = between_room(studio)
            own: dict[str, Bench] = {each.task: each for each in (generate, boxed, explained)}
            own |= {interpolated.task: interpolated, **edit.benches}
            with _tab("more"):
                more = more_room(studio, list(own))
            with _tab("gallery") as gallery_tab:
                gallery = gallery_room(studio)
            with _tab("jobs"):
                listed, clock, refresh = jobs_room(studio)
            with _tab("models"):
                models_room(studio, generate)
        places = [paint, edit.place, layout, explain, between, more.place]
        rooms: dict[str, Room] = {"generate": paint, "layout": layout, "explain": explain}
        rooms |= {"interpolate": between, **dict.fromkeys(edit.benches, edit.place)}
        rooms |= dict.fromkeys(more.benches, more.place)
        acts = Acts(studio, rooms, own | dict(more.benches), gallery, edit, more, dialog())
        acts.wire([examples, compared, listed, *(each.stage for each in places)])
        for place in places:
            blocks.load(resumes(studio, place), place.kept, place.stage, **QUIET)
        blocks.load(compare_again, sheets, compared, **QUIET)
        gallery_tab.select(gallery.shown, gallery.asked, [gallery.grid, gallery.note], **QUIET)
        gallery_tab.select(gallery.choices, None, [gallery.collection, gallery.model], **QUIET)
        _keep_new(tabs, listed, clock, refresh)
    return blocks


def _tab(name: str) -> gr.Tab:
    return gr.Tab((_MAKE | _KEEP)[name], id=name, elem_id=name)


def _keep_new(tabs: gr.Tabs, listed: gr.HTML, clock: gr.Timer, refresh: Callable[[], str]) -> None:
    """The list of jobs follows the clock while its room is open."""

    def chosen(event: gr.SelectData) -> dict[Any, Any]:
        if event.value != _KEEP["jobs"]:
            return {clock: gr.Timer(active=False)}
        return {clock: gr.Timer(active=True), listed: refresh()}

    # One after the other: a page that opens on the jobs leaves another room first, and its answer,
    # were it late, would stop the clock for good.
    tabs.select(chosen, None, [listed, clock], trigger_mode="always_last", **QUIET)


# Links of the rail show a room at once; the script of the page keeps the address.
_GO = """
element.addEventListener('click', (event) => {
  const link = event.target.closest('[data-go]');
  if (link) { event.preventDefault(); window.limner.go(link.dataset.go); }
});
"""


def _rail() -> str:
    def links(rooms: dict[str, str]) -> str:
        return "".join(
            f'<a href="#{room}" data-go="{room}">{icon(room)}<span>{called}</span></a>'
            for room, called in rooms.items()
        )

    return (
        '<nav aria-label="Rooms"><p class="brand">limner</p>'
        f'<div class="links">{links(_MAKE)}</div><div class="links">{links(_KEEP)}</div></nav>'
    )
