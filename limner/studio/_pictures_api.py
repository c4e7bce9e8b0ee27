"""/api/pictures: the gallery, found by words, by likeness and by what is known of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from limner.picture import Picture, from_bytes, load
from limner.studio._bodies import form_of, is_form, uploads_of
from limner.studio._replies import PictureReply, PicturesReply, picture_reply
from limner.studio.gallery import Filters
from limner.studio.problems import Answers, Problem, answers
from limner.studio.uploads import cleaned

if TYPE_CHECKING:
    from limner.studio._desk import Desk
    from limner.studio.gallery import Found, Gallery, Kept

__all__ = ["MEDIA", "pictures_router"]

MEDIA = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
_LATEST = 1e11  # seconds since 1970
_A_PICTURE = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"picture": {"type": "string", "format": "binary"}},
                    "required": ["picture"],
                }
            }
        },
    }
}
_FILE: Answers = {200: {"content": {kind: {} for kind in MEDIA.values()}}}
_THUMBNAIL: Answers = {200: {"content": {"image/webp": {}}}}
_Word = Annotated[str | None, Query(min_length=1, max_length=1000)]
_Time = Annotated[float | None, Query(ge=0, le=_LATEST, allow_inf_nan=False)]


class Switch(BaseModel):
    """On or off."""

    model_config = ConfigDict(extra="forbid")
    on: bool = True


class Membership(Switch):
    """Whether a picture is in a collection."""

    name: str = Field(min_length=1, max_length=100)


class Collections(BaseModel):
    """How many pictures are in each, by name."""

    collections: dict[str, int]


class Sought(BaseModel):
    """Filters: what is not given does not count; times in seconds since 1970."""

    model_config = ConfigDict(extra="forbid")
    task: _Word = None
    model: _Word = None
    favourite: bool | None = None
    collection: _Word = None
    since: _Time = None
    until: _Time = None
    origin: Literal["painted", "imported"] | None = None
    limit: Annotated[int, Query(ge=1, le=200)] = 50

    def filters(self) -> Filters:
        return Filters(**self.model_dump(include=set(Filters.__dataclass_fields__)))


class Listed(Sought):
    before: Annotated[str | None, Query(max_length=100)] = None


class Searched(Sought):
    words: _Word = None
    text: _Word = None
    like: Annotated[str | None, Query(max_length=100)] = None


def pictures_router(desk: Desk) -> APIRouter:
    """The routes, over this studio's gallery."""
    router = APIRouter(tags=["pictures"])
    _add_lists(router, desk)
    _add_files(router, desk)
    _add_changes(router, desk)
    _add_uploads(router, desk)
    return router


def _known(desk: Desk, id: str) -> Kept:
    kept = desk.studio.gallery.get(id)
    if kept is None:
        raise Problem(404, "no such picture")
    return kept


def _add_lists(router: APIRouter, desk: Desk) -> None:
    gallery = desk.studio.gallery

    @router.get("/api/pictures", responses=answers(400))
    def pictures(sought: Annotated[Listed, Query()]) -> PicturesReply:
        """The newest first; `before` is the last of the page before."""
        found = gallery.list(sought.filters(), sought.limit, sought.before)
        return PicturesReply(pictures=[picture_reply(desk, kept) for kept in found])

    @router.get("/api/pictures/search", responses=answers(400, 404))
    def search(sought: Annotated[Searched, Query()]) -> PicturesReply:
        """By words (what is in the picture), by likeness to a picture of the gallery (`like`), or
        by text (what the prompt says)."""
        picture = None if sought.like is None else _opened(desk, sought.like)
        found = gallery.search(sought.words, picture, sought.text, sought.filters(), sought.limit)
        return PicturesReply(
            pictures=[picture_reply(desk, each.kept, each.score) for each in found]
        )

    @router.get("/api/collections")
    def collections() -> Collections:
        """The names of all collections."""
        return Collections(collections=gallery.collections())


def _found(desk: Desk, found: list[Found]) -> PicturesReply:
    pictures = [picture_reply(desk, each.kept, each.score) for each in found]
    return PicturesReply(pictures=pictures)


def _opened(desk: Desk, id: str) -> Picture:
    _known(desk, id)
    return load(desk.studio.gallery.file(id))


