"""The text parts of a form as fields."""

from __future__ import annotations

import pytest
from pydantic import BaseModel
from starlette.datastructures import FormData

from limner.studio._bodies import said_of
from limner.studio.problems import Problem


class Fields(BaseModel):
    prompt: str = ""
    count: int = 1
    seeds: list[int] | None = None
    words: list[str] | None = None
    either: str | list[str] = ""


SCHEMA = Fields.model_json_schema()


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([("prompt", "8"), ("count", "8")], {"prompt": "8", "count": 8}),
        ([("count", "many")], {"count": "many"}),
        ([("seeds", "[1, 2]")], {"seeds": [1, 2]}),
        ([("seeds", "3")], {"seeds": [3]}),
        ([("seeds", "3"), ("seeds", "4")], {"seeds": [3, 4]}),
        ([("seeds", "[3, 4]"), ("seeds", "5")], {"seeds": [3, 4, 5]}),
        ([("seeds", "null")], {"seeds": None}),
        ([("seeds", "null"), ("seeds", "1.5")], {"seeds": [None, 1.5]}),
        ([("words", "8")], {"words": ["8"]}),
        ([("words", "8"), ("words", '["a", "b"]')], {"words": ["8", "a", "b"]}),
        ([("either", "ab")], {"either": "ab"}),
        ([("either", "ab"), ("either", "cd")], {"either": ["ab", "cd"]}),
        ([("nobody", "1")], {"nobody": 1}),
    ],
)
def test_fields_are_read_by_their_types(parts, said):
    assert said_of(FormData(parts), SCHEMA) == said


@pytest.mark.parametrize("part", ["prompt", "count", "nobody"])
def test_what_is_no_list_is_said_once(part):
    with pytest.raises(Problem, match=f"{part} is said twice") as raised:
        said_of(FormData([(part, "1"), (part, "2")]), SCHEMA)
    assert raised.value.status == 400
