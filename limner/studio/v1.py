"""/v1: OpenAI's image API, so that its official client works unchanged.

    client = openai.OpenAI(base_url="http://127.0.0.1:7860/v1", api_key=TOKEN)

A request waits for its job. A client that leaves cancels it, unless others wait for the same one.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from limner.studio import Job
from limner.studio._bodies import form_of, is_form, json_of, key_of, said_of, uploads_of
from limner.studio._pictures_api import MEDIA
from limner.studio._v1_pictures import Wanted, completed, drawn, partial
from limner.studio._v1_shapes import Answer, Asked, Edit, Generation, Model, Models, Variation
from limner.studio.events import stream, written
from limner.studio.problems import Answers, Problem, answers, problem_of_job
from limner.studio.uploads import mask_within

if TYPE_CHECKING:
    from limner.studio._desk import Desk

__all__ = ["v1_router"]

Fields = TypeVar("Fields", bound=Asked)
_WAITING = answers(400, 404, 409, 413, 415, 429, 500, 503, 507)
_EVENTS: Answers = {200: {"content": {"text/event-stream": {}}}}
_FILE: Answers = {200: {"content": {kind: {} for kind in MEDIA.values()}}}
_IMAGE = {"type": "string", "format": "binary"}
_ANY = re.compile(r"image(\[\d*\])?")  # how clients call one picture, or each of several


def v1_router(desk: Desk) -> APIRouter:
    """The routes, over this studio."""
    router = APIRouter(tags=["openai"])
    _add_models(router, desk)
    _add_generations(router, desk)
    _add_edits(router, desk)
    _add_variations(router, desk)
    return router


def _models(desk: Desk) -> list[str]:
    """The names that a request's model may be."""
    field = desk.studio.forms["generate"].fields.model_json_schema()["properties"]["model"]
    return [str(name) for name in field.get("enum") or [field.get("const", "embedded")]]


def _add_models(router: APIRouter, desk: Desk) -> None:
    @router.get("/v1/models")
    def models() -> Models:
        """What paints here."""
        return Models(data=[Model(id=name) for name in _models(desk)])

    @router.get("/v1/models/{model}", responses=answers(404))
    def model(model: str) -> Model:
        """One of them."""
        _check_model(desk, model)
        return Model(id=model)

    @router.get(
        "/v1/pictures/{id}",
        response_class=Response,
        responses=answers(404) | _FILE,
    )
    def picture(id: str) -> Response:
        """What `url` leads to: ID.png, ID.jpeg or ID.webp."""
        name, _, suffix = id.partition(".")
        kind = suffix.upper()
        if kind not in MEDIA or desk.studio.gallery.get(name) is None:
            raise Problem(404, "no such picture")
        return Response(desk.studio.gallery.export(name, kind), media_type=MEDIA[kind])


def _add_generations(router: APIRouter, desk: Desk) -> None:
    @router.post(
        "/v1/images/generations",
        response_model=Answer,
        responses=_WAITING | _EVENTS,
        openapi_extra=_body(Generation, "application/json"),
    )
    async def generations(request: Request) -> Any:
        """Pictures of a prompt."""
        asked = Generation.model_validate(await json_of(request))
        said = _said(desk, asked) | _sized(asked)
        job = await desk.submit("generate", said, {}, key_of(request))
        return await _answer(desk, request, job, asked, "image_generation")


def _add_edits(router: APIRouter, desk: Desk) -> None:
    @router.post(
        "/v1/images/edits",
        response_model=Answer,
        responses=_WAITING | _EVENTS,
        openapi_extra=_body(Edit, "multipart/form-data", image=True, mask=False),
    )
    async def edits(request: Request) -> Any:
        """A picture, or the transparent part of it or of a mask, painted in other words."""
        asked, uploads = await _form(request, Edit, ("image", "mask"))
        task, uploads = await desk.unpack(_edited, uploads)
        job = await desk.submit(task, _said(desk, asked), uploads, key_of(request))
        return await _answer(desk, request, job, asked, "image_edit")


def _edited(uploads: dict[str, list[bytes]]) -> tuple[str, dict[str, list[bytes]]]:
    """The task that an edit is, and its uploads by the task's names."""
    picture = uploads["image"]
    mask = uploads.get("mask")
    if mask is None and (within := mask_within(picture[0])) is not None:
        mask = [within]
    if mask is None:
        return "restyle", {"picture": picture}
    return "inpaint", {"picture": picture, "mask": mask}


