"""Server-sent events: what a job does, told as it happens.

event: progress    {"job", "step", "total", "left", "preview"}    preview: a JPEG in base64
event: job         the job in its final state; then the stream ends
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

from starlette.responses import StreamingResponse

__all__ = ["FINAL_ID", "stream", "with_beats", "written"]

# The id of the last event. A browser that connects again says it, and is told to stay away.
FINAL_ID = "final"
_BEAT = 15.0  # seconds of silence after which a comment keeps the connection alive
Told = AsyncGenerator[str, None]
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def written(data: Any, *, event: str | None = None, id: str | None = None) -> str:
    """One event as the HTML standard has it ("Server-sent events", parsing an event stream)."""
    lines = [f"id: {id}"] if id else []
    lines += [f"event: {event}"] if event else []
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return "\n".join([*lines, f"data: {text}", "", ""])


def stream(events: Told) -> StreamingResponse:
    """The answer that sends these as they come, with a sign of life where they are slow."""
    return StreamingResponse(
        with_beats(events), media_type="text/event-stream", headers=dict(_HEADERS)
    )


async def with_beats(
    events: AsyncGenerator[str, None], beat: float = _BEAT
) -> AsyncGenerator[str, None]:
    """The same events, and a comment after every `beat` seconds without one."""
    coming: asyncio.Future[str | None] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(events, None))
            await asyncio.wait([coming], timeout=beat)
            if not coming.done():
                yield ": still here\n\n"
                continue
            event, coming = coming.result(), None
            if event is None:
                return
            yield event
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.wait([coming])
        await events.aclose()