def _add_files(router: APIRouter, desk: Desk) -> None:
    gallery = desk.studio.gallery

    @router.get("/api/pictures/{id}", responses=answers(404))
    def picture(id: str) -> PictureReply:
        """What is known of a picture."""
        return picture_reply(desk, _known(desk, id))

    @router.get(
        "/api/pictures/{id}/file",
        response_class=Response,
        responses=answers(400, 404) | _FILE,
    )
    def file(
        id: str, format: Literal["png", "jpeg", "webp"] = "png", recipe: bool = True
    ) -> Response:
        """The picture itself, with its recipe or without; the mark of what painted it stays."""
        kind = format.upper()
        _known(desk, id)
        if kind == "PNG" and recipe:
            data = gallery.file(id).read_bytes()
        else:
            data = gallery.export(id, kind, recipe)
        name = f'inline; filename="limner-{id}.{format}"'
        return Response(data, media_type=MEDIA[kind], headers={"Content-Disposition": name})

    @router.get(
        "/api/pictures/{id}/thumbnail",
        response_class=Response,
        responses=answers(400, 404) | _THUMBNAIL,
    )
    def thumbnail(id: str, side: Literal["128", "256", "512"] = "256") -> Response:
        """A small WebP of it."""
        _known(desk, id)
        data = gallery.thumbnail(id, int(side))
        kept = {"Cache-Control": "private, max-age=86400"}
        return Response(data, media_type="image/webp", headers=kept)


def _add_changes(router: APIRouter, desk: Desk) -> None:
    gallery = desk.studio.gallery

    @router.post("/api/pictures/{id}/favourite", responses=answers(400, 404, 507))
    def favourite(id: str, switch: Switch) -> PictureReply:
        """Marks it as a favourite, or no longer."""
        gallery.favourite(id, switch.on)
        return picture_reply(desk, _known(desk, id))

    @router.post("/api/pictures/{id}/collections", responses=answers(400, 404, 507))
    def collect(id: str, membership: Membership) -> PictureReply:
        """Puts it into a collection, or takes it out; an empty collection is none."""
        gallery.collect(id, membership.name, membership.on)
        return picture_reply(desk, _known(desk, id))

    @router.delete("/api/pictures/{id}", status_code=204, responses=answers(404, 507))
    def delete(id: str) -> None:
        """Removes it for good."""
        gallery.delete(id)


def _add_uploads(router: APIRouter, desk: Desk) -> None:
    gallery = desk.studio.gallery

    @router.post(
        "/api/pictures",
        status_code=201,
        responses=answers(400, 413, 415, 503, 507),
        openapi_extra=_A_PICTURE,
    )
    async def bring(request: Request) -> PictureReply:
        """Brings in a PNG, JPEG or WebP from elsewhere; recipes of other tools are kept as text."""
        desk.check_open()
        data = await _picture_of(request)
        return await desk.unpack(_brought, desk, data)

    @router.post("/api/pictures/search", responses=answers(400, 413, 415), openapi_extra=_A_PICTURE)
    async def search_like(
        request: Request, limit: Annotated[int, Query(ge=1, le=200)] = 50
    ) -> PicturesReply:
        """Pictures that look like the one that is sent, which is not kept."""
        found = await desk.unpack(_alike, gallery, await _picture_of(request), limit)
        return PicturesReply(
            pictures=[picture_reply(desk, each.kept, each.score) for each in found]
        )


async def _picture_of(request: Request) -> bytes:
    """The one file of a form."""
    if not is_form(request):
        raise Problem(415, "send a form (multipart/form-data) with a file called picture")
    async with form_of(request) as form:
        found = await uploads_of(form, {"picture": "picture"})
    if len(found.get("picture", [])) != 1:
        raise Problem(400, "send one file called picture", param="picture")
    return found["picture"][0]


def _brought(desk: Desk, data: bytes) -> PictureReply:
    """Looked at within the limits of uploads before the gallery, which takes more, opens it."""
    cleaned(data)
    return picture_reply(desk, desk.studio.gallery.bring(data, "picture"))


def _alike(gallery: Gallery, data: bytes, limit: int) -> list[Found]:
    picture = from_bytes(cleaned(data)[0])
    return gallery.search(None, picture, None, Filters(), limit)
