"""What the page's HTML says of pictures and of a sheet's jobs."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("gradio")

from limner.studio import Job
from limner.studio._page_compare import _sheet
from limner.studio._page_html import facts, line


def kept(task: str, **arguments: Any) -> Any:
    known = dict(task=task, width=64, height=48, seed=3, seconds=None)
    return SimpleNamespace(**known, recipe={"arguments": arguments})


def test_a_sheet_s_picture_says_which_guidance_made_it() -> None:
    assert facts(kept("guide", compare="cfg+clip")) == "cfg+clip · 64 × 48 · seed 3"
    assert facts(kept("generate", compare="cfg")) == "64 × 48 · seed 3"


def test_a_line_of_the_page_does_not_speak_of_a_command_line() -> None:
    said = (
        "the model 'embedded' has never seen the word 'sky'; use one that it knows (limner models "
        "--words), or another model (--model)"
    )
    wanted = "The model 'embedded' has never seen the word 'sky'; use one that it knows, or another"
    assert line(said) == f"{wanted} model"
    assert line("give --guidance-scale (above 1)") == "Give Guidance scale (above 1)"


def test_what_is_left_of_a_comparison_can_be_cancelled() -> None:
    studio: Any = SimpleNamespace(crew=SimpleNamespace(live=lambda job: None))
    waiting = Job("a", "generate", {"prompt": "a <cat>", "guidance_scale": 2.0}, "queued", 0.0)
    row = [waiting, replace(waiting, id="b", state="running"), replace(waiting, id="c")]
    done = [replace(each, state="cancelled") for each in row]
    html = _sheet(studio, [[*row[:2], done[2]]])
    (button,) = re.findall(r"<button[^>]*cancel[^>]*>", html)
    assert 'data-id="a,b"' in button and "a &lt;cat&gt;" in html
    assert "<button" not in _sheet(studio, [done])
