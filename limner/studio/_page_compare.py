"""The room that paints one prompt under several samplers and scales of guidance, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from limner.errors import BadInput
from limner.studio import FINAL, Job
from limner.studio._page_bench import QUIET, acting, line_of
from limner.studio._page_fields import Control, control, said_of
from limner.studio._page_html import act, empty, file_of, notice
from limner.studio._page_run import submitted
from limner.studio.problems import without_paths

if TYPE_CHECKING:
    from limner.studio.studio import Studio

__all__ = ["compare_room"]

_MOST = 24  # pictures of a sheet
_POLLED = 0.6  # seconds
_SCALES = "1, 2, 4, 7"
_ALIKE = ("prompt", "negative", "seed", "steps", "size", "model", "fast")
_OWN = "the model's own"


def compare_room(studio: Studio) -> tuple[gr.HTML, gr.BrowserState, Any]:
    """The room's stage, what it keeps, and what finds that again after a reload. Each cell of its
    sheet is a job like any other, all with one seed."""
    form = studio.forms["generate"]
    controls: list[Control] = []
    with gr.Row(elem_classes=["room"]):
        with gr.Column(elem_classes=["controls"], scale=0):
            controls.append(control(form, "prompt", lines=2, info=False, elem_classes=["words"]))
            go = gr.Button("Compare", variant="primary", elem_classes=["go"], elem_id="go-compare")
            note = gr.HTML("", apply_default_css=False, elem_classes=["note"])
            scales = gr.Textbox(_SCALES, label="Guidance scales", info="One column for each")
            schema = control(form, "sampler", render=False).part
            known = [value for _, value in schema.choices if value]  # type: ignore[attr-defined]
            samplers = gr.Dropdown(
                known,
                value=[name for name in ("dpmpp_2m", "euler") if name in known],
                multiselect=True,
                label="Samplers",
                info="One row for each",
            )
            with gr.Row(elem_classes=["fields", "of-2"]):
                controls += [
                    control(form, each, info=False, narrow=True) for each in ("seed", "steps")
                ]
            with gr.Accordion("More settings", open=False, elem_classes=["more"]):
                controls += [control(form, each) for each in _ALIKE if each not in _of(controls)]
        with gr.Column(elem_classes=["seen"]):
            blank = empty(
                "Nothing compared yet", "The same noise, painted in different ways.", "compare"
            )
            stage = acting(blank, elem_classes=["stage"], elem_id="compare-stage")
    kept = gr.BrowserState([], storage_key="limner-compare", secret="limner")

    async def run(columns: str, rows: list[str], *values: Any) -> AsyncIterator[dict[Any, Any]]:
        try:
            said = said_of(controls, values)
            ids = await _asked(studio, said, _numbers(columns), rows or [""])
        except Exception as error:
            yield {note: notice(line_of(error))}
            return
        yield {note: "", kept: ids}
        async for html in _followed(studio, ids):
            yield {stage: html}

    async def resume(ids: Any) -> AsyncIterator[Any]:
        yield blank
        if isinstance(ids, list) and ids:
            async for html in _followed(studio, ids):
                yield html

    go.click(
        run, [scales, samplers, *(each.part for each in controls)], [stage, note, kept], **QUIET
    )
    return stage, kept, resume


def _of(controls: Sequence[Control]) -> list[str]:
    return [each.name for each in controls]


def _numbers(text: str) -> list[float | None]:
    """The scales; None, the model's own, where nothing is said. Raises BadInput."""
    parts = text.replace(",", " ").split()
    try:
        return [float(part) for part in parts] or [None]
    except ValueError:
        raise BadInput(
            "guidance scales: give numbers with commas between, such as 1, 2, 4"
        ) from None


async def _asked(
    studio: Studio, said: dict[str, Any], scales: Sequence[float | None], samplers: Sequence[str]
) -> list[list[str]]:
    """The jobs' ids, row by row. Raises BadInput before anything is asked for."""
    if not said.get("prompt"):
        raise BadInput("describe what to paint first")
    if len(scales) * len(samplers) > _MOST:
        raise BadInput(f"{len(scales) * len(samplers)} pictures: compare {_MOST} at the most")
    cells = [[said | _cell(scale, sampler) for scale in scales] for sampler in samplers]
    for cell in (cell for row in cells for cell in row):
        studio.forms["generate"].checked(cell)
    return [[(await submitted(studio, "generate", cell, {})).id for cell in row] for row in cells]


def _cell(scale: float | None, sampler: str) -> dict[str, Any]:
    own = {"guidance_scale": scale, "sampler": sampler}
    return {name: value for name, value in own.items() if value not in (None, "")}


async def _followed(studio: Studio, ids: list[list[str]]) -> AsyncIterator[str]:
    while True:
        jobs = await asyncio.to_thread(_looked_up, studio, ids)
        yield _sheet(studio, jobs)
        if all(job is None or job.state in FINAL for row in jobs for job in row):
            return
        await asyncio.sleep(_POLLED)


def _looked_up(studio: Studio, ids: list[list[str]]) -> list[list[Job | None]]:
    return [[studio.queue.get(str(id)) for id in row] for row in ids if isinstance(row, list)]


def _sheet(studio: Studio, jobs: Sequence[Sequence[Job | None]]) -> str:
    columns = jobs[0] if jobs else []
    head = "".join(f'<th scope="col">guidance {escape(_scale(job))}</th>' for job in columns)
    rows = "".join(
        f'<tr><th scope="row">{escape(_sampler(row[0]))}</th>'
        + "".join(f"<td>{_seen(studio, job)}</td>" for job in row)
        + "</tr>"
        for row in jobs
    )
    words = next((job.arguments.get("prompt", "") for job in columns if job), "")
    left = [job.id for row in jobs for job in row if job and job.state not in FINAL]
    cancel = act("cancel", "Cancel", id=",".join(left), look="plain") if left else ""
    return (
        f'<p class="counts">{escape(str(words))}</p><div class="scroll compared"><table><thead><tr>'
        f"<td></td>{head}</tr></thead><tbody>{rows}</tbody></table></div>{cancel}"
    )


def _scale(job: Job | None) -> str:
    scale = job.arguments.get("guidance_scale") if job else None
    return _OWN if scale is None else f"{scale:g}"


def _sampler(job: Job | None) -> str:
    return str(job.arguments.get("sampler") or _OWN) if job else ""


def _seen(studio: Studio, job: Job | None) -> str:
    if job is None:
        return '<div class="blank"></div>'
    if job.pictures:
        told = f"guidance {_scale(job)}, {_sampler(job)}"
        return (
            f'<button type="button" class="tile" data-do="open" data-id="{job.pictures[0]}">'
            f'<img src="{file_of(job.pictures[0])}" alt="{escape(told)}"></button>'
        )
    if job.state in FINAL:
        message = without_paths((job.error or {}).get("message", job.state))
        return f'<div class="tile is-empty">{escape(message[:80])}</div>'
    live = studio.crew.live(job.id)
    told = f"{live.step}/{live.total}" if live and live.total else "waiting"
    return f'<div class="tile is-empty">{told}</div>'
