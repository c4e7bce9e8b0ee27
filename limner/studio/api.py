"""The HTTP API: every route, one schema of errors, one OpenAPI document that says it all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

import limner
from limner.errors import LimnerError
from limner.studio._jobs_api import jobs_router
from limner.studio._pictures_api import pictures_router
from limner.studio.metrics import CONTENT_TYPE, Metrics
from limner.studio.problems import ErrorReply, Problem, answers, problem_of, reply
from limner.studio.v1 import v1_router

if TYPE_CHECKING:
    from limner.studio._desk import Desk

__all__ = ["api"]

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
_ABOUT = (
    "Text steers pictures. Every task of limner as a job that is kept until it is done, a gallery "
    "that is searched by what is in the pictures, and OpenAI's image API under /v1."
)


class Healthy(BaseModel):
    """The server answers."""

    status: str = "ok"
    version: str = limner.__version__


class Ready(BaseModel):
    """Jobs are taken and painted."""

    ready: bool = True


def api(desk: Desk, metrics: Metrics, lifespan: Lifespan | None = None) -> FastAPI:
    """The application over this studio."""
    app = FastAPI(
        title="limner",
        version=limner.__version__,
        description=_ABOUT,
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        responses=answers(401, 403, 413, 414, 431, 500),
        separate_input_output_schemas=False,
    )
    _add_errors(app)
    _add_health(app, desk, metrics)
    app.include_router(jobs_router(desk))
    app.include_router(pictures_router(desk))
    app.include_router(v1_router(desk))
    _add_document(app)
    return app


def _add_errors(app: FastAPI) -> None:
    async def told(request: Request, error: Exception) -> Response:
        return reply(problem_of(error))

    kinds = (Problem, LimnerError, RequestValidationError, ValidationError, HTTPException)
    for kind in (*kinds, Exception):
        app.add_exception_handler(kind, told)


def _add_health(app: FastAPI, desk: Desk, metrics: Metrics) -> None:
    @app.get("/health", tags=["state"])
    async def health() -> Healthy:
        """Whether the server answers; it asks nobody."""
        return Healthy()

    @app.get("/ready", tags=["state"], responses=answers(503))
    async def ready() -> Ready:
        """Whether jobs are taken and painted: 503 while it starts and from when it is to stop."""
        if desk.stopping.is_set() or not desk.studio.crew.ready:
            raise Problem(503, "not ready", headers={"Retry-After": "2"})
        return Ready()

    @app.get("/metrics", tags=["state"], response_class=Response)
    async def numbers() -> Response:
        """What it does, in numbers that Prometheus reads."""
        text = await run_in_threadpool(metrics.text, desk.studio)
        return Response(text, media_type=CONTENT_TYPE)


def _add_document(app: FastAPI) -> None:
    """FastAPI's own 422 is never sent (problems.py says 400), so the document does not have it."""
    made = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            told = made()
            for path in told["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)
            schemas = told["components"]["schemas"]
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            error = ErrorReply.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= error.pop("$defs") | {"ErrorReply": error}
            told["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            told["security"] = [{}, {"token": []}]
            app.openapi_schema = told
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
