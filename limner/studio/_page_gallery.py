"""The room that finds every picture again: by what it shows, its words, and what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from limner.picture import load
from limner.studio._page_bench import QUIET, acting, line_of
from limner.studio._page_fields import label_of
from limner.studio._page_html import act, empty, notice, tile
from limner.studio._page_theme import script
from limner.studio.gallery import Filters

if TYPE_CHECKING:
    from limner.studio.gallery import Found
    from limner.studio.studio import Studio

__all__ = ["Gallery", "gallery_room"]

_PAGE = 48  # pictures that are shown at first, and further ones each time
_ANY = ""
_BY_SIGHT, _BY_WORDS = "What it shows", "Its prompt's words"


class Gallery:
    """The room's components, and what fills them."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        with gr.Column(elem_classes=["page-wide"]):
            self._head()
            self._bar()
            self.note = gr.HTML("", apply_default_css=False, elem_classes=["note"])
            self.grid = acting("", elem_id="gallery-grid")
        self.like, self.most = gr.State(""), gr.State(_PAGE)
        self.asked = [
            self.words, self.by, self.favourite, self.collection, self.task, self.model,
            self.origin, self.like, self.most,
        ]  # fmt: skip
        self._wire()

    def _head(self) -> None:
        with gr.Row(elem_classes=["head"]):
            gr.HTML("<h1>Gallery</h1>", apply_default_css=False)
            self.bring = acting(
                '<label class="act plain file"><input type="file" multiple data-do="brought" '
                'accept="image/png,image/jpeg,image/webp" aria-label="Bring in pictures">'
                "<span>Bring in pictures</span></label>"
            )

    def _bar(self) -> None:
        with gr.Row(elem_classes=["search"]):
            self.words = gr.Textbox(
                label="Search",
                placeholder="such as: a cat in the snow",
                max_lines=1,
                elem_id="gallery-words",
                scale=3,
            )
            self.by = gr.Dropdown(
                [_BY_SIGHT, _BY_WORDS], value=_BY_SIGHT, label="Search by", filterable=False
            )
        with gr.Row(elem_classes=["filters"]):
            self.collection = gr.Dropdown([("Any", _ANY)], value=_ANY, label="Collection")
            self.task = gr.Dropdown(
                [("Any", _ANY), *((label_of(each), each) for each in self.studio.forms)],
                value=_ANY,
                label="Task",
            )
            self.model = gr.Dropdown([("Any", _ANY)], value=_ANY, label="Model")
            self.origin = gr.Dropdown(
                [("Any", _ANY), ("Painted here", "painted"), ("Brought in", "imported")],
                value=_ANY,
                label="Origin",
                filterable=False,
            )
            self.favourite = gr.Checkbox(label="Favourites only", elem_classes=["tick"])

    def _wire(self) -> None:
        fresh = [self.grid, self.note, self.like, self.most]
        for part in (self.by, self.favourite, self.collection, self.task, self.model, self.origin):
            part.input(self.found, self.asked, fresh, **QUIET)
        self.words.submit(self.found, self.asked, fresh, **QUIET)
        self.words.change(self.found, self.asked, fresh, trigger_mode="always_last", **QUIET)

    # ---- what is shown -----------------------------------------------------------------------

    def found(self, *asked: Any) -> tuple[str, str, str, int]:
        """The grid for what was asked; a new search is no longer about a likeness."""
        *said, _, _ = asked
        return *self.shown(*said, "", _PAGE), "", _PAGE

    def shown(self, *asked: Any) -> tuple[str, str]:
        """Grid and complaint."""
        *_, like, most = asked
        try:
            found = self._search(*asked)
        except Exception as error:
            return empty("Nothing to show", "Try other words or fewer filters."), notice(
                line_of(error)
            )
        return self._grid(found, any(asked[:8]), bool(like), most), ""

    def _search(self, *asked: Any) -> list[Found]:
        words, by, favourite, collection, task, model, origin, like, most = asked
        filters = Filters(
            task=task or None,
            model=model or None,
            favourite=True if favourite else None,
            collection=collection or None,
            origin=origin or None,
        )
        words = (words or "").strip()
        picture = load(self.studio.gallery.file(like)) if like else None
        by_sight = words if by == _BY_SIGHT and not like else ""
        return self.studio.gallery.search(
            by_sight or None,
            picture,
            (words or None) if by == _BY_WORDS else None,
            filters,
            most + 1,
        )

    def _grid(self, found: Sequence[Found], asked: bool, like: bool, most: int) -> str:
        if not found and asked:
            return empty("Nothing found", "Try other words or fewer filters.")
        if not found:
            return empty("No pictures yet", "What you paint is kept here; or bring in your own.")
        tiles = "".join(tile(each.kept) for each in found[:most])
        head = ""
        if like:
            head = (
                f'<p class="counts">Most alike first {act("unlike", "Show all", look="plain")}</p>'
            )
        more = ""
        if len(found) > most:
            more = f'<p class="further">{act("further", "Show more", look="plain")}</p>'
        return f'{head}<ul class="grid">{tiles}</ul>{more}'

    def choices(self) -> tuple[Any, Any]:
        """Collections and models that pictures have."""
        gallery = self.studio.gallery
        names = [(f"{name} ({count})", name) for name, count in gallery.collections().items()]
        rows = gallery.store.read("SELECT DISTINCT model FROM pictures WHERE model IS NOT NULL")
        models = sorted(row[0] for row in rows)
        return gr.Dropdown([("Any", _ANY), *names]), gr.Dropdown(
            [("Any", _ANY), *((m, m) for m in models)]
        )


def gallery_room(studio: Studio) -> Gallery:
    """The room."""
    return Gallery(studio)


def dialog() -> gr.HTML:
    """Where one picture is seen large: empty while it is closed."""
    return gr.HTML(
        "",
        html_template='<dialog class="sheet" aria-label="Picture"></dialog>',
        js_on_load=script("page_dialog.js"),
        apply_default_css=False,
        elem_id="dialog",
    )


def collection_form(id: str, names: Sequence[str]) -> str:
    """The collections that a picture is in, each to leave, and a field to put it into one."""
    left = "".join(
        act("collect", f"{name} ×", id=id, name=name, look="chip", **{"off": "1"}) for name in names
    )
    return (
        f'<form class="collect" data-do="collect" data-id="{escape(id)}"><label>Collections'
        '<span class="line"><input name="name" maxlength="100" required placeholder="Name">'
        f'<button type="submit" class="act plain"><span>Add</span></button></span></label></form>'
        f'<div class="chips">{left}</div>'
    )
