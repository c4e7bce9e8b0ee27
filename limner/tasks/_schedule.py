"""Schedules of prompts: "30: a cat; 60%: a dog" says from which step on which prompt is painted.

    schedule = point { ";" point }
    point    = when ":" prompt
    when     = a step, counted from 0 | a share of all steps, with "%"

The judges change at once: what holds between two points is what the earlier one says.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from limner.errors import BadInput
from limner.prompt import parse

__all__ = ["Stage", "stages"]

_WHEN = re.compile(r"(\d{1,9}|\d{1,3}(?:\.\d{1,9})?\s*%)")


@dataclass(frozen=True)
class Stage:
    """Steps begin … end − 1 are painted to this prompt."""

    begin: int
    end: int
    prompt: str


def stages(prompt: str, schedule: str | None, steps: int) -> list[Stage]:
    """The prompt until the schedule's first point, then each point's own until the next.

    A point at step 0 takes the prompt's place. Raises BadInput for what the grammar does not say,
    for points that do not follow each other, and for those that no step would reach.
    """
    points = [] if schedule is None else [_point(each, steps) for each in schedule.split(";")]
    if not points or points[0][0] > 0:
        points.insert(0, (0, prompt))
    begins = [begin for begin, _ in points]
    for earlier, later in itertools.pairwise(begins):
        if later <= earlier:
            raise BadInput(
                f"the schedule goes from step {earlier} to step {later}: give its points in "
                f"order, each at a step of its own (there are {steps})"
            )
    ends = [*begins[1:], steps]
    return [Stage(begin, end, text) for (begin, text), end in zip(points, ends)]


def _point(text: str, steps: int) -> tuple[int, str]:
    """ "60%: a dog" → (60% of the steps, "a dog")."""
    when, colon, prompt = text.partition(":")
    when = when.strip()
    if not colon or not _WHEN.fullmatch(when):
        shown = text.strip()[:60]
        raise BadInput(
            f'the schedule\'s point {shown!r}: write WHEN: PROMPT, such as "30: a cat; 60%: a dog"'
        )
    share = when.endswith("%")
    begin = round(float(when[:-1]) / 100 * steps) if share else int(when)
    if begin >= steps:
        raise BadInput(f"the schedule's point at {when} is never reached: there are {steps} steps")
    parse(prompt)
    return begin, prompt.strip()
