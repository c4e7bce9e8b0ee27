"""/api/tasks and /api/jobs: every task by its own fields, and what becomes of it."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from limner.studio import FINAL, Job
from limner.studio._bodies import form_of, is_form, json_of, key_of, said_of, uploads_of
from limner.studio._replies import (
    JobReply,
    JobsReply,
    TaskReply,
    TasksReply,
    job_reply,
    progress_of,
)
from limner.studio.events import FINAL_ID, stream, written
from limner.studio.problems import Answers, Problem, answers

if TYPE_CHECKING:
    from limner.studio._desk import Desk
    from limner.studio.forms import Form

__all__ = ["jobs_router"]

_STATES = Literal["queued", "running", "done", "failed", "cancelled", "quarantined"]
_EVENTS: Answers = {
    200: {"content": {"text/event-stream": {}}},
    204: {"description": "all has been told already"},
}
_ACCEPTING = answers(400, 404, 409, 413, 415, 429, 503, 507)


def jobs_router(desk: Desk) -> APIRouter:
    """The routes, over this studio."""
    router = APIRouter()
    _add_tasks(router, desk)
    _add_jobs(router, desk)
    _add_changes(router, desk)
    return router


def _add_tasks(router: APIRouter, desk: Desk) -> None:
    @router.get("/api/tasks", tags=["tasks"])
    def tasks() -> TasksReply:
        """What can be asked for: every task with its fields."""
        return TasksReply(tasks=[_task(form) for form in desk.studio.forms.values()])

    @router.get("/api/tasks/{name}", tags=["tasks"], responses=answers(404))
    def task(name: str) -> TaskReply:
        """One task with its fields."""
        form = desk.studio.forms.get(name)
        return _task(form) if form is not None else unknown()

    for form in desk.studio.forms.values():
        _add_task(router, desk, form)

    @router.post("/api/tasks/{name}", include_in_schema=False)
    def unknown() -> TaskReply:
        raise Problem(404, "no such task: /api/tasks lists them")


def _task(form: Form) -> TaskReply:
    return TaskReply(
        name=form.name,
        summary=form.summary,
        uploads=list(form.uploads),
        fields=form.fields.model_json_schema(),
    )


def _add_task(router: APIRouter, desk: Desk, form: Form) -> None:
    """POST /api/tasks/NAME of one task."""
    schema = form.fields.model_json_schema()

    async def submit(request: Request, response: Response) -> JobReply:
        key = key_of(request)
        if is_form(request):
            async with form_of(request) as sent:
                said = said_of(sent, schema)
                uploads = await uploads_of(sent, {name: name for name in form.uploads})
        else:
            said, uploads = await json_of(request), {}
        await _take_from_gallery(desk, form, said, uploads)
        job = await desk.submit(form.name, said, uploads, key)
        response.headers["Location"] = f"/api/jobs/{job.id}"
        return await run_in_threadpool(job_reply, desk, job)

    router.add_api_route(
        f"/api/tasks/{form.name}",
        submit,
        methods=["POST"],
        status_code=202,
        tags=["tasks"],
        name=form.name,
        summary=form.summary,
        operation_id=f"submit_{form.name}",
        responses=_ACCEPTING,
        openapi_extra={"requestBody": _body(form, schema), "parameters": [_KEY]},
    )


async def _take_from_gallery(
    desk: Desk, form: Form, said: dict[str, Any], uploads: dict[str, list[bytes]]
) -> None:
    """A picture that is said as {"picture": ID} is the gallery's; several are a list of such."""
    for name in form.uploads:
        value = said.get(name)
        wanted = value if isinstance(value, list) else [value]
        ids = [str(each.get("picture")) for each in wanted if isinstance(each, dict)]
        if not ids or len(ids) != len(wanted) or len(ids) > _MOST:
            continue  # words, or what the form refuses
        files = [await run_in_threadpool(desk.studio.gallery.file, id) for id in ids]
        read = [await run_in_threadpool(file.read_bytes) for file in files]
        uploads.setdefault(name, []).extend(read)
        del said[name]


