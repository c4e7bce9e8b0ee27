"""Schedules of prompts: the grammar, and what it refuses."""

from __future__ import annotations

import pytest

from limner.errors import BadInput
from limner.tasks._schedule import Stage, stages


def test_without_a_schedule_the_prompt_holds() -> None:
    assert stages("a cat", None, 50) == [Stage(0, 50, "a cat")]


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        ("30: a dog", [(0, 30, "a cat"), (30, 50, "a dog")]),
        ("60%: a dog", [(0, 30, "a cat"), (30, 50, "a dog")]),
        ("0: a dog", [(0, 50, "a dog")]),
        ("0%: a dog ;20 : a cow", [(0, 20, "a dog"), (20, 50, "a cow")]),
        ("1: a dog; 2.5%: late", None),  # 2.5% of 50 steps is step 1 again
        ("33.3%: a dog:2 | photo.png:-1", [(0, 17, "a cat"), (17, 50, "a dog:2 | photo.png:-1")]),
        ("49: at 10:30", [(0, 49, "a cat"), (49, 50, "at 10:30")]),
    ],
)
def test_the_grammar(schedule: str, wanted: list[tuple[int, int, str]] | None) -> None:
    if wanted is None:
        with pytest.raises(BadInput, match="from step 1 to step 1"):
            stages("a cat", schedule, 50)
    else:
        assert stages("a cat", schedule, 50) == [Stage(*each) for each in wanted]


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        ("", "WHEN: PROMPT"),
        ("a dog", "WHEN: PROMPT"),
        ("half: a dog", "point 'half: a dog'"),
        ("-3: a dog", "WHEN: PROMPT"),
        ("1.5: a dog", "WHEN: PROMPT"),
        ("30: a dog;", "point ''"),
        ("30: ", "prompt is empty"),
        ("30: a dog | ", "empty phrase"),
        ("30: a dog; 20: a cow", "from step 30 to step 20"),
        ("50: a dog", "at 50 is never reached: there are 50 steps"),
        ("100%: a dog", "at 100% is never reached"),
        ("__import__('os'): a dog", "WHEN: PROMPT"),
    ],
)
def test_what_it_refuses(schedule: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason.replace("(", r"\(")) as raised:
        stages("a cat", schedule, 50)
    assert "\n" not in str(raised.value)