def _add_variations(router: APIRouter, desk: Desk) -> None:
    @router.post(
        "/v1/images/variations",
        response_model=Answer,
        responses=_WAITING,
        openapi_extra=_body(Variation, "multipart/form-data", image=True),
    )
    async def variations(request: Request) -> Any:
        """Pictures in which CLIP sees the same."""
        asked, uploads = await _form(request, Variation, ("image",))
        files = {"picture": uploads["image"]}
        job = await desk.submit("vary", _said(desk, asked), files, key_of(request))
        return await _answer(desk, request, job, asked, "image_variation")


def _body(fields: type[Asked], kind: str, **files: bool) -> dict[str, Any]:
    """The request body in OpenAPI's words. files: pictures by name, and whether each is needed."""
    schema = fields.model_json_schema()
    properties = schema["properties"] | {name: _IMAGE for name in files}
    needed = [*schema.get("required", []), *(name for name, must in files.items() if must)]
    schema = schema | {"properties": properties, "required": needed}
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema}}}}


async def _form(
    request: Request, fields: type[Fields], names: tuple[str, ...]
) -> tuple[Fields, dict[str, list[bytes]]]:
    """The fields and pictures of a form; one picture each, an image always."""
    if not is_form(request):
        raise Problem(415, "send a form (multipart/form-data) with a file called image")
    async with form_of(request) as form:
        parts = {part: "image" for part in form if _ANY.fullmatch(part)}
        uploads = await uploads_of(form, {name: name for name in names} | parts)
        asked = fields.model_validate(said_of(form, fields.model_json_schema()))
    for name in ("image", *uploads):
        if len(uploads.get(name, [])) != 1:
            raise Problem(400, f"{name}: send one picture as a file", param=name)
    return asked, uploads


def _check_model(desk: Desk, name: str) -> None:
    if name not in _models(desk):
        told = f"no model {name[:60]!r} here: /v1/models lists those that are"
        raise Problem(404, told, code="model_not_found", param="model")


_SAME = (
    "prompt", "model", "seed", "steps", "negative", "guidance_scale", "sampler", "strength", "keep",
)  # fmt: skip


def _said(desk: Desk, asked: Asked) -> dict[str, Any]:
    """The task's arguments."""
    if asked.model is not None:
        _check_model(desk, asked.model)
    said = {name: getattr(asked, name, None) for name in _SAME} | {"count": asked.n}
    return {name: value for name, value in said.items() if value is not None}


def _sized(asked: Asked) -> dict[str, Any]:
    return {} if asked.size in (None, "auto") else {"size": asked.size}


async def _answer(
    desk: Desk, request: Request, job: Job, asked: Asked, kind: str
) -> Answer | StreamingResponse:
    """All pictures at once, or events as they come."""
    resized = asked.size if kind != "image_generation" and asked.size != "auto" else None
    base = f"{request.url.scheme}://{request.headers.get('host', '')}"
    wanted = Wanted(kind, asked.kind, asked.response_format or "b64_json", resized, base)
    if getattr(asked, "stream", False):
        partials = getattr(asked, "partial_images", None) or 0
        return stream(_events(desk, job, wanted, partials))
    last = await desk.settled(job, request)
    if last.state != "done":
        raise problem_of_job(last)
    return await run_in_threadpool(drawn, desk, last, wanted)


async def _events(desk: Desk, job: Job, wanted: Wanted, partials: int) -> AsyncGenerator[str, None]:
    """Up to so many partial pictures, spread over the steps; then each completed one."""
    told, ended = 0, False
    lives = desk.watch(job.id)
    try:
        async for live in lives:
            if isinstance(live, Job):
                ended = True
                for event in await run_in_threadpool(_last_events, desk, live, wanted):
                    yield event
                return
            due = live.step * (partials + 1) >= live.total * (told + 1)
            if told < partials and live.preview and due:
                shown = await run_in_threadpool(partial, live.preview, wanted, told)
                told += 1
                yield written(shown, event=shown["type"])
        ended = True
        yield _error(Problem(503, f"the studio stopped; the job {job.id} is kept"))
    finally:
        await lives.aclose()
        if not ended:
            desk.let_go(job.id)


def _last_events(desk: Desk, job: Job, wanted: Wanted) -> list[str]:
    if job.state != "done":
        return [_error(problem_of_job(job))]
    events = completed(desk, job, wanted)
    return [written(event, event=event["type"]) for event in events]


def _error(problem: Problem) -> str:
    return written(problem.body(), event="error")
