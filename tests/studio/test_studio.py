"""What is submitted: checked, kept on disk with its pictures, or refused without a trace."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from limner.errors import BadInput
from limner.studio.queue import QueueFull
from limner.studio.studio import Studio


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """Whose worker never starts."""
    made = Studio(tmp_path / "data", most=3)
    yield made
    made.store.close()


def png(size: tuple[int, int] = (32, 24), alpha: bool = False) -> bytes:
    pixels = np.full((size[1], size[0], 4 if alpha else 3), 200, np.uint8)
    pixels[..., 3:] = 255
    pixels[:4, :4, -1] = 0
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def kept(studio: Studio) -> int:
    return len(list(studio.store.uploads.iterdir()))


def test_a_job_and_its_pictures_are_on_disk(studio: Studio) -> None:
    said = {"prompt": "a cat", "feather": 3}
    job = studio.submit("inpaint", said, {"picture": png(), "mask": png(alpha=True)})
    found = studio.queue.get(job.id)
    assert found is not None and found.state == "queued" and kept(studio) == 2
    mask = Image.open(studio.store.upload(found.arguments["mask"]))
    assert mask.mode == "L" and mask.getpixel((0, 0)) == 255 and mask.getpixel((9, 9)) == 0
    assert found.arguments | {"picture": 0, "mask": 0} == said | {"picture": 0, "mask": 0}
    several = studio.submit("rank", {"prompt": "a cat"}, {"pictures": [png(), png()]})
    assert len(several.arguments["pictures"]) == 2 and kept(studio) == 4


@pytest.mark.parametrize(
    ("task", "said", "uploads"),
    [
        ("../generate", {"prompt": "a"}, {}),
        ("replay", {}, {"picture": png()}),
        ("generate", {"prompt": "photo.png"}, {}),
        ("generate", {"prompt": "a", "steps": 10**9}, {}),
        ("generate", {"prompt": "a"}, {"picture": png()}),
        ("restyle", {"prompt": "a"}, {}),
        ("restyle", {"prompt": "a"}, {"picture": b"GIF89a"}),
        ("restyle", {"prompt": "a", "picture": "/etc/x.png"}, {}),
        ("restyle", {"prompt": "a"}, {"picture": [png(), png()]}),
        ("upscale", {"by": 8}, {"picture": png((300, 20))}),
        ("map", {}, {"picture": png((1100, 20))}),
    ],
)
def test_what_is_refused_leaves_nothing(
    studio: Studio, task: str, said: dict[str, Any], uploads: dict[str, Any]
) -> None:
    with pytest.raises(BadInput) as caught:
        studio.submit(task, said, uploads)
    assert "\n" not in str(caught.value)
    assert studio.queue.list() == [] and kept(studio) == 0


def test_a_full_queue_keeps_no_pictures(studio: Studio) -> None:
    for _ in range(3):
        studio.submit("restyle", {"prompt": "a"}, {"picture": png()})
    with pytest.raises(QueueFull) as caught:
        studio.submit("restyle", {"prompt": "a"}, {"picture": png()})
    assert caught.value.retry_after >= 1 and kept(studio) == 3


def test_a_key_said_again_gives_the_first_job(studio: Studio) -> None:
    jobs = [studio.submit("generate", {"prompt": "a"}, repeat="key") for _ in range(2)]
    assert jobs[0].id == jobs[1].id and len(studio.queue.list()) == 1


def test_a_second_server_on_the_folder_is_refused(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studio.crew, "start", lambda: None)
    studio.open()
    with pytest.raises(BadInput, match="another limner serves"):
        Studio(studio.store.folder).open()
    studio.close()
