"""Controls of the page from the fields of a task's form: labels, help, bounds and choices are the
form's, and nothing is written twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from limner.errors import BadInput
from limner.studio._fields import TEXTS

if TYPE_CHECKING:
    from gradio.components import Component
    from pydantic import BaseModel

    from limner.studio.forms import Form

__all__ = ["Control", "control", "label_of", "said_of", "to_show"]

_OWN = "the model's own"  # what stands in an optional field that was left alone
_LETTERS = {"a": "From", "b": "To"}
_NUMBERS = ("integer", "number")
_WIDEST_SLIDER = 64  # whole numbers beyond that are typed


@dataclass(frozen=True)
class Control:
    """A field of a form and the component that shows it."""

    name: str
    part: Component
    schema: Mapping[str, Any]  # of the field's value, without null
    default: Any

    def read(self, value: Any) -> Any:
        """What the form is told: None where the field was left alone. Raises BadInput."""
        kind = self.schema.get("type")
        if value is None or value == "" or value == []:
            return "" if kind == "string" and self.default == "" else None
        if kind == "array":
            return self._listed(value)
        return self._counted(value) if kind in _NUMBERS else value

    def _counted(self, value: Any) -> Any:
        try:
            number = float(value)
        except ValueError:
            raise BadInput(f"{label_of(self.name)} {value[:40]!r}: give a number") from None
        return int(number) if self.schema["type"] == "integer" and number.is_integer() else number

    def _listed(self, value: Any) -> list[Any]:
        if not isinstance(value, str):
            return list(value)
        if "prefixItems" not in self.schema:
            return [line.strip() for line in value.splitlines() if line.strip()]
        try:
            return [float(part) for part in value.replace(",", " ").split()]
        except ValueError:
            raise BadInput(f"{label_of(self.name)}: give two numbers, such as 0.2, 0.8") from None

    def show(self, value: Any) -> Any:
        """What the component is given for a value that a form was told."""
        value = self.default if value is None else value
        if value is None and _choices(self.schema) and self.schema.get("type") == "array":
            return []
        if isinstance(value, (list, tuple)) and not self.schema.get("items", {}).get("enum"):
            joint = ", " if "prefixItems" in self.schema else "\n"
            return joint.join(
                f"{each:g}" if isinstance(each, float) else str(each) for each in value
            )
        if value is None or (self.default is None and self.schema.get("type") in _NUMBERS):
            return "" if value is None else f"{value:g}"
        return value


def label_of(name: str) -> str:
    """A field's name as people read it: guidance_scale → Guidance scale."""
    return _LETTERS.get(name) or name.replace("_", " ").capitalize()


def said_of(controls: Sequence[Control], values: Sequence[Any]) -> dict[str, Any]:
    """What the components hold as what the form takes; fields that were left alone are left out."""
    read = {each.name: each.read(value) for each, value in zip(controls, values)}
    return {name: value for name, value in read.items() if value is not None}


def to_show(controls: Sequence[Control], said: Mapping[str, Any]) -> list[Any]:
    """The components' values for what a form was told; all else as it is in a new form."""
    return [each.show(said.get(each.name)) for each in controls]


def control(
    form: Form, name: str, *, lines: int = 0, info: bool = True, narrow: bool = False, **look: Any
) -> Control:
    """The component of a field.

    lines:  of a text; 0: two for what is painted, else one
    info:   show the field's meaning below its label; else it is the placeholder
    narrow: it stands beside another: numbers are typed
    look:   further arguments of the component
    """
    whole = _properties(form.fields)[name]
    schema = next(iter(each for each in whole.get("anyOf", [whole]) if each.get("type") != "null"))
    default = whole.get("default")
    told = form.help.get(name, "")
    words = ", in words" if info and name in form.uploads else ""  # beside the picture itself
    look = {
        "label": label_of(name) + words,
        "info": _sentence(told) if info and told else None,
    } | look
    if schema.get("type") in _NUMBERS and not _choices(schema):
        return Control(name, _number(schema, default, look, narrow), schema, default)
    made = _component(name, schema, default, lines, look, "" if info else told)
    return Control(name, made, schema, default)


@cache
def _properties(fields: type[BaseModel]) -> dict[str, dict[str, Any]]:
    properties: dict[str, dict[str, Any]] = fields.model_json_schema()["properties"]
    return properties


def _component(
    name: str, schema: Mapping[str, Any], default: Any, lines: int, look: dict[str, Any], hint: str
) -> Component:
    import gradio as gr

    kind, choices = schema.get("type"), _choices(schema)
    if kind == "boolean":
        return gr.Checkbox(value=bool(default), **look)
    if choices:
        several = kind == "array"
        own = [] if several or default is not None else [(_OWN, "")]
        listed = [*own, *((each, each) for each in choices)]
        start = default if default is not None else None if several else ""
        # Typing into it to find an entry would open a phone's keyboard for nothing.
        return gr.Dropdown(listed, value=start, multiselect=several, filterable=several, **look)
    if kind == "array":
        own_lines = 1 if "prefixItems" in schema else 3
        start = Control(name, None, schema, default).show(None)  # type: ignore[arg-type]
        return gr.Textbox(value=start or "", lines=own_lines, max_lines=12, **look)
    examples = schema.get("examples") or []
    hint = f"such as {examples[0]}" if examples else _sentence(hint)
    own_lines = lines or (2 if name in TEXTS and name != "negative" else 1)
    return gr.Textbox(
        value=default or "",
        placeholder=hint or None,
        lines=own_lines,
        max_lines=1 if examples else max(own_lines, 8),
        **look,
    )


def _number(
    schema: Mapping[str, Any], default: Any, look: dict[str, Any], narrow: bool
) -> Component:
    import gradio as gr

    low, high, whole = schema["minimum"], schema["maximum"], schema["type"] == "integer"
    if (
        not narrow
        and default is not None
        and (high - low <= _WIDEST_SLIDER if whole else high - low <= 1)
    ):
        fine = 1 if whole else 0.01
        start = 0 if not whole and low < fine else low
        return gr.Slider(start, high, value=default, step=fine, buttons=[], **look)
    if default is None:  # Gradio's field for numbers cannot be empty
        return gr.Textbox(placeholder=_OWN, max_lines=1, **look)
    # Bounds are the form's to check: Gradio would complain in a box of its own.
    return gr.Number(
        value=default, precision=0 if whole else None, step=1 if whole else 0.1, **look
    )


def _choices(schema: Mapping[str, Any]) -> list[Any]:
    within = schema.get("items", schema) if schema.get("type") == "array" else schema
    if not isinstance(within, Mapping):
        return []
    return list(within.get("enum", [within["const"]] if "const" in within else []))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
