"""Who may speak to the studio, and how much they may say: asked of a bare application behind it."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse

from limner.studio._keys import Keys
from limner.studio.guard import Guard, is_loopback

TOKEN = "a-long-secret"


async def bare(scope, receive, send):
    """Says how long the body is that it got."""
    body = await Request(scope, receive).body()
    await JSONResponse({"length": len(body)})(scope, receive, send)


def ask(method, path="/api/jobs", *, token=None, hosts=(), bound="127.0.0.1", **more):
    """The answer to one request."""

    async def asked():
        guard = Guard(bare, Keys(token), hosts=hosts, bound=bound)
        transport = httpx.ASGITransport(guard)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:7860"
        ) as client:
            return await client.request(method, path, **more)

    return asyncio.run(asked())


def refused(answer, status):
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    return error


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:1", "[::1]:7860", "127.8.0.1"])
def test_its_own_names_are_welcome(host):
    assert ask("POST", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7860", "10.0.0.7", "",
     "user@127.0.0.1", "127.0.0.1:x", "127.0.0.1/x", "0.0.0.0", "[::2]", "localhost:7860@evil"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_name_that_was_bent_here_is_not(host, method):
    assert refused(ask(method, headers={"host": host}), 403)["type"] == "permission_error"


def test_names_that_were_given_and_addresses_abroad_are():
    headers = {"host": "studio.example:7860", "authorization": f"Bearer {TOKEN}"}
    assert ask("GET", hosts=["Studio.example"], token=TOKEN, headers=headers).status_code == 200
    abroad = {"bound": "0.0.0.0", "token": TOKEN}
    assert ask("GET", headers=headers | {"host": "10.0.0.7"}, **abroad).status_code == 200
    refused(ask("GET", headers=headers, **abroad), 403)


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://127.0.0.1:3000", "http://localhost:7860", "file://",
     "http://127.0.0.1:7860.evil.example", "http://evil.example/127.0.0.1:7860", ""],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_pages_of_others_may_not_ask(origin, method):
    refused(ask(method, headers={"origin": origin}), 403)


def test_the_own_page_may():
    for origin in ("http://127.0.0.1:7860", "HTTP://127.0.0.1:7860".lower()):
        assert ask("POST", headers={"origin": origin}).status_code == 200
    headers = {"host": "127.0.0.1", "origin": "http://127.0.0.1:80"}
    assert ask("POST", headers=headers).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_a_browser_says_of_the_asking_page_counts_without_an_origin(site):
    refused(ask("POST", headers={"sec-fetch-site": site}), 403)
    assert ask("GET", headers={"sec-fetch-site": site}).status_code == 200
    assert ask("POST", headers={"sec-fetch-site": "same-origin"}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/api/jobs", "/metrics", "/ready", "/openapi.json", "/x"])
@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"},
     {"authorization": TOKEN}, {"cookie": f"limner={TOKEN}"}, {"cookie": "limner="}],
)  # fmt: skip
def test_without_the_token_there_is_nothing(path, headers):
    answer = ask("GET", path, token=TOKEN, headers=headers)
    assert refused(answer, 401)["type"] == "authentication_error"
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_health_is_for_all():
    assert ask("GET", "/health", token=TOKEN, headers={"host": "probe"}).status_code == 200
    refused(ask("POST", "/health", token=TOKEN), 401)


def test_a_browser_comes_in_by_the_token_once_and_stays_by_its_cookie():
    answer = ask("GET", f"/?token={TOKEN}", token=TOKEN)
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
    said = {"cookie": cookie.partition(";")[0]}
    assert ask("POST", token=TOKEN, headers=said).status_code == 200
    refused(ask("POST", token="another-secret", headers=said), 401)
    refused(ask("GET", "/?token=wrong", token=TOKEN), 401)
    refused(ask("GET", f"/api/jobs?token={TOKEN}", token=TOKEN), 401)


@pytest.mark.parametrize(
    "kind, limit", [("application/json", 10**6), ("multipart/form-data; boundary=x", 41 * 10**6)]
)
def test_bodies_are_bounded_by_what_they_say_and_by_what_comes(kind, limit):
    headers = {"content-type": kind}
    assert ask("POST", content=b"x" * limit, headers=headers).json() == {"length": limit}
    refused(ask("POST", content=b"x" * (limit + 1), headers=headers), 413)

    async def pieces():
        for _ in range(limit // 10**5 + 1):
            yield b"x" * 10**5

    refused(ask("POST", content=pieces(), headers=headers), 413)
    refused(ask("POST", headers=headers | {"content-length": "9" * 30}), 413)
    refused(ask("POST", headers=headers | {"content-length": "-1"}), 400)


def test_headers_and_addresses_are_bounded():
    refused(ask("GET", headers={"x-long": "x" * 40_000}), 431)
    refused(ask("GET", headers={f"x-{n}": "x" for n in range(120)}), 431)
    refused(ask("GET", "/api/jobs?before=" + "x" * 9_000), 414)


def test_every_answer_forbids_frames_sniffing_and_sources_elsewhere():
    for answer in (ask("GET"), ask("GET", headers={"host": "evil"})):
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers


def test_websockets_are_closed():
    told = []

    async def send(message):
        told.append(message)

    scope = {"type": "websocket", "path": "/", "headers": [], "query_string": b""}
    asyncio.run(Guard(bare, Keys(None))(scope, None, send))
    assert told == [{"type": "websocket.close", "code": 1008}]


def test_signatures_open_one_path_for_an_hour(monkeypatch):
    keys = Keys(TOKEN)
    path, _, query = keys.signed("/v1/pictures/a.png").partition("?")
    assert keys.opens(path, query) and not keys.opens("/v1/pictures/b.png", query)
    assert not Keys("another-secret").opens(path, query)
    for bad in ("", "until=9999999999&signature=", "until=²&signature=x", "until=" + "9" * 40):
        assert not keys.opens(path, bad)
    import time

    late = time.time() + 3601
    monkeypatch.setattr("limner.studio._keys.time.time", lambda: late)
    assert not keys.opens(path, query)
    assert Keys(None).signed(path) == path


@pytest.mark.parametrize("host, own", [
    ("127.0.0.1", True), ("::1", True), ("LOCALHOST", True), ("0.0.0.0", False), ("::", False),
    ("example.org", False), ("127.1", False), ("10.0.0.1", False), ("", False),
])  # fmt: skip
def test_loopback_is_told_without_asking_a_name_server(host, own):
    assert is_loopback(host) is own
