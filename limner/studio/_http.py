"""uvicorn's reading of HTTP, but that what is no HTTP gets an error of the same shape as all."""

from __future__ import annotations

import h11
from starlette.responses import Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from limner.studio.problems import Problem, reply

__all__ = ["Http"]

_MESSAGE = "this is no HTTP request: check its first line, its headers and its length"


class Http(H11Protocol):
    """A connection."""

    def send_400_response(self, msg: str) -> None:
        """Answers what could not be read, and closes: where the next request begins is unknown."""
        told: Response = reply(Problem(400, _MESSAGE))
        headers = [*told.raw_headers, (b"connection", b"close")]
        for event in (
            h11.Response(status_code=told.status_code, headers=headers, reason=b"Bad Request"),
            h11.Data(data=bytes(told.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event))
        self.transport.close()
