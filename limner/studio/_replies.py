"""What the API answers with, as the OpenAPI document has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from limner.studio import FINAL, Job
from limner.studio.problems import ErrorBody, problem_of_job

if TYPE_CHECKING:
    from limner.studio._desk import Desk
    from limner.studio.crew import Live
    from limner.studio.gallery import Kept

__all__ = [
    "JobReply",
    "JobsReply",
    "PictureReply",
    "PicturesReply",
    "Progress",
    "TaskReply",
    "TasksReply",
    "job_reply",
    "picture_reply",
    "progress_of",
]


class Progress(BaseModel):
    """How far a running job is."""

    step: int
    total: int
    left: float | None = Field(None, description="seconds that it will still take, about")


class PictureLink(BaseModel):
    """A picture that a job made."""

    id: str
    url: str
    thumbnail: str


class JobReply(BaseModel):
    """A job; times in seconds since 1970."""

    id: str
    task: str
    state: str = Field(description="queued, running, done, failed, cancelled or quarantined")
    arguments: dict[str, Any]
    created: float
    started: float | None
    finished: float | None
    crashes: int = Field(description="workers that died under it")
    place: int | None = Field(description="how many jobs come before it, while it waits")
    progress: Progress | None
    pictures: list[PictureLink]
    result: dict[str, Any] | None = Field(description="what the task gave beside pictures")
    error: ErrorBody | None


class JobsReply(BaseModel):
    jobs: list[JobReply]


class TaskReply(BaseModel):
    """A task, and its fields as a JSON schema."""

    name: str
    summary: str
    uploads: list[str] = Field(description="parameters that are pictures")
    fields: dict[str, Any]


class TasksReply(BaseModel):
    tasks: list[TaskReply]


class PictureReply(BaseModel):
    """A picture of the gallery."""

    id: str
    job: str | None
    task: str | None
    prompt: str
    negative: str
    model: str | None
    seed: int | None
    width: int
    height: int
    created: float
    seconds: float | None
    favourite: bool
    origin: str = Field(description="painted, or imported")
    collections: list[str]
    recipe: dict[str, Any] | None
    foreign: str | None = Field(description="the recipe that another tool wrote, as it is")
    score: float | None = Field(None, description="how well it fits what was searched")
    url: str
    thumbnail: str


class PicturesReply(BaseModel):
    pictures: list[PictureReply]


def job_reply(desk: Desk, job: Job) -> JobReply:
    """A job with its place and progress. Asks the database: call it in a thread."""
    live = desk.studio.crew.live(job.id) if job.state == "running" else None
    error = None
    if job.state in FINAL and job.state not in ("done", "cancelled"):
        error = ErrorBody(**problem_of_job(job).body()["error"])
    return JobReply(
        id=job.id,
        task=job.task,
        state=job.state,
        arguments=_said(desk, job.arguments),
        created=job.created,
        started=job.started,
        finished=job.finished,
        crashes=job.crashes,
        place=desk.studio.queue.place(job.id) if job.state == "queued" else None,
        progress=progress_of(live) if live is not None else None,
        pictures=[PictureLink(id=id, **_links(id)) for id in job.pictures],
        result=job.result,
        error=error,
    )


def progress_of(live: Live) -> Progress:
    return Progress(step=live.step, total=live.total, left=live.left)


def _links(id: str) -> dict[str, str]:
    return {"url": f"/api/pictures/{id}/file", "thumbnail": f"/api/pictures/{id}/thumbnail"}


def _said(desk: Desk, value: Any) -> Any:
    """Arguments or a recipe; files of the data folder by their names alone."""
    if isinstance(value, str):
        root = str(desk.studio.store.folder)
        return value.rpartition("/")[2] if value.startswith(root) else value
    if isinstance(value, list):
        return [_said(desk, each) for each in value]
    if isinstance(value, dict):
        return {_said(desk, key): _said(desk, each) for key, each in value.items()}
    return value


def picture_reply(desk: Desk, kept: Kept, score: float | None = None) -> PictureReply:
    """A row of the gallery."""
    return PictureReply(
        id=kept.id,
        job=kept.job,
        task=kept.task,
        prompt=kept.prompt,
        negative=kept.negative,
        model=kept.model,
        seed=kept.seed,
        width=kept.width,
        height=kept.height,
        created=kept.created,
        seconds=kept.seconds,
        favourite=kept.favourite,
        origin=kept.origin,
        collections=list(kept.collections),
        recipe=_said(desk, kept.recipe),
        foreign=kept.foreign,
        score=score,
        **_links(kept.id),
    )
