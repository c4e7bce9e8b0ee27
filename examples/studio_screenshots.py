"""Takes the pictures of the studio's page in docs: paints with the embedded model, in Chromium.

python examples/studio_screenshots.py [NAME …]      all of them, or those that are named
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from playwright.sync_api import Locator, Page, sync_playwright

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
LARGEST = 150_000  # bytes
SERVER = """
import sys
from limner.studio.server import Asked, serve
serve(sys.argv[1], Asked(port=0), listening=lambda url: print(url, flush=True))
"""
WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
PROMPTS = (
    "a panda in the forest",
    "a rocket in space",
    "a red cube on top of a blue cube",
    "a penguin in the snow",
    "a golden apple",
    "a cactus in the desert",
    "a green sphere to the left of a purple cone",
    "a watercolor of a tree",
    "a robot at night",
    "three mushrooms in the forest",
    "a cat wearing a crown",
    "a mosaic of a dragon",
)


def asked(client: httpx.Client, task: str, **said: Any) -> str:
    """A job's id."""
    reply = client.post(f"/api/tasks/{task}", json=said)
    reply.raise_for_status()
    return str(reply.json()["id"])


def settled(client: httpx.Client) -> None:
    """Waits until nothing is painted any more."""
    while any(
        job["state"] in ("queued", "running") for job in client.get("/api/jobs").json()["jobs"]
    ):
        time.sleep(0.5)


def saved(page: Page, name: str) -> None:
    """A WebP small enough for the docs."""
    page.mouse.move(1, 799)  # nothing is hovered
    page.wait_for_timeout(800)
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    for quality in (90, 80, 70, 60):
        out = io.BytesIO()
        image.save(out, "WEBP", quality=quality, method=6)
        if out.tell() <= LARGEST:
            break
    print((FOLDER / f"studio-{name}.webp").write_bytes(out.getvalue()), name)


def seen(page: Page, room: str, label: str) -> Locator:
    return page.locator(f"#{room}").get_by_label(label, exact=True).locator("visible=true").first


def go(page: Page, room: str) -> None:
    page.click(f"#rail [data-go={room}]")
    page.wait_for_timeout(1200)


def drawn(page: Page, where: str, *points: tuple[float, float]) -> None:
    """A stroke along points, in shares of an element."""
    box = page.locator(where).bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()


# ---- one function for each picture ---------------------------------------------------------------


def empty(page: Page, client: httpx.Client) -> None:
    """Before anything was painted."""


def paint(page: Page, client: httpx.Client) -> None:
    seen(page, "paint", "Prompt").fill("a penguin in the snow")
    seen(page, "paint", "Seed").fill("0")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#paint-stage figure[data-picture] img")


def live(page: Page, client: httpx.Client) -> None:
    seen(page, "paint", "Prompt").fill("a rocket in space")
    page.keyboard.press("Control+Enter")
    page.wait_for_function(
        "+document.querySelector('#paint-stage [role=progressbar]')?.ariaValueNow > 50"
    )


def error(page: Page, client: httpx.Client) -> None:
    seen(page, "paint", "Prompt").fill("a cat | photo.png")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#paint .notice")


def gallery(page: Page, client: httpx.Client) -> None:
    for each in client.get("/api/pictures").json()["pictures"][2:9:3]:
        client.post(f"/api/pictures/{each['id']}/favourite", json={"on": True})
    go(page, "gallery")
    page.wait_for_function("document.querySelectorAll('#gallery-grid img').length > 8")


def picture(page: Page, client: httpx.Client) -> None:
    go(page, "gallery")
    page.click("#gallery-grid .tile[title^='a golden apple']")
    page.wait_for_selector("dialog[open] img")


