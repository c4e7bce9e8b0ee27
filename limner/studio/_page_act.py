"""What the buttons within pictures, lists and the dialog do, in whichever room they stand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from limner.errors import LimnerError
from limner.studio._page_bench import QUIET, Bench, Room, line_of, page_of
from limner.studio._page_detail import detail, settings_of
from limner.studio._page_edit import Edit
from limner.studio._page_fields import to_show
from limner.studio._page_gallery import Gallery
from limner.studio._page_html import notice
from limner.studio._page_more import More
from limner.studio._page_run import again
from limner.studio.studio import Studio

__all__ = ["Acts"]


@dataclass(frozen=True)
class Acts:
    """rooms, by the tasks that are asked for there; benches, by task; edit: where pictures go to
    be changed; more: the forms of all other tasks; dialog: where they are seen large"""

    studio: Studio
    rooms: Mapping[str, Room]
    benches: Mapping[str, Bench]
    gallery: Gallery
    edit: Edit
    more: More
    dialog: gr.HTML

    def wire(self, pieces: Sequence[gr.HTML]) -> None:
        """Lets these pieces of HTML do what their buttons say."""
        for piece in (*pieces, self.gallery.grid, self.gallery.bring, self.dialog):
            piece.act(
                self.done, self.gallery.asked, self._touched(), trigger_mode="multiple", **QUIET
            )

    def _touched(self) -> list[Any]:
        rooms = {id(room): room for room in self.rooms.values()}.values()
        stages = [part for room in rooms for part in (room.stage, room.kept)]
        parts = [part for made in self.benches.values() for part in (*made.parts, made.note)]
        gallery = self.gallery
        shown = [gallery.grid, gallery.note, gallery.like, gallery.most, gallery.collection]
        return [*stages, *parts, *shown, self.dialog, *self.edit.touched, *self.more.touched]

    async def done(
        self, event: gr.EventData, request: gr.Request, *asked: Any
    ) -> AsyncIterator[dict[Any, Any]]:
        """One event "act"."""
        data = event._data or {}
        do = getattr(self, f"_{data.get('do')}", None) if str(data.get("do")).isalpha() else None
        try:
            if data.get("do") == "again":
                async for touched in self._repeat(data, request):
                    yield touched
            elif do is not None and do in self._does():
                touched = await asyncio.to_thread(do, data, asked)
                yield touched or {self.gallery.note: ""}
            else:
                yield {self.gallery.note: ""}
        except Exception as error:
            yield {self.gallery.note: notice(line_of(error))}

    def _does(self) -> tuple[Any, ...]:
        """What an event may name; nothing else of this object is called."""
        return (
            self._brought, self._cancel, self._collect, self._delete, self._edit, self._favourite,
            self._fill, self._further, self._like, self._open, self._problem, self._settings,
            self._unlike, self._vary,
        )  # fmt: skip

    # ---- jobs --------------------------------------------------------------------------------

    def _cancel(self, data: dict[str, Any], _: Any) -> dict[Any, Any]:
        for id in data["id"].split(","):  # a sheet's pictures are a job each
            self.studio.crew.cancel(id)
        return {}

    async def _repeat(
        self, data: dict[str, Any], request: gr.Request
    ) -> AsyncIterator[dict[Any, Any]]:
        job = await again(self.studio, self._kept(data))
        room = self.rooms[job.task]
        yield {room.kept: job.id}
        async for html in room.follow(self.studio, job.id, page_of(request)):
            yield {room.stage: html}

    def _fill(self, data: dict[str, Any], _: Any) -> dict[Any, Any]:
        return {self.benches["generate"].controls["prompt"].part: data.get("text", "")}

    def _settings(self, data: dict[str, Any], _: Any) -> dict[Any, Any]:
        found = settings_of(self.studio, self._kept(data))
        if found is None:
            raise LimnerError("what it was painted with is not known")
        made = self.benches[found[0]]
        controls = list(made.controls.values())
        shown = dict(zip(made.parts, to_show(controls, found[1])))
        rooms = self.edit.showing(made.task) | self.more.showing(made.task)
        return shown | {made.note: ""} | rooms

    # ---- pictures ----------------------------------------------------------------------------

    def _kept(self, data: dict[str, Any]) -> Any:
        kept = self.studio.gallery.get(data.get("id", ""))
        if kept is None:
            raise LimnerError("this picture is not in the gallery any more")
        return kept

    def _open(self, data: dict[str, Any], _: Any) -> dict[Any, Any]:
        kept = self._kept(data)
        found = settings_of(self.studio, kept)
        room = self.rooms[found[0]].name if found else "paint"
        return {self.dialog: detail(self.studio, kept, room)}

    def _favourite(self, data: dict[str, Any], asked: Any) -> dict[Any, Any]:
        self.studio.gallery.favourite(data["id"], bool(data.get("on")))
        return self._grid(asked)

    def _collect(self, data: dict[str, Any], asked: Any) -> dict[Any, Any]:
        self.studio.gallery.collect(data["id"], data.get("name", ""), not data.get("off"))
        collections, _ = self.gallery.choices()
        return self._open(data, asked) | {self.gallery.collection: collections}

    def _delete(self, data: dict[str, Any], asked: Any) -> dict[Any, Any]:
        self.studio.gallery.delete(data["id"])
        return self._grid(asked) | {self.dialog: ""}

    def _edit(self, data: dict[str, Any], _: Any) -> dict[Any, Any]:
        return self.edit.given(self._kept(data).id)

    def _vary(self, data: dict[str, Any], _: Any) -> dict[Any, Any]:
        return self.edit.given(self._kept(data).id, "vary")

    # ---- the gallery -------------------------------------------------------------------------

    def _grid(self, asked: Any, **changed: Any) -> dict[Any, Any]:
        *said, like, most = asked
        like, most = changed.get("like", like), changed.get("most", most)
        grid, note = self.gallery.shown(*said, like, most)
        gallery = self.gallery
        return {gallery.grid: grid, gallery.note: note, gallery.like: like, gallery.most: most}

    def _brought(self, _: dict[str, Any], asked: Any) -> dict[Any, Any]:
        return self._grid(asked)

    def _problem(self, data: dict[str, Any], _: Any) -> dict[Any, Any]:
        return {self.gallery.note: notice(str(data.get("message", ""))[:300])}

    def _like(self, data: dict[str, Any], asked: Any) -> dict[Any, Any]:
        return self._grid(asked, like=self._kept(data).id, most=48)

    def _unlike(self, _: dict[str, Any], asked: Any) -> dict[Any, Any]:
        return self._grid(asked, like="", most=48)

    def _further(self, _: dict[str, Any], asked: Any) -> dict[Any, Any]:
        return self._grid(asked, most=asked[-1] + 48)
