"""Forms: every task has one, every value is bounded, and no word opens a file."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from limner._rooms import find, names
from limner.errors import BadInput
from limner.studio import _fields
from limner.studio.forms import ABSENT, Form, forms

FORMS = forms(["given"])
# The least that each task's form takes.
LEAST: dict[str, dict[str, Any]] = {
    "adapt": dict(source="a photo", target="a sketch"),
    "arithmetic": dict(picture="seed:7", add="smile"),
    "classify": dict(labels=["cat", "dog"]),
    "describe": {},
    "edit": dict(text="a golden cat"),
    "explain": dict(subject="a red cube"),
    "generate": dict(prompt="a red cube"),
    "guide": dict(prompt="a red cube"),
    "inpaint": dict(prompt="a red cube"),
    "interpolate": dict(a="seed:7", b="seed:8"),
    "invert": {},
    "layout": dict(prompt="a cat", boxes="a cat: .1,.2,.5,.9"),
    "map": {},
    "mix": dict(a="seed:7", b="seed:8"),
    "modifiers": {},
    "outpaint": dict(prompt="a red cube"),
    "paint": dict(prompt="a red cube"),
    "rank": dict(prompt="a red cube"),
    "restyle": dict(prompt="a red cube"),
    "sample": dict(model="given"),
    "textdiff": dict(before="a cat", after="a dog"),
    "unclip": dict(prompt="a red cube"),
    "upscale": {},
    "vary": {},
}
FILES = ["latent.safetensors", "words.txt"]  # no prompt opens them
HOSTILE = [
    "/etc/passwd.png", "../../x.png", "photo.PNG", "a cat | photo.png:0.5", "x.webp ", "a.jpeg:2",
    "file:///etc/hostname.jpg", "\0.png", "a\0b",
]  # fmt: skip


def strings(form: Form) -> list[str]:
    """The fields that take free words."""
    schema = form.fields.model_json_schema()["properties"]
    return [
        name
        for name, said in schema.items()
        if any(
            each.get("type") == "string" and "enum" not in each and "const" not in each
            for each in [said, *said.get("anyOf", [])]
        )
    ]


def test_every_task_has_a_form_or_a_reason() -> None:
    assert {*FORMS, *ABSENT, "unclip"} == set(names("tasks"))
    assert set(forms()) == set(FORMS) - {"sample"}


@pytest.mark.parametrize("name", FORMS)
def test_every_field_is_the_tasks_own_and_bounded(name: str) -> None:
    form, parameters = FORMS[name], inspect.signature(find("tasks", name)).parameters
    asked = {*form.fields.model_fields, *form.uploads}
    assert asked <= set(parameters)
    left = set(parameters) - asked - {"weak", "prior"}
    assert left <= _fields.LEFT_OUT, "a parameter is neither a field nor left out"
    assert all(form.help[each] for each in asked)
    schema = form.fields.model_json_schema()
    assert schema["additionalProperties"] is False
    for field, said in schema["properties"].items():
        for each in said.get("anyOf", [said]):
            kind = each.get("type")
            bounded = {
                "string": {"maxLength"} <= set(each) or {"enum", "const", "pattern"} & set(each),
                "integer": {"minimum", "maximum"} <= set(each),
                "number": {"minimum", "maximum"} <= set(each),
                "array": "maxItems" in each,
                "boolean": True,
                "null": True,
            }
            assert bounded[kind], (field, each)


@pytest.mark.parametrize("name", FORMS)
def test_the_least_that_is_asked_is_welcome_and_the_rest_is_not(name: str) -> None:
    form, least = FORMS[name], LEAST[name]
    checked = form.checked(least)
    assert checked == least
    assert json.loads(json.dumps(checked)) == checked
    assert form.pictures(checked) >= 1
    with pytest.raises(BadInput, match="no field"):
        form.checked(least | {"watch": None})
    for field in least:
        if form.fields.model_fields[field].is_required():
            with pytest.raises(BadInput):
                form.checked({key: value for key, value in least.items() if key != field})


@pytest.mark.parametrize("name", FORMS)
def test_no_word_opens_a_file(name: str) -> None:
    form = FORMS[name]
    for field in strings(form):
        for hostile in HOSTILE if field in _fields.TEXTS else [*HOSTILE, *FILES]:
            said: Any = [hostile, "b"] if field in ("labels", "captions", "templates") else hostile
            with pytest.raises(BadInput):
                form.checked(LEAST[name] | {field: said})
    for field in ("model", "clip", "decoder", "adapter", "prior", "weak", "classifier"):
        for hostile in ("/etc", "../x", "runwayml/stable-diffusion-v1-5", "embedded+/tmp", ""):
            if field in form.fields.model_fields:
                with pytest.raises(BadInput):
                    form.checked(LEAST[name] | {field: hostile})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("paint", dict(schedule="30: photo.png; 60%: a dog")),
        ("paint", dict(schedule="0: a cat | photo.png:0.5")),
        ("paint", dict(judge="clip, identity=/etc")),
        ("paint", dict(judge="clip,identity=some/repo:0.5")),
        ("explain", dict(subject="a cat | b.png")),
        ("interpolate", dict(a="a cat", b="a dog")),
        ("interpolate", dict(a="a cat", b="dog.png", space="words")),
        ("interpolate", dict(a="/etc/passwd", b="seed:7")),
        ("arithmetic", dict(picture="latent.safetensors", add="smile")),
        ("mix", dict(a="seed:7", b="../latent.safetensors")),
        ("classify", dict(labels="labels.txt")),
        ("describe", dict(captions="captions.txt")),
        ("classify", dict(labels=["cat", "dog"], templates="/etc/passwd")),
    ],
)
def test_doors_of_single_tasks(name: str, said: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        FORMS[name].checked(LEAST[name] | said)


def test_words_that_are_no_files_pass() -> None:
    for name, said in [
        ("paint", dict(judge="clip,identity:0.5,identity=embedded:0.2")),
        ("interpolate", dict(a="a cat", b="a 16:9 dog", space="words")),
        ("generate", dict(prompt="a png of a cat.png on grass", negative="blur")),
        ("paint", dict(schedule="30: a cat; 60%: a dog:2 | snow:-1")),
    ]:
        assert FORMS[name].checked(LEAST[name] | said) == LEAST[name] | said


@pytest.mark.parametrize(
    "said",
    [
        dict(count=0), dict(count=11), dict(count=True and 1.5), dict(steps=201), dict(size="1x1"),
        dict(size="2000x64"), dict(size="64"), dict(guidance_scale=float("nan")), dict(seed=-1),
        dict(seed=2**64), dict(guidance_interval=[0.5]), dict(guidance_interval=[0, 2]),
        dict(sampler="../heun"), dict(prompt=""), dict(prompt="x" * 32_001), dict(prompt=7),
        dict(prompt="a | | b"), dict(precision="float16"), dict(best_of=1, count=2),
        dict(compile=True), dict(prompt=None),
    ],
)  # fmt: skip
def test_generate_refuses(said: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as caught:
        FORMS["generate"].checked(LEAST["generate"] | said)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_shapes() -> None:
    form = FORMS["generate"]

    def shape(**said: Any) -> str | None:
        return form.shape(form.checked(LEAST["generate"] | said))

    assert shape() is not None
    assert shape() == shape(prompt="a cat", seed=7, count=3, first=2, negative="dog")
    assert shape() == shape(model="embedded")
    others = [dict(steps=7), dict(size="64x64"), dict(guidance_scale=2), dict(sampler="ddim"),
              dict(model="given"), dict(fast=True), dict(prompt="a cat:2")]  # fmt: skip
    assert len({shape(), *(shape(**each) for each in others)}) == 1 + len(others)
    for said in (dict(prompt="a cat | a dog"), dict(best_of=2), dict(count=9)):
        assert shape(**said) is None
    assert FORMS["restyle"].shape({"prompt": "a cat"}) is None


def test_how_many_pictures() -> None:
    assert FORMS["generate"].pictures({"prompt": "a", "count": 3}) == 3
    assert FORMS["generate"].pictures({"prompt": "a", "count": 3, "best_of": 8}) == 8
    assert FORMS["interpolate"].pictures({"frames": 5}) == 5
    assert FORMS["invert"].pictures({}) == 1


def test_uploads_are_checked() -> None:
    inpaint, rank, mix = FORMS["inpaint"], FORMS["rank"], FORMS["mix"]
    inpaint.check_uploads({"picture": 1, "mask": 1}, {})
    rank.check_uploads({"pictures": 10}, {})
    mix.check_uploads({"a": 1}, {"b": "seed:7"})
    for form, given, said in [
        (inpaint, {"picture": 1}, {}),
        (inpaint, {"picture": 2, "mask": 1}, {}),
        (inpaint, {"picture": 1, "mask": 1, "../x": 1}, {}),
        (rank, {"pictures": 11}, {}),
        (rank, {}, {}),
        (mix, {"a": 1, "b": 1}, {"b": "seed:7"}),
        (mix, {"a": 1}, {}),
    ]:
        with pytest.raises(BadInput):
            form.check_uploads(given, said)
    FORMS["upscale"].check_sizes({"picture": (256, 99)}, {"by": 8})
    for name, size, said in [
        ("upscale", (257, 99), {"by": 8}),
        ("map", (1025, 64), {}),
        ("paint", (1025, 64), {}),
    ]:
        with pytest.raises(BadInput):
            FORMS[name].check_sizes({"start" if name == "paint" else "picture": size}, said)
    FORMS["paint"].check_sizes({"start": (1025, 64)}, {"size": "64x64"})


def test_the_names_are_those_of_the_tasks() -> None:
    from limner.tasks._editing import ways
    from limner.tasks._generators import GENERATORS
    from limner.tasks._spaces import KINDS

    assert set(_fields._generators("paint")) == set(GENERATORS)
    assert set(_fields._generators("invert")) == set(KINDS)
    assert list(_fields._ways()) == ways()


def test_a_folder_is_called_by_its_last_part(tmp_path: Path) -> None:
    from limner.studio._models import Models, aliases

    folder = tmp_path / "own model"
    folder.mkdir()
    found = aliases([str(folder), str(folder), "org/name"])
    assert found == {
        "own model": str(folder), "own model-2": str(folder), "org/name": "org/name",
    }  # fmt: skip
    message = f"{str(folder)!r} has no model_index.json, nor has /var/lib/x/y"
    assert Models([str(folder)]).told(message) == "'own model' has no model_index.json, nor has …"
