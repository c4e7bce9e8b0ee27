"""What a request brings: JSON, or a form with pictures, within bounds."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from limner.studio.guard import LARGEST_UPLOAD
from limner.studio.problems import Problem

__all__ = ["form_of", "is_form", "json_of", "key_of", "said_of", "uploads_of"]

_MOST_FILES, _MOST_FIELDS = 8, 64  # parts of a form
_LARGEST_FIELD = 200_000  # bytes; a prompt has up to 32,000 characters
_DEEPEST = 20  # levels of JSON
_LONGEST_KEY = 200  # characters of an Idempotency-Key


def is_form(request: Request) -> bool:
    """Whether the body is said to be a form with files."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "multipart/form-data"


async def json_of(request: Request) -> dict[str, Any]:
    """The body's JSON object. Raises Problem."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0]
    if kind.strip().lower() != "application/json":
        raise Problem(415, "send JSON (Content-Type: application/json), or a form with pictures")
    return _object(await _read(request))


async def _read(request: Request) -> bytes:
    try:
        return await request.body()
    except ClientDisconnect:
        raise Problem(400, "the request was cut short") from None


def _object(data: bytes) -> dict[str, Any]:
    try:
        said = json.loads(data)
        deep = _depth(said)
        json.dumps(said, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        raise Problem(400, "the body is not JSON in UTF-8") from None
    if not isinstance(said, dict) or deep > _DEEPEST:
        raise Problem(400, 'send a JSON object, such as {"prompt": "a cat"}')
    return said


def _depth(said: Any) -> int:
    inner = said.values() if isinstance(said, dict) else said if isinstance(said, list) else None
    return 0 if inner is None else 1 + max((_depth(each) for each in inner), default=0)


@asynccontextmanager
async def form_of(request: Request) -> AsyncGenerator[FormData, None]:
    """The body's form; its files are there within the block. Raises Problem."""
    form = await _parsed(request)
    try:
        yield form
    finally:
        await form.close()


async def _parsed(request: Request) -> FormData:
    try:
        return await request.form(
            max_files=_MOST_FILES, max_fields=_MOST_FIELDS, max_part_size=_LARGEST_FIELD
        )
    except HTTPException as error:
        raise Problem(400, f"the form cannot be read: {error.detail}") from None
    except ClientDisconnect:
        raise Problem(400, "the request was cut short") from None
    except (ValueError, LookupError, AssertionError, KeyError):
        # What python-multipart and Starlette raise at headers of parts that make no sense:
        # charsets that do not exist, bytes that are no text.
        raise Problem(400, "the form cannot be read: it is broken") from None


async def uploads_of(form: FormData, names: Mapping[str, str]) -> dict[str, list[bytes]]:
    """The files of a form by parameter. names: what a part is called → its parameter."""
    found: dict[str, list[bytes]] = {}
    for part, value in form.multi_items():
        if not isinstance(value, UploadFile):
            continue
        name = names.get(part)
        if name is None:
            raise Problem(400, f"{part[:100]} is no picture of this request", param=part[:100])
        found.setdefault(name, []).append(await _file(value, name))
    return found


async def _file(value: UploadFile, name: str) -> bytes:
    if (value.size or 0) > LARGEST_UPLOAD:
        most = LARGEST_UPLOAD // 10**6
        raise Problem(413, f"{name} is over {most} MB: make it smaller", param=name)
    return await value.read()


def said_of(form: FormData, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The text parts of a form as the fields that a JSON schema has.

    A field that takes text is text; any other is read as JSON, such as 8, true or [0.2, 0.8]. A
    field that is a list may be said several times.
    """
    fields, texts = schema.get("properties", {}), dict[str, list[str]]()
    for part, value in form.multi_items():
        if not isinstance(value, UploadFile):
            texts.setdefault(part, []).append(value)
    said: dict[str, Any] = {}
    for part, several in texts.items():
        field = fields.get(part, {})
        if len(several) == 1:
            said[part] = _value(several[0], field)
        elif _takes(field, "array"):
            said[part] = [
                item for text in several for item in _items(text, _json_or_text(text), field)
            ]
        else:
            raise Problem(400, f"{part[:100]} is said twice", param=part[:100])
    return said


def _value(text: str, field: Mapping[str, Any]) -> Any:
    if _takes(field, "string"):
        return text
    value = _json_or_text(text)
    return value if value is None or not _takes(field, "array") else _items(text, value, field)


def _items(text: str, value: Any, field: Mapping[str, Any]) -> list[Any]:
    """Of a list as JSON, or of one item of it; `value` is what the text says."""
    if isinstance(value, list):
        return value
    return [text if _takes(_member(field), "string") else value]


def _json_or_text(text: str) -> Any:
    """JSON, or what it cannot be read as: the text."""
    try:
        value = json.loads(text)
        _depth(value)
    except (ValueError, RecursionError):
        return text
    return value


def _member(field: Mapping[str, Any]) -> Mapping[str, Any]:
    """The JSON schema of a list's items."""
    lists = (each for each in (field, *field.get("anyOf", ())) if each.get("type") == "array")
    items: Mapping[str, Any] = next(lists, dict[str, Any]()).get("items", {})
    return items


def _takes(field: Mapping[str, Any], kind: str) -> bool:
    """Whether a field of this JSON schema may be of this type."""
    if field.get("type") == kind:
        return True
    if kind == "string" and isinstance(field.get("const"), str):
        return True
    return any(_takes(each, kind) for each in field.get("anyOf", ()))


def key_of(request: Request) -> str | None:
    """The Idempotency-Key, by which the same request twice is one job."""
    key = request.headers.get("idempotency-key")
    if key is not None and not (1 <= len(key) <= _LONGEST_KEY and key.isprintable()):
        raise Problem(400, f"an Idempotency-Key has 1 to {_LONGEST_KEY} printable characters")
    return key
