"""The page in the server: Gradio's application behind its guard, opened beside the API.

Gradio takes seconds to import. The API answers from the first moment; whoever asks for the page
before it is there is told to wait, and the browser asks again by itself.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from limner.studio._page_guard import PageGuard

if TYPE_CHECKING:
    from fastapi import FastAPI

    from limner.studio.studio import Studio

__all__ = ["PageMount"]

_WAIT = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>limner</title>'
    '<meta name="color-scheme" content="light dark">'
    # A refresh by <meta> would only move to the fragment of an address that has one.
    "<script>setTimeout(() => location.reload(), 1000)</script>"
    '<p style="font: 1.1rem system-ui; margin: 20vh auto; text-align: center">{told}</p></html>'
)
_OPENING = "The studio is opening …"
_BROKEN = "The page cannot be shown; the log of limner serve says why. The API is there."


class PageMount:
    """An application that is the page once it is open."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._page: ASGIApp | None = None
        self._told = _OPENING

    @staticmethod
    def is_here() -> bool:
        """Whether what the page is made with is installed."""
        return find_spec("gradio") is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._page is not None:
            await self._page(scope, receive, send)
            return
        told = HTMLResponse(_WAIT.format(told=self._told), 503, {"Retry-After": "1"})
        await told(scope, receive, send)

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None, None]:
        """Opens it beside what is done within, and closes it with that."""
        closing = asyncio.Event()
        life = asyncio.create_task(self._live(closing))
        try:
            yield
        finally:
            closing.set()
            await asyncio.wait([life], timeout=3)
            life.cancel()
            with suppress(asyncio.CancelledError):
                await life

    async def _live(self, closing: asyncio.Event) -> None:
        try:
            inner = await asyncio.to_thread(_mounted, self._studio)
            async with inner.router.lifespan_context(inner):
                self._page = PageGuard(inner, self._studio.store.folder / "page")
                await closing.wait()
        except Exception as error:  # the API goes on without its page
            self._page, self._told = None, _BROKEN
            print(f"the page cannot be shown: {error!r}", file=sys.stderr)


def _mounted(studio: Studio) -> FastAPI:
    """Gradio's application with the page at "/"."""
    import gradio
    from fastapi import FastAPI

    from limner.studio.page import look, page

    inner = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    return gradio.mount_gradio_app(
        inner,
        page(studio),
        path="/",
        show_error=False,
        max_file_size=20_000_000,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        **look(),
    )
