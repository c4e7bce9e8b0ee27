"""Who may speak to the studio, and how much they may say: the outermost layer of the server.

It answers before anything is parsed, in the order below, for API and page alike:

    431, 414  headers or an address too long
    403       a foreign Host (a name that was bent to this machine), or a foreign Origin (a page of
              someone else's that posts here); DNS rebinding and cross-site requests end here
    401       no token where one is needed: everywhere but /health
    413       a body longer than its kind may be, by what it says and by what comes
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Sequence
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from limner.studio._keys import Keys
from limner.studio.problems import Problem, reply

__all__ = ["LARGEST_UPLOAD", "Guard", "is_loopback"]

LARGEST_UPLOAD = 20_000_000  # bytes of one picture
_LARGEST_FORM = 2 * LARGEST_UPLOAD + 1_000_000  # a picture, its mask, and the words
_LARGEST_JSON = 1_000_000
_MOST_HEADERS, _LARGEST_HEADERS, _LONGEST_ADDRESS = 100, 32_000, 8_000  # headers, bytes, bytes
_COOKIE = "limner"
_MONTH = 30 * 24 * 3600  # seconds
_SAFE = ("GET", "HEAD", "OPTIONS")
# Nothing on the page may come from elsewhere, and no other page may frame it.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; media-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": _POLICY,
}


class Guard:
    """Wraps the server's application.

    keys:  whose token opens it
    hosts: names, beside this machine's own, that it may be called by
    bound: the address that it listens at
    """

    def __init__(
        self, app: ASGIApp, keys: Keys, *, hosts: Sequence[str] = (), bound: str = "127.0.0.1"
    ) -> None:
        self._app = app
        self._keys = keys
        self._hosts = {name.lower().rstrip(".") for name in (*hosts, bound)}
        self._abroad = not is_loopback(bound)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks over websockets
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        send = _polite(send)
        try:
            self._check(scope, headers)
            limit = _limit(scope, headers)
        except Problem as problem:
            await reply(problem)(scope, receive, send)
            return
        entry = self._entry(scope)
        if entry is not None:
            await entry(scope, receive, send)
            return
        measured = _Measured(receive, send, limit)
        with suppress(_TooLarge):  # answered below
            await self._app(scope, measured.receive, measured.send)
        await measured.close(scope)

    def _check(self, scope: Scope, headers: Headers) -> None:
        _check_lengths(scope)
        if scope["path"] == "/health" and scope["method"] in _SAFE:
            return
        self._check_host(headers)
        _check_origin(scope, headers)
        if self._keys.needed and not self._may(scope, headers):
            told = "give the studio's token: Authorization: Bearer TOKEN, or open /?token=TOKEN"
            raise Problem(401, told, headers={"WWW-Authenticate": 'Bearer realm="limner"'})

    def _check_host(self, headers: Headers) -> None:
        name = _hostname(headers.get("host", ""))
        if name is None or not self._is_own(name):
            raise Problem(403, "the studio is not called by this Host: open it by its own address")

    def _is_own(self, name: str) -> bool:
        """A name that no foreign page can have bent here: loopback, an address, a given one."""
        if name in self._hosts or is_loopback(name):
            return True
        return self._abroad and _is_address(name)

    def _may(self, scope: Scope, headers: Headers) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._keys.fits(given.strip()):
            return True
        if hmac.compare_digest(_cookie(headers).encode(), self._keys.cookie().encode()):
            return True
        query = scope["query_string"].decode("latin-1")
        if scope["method"] in _SAFE and self._keys.opens(scope["path"], query):
            return True
        return self._given(scope) is not None

    def _given(self, scope: Scope) -> str | None:
        """The right token in /?token=…, by which a browser comes in."""
        if not self._keys.needed or scope["path"] != "/" or scope["method"] != "GET":
            return None
        token = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return token if token and self._keys.fits(token) else None

    def _entry(self, scope: Scope) -> RedirectResponse | None:
        """Whoever comes by /?token=… gets the cookie, and an address without the token."""
        if self._given(scope) is None:
            return None
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            _COOKIE,
            self._keys.cookie(),
            max_age=_MONTH,
            httponly=True,
            samesite="strict",
            secure=scope["scheme"] == "https",
        )
        return answer


class _TooLarge(Exception):
    """A body went over its limit while it came."""


class _Measured:
    """Counts a body as it comes. Over its limit nothing more is given to the application, and
    whatever that answers, the client is told 413."""

    def __init__(self, receive: Receive, send: Send, limit: int) -> None:
        self._receive, self._send = receive, send
        self._limit, self._had = limit, 0
        self._over = self._begun = False

    async def receive(self) -> Message:
        if self._over:
            raise _TooLarge
        message = await self._receive()
        if message["type"] == "http.request":
            self._had += len(message.get("body", b""))
            if self._had > self._limit:
                self._over = True
                raise _TooLarge
        return message

    async def send(self, message: Message) -> None:
        if self._over and not self._begun:
            return
        self._begun = True
        await self._send(message)

    async def close(self, scope: Scope) -> None:
        """Says 413 where the body was too long and nothing had been answered yet."""
        if self._over and not self._begun:
            await reply(_too_large(self._limit))(scope, self._receive, self._send)


def _too_large(limit: int) -> Problem:
    told = f"the request is over {limit / 1e6:g} MB: send less"
    return Problem(413, told, headers={"Connection": "close"})


def _limit(scope: Scope, headers: Headers) -> int:
    """The most bytes of body that a request of this kind may have; Problem where it says more."""
    form = headers.get("content-type", "").lower().startswith("multipart/form-data")
    limit = _LARGEST_FORM if form else _LARGEST_JSON
    said = headers.get("content-length")
    if said is not None:
        if not (said.isascii() and said.isdigit()):
            raise Problem(400, "Content-Length is no number")
        if len(said) > 15 or int(said) > limit:
            raise _too_large(limit)
    return limit


def _check_lengths(scope: Scope) -> None:
    address = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    if address > _LONGEST_ADDRESS:
        raise Problem(414, f"the address is over {_LONGEST_ADDRESS} bytes long")
    size = sum(len(name) + len(value) for name, value in scope["headers"])
    if len(scope["headers"]) > _MOST_HEADERS or size > _LARGEST_HEADERS:
        raise Problem(431, f"over {_MOST_HEADERS} headers, or {_LARGEST_HEADERS} bytes of them")


def _check_origin(scope: Scope, headers: Headers) -> None:
    """No page but the studio's own may ask: browsers say whose page asks, programs say nothing."""
    origin = headers.get("origin")
    if origin is not None:
        parts = urlsplit(origin) if origin.startswith(("http://", "https://")) else None
        if parts is None or _place(parts.netloc, parts.scheme) != _place(
            headers.get("host", ""), parts.scheme
        ):
            raise Problem(403, "pages of another origin may not use the studio")
    if scope["method"] not in _SAFE:
        site = headers.get("sec-fetch-site", "none")
        if site not in ("same-origin", "none"):
            raise Problem(403, "pages of another site may not use the studio")


def _place(netloc: str, scheme: str) -> str:
    """Host and port in one spelling: a scheme's own port is not written."""
    port = ":443" if scheme == "https" else ":80"
    return netloc.lower().removesuffix(port)


def _hostname(host: str) -> str | None:
    """The name in a Host header, without port and brackets; None where it is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises where it is no number
    except ValueError:
        return None
    if not parts.hostname or parts.username is not None or parts.path or parts.query:
        return None
    return parts.hostname.lower().rstrip(".")


def is_loopback(host: str) -> bool:
    """Whether this name or address is the machine itself, whatever a name server says."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(_COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _polite(send: Send) -> Send:
    """Adds the headers that every answer carries."""

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _ALWAYS.items():
                headers.setdefault(name, value)
        await send(message)

    return told
