"""A server that stands for the hub: one model, and connections that break where a test says."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

REVISION = "a" * 40


class SmallHub:
    """files: of the model someone/thing. cuts: of a file how many bytes its next answers have.

    asked: (path, first byte) of each request for a file.
    """

    def __init__(self, folder: Path) -> None:
        found = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        self.files = {file.relative_to(folder).as_posix(): file.read_bytes() for file in found}
        self.sent: dict[str, bytes] = {}  # other bytes than were announced
        self.cuts: dict[str, list[int]] = {}
        self.asked: list[tuple[str, int]] = []
        self.ranges = True
        self.address = ""

    def told(self) -> dict[str, Any]:
        return {
            "id": "someone/thing",
            "sha": REVISION,
            "cardData": {"license": "apache-2.0"},
            "siblings": [self._told(path, content) for path, content in self.files.items()],
        }

    def _told(self, path: str, content: bytes) -> dict[str, Any]:
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        said: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": blob}
        if path.endswith((".safetensors", ".bin")):
            sha = hashlib.sha256(content).hexdigest()
            said["lfs"] = {"sha256": sha, "size": len(content), "pointerSize": 130}
        return said

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = urlsplit(request.path).path
        start = f"/someone/thing/resolve/{REVISION}/"
        if path.startswith("/api/models/someone/thing"):
            body, first, status = json.dumps(self.told()).encode(), 0, 200
        elif path.startswith(start) and path.removeprefix(start) in self.files:
            name = path.removeprefix(start)
            body = self.sent.get(name, self.files[name])
            said = request.headers.get("Range", "bytes=0-")
            first = int(said.removeprefix("bytes=").rstrip("-")) if self.ranges else 0
            status = 206 if self.ranges else 200
            self.asked.append((name, first))
        else:
            request.send_error(404)
            return
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body) - first))
        request.end_headers()
        cuts = self.cuts.get(path.removeprefix(start), [])
        most = cuts.pop(0) if cuts else len(body)
        request.wfile.write(body[first : first + most])
        if most < len(body) - first:
            request.close_connection = True


@contextmanager
def small_hub(folder: Path) -> Iterator[SmallHub]:
    hub = SmallHub(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            hub.answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
