"""Every error in one schema, and none with a path in it."""

from __future__ import annotations

import errno

import pytest
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException

from limner.errors import BadInput, LimnerError
from limner.studio import Job
from limner.studio.problems import ErrorReply, Problem, problem_of, problem_of_job, without_paths
from limner.studio.queue import QueueFull
from limner.studio.store import NoSpace, NotFound


class Fields(BaseModel):
    steps: int = Field(ge=1)


def invalid():
    try:
        Fields.model_validate({"steps": "SECRET"})
    except ValidationError as error:
        return error


@pytest.mark.parametrize(
    "error, status, code",
    [
        (BadInput("size 3: give more"), 400, "bad_input"),
        (NotFound("no such job"), 404, "not_found"),
        (QueueFull(256, 7), 429, "queue_full"),
        (NoSpace(), 507, "no_space"),
        (OSError(errno.ENOSPC, "No space left", "/data/x"), 507, "no_space"),
        (LimnerError("busy"), 503, "error"),
        (HTTPException(405, "no", {"Allow": "GET"}), 405, "method_not_allowed"),
        (Problem(409, "twice"), 409, "conflict"),
        (invalid(), 400, "bad_input"),
        (OSError(errno.EACCES, "denied", "/data/SECRET"), 500, "internal"),
        (RuntimeError("/home/me/SECRET.py"), 500, "internal"),
    ],
)
def test_what_is_raised_and_what_is_told(error, status, code):
    problem = problem_of(error)
    told = ErrorReply.model_validate(problem.body()).error
    assert (problem.status, told.code) == (status, code)
    assert "SECRET" not in told.message and told.message


def test_headers_come_along():
    assert problem_of(QueueFull(256, 7)).headers == {"Retry-After": "7"}
    assert problem_of(HTTPException(405, "no", {"Allow": "GET"})).headers == {"Allow": "GET"}


def test_what_is_invalid_is_named_and_messages_are_short():
    assert problem_of(invalid()).param == "steps"
    assert len(problem_of(BadInput("x" * 5000)).body()["error"]["message"]) == 600


@pytest.mark.parametrize(
    "text, told",
    [
        ("cannot read '/home/me/a b/x.png': no", "cannot read 'x.png': no"),
        ('"/srv/data/uploads/a.png" is broken', '"a.png" is broken'),
        ("in /usr/lib/python3/site.py it is", "in site.py it is"),
        ("see http://127.0.0.1:7860/api/jobs", "see http://127.0.0.1:7860/api/jobs"),
        ("black/white and 1/2", "black/white and 1/2"),
        ("the folder '/data'", "the folder '/data'"),
    ],
)
def test_files_are_told_by_their_names(text, told):
    assert without_paths(text) == told


@pytest.mark.parametrize(
    "state, error, status",
    [
        ("failed", {"code": "bad_input", "message": "'/d/e/x.png' is small"}, 400),
        ("failed", {"code": "out_of_memory", "message": "too large"}, 503),
        ("failed", {"code": "internal", "message": ""}, 500),
        ("cancelled", None, 409),
        ("quarantined", None, 500),
    ],
)
def test_a_job_that_is_not_done(state, error, status):
    problem = problem_of_job(Job("x", "generate", {}, state, 0.0, error=error))
    assert problem.status == status and "/d/e" not in problem.message and problem.message
