"""What of Gradio's server the page needs, and nothing else of it.

Gradio answers many routes: it proxies addresses, runs functions by name, serves files and fetches
pictures from the web. The page needs a few of them; every other is not found here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from limner.studio.problems import Problem, reply

__all__ = ["PageGuard"]

_PREFIX = "/gradio_api"
_READ = ("/config", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt", "/pwa_icon")
_READ_BELOW = ("/assets/", "/static/", "/svelte/", f"{_PREFIX}/heartbeat/")
_READ_API = ("app_id", "info", "queue/data", "queue/status", "startup-events", "theme.css")
_FILE = f"{_PREFIX}/file="
_POSTED = ("queue/join", "upload", "reset", "cancel", "component_server")
_WITH_JSON = ("queue/join", "component_server")
_ELSEWHERE = ("http:", "https:", "ftp:", "file:", "data:", "//")
_DEEPEST = 50


class PageGuard:
    """Wraps Gradio's application.

    app:     what answers
    folder:  where Gradio keeps what it is given and what it shows; no other file is served
    pages:   further pages' names, beside "/"
    """

    def __init__(self, app: ASGIApp, folder: Path, pages: Iterable[str] = ()) -> None:
        self._app = app
        self._folder = folder.resolve()
        self._pages = {"/", *(f"/{name}" for name in pages if name)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check(scope)
            if scope["method"] == "POST" and _is(scope["path"], _WITH_JSON):
                receive = await _checked(scope, receive)
        except Problem as problem:
            await reply(problem)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        path, method = scope["path"], scope["method"]
        if method in ("GET", "HEAD") and (self._is_read(path) or self._is_own_file(path)):
            return
        if method == "POST" and _is(path, _POSTED):
            return
        raise Problem(404, "there is nothing here")

    def _is_read(self, path: str) -> bool:
        if ".." in path or "\\" in path:
            return False
        if path.rstrip("/") in {page.rstrip("/") for page in self._pages} | set(_READ):
            return True
        progress = path == f"{_PREFIX}/upload_progress"
        return progress or path.startswith(_READ_BELOW) or _is(path, _READ_API)

    def _is_own_file(self, path: str) -> bool:
        """Whether the path is a file that Gradio keeps in its folder, links followed."""
        if not path.startswith(_FILE) or "\0" in path:
            return False
        try:
            file = Path(path.removeprefix(_FILE)).resolve()
        except (OSError, RuntimeError, ValueError):
            return False
        return file.is_relative_to(self._folder) and file != self._folder


def _is(path: str, names: Iterable[str]) -> bool:
    return path.rstrip("/") in {f"{_PREFIX}/{name}" for name in names}


async def _checked(scope: Scope, receive: Receive) -> Receive:
    """Reads a JSON body, which the outer guard bounds, and gives it again when it is fit.

    Raises Problem where a file in it is said to be elsewhere: Gradio would fetch it."""
    body, message = b"", await receive()
    while message["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
        message = await receive()
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    if not any(kind.startswith(b"multipart/") for kind in kinds):
        _check_said(_said(body))
    given = False

    async def again() -> Message:
        nonlocal given
        if given or message["type"] != "http.request":
            return message if message["type"] != "http.request" else await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _said(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Problem(400, "the body is not JSON in UTF-8") from None


def _check_said(said: Any, deep: int = 0) -> None:
    if deep > _DEEPEST:
        raise Problem(400, "the body's JSON is too deep")
    if isinstance(said, dict):
        path = said.get("path")
        if isinstance(path, str) and path.strip().lower().startswith(_ELSEWHERE):
            raise Problem(400, "pictures are uploaded here, never fetched from an address")
    inner = said.values() if isinstance(said, dict) else said if isinstance(said, list) else ()
    for each in inner:
        _check_said(each, deep + 1)