_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "the same key gives the same job, however often it is sent",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[ -~]+$"},
}
_MOST = 8  # pictures of one parameter
_FILE: dict[str, Any] = {"type": "string", "format": "binary"}
_FROM_GALLERY: dict[str, Any] = {
    "type": "object",
    "properties": {"picture": {"type": "string", "description": "id of a picture in the gallery"}},
    "required": ["picture"],
    "additionalProperties": False,
}


def _body(form: Form, schema: dict[str, Any]) -> dict[str, Any]:
    """The body in OpenAPI's words: JSON with pictures of the gallery, or a form with files."""
    content: dict[str, Any] = {}
    for kind, one in (("application/json", _FROM_GALLERY), ("multipart/form-data", _FILE)):
        fields = dict(schema.get("properties", {}))
        for name in form.uploads:
            told: dict[str, Any] = one | {"description": form.help.get(name, "")}
            if name in form.several:
                told = {"type": "array", "items": one, "minItems": 1, "maxItems": _MOST}
            fields[name] = {"anyOf": [told, fields[name]]} if name in fields else told
        needed = [name for name in form.needed if name not in form.words]
        required = [*schema.get("required", []), *needed]
        content[kind] = {"schema": schema | {"properties": fields, "required": required}}
    return {"required": True, "content": content}


def _add_jobs(router: APIRouter, desk: Desk) -> None:
    @router.get("/api/jobs", tags=["jobs"], responses=answers(400))
    def jobs(
        state: _STATES | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        before: Annotated[str | None, Query(max_length=100)] = None,
    ) -> JobsReply:
        """The newest first; `before` is the last of the page before."""
        found = desk.studio.queue.list(state, limit, before)
        return JobsReply(jobs=[job_reply(desk, job) for job in found])

    @router.get("/api/jobs/{id}", tags=["jobs"], responses=answers(404))
    def job(id: str) -> JobReply:
        """One job, with its place or progress."""
        return job_reply(desk, _known(desk, id))

    @router.get(
        "/api/jobs/{id}/events",
        tags=["jobs"],
        response_class=StreamingResponse,
        responses=answers(404) | _EVENTS,
    )
    async def events(id: str, request: Request) -> Response:
        """Server-sent events: `progress` with a preview (JPEG, base64), and at last `job`."""
        known = await run_in_threadpool(_known, desk, id)
        if request.headers.get("last-event-id") == FINAL_ID and known.state in FINAL:
            return Response(status_code=204)
        return stream(_told(desk, id))


async def _told(desk: Desk, id: str) -> AsyncGenerator[str, None]:
    lives = desk.watch(id)
    try:
        async for live in lives:
            if isinstance(live, Job):
                last = await run_in_threadpool(job_reply, desk, live)
                yield written(last.model_dump(), event="job", id=FINAL_ID)
                return
            preview = base64.b64encode(live.preview).decode() if live.preview else None
            said = progress_of(live).model_dump() | {"job": id, "preview": preview}
            yield written(said, event="progress")
    finally:
        await lives.aclose()


def _known(desk: Desk, id: str) -> Job:
    job = desk.studio.queue.get(id)
    if job is None:
        raise Problem(404, "no such job")
    return job


def _add_changes(router: APIRouter, desk: Desk) -> None:
    async def cancel(id: str) -> JobReply:
        """A waiting job is cancelled at once, a running one within a step."""
        await run_in_threadpool(_known, desk, id)
        job = await desk.cancel(id)
        return await run_in_threadpool(job_reply, desk, job)

    for method, path in (("POST", "/api/jobs/{id}/cancel"), ("DELETE", "/api/jobs/{id}")):
        router.add_api_route(
            path,
            cancel,
            methods=[method],
            tags=["jobs"],
            name=f"cancel_{method.lower()}",
            operation_id=f"cancel_{method.lower()}",
            responses=answers(404, 503, 507),
        )

    @router.post("/api/jobs/{id}/retry", tags=["jobs"], responses=answers(400, 404, 429, 503, 507))
    def retry(id: str) -> JobReply:
        """Puts a failed, cancelled or quarantined job back at its place."""
        _known(desk, id)
        desk.check_open()
        job = desk.studio.queue.retry(id)
        desk.studio.crew.wake()
        return job_reply(desk, job)
