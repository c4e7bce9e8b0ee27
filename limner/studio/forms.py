"""What can be asked of the studio: a form for each task, derived from the task's own signature.

A form knows its fields with their bounds (the page and the API show and check them), which of them
are uploads, what may share a pass, and how to run the task in the worker.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from limner._rooms import find, names
from limner.errors import BadInput
from limner.prompt import parse
from limner.studio._doors import check_doors
from limner.studio._fields import LEFT_OUT, PICTURES, Names, field_type
from limner.studio._results import Result, result_of
from limner.tasks._signature import helps, hints, summary

if TYPE_CHECKING:
    from limner.studio._models import Models
    from limner.tasks import Watch

__all__ = ["ABSENT", "AT_ONCE", "Form", "Result", "forms"]

# Tasks that have no form, and why.
ABSENT = {
    "replay": "the recipe inside a picture names files and models: whoever wrote it would choose "
    "what is read here. A gallery picture's own settings can be asked for again instead",
}
# Tasks that need a network that may not be here; without it they have no form: the parameter that
# names it, which then has nothing to choose from.
_NEEDS = {"adapt": "clip", "sample": "model", "unclip": "prior"}
AT_ONCE = 8  # pictures that are painted in one pass at the most
_WORDS_INSTEAD = {"a", "b", "subject"}  # uploads in whose place words may stand
_SEEDS_INSTEAD = {("arithmetic", "picture")}
_MOST_UPLOADS = 10  # of a parameter that takes several
_LARGEST = 2048  # pixels of a side that a task may enlarge an upload to
_PAINTED = 1024  # and that it may paint in one piece
_AT_FULL_SIZE = {("map", "picture"), ("paint", "start")}
# In which requests that share a pass may differ.
_OWN = ("prompt", "negative", "count", "seed", "first")


@dataclass(frozen=True)
class Form:
    """A task as it can be asked for.

    fields:   a model of all that is not a picture, extra ones forbidden; its JSON schema has each
              parameter's meaning
    uploads:  parameters that are pictures; `needed` of them must be given, `several` take many
    words:    uploads in whose place words or a seed may stand, as a field of that name
    """

    name: str
    summary: str
    fields: type[BaseModel]
    uploads: tuple[str, ...]
    needed: tuple[str, ...]
    several: tuple[str, ...]
    words: tuple[str, ...]
    help: dict[str, str]

    def checked(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments that were said, validated, those left unsaid left out. Raises BadInput."""
        try:
            model = self.fields.model_validate(dict(said))
        except ValidationError as error:
            raise BadInput(_line(error)) from None
        checked = model.model_dump(mode="json", exclude_unset=True)
        checked = {name: value for name, value in checked.items() if value is not None}
        check_doors(self.name, checked)
        if self.name == "generate":
            _check_generate(checked)
        return checked

    def check_uploads(self, given: Mapping[str, int], arguments: Mapping[str, Any]) -> None:
        """Raises BadInput unless these uploads, so many each, are what the task takes."""
        for name, count in given.items():
            if name not in self.uploads:
                known = ", ".join(self.uploads) or "none"
                raise BadInput(f"{self.name} takes no picture {name[:40]!r}: it takes {known}")
            most = _MOST_UPLOADS if name in self.several else 1
            if not 1 <= count <= most:
                raise BadInput(f"{name}: {count} pictures, give 1 to {most}")
            if name in arguments:
                raise BadInput(f"{name} is given as a picture and in words: give one of them")
        for name in self.needed:
            if name not in given and name not in arguments:
                raise BadInput(f"{self.name} needs a picture: upload one as {name}")

    def check_sizes(
        self, sizes: Mapping[str, tuple[int, int]], arguments: Mapping[str, Any]
    ) -> None:
        """Raises BadInput where uploads of these sizes would make the task paint too much."""
        for name, size in sizes.items():
            free = (self.name, name) in _AT_FULL_SIZE and "size" not in arguments
            if free and max(size) > _PAINTED:
                raise BadInput(
                    f"{name} is {size[0]}x{size[1]}: give one of at most {_PAINTED} pixels a side"
                )
            if "by" in arguments and max(size) * arguments["by"] > _LARGEST:
                raise BadInput(
                    f"{name} is {size[0]}x{size[1]}, {arguments['by']} times as large is over "
                    f"{_LARGEST} pixels: give a smaller one, or to"
                )

    def shape(self, arguments: Mapping[str, Any]) -> str | None:
        """Requests of equal shape may be painted in one pass; None: this one cannot share."""
        if self.name != "generate" or "best_of" in arguments or self.pictures(arguments) > AT_ONCE:
            return None
        phrases = parse(arguments["prompt"])
        if len(phrases) > 1:
            return None
        same = {name: value for name, value in arguments.items() if name not in _OWN}
        same |= {"model": same.get("model", "embedded"), "weight": phrases[0].weight}
        return json.dumps(same, sort_keys=True)

    def pictures(self, arguments: Mapping[str, Any]) -> int:
        """How many the task paints."""
        if self.name == "interpolate":
            return int(arguments.get("frames", 9))
        count = int(arguments.get("best_of") or arguments.get("count", 1))
        return count if "count" in self.fields.model_fields else 1

    def run(
        self,
        arguments: Mapping[str, Any],
        uploads: Mapping[str, Path | list[Path]],
        watch: Watch,
        models: Models,
    ) -> Result:
        """Does it: arguments as `checked` gave them, uploads by parameter."""
        task = find("tasks", self.name)
        known = inspect.signature(task).parameters
        said = models.opened(self.name, dict(arguments), hints(task)) | dict(uploads)
        if isinstance(said.get("clip"), list):
            said["clip"] = ",".join(said["clip"])
        if "guidance_interval" in said:
            said["guidance_interval"] = tuple(said["guidance_interval"])
        if "watch" in known:
            said["watch"] = watch
        return result_of(self.name, task(**said))


