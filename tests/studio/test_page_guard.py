"""What of Gradio's server is there: what the page needs."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse

from limner.studio._page_guard import PageGuard


async def gradio(scope, receive, send):
    """Answers all, as Gradio's server would, and says what it was sent."""
    body = await Request(scope, receive).body()
    await JSONResponse({"body": body.decode("latin-1")})(scope, receive, send)


@pytest.fixture
def ask(tmp_path):
    (tmp_path / "page" / "ab").mkdir(parents=True)
    (tmp_path / "page" / "ab" / "x.png").write_bytes(b"x")
    (tmp_path / "page" / "link").symlink_to("/etc/passwd")
    (tmp_path / "studio.sqlite").write_bytes(b"x")

    def asked(method, path, **more):
        async def sent():
            transport = httpx.ASGITransport(PageGuard(gradio, tmp_path / "page"))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as one:
                return await one.request(method, path.replace("DATA", str(tmp_path)), **more)

        return asyncio.run(sent())

    return asked


@pytest.mark.parametrize(
    "path",
    ["/", "/config", "/theme.css", "/assets/index-1.js", "/static/img/logo.svg",
     "/gradio_api/heartbeat/abc", "/gradio_api/queue/data?session_hash=x", "/gradio_api/info",
     "/gradio_api/upload_progress?upload_id=x", "/gradio_api/file=DATA/page/ab/x.png"],
)  # fmt: skip
def test_what_the_page_reads_is_there(ask, path):
    assert ask("GET", path).status_code == 200


@pytest.mark.parametrize("name", ["queue/join", "upload", "reset", "cancel", "component_server"])
def test_what_the_page_sends_is_taken_whole(ask, name):
    answer = ask("POST", f"/gradio_api/{name}", content=b'{"data": [1, "two"]}')
    assert answer.json() == {"body": '{"data": [1, "two"]}'}


@pytest.mark.parametrize(
    "path",
    ["/gradio_api/proxy=http://example.org/x", "/gradio_api/file=http://example.org/x",
     "/gradio_api/file=/etc/passwd", "/gradio_api/file=DATA/studio.sqlite",
     "/gradio_api/file=DATA/page/../studio.sqlite", "/gradio_api/file=DATA/page/link",
     "/gradio_api/file=DATA/page", "/gradio_api/file=", "/gradio_api/file=x.png",
     "/gradio_api/file/etc/passwd", "/gradio_api/runs", "/gradio_api/deep_link", "/monitoring",
     "/gradio_api/openapi.json", "/gradio_api/mcp/", "/custom_component/x/client/y/z", "/logout",
     "/gradio_api/call/x/y", "/dev/reload", "/assets/../../x", "/assets/..%5c..%5cx",
     "/gradio_api/file=DATA/page/%00", "/gradio_api/file=" + "a/" * 3000],
)  # fmt: skip
def test_nothing_else_is(ask, path):
    assert ask("GET", path).status_code == 404


@pytest.mark.parametrize("name", ["run/x", "api/x", "call/x", "call/v2/x", "stream/x", "login"])
def test_functions_are_not_run_by_name(ask, name):
    assert ask("POST", f"/gradio_api/{name}", json={}).status_code == 404
    assert ask("PUT", "/gradio_api/queue/join", json={}).status_code == 404


@pytest.mark.parametrize("place", ["http://example.org/x", " HTTPS://x", "file:///etc/passwd"])
@pytest.mark.parametrize("name", ["queue/join", "component_server"])
def test_pictures_are_never_fetched_from_an_address(ask, place, name):
    file = {"path": place, "meta": {"_type": "gradio.FileData"}}
    answer = ask("POST", f"/gradio_api/{name}", json={"data": [{"deep": [file]}]})
    assert answer.status_code == 400 and "uploaded" in answer.json()["error"]["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"[" * 60 + b"]" * 60])
def test_bodies_that_are_not_json(ask, body):
    assert ask("POST", "/gradio_api/queue/join", content=body).status_code == 400
