"""Every error that a client can see, in one shape, which is OpenAI's:

    {"error": {"message": "...", "type": "...", "param": null, "code": "..."}}

`message` is for people, `code` for programs. Neither ever holds a path of this machine or a
traceback: whatever limner did not expect is `internal`, and its story is on the server's stderr.
"""

from __future__ import annotations

import errno
import math
import re
from collections.abc import Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from limner.errors import BadInput, LimnerError
from limner.studio import Job
from limner.studio.queue import QueueFull
from limner.studio.store import NoSpace, NotFound

__all__ = [
    "Answers",
    "ErrorReply",
    "Problem",
    "answers",
    "problem_of",
    "problem_of_job",
    "reply",
    "without_paths",
]

# RFC 9110's and RFC 6585's status codes, by what OpenAI calls the kind of error.
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES = {
    400: "bad_input",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    414: "too_long",
    415: "unsupported_media_type",
    429: "queue_full",
    431: "headers_too_large",
    500: "internal",
    503: "not_ready",
    507: "no_space",
}
_INTERNAL = "something went wrong in the studio, and it has been written to its log: try again"
_OF_JOBS = {
    "bad_input": 400,
    "error": 400,
    "out_of_memory": 503,
    "no_space": 507,
    "cancelled": 409,
}
_LONGEST = 600  # characters of a message: a line for people, not the prompt once more


class ErrorBody(BaseModel):
    """What went wrong: a line for people, a kind, the field that it is about, a code."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorReply(BaseModel):
    """The body of every answer from 400 on."""

    error: ErrorBody


class Problem(Exception):
    """An answer from 400 on, raised anywhere in a route.

    status:  of HTTP
    headers: that the answer carries, such as Retry-After
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code or _CODES.get(status, "error")
        self.param = param
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The error as its schema has it."""
        usual = "server_error" if self.status >= 500 else "invalid_request_error"
        kind = _TYPES.get(self.status, usual)
        told = {
            "message": self.message[:_LONGEST],
            "type": kind,
            "param": self.param,
            "code": self.code,
        }
        return {"error": told}


def reply(problem: Problem) -> JSONResponse:
    """The answer that a problem is."""
    return JSONResponse(problem.body(), problem.status, headers=problem.headers)


def problem_of(error: Exception) -> Problem:
    """Any exception as what a client is told of it."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError | ValidationError):
        return _invalid(error)
    if isinstance(error, QueueFull):
        wait = str(max(1, math.ceil(error.retry_after)))
        return Problem(429, str(error), headers={"Retry-After": wait})
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or isinstance(error, NoSpace):
        return Problem(507, "the disk is full: make room, and try again")
    if isinstance(error, NotFound):
        return Problem(404, without_paths(str(error)))
    if isinstance(error, BadInput):
        return Problem(400, without_paths(str(error)))
    if isinstance(error, HTTPException):
        headers = dict(error.headers or {})
        return Problem(error.status_code, str(error.detail), headers=headers)
    if isinstance(error, LimnerError):  # such as a database that another process holds for long
        return Problem(503, without_paths(str(error)), code="error", headers={"Retry-After": "1"})
    return Problem(500, _INTERNAL)


def _invalid(error: RequestValidationError | ValidationError) -> Problem:
    """Pydantic's first complaint, without what was given: it may be long, or secret."""
    first: Any = next(iter(error.errors()), {"loc": (), "msg": "cannot be read"})
    places = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    param = ".".join(places)[:100] or None
    message = str(first["msg"]).removeprefix("Value error, ")
    return Problem(400, f"{param}: {message}" if param else message, param=param)


def problem_of_job(job: Job) -> Problem:
    """What a request that waited for this job is told when it is not done."""
    said = job.error or {}
    code = said.get("code") or job.state
    if job.state == "cancelled":
        return Problem(409, f"the job {job.id} was cancelled", code="cancelled")
    if job.state == "quarantined":
        told = f"the job {job.id} brought the painter down twice and is set aside"
        return Problem(500, told, code="quarantined")
    message = without_paths(said.get("message") or _INTERNAL)
    return Problem(_OF_JOBS.get(code, 500), message, code=code)


Answers = dict[int | str, dict[str, Any]]  # FastAPI's `responses`


def answers(*statuses: int) -> Answers:
    """For FastAPI's `responses`: these errors, in the one schema, which api.py puts into the
    document once instead of FastAPI's reading it for each of some hundreds."""
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorReply"}}}
    told = {status: _CODES.get(status, "error").replace("_", " ") for status in statuses}
    return {status: {"description": told[status], "content": content} for status in told}


def without_paths(text: str) -> str:
    """The text with files told by their names alone; addresses stay.

    cannot read '/home/me/studio/uploads/ab12.png' → cannot read 'ab12.png'
    """
    return _BARE.sub(r"\1", _QUOTED.sub(r"\1\2\1", text))


# A path in quotes may hold spaces; another ends at the first.
_QUOTED = re.compile(r"(['\"])/(?:[^'\"/]*/)+([^'\"/]*)\1")
_BARE = re.compile(r"(?<![\w.:/])/(?:[\w.+@~-]+/)+([\w.+@~-]*)")
