"""Server-sent events as browsers read them, and signs of life between them."""

from __future__ import annotations

import asyncio
import json

from limner.studio.events import with_beats, written


def test_an_event_is_lines_and_an_empty_one():
    text = written({"prompt": "a\ncat ä"}, event="job", id="final")
    *lines, last, rest = text.split("\n")
    assert lines[:2] == ["id: final", "event: job"] and (last, rest) == ("", "")
    assert json.loads(lines[2].removeprefix("data: ")) == {"prompt": "a\ncat ä"}
    assert written(1) == "data: 1\n\n"


def test_silence_is_filled_and_nothing_is_lost():
    closed = []

    async def slow():
        try:
            for each in "abc":
                await asyncio.sleep(0.03)
                yield each
        finally:
            closed.append(True)

    async def heard(most):
        beats = with_beats(slow(), beat=0.01)
        told = []
        async for each in beats:
            told.append(each)
            if len(told) == most:
                break
        await beats.aclose()
        return told

    told = asyncio.run(heard(1000))
    assert [each for each in told if not each.startswith(":")] == list("abc")
    assert told.count(": still here\n\n") >= 3 and closed == [True]
    assert len(asyncio.run(heard(2))) == 2 and closed == [True, True]
