"""A studio without networks: real store, queue, gallery and forms; a crew of one thread that paints
flat pictures, step by step, as the queue's contract asks."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
import threading
import time

import numpy as np
import torch
import uvicorn
from PIL import Image

from limner.picture import Picture
from limner.studio import FINAL
from limner.studio._desk import Desk
from limner.studio._keys import Keys
from limner.studio.crew import Live
from limner.studio.queue import Made
from limner.studio.server import Asked, application
from limner.studio.studio import Studio

STEPS = 4


class FakeCrew:
    """Paints while `going` is set, a step in `pause` seconds; `fails`: code and message."""

    def __init__(self, studio, pause=0.01):
        self.queue, self.pause = studio.queue, pause
        self.ready, self.fails = False, None
        self.going, self.woken, self.ends = threading.Event(), threading.Event(), threading.Event()
        self.going.set()
        self.lives = {}
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self.ready = True
        self.thread.start()

    def stop(self, within=30.0):
        self.ready = False
        self.ends.set()
        self.woken.set()
        if self.thread.ident is not None:
            self.thread.join(within)

    def wake(self):
        self.woken.set()

    def cancel(self, job_id):
        return self.queue.cancel(job_id)

    def live(self, job_id):
        return self.lives.get(job_id)

    async def watch(self, job_id):
        last = None
        while True:
            job = await asyncio.to_thread(self.queue.get, job_id)
            if job is None:
                return
            live = self.lives.get(job_id)
            if live is not None and live is not last:
                last = live
                yield live
            if job.state in FINAL:
                yield job
                return
            await asyncio.sleep(self.pause / 3)

    def _run(self):
        while not self.ends.is_set():
            self.woken.wait(0.02)
            self.woken.clear()
            while self.going.is_set() and not self.ends.is_set():
                jobs = self.queue.lease("fake", 1)
                if not jobs:
                    break
                self._paint(jobs[0])

    def _paint(self, job):
        for step in range(1, STEPS + 1):
            self.lives[job.id] = Live(step, STEPS, jpeg(), 1.0)
            time.sleep(self.pause)
            if self.queue.cancelling(job.id):
                self.queue.cancelled(job.id, "fake")
                break
        else:
            if self.fails:
                self.queue.fail(job.id, "fake", *self.fails)
            else:
                self.queue.finish(job.id, "fake", _made(job))
        self.lives.pop(job.id, None)


def _made(job):
    width, height = (int(side) for side in job.arguments.get("size", "32x24").split("x"))
    seed = job.arguments.get("seed", 0)
    recipe = {"task": job.task, "arguments": dict(job.arguments), "model": {"name": "embedded"}}
    made = []
    for sample in range(job.arguments.get("count", 1)):
        shade = (seed * 37 + sample * 11) % 256 / 255
        pixels = torch.full((3, height, width), shade)
        made.append(Made(Picture(pixels, recipe | {"sample": sample}), 0.1))
    return made


def picture(kind="PNG", size=(32, 24), mode="RGB", **more):
    """A file with some colours."""
    rows = np.random.default_rng(0).integers(0, 256, (size[1], size[0], len(mode)), np.uint8)
    out = io.BytesIO()
    Image.fromarray(rows.squeeze(), mode).save(out, kind, **more)
    return out.getvalue()


def jpeg():
    return picture("JPEG", (16, 12))


@contextlib.contextmanager
def served(folder, *, token=None, most=256, pause=0.01, hosts=(), bound="127.0.0.1"):
    """(address, studio, desk) of a server on a free port of loopback, in a thread."""
    studio = Studio(folder, most=most)
    studio.crew = FakeCrew(studio, pause)
    studio.open()
    desk = Desk(studio, Keys(token))
    app = application(desk, Asked(host=bound, token=token, hosts=hosts))
    config = uvicorn.Config(
        app, log_level="error", http="h11", ws="none", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", studio, desk
        finally:
            desk.stopped.set()
            server.should_exit = True
            thread.join(5)
            studio.close()
