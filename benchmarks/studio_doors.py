"""Every place of the studio's API that takes a string, found in its own OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random
from typing import Any
from urllib.parse import quote

import httpx
from studio_hostile import encoded

__all__ = ["Door", "doors"]

Door = Callable[[httpx.Client, str], httpx.Response]


def doors(client: httpx.Client) -> list[Door]:
    """A way to say a string for each place that takes one."""
    document = client.get("/openapi.json").json()
    found: list[Door] = [_as_header, _as_file_name, _as_cookie, _as_host]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for each in operation.get("parameters", []):
                found.append(_as_parameter(method, path, each))
            for kind, body in operation.get("requestBody", {}).get("content", {}).items():
                fields = body["schema"].get("properties", {})
                found += [_as_field(method, path, kind, name, fields) for name in fields]
    return found


def _as_header(client: httpx.Client, text: str) -> httpx.Response:
    said = {"prompt": "a cat", "steps": 1}
    headers = {"idempotency-key": text, "last-event-id": text, "x-forwarded-host": text}
    return client.post("/api/tasks/generate", json=said, headers=headers)


def _as_cookie(client: httpx.Client, text: str) -> httpx.Response:
    return client.get("/api/jobs", headers={"cookie": f"limner={text}", "authorization": text})


def _as_host(client: httpx.Client, text: str) -> httpx.Response:
    return client.get("/api/jobs", headers={"host": text})


def _as_file_name(client: httpx.Client, text: str) -> httpx.Response:
    return client.post("/api/pictures", files={"picture": (text, _small(), text)})


def _as_parameter(method: str, path: str, parameter: dict[str, Any]) -> Door:
    def door(client: httpx.Client, text: str) -> httpx.Response:
        name = parameter["name"]
        if parameter["in"] == "path":
            place = re.sub(r"\{\w+\}", lambda _: _quoted(text), path)
            return client.request(method, place)
        place = re.sub(r"\{\w+\}", "0" * 26, path)
        if parameter["in"] == "header":
            return client.request(method, place, headers={name: text})
        return client.request(method, place, params={name: text})

    return door


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _as_field(method: str, path: str, kind: str, name: str, fields: dict[str, Any]) -> Door:
    def door(client: httpx.Client, text: str) -> httpx.Response:
        place = re.sub(r"\{\w+\}", "0" * 26, path)
        said: dict[str, Any] = {"prompt": "a cat"} if "prompt" in fields else {}
        said |= {"steps": 1} if "steps" in fields else {}
        said |= {"name": "x"} if "name" in fields else {}
        said[name] = text
        if kind == "application/json":
            return client.request(method, place, json=said)
        pictures = [
            each for each in ("picture", "image", "mask") if each in fields and each != name
        ]
        files = {each: ("x.png", _small()) for each in pictures} or {"none": ("x.png", _small())}
        return client.request(method, place, data=said, files=files)

    return door


def _small() -> bytes:
    return encoded("PNG", Random(0))
