"""The studio's token, and what opens it in the token's place."""

from __future__ import annotations

import hashlib
import hmac
import time
from urllib.parse import parse_qs

__all__ = ["Keys"]

_HOUR = 3600  # seconds; OpenAI's addresses of pictures hold as long


class Keys:
    """The studio's token, and what derives from it: the browser's cookie, signed addresses."""

    def __init__(self, token: str | None) -> None:
        self._token = token.encode() if token else None

    @property
    def needed(self) -> bool:
        return self._token is not None

    def fits(self, token: str) -> bool:
        """Whether this is the token; in the same time for any that is not."""
        return self._token is None or hmac.compare_digest(token.encode(), self._token)

    def cookie(self) -> str:
        """What a browser keeps in the token's place."""
        return self._signed("cookie")

    def signed(self, path: str) -> str:
        """The path with a signature that opens it for an hour without the token."""
        if self._token is None:
            return path
        until = int(time.time()) + _HOUR
        return f"{path}?until={until}&signature={self._signed(f'{until} {path}')}"

    def opens(self, path: str, query: str) -> bool:
        """Whether the query holds a signature of this path that still counts."""
        said = parse_qs(query)
        until, given = said.get("until", [""])[0], said.get("signature", [""])[0]
        if not (
            until.isascii() and until.isdigit() and len(until) < 12 and int(until) > time.time()
        ):
            return False
        return hmac.compare_digest(given.encode(), self._signed(f"{until} {path}").encode())

    def _signed(self, text: str) -> str:
        return hmac.new(self._token or b"", f"limner {text}".encode(), hashlib.sha256).hexdigest()
