"""The server: one process and event loop for API and page, over a studio that paints in another.

SIGTERM or Ctrl-C: not ready from that moment, no job is taken any more; the running one is finished
within 30 s or put back; requests that wait for it get it; then the process ends. A second signal
ends it at once, and nothing accepted is lost either.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.errors import BadInput
from limner.studio._desk import Desk
from limner.studio._keys import Keys
from limner.studio._page_mount import PageMount
from limner.studio.api import api
from limner.studio.guard import Guard, is_loopback
from limner.studio.metrics import Counted, Metrics

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Receive, Scope, Send

    from limner.studio.studio import Studio

__all__ = ["Asked", "application", "serve"]

_WITHIN = 30.0  # seconds that the running job has to end in
_LEAVE = 3  # seconds that open connections have then
_SHORTEST_TOKEN = 8  # characters
_PASSING = ("passing", "page")  # folders of what need not outlive the server
_API = ("/api/", "/v1/")
_API_ALONE = ("/health", "/ready", "/metrics", "/openapi.json", "/api", "/v1")


@dataclass(frozen=True)
class Asked:
    """How to serve.

    host, port: the address to listen at; port 0 is any that is free
    token:      what clients must say; none is needed on loopback
    hosts:      further names that browsers may call it by
    models:     further models that clients may name
    page:       whether the page is there, beside the API
    most:       how many jobs may wait
    """

    host: str = "127.0.0.1"
    port: int = 7860
    token: str | None = None
    hosts: Sequence[str] = ()
    models: Sequence[str] = ()
    page: bool = True
    most: int = 256


def serve(
    folder: str | Path,
    asked: Asked = Asked(),
    *,
    at: Callable[[str], None] = lambda point: None,
    listening: Callable[[str], None] = lambda address: None,
) -> None:
    """Serves until it is told to stop.

    Args:
        folder: where all of it is kept
        asked: how
        at: called at named points, see `limner.studio.store.POINTS`
        listening: called with the address once requests are answered

    Raises BadInput where the address, the folder or the token is not usable.
    """
    from limner.studio.studio import Studio

    _check(asked)
    with _listen(asked.host, asked.port) as listener:
        studio = Studio(folder, models=asked.models, most=asked.most, at=at)
        _keep_within(studio.store.folder)
        studio.open()
        try:
            _empty(studio.store.folder)
            port = listener.getsockname()[1]
            asyncio.run(_served(studio, asked, listener, lambda: listening(_url(asked.host, port))))
        finally:
            studio.close()


def _check(asked: Asked) -> None:
    if asked.token is None and not is_loopback(asked.host):
        raise BadInput(
            f"--host {asked.host} is open to others: give a --token that they must know, or stay "
            "on 127.0.0.1"
        )
    token = asked.token
    if token is not None and not (len(token) >= _SHORTEST_TOKEN and token.isascii()):
        raise BadInput(f"the token is short: give {_SHORTEST_TOKEN} ASCII characters or more")
    if token is not None and not (token.isprintable() and " " not in token):
        raise BadInput("the token holds a space or a control character: give one without")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"cannot listen at {host} port {port}: {reason}; give another") from None


def _url(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}/"


def _keep_within(folder: Path) -> None:
    """Bodies that are too large for memory, what libraries put aside, here and in the painter, and
    what the page is given: it all stays in the data folder."""
    for name in _PASSING:
        (folder / name).mkdir(0o700, exist_ok=True)
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder / "passing")
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "page")
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"


def _empty(folder: Path) -> None:
    """Removes what a server before left of it; the folder is this server's alone by now."""
    for name in _PASSING:
        for left in (folder / name).iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


async def _served(
    studio: Studio, asked: Asked, listener: socket.socket, listening: Callable[[], None]
) -> None:
    import uvicorn

    from limner.studio._http import Http

    # Whoever sends broken forms would fill the log with what the parser thinks of them.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    desk = Desk(studio, Keys(asked.token))
    page = PageMount(studio) if asked.page and PageMount.is_here() else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
        _on_signals(lambda: _stop(desk, server))
        async with page.opened() if page is not None else nullcontext():
            listening()
            yield

    app = application(desk, asked, lifespan=lifespan, page=page)
    config = uvicorn.Config(
        app,
        http=Http,  # h11: strict, and bounded in what it takes for headers
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_LEAVE,
    )
    server = uvicorn.Server(config)
    await server.serve(sockets=[listener])


def application(
    desk: Desk,
    asked: Asked,
    *,
    lifespan: Callable[[Any], Any] | None = None,
    page: ASGIApp | None = None,
) -> ASGIApp:
    """Guard, API and page as one application. page: what answers what is not the API's."""
    metrics = Metrics()
    routes = api(desk, metrics, lifespan)

    async def switch(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "/api/")
        to_api = page is None or path.startswith(_API) or path in _API_ALONE
        to = routes if to_api or scope["type"] == "lifespan" else page
        await to(scope, receive, send)  # type: ignore[misc]

    guarded = Guard(switch, desk.keys, hosts=asked.hosts, bound=asked.host)
    return Counted(guarded, metrics)


async def _stop(desk: Desk, server: Any) -> None:
    desk.stopping.set()
    try:
        await asyncio.to_thread(desk.studio.crew.stop, _WITHIN)
    finally:
        desk.stopped.set()
        server.should_exit = True


def _on_signals(stop: Callable[[], Any]) -> None:
    """The first signal stops in order, the second at once."""
    loop = asyncio.get_running_loop()
    stopping: list[asyncio.Task[None]] = []

    def told() -> None:
        if stopping:
            os._exit(130)
        stopping.append(loop.create_task(stop()))

    for each in (signal.SIGTERM, signal.SIGINT):
        # Not in a thread that is not the main one, nor on Windows: there the default stays.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(each, told)