def forms(models: Sequence[str] = ()) -> dict[str, Form]:
    """The form of every task that can be asked for. models: further ones, by clients' names."""
    known = Names(models)
    asked = [name for name in names("tasks") if name not in ABSENT]
    return {name: _form(name, known) for name in asked if _can(name, known)}


def _can(name: str, known: Names) -> bool:
    return name not in _NEEDS or known.of(name, _NEEDS[name], "") != ()


def _form(name: str, known: Names) -> Form:
    task = find("tasks", name)
    kinds, meanings = hints(task), helps(task)
    uploads, needed, words = [], [], []
    fields: dict[str, Any] = {}
    for each in inspect.signature(task).parameters.values():
        required = each.default is inspect.Parameter.empty
        if each.name in LEFT_OUT or known.of(name, each.name, kinds[each.name]) == ():
            continue
        if each.name in PICTURES:
            uploads.append(each.name)
            needed += [each.name] if required else []
            if each.name not in _WORDS_INSTEAD and (name, each.name) not in _SEEDS_INSTEAD:
                continue
            words.append(each.name)
            required, each = False, each.replace(default=None)
        optional = kinds[each.name] + (" | None" if each.name in words else "")
        told = Field(... if required else each.default, description=meanings.get(each.name, ""))
        fields[each.name] = (field_type(name, each.name, optional, known), told)
    model = create_model(
        f"{name.title()}Fields", __config__=ConfigDict(extra="forbid"), __doc__="", **fields
    )
    several = tuple(each for each in uploads if kinds[each].startswith("Sequence"))
    told_of = {each: meanings.get(each, "") for each in (*fields, *uploads)}
    return Form(
        name, summary(task), model, tuple(uploads), tuple(needed), several, tuple(words), told_of
    )


def _check_generate(said: Mapping[str, Any]) -> None:
    """What would fail in the worker, said at once where it is cheap."""
    parse(said["prompt"])
    if said.get("best_of", 32) < said.get("count", 1):
        raise BadInput(f"best_of {said['best_of']} is under count {said['count']}: paint more")


def _line(error: ValidationError) -> str:
    """The first of pydantic's complaints: where, what came (shortened), what was expected."""
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the arguments"
    if first["type"] == "missing":
        return f"{where} is missing: give it"
    if first["type"] == "extra_forbidden":
        return f"there is no field {where[:60]!r}: leave it out"
    came = str(first.get("input"))
    shown = came if len(came) <= 40 else came[:37] + "..."
    return f"{where[:60]} {shown!r}: {first['msg'][0].lower()}{first['msg'][1:]}"