def edit(page: Page, client: httpx.Client) -> None:
    go(page, "edit")
    page.click("#easel [data-part=strip] [title^='a cactus']")
    page.wait_for_function("document.querySelector('#easel canvas').width === 128")
    page.evaluate("document.querySelector('#easel [data-part=width]').value = 30")
    drawn(page, "#easel canvas", (0.12, 0.16), (0.3, 0.2), (0.2, 0.3), (0.12, 0.2))
    seen(page, "edit", "Prompt").fill("a cactus in the desert and a balloon")
    page.click("#go-inpaint")
    page.wait_for_selector("#edit-stage figure[data-picture] img", timeout=600_000)


def layout(page: Page, client: httpx.Client) -> None:
    go(page, "layout")
    drawn(page, ".sheet-of-boxes", (0.06, 0.2), (0.46, 0.92))
    page.keyboard.type("a tree")
    drawn(page, ".sheet-of-boxes", (0.55, 0.12), (0.94, 0.6))
    page.keyboard.type("a rocket")
    seen(page, "layout", "Prompt").fill("a tree and a rocket at night")
    page.click("#go-layout")
    page.wait_for_selector("#layout-stage figure[data-picture] img", timeout=600_000)


def explain(page: Page, client: httpx.Client) -> None:
    go(page, "explain")
    seen(page, "explain", "Subject").fill("a red cube on top of a blue cube")
    page.click("#go-explain")
    page.wait_for_selector("#explain-stage .looked", timeout=600_000)


def compare(page: Page, client: httpx.Client) -> None:
    go(page, "compare")
    seen(page, "compare", "Prompt").fill("a penguin in the snow")
    page.click("#go-compare")
    page.wait_for_function(
        "document.querySelectorAll('#compare-stage button.tile').length === 8", timeout=600_000
    )


def jobs(page: Page, client: httpx.Client) -> None:
    page.set_viewport_size(WIDE)
    asked(client, "generate", prompt="a cat in the city", steps=200, size="256x256")
    asked(client, "generate", prompt="a brain riding a rocket", count=4)
    client.post(f"/api/jobs/{asked(client, 'generate', prompt='a car on the beach')}/cancel")
    go(page, "jobs")
    page.wait_for_selector(".job.is-running .job-told:has-text('step')")


def models(page: Page, client: httpx.Client) -> None:
    go(page, "models")


SHOTS: dict[str, tuple[Callable[[Page, httpx.Client], None], dict[str, Any]]] = {
    "empty": (empty, {}),
    "paint": (paint, {}),
    "paint-dark": (paint, {"color_scheme": "dark"}),
    "paint-phone": (paint, {"viewport": PHONE}),
    "live": (live, {}),
    "error": (error, {}),
    "gallery": (gallery, {}),
    "gallery-phone": (gallery, {"viewport": PHONE}),
    "picture": (picture, {"color_scheme": "dark"}),
    "edit": (edit, {}),
    "layout": (layout, {"color_scheme": "dark"}),
    "explain": (explain, {}),
    "compare": (compare, {}),
    "models": (models, {}),
    "jobs": (jobs, {}),
}


def main(wanted: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        said = [sys.executable, "-c", SERVER, f"{folder}/data"]
        with subprocess.Popen(said, stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            url = running.stdout.readline().strip()
            try:
                shoot(url, wanted or list(SHOTS))
            finally:
                running.kill()


def shoot(url: str, wanted: list[str]) -> None:
    with httpx.Client(base_url=url, timeout=60) as client, sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name in wanted:
            if name != "empty" and not client.get("/api/pictures").json()["pictures"]:
                for seed, prompt in enumerate(PROMPTS):
                    asked(client, "generate", prompt=prompt, seed=7 + seed)
                settled(client)
            shot, look = SHOTS[name]
            page = browser.new_context(**{"viewport": WIDE} | look).new_page()
            page.set_default_timeout(300_000)
            page.goto(url)
            page.wait_for_selector("#rail [aria-current=page]")
            page.wait_for_timeout(1000)
            shot(page, client)
            saved(page, name)
            page.context.close()


if __name__ == "__main__":
    main(sys.argv[1:])
