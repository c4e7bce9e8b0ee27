"""The page in a real browser, over a real server with the embedded model."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import time

import httpx
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine's PATH"),
]

SERVER = """
import sys
from limner.studio.server import Asked, serve
serve(sys.argv[1], Asked(port=0), listening=lambda url: print(url, flush=True))
"""
PATIENCE = 60_000  # milliseconds: the machine may be busy


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """The address of a studio, and beside the page its API."""
    folder = tmp_path_factory.mktemp("studio") / "data"
    said = [sys.executable, "-c", SERVER, str(folder)]
    with subprocess.Popen(said, stdout=subprocess.PIPE, text=True) as running:
        try:
            url = running.stdout.readline().strip()
            with httpx.Client(base_url=url, timeout=30) as client:
                until = time.monotonic() + 60
                while client.get("/").status_code != 200 and time.monotonic() < until:
                    time.sleep(0.2)
                yield client
        finally:
            running.terminate()
            try:
                running.wait(10)
            except subprocess.TimeoutExpired:
                running.kill()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as p:
        opened = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class Seen:
    """A page with all that its console and its network said."""

    def __init__(self, browser, url, room="paint", **look):
        self.complaints, self.hosts = [], set()
        self.context = browser.new_context(**look)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        self.page.goto(f"{url}#{room}")
        self.page.wait_for_selector(f"#rail [data-go={room}][aria-current=page]")

    def _said(self, message):
        # What Gradio says of its stream when a page is left.
        left = "AbortError" in message.text or "Connection errored out" in message.text
        if message.type in ("error", "warning") and not left:
            self.complaints.append(message.text)

    def go(self, room):
        self.page.click(f"#rail [data-go={room}]")
        return self.page.locator(f"#{room}")


@pytest.fixture
def opened(studio, browser):
    """Opens pages, and sees at the end that nothing was complained about or asked elsewhere."""
    all_seen = []

    def open_page(room="paint", **look):
        seen = Seen(browser, str(studio.base_url), room, **look)
        all_seen.append(seen)
        return seen

    yield open_page
    own = str(studio.base_url).split("/")[2]
    for seen in all_seen:
        seen.context.close()
        assert seen.complaints == []
        assert {host for host in seen.hosts if host} == {own}


@pytest.fixture(scope="module")
def kept(studio):
    """Two pictures in the gallery, painted in few steps."""
    for prompt in ("a red cube", "a cactus in the desert"):
        said = {"prompt": prompt, "steps": 2}
        assert studio.post("/api/tasks/generate", json=said).status_code == 202
    until = time.monotonic() + 60
    while len(found := studio.get("/api/pictures").json()["pictures"]) < 2:
        assert time.monotonic() < until, "nothing was painted"
        time.sleep(0.1)
    return found


def field(room, label):
    """The control of this label that is seen."""
    return room.get_by_label(re.compile(rf"^\s*{label}")).locator("visible=true").first


def more(room, **values):
    room.locator(".more > button").locator("visible=true").click()
    for label, value in values.items():
        field(room, label).fill(str(value))


def painted(page, room):
    page.wait_for_selector(f"#{room}-stage figure[data-picture] img")
    return page.get_attribute(f"#{room}-stage figure[data-picture]", "data-picture")


def test_it_paints_with_previews_and_finds_the_picture_again_after_a_reload(opened, studio):
    seen = opened()
    page, room = seen.page, seen.page.locator("#paint")
    assert "Nothing painted yet" in room.inner_text()
    field(room, "Prompt").fill("a yellow cone")
    field(room, "Steps").fill("60")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(  # both at once: it may be done before a second look
        "#paint-stage figure:has(img[alt^='Preview at step'][src^='data:image/jpeg;base64,'])"
        " + [role=progressbar]:not([aria-valuenow=''])"
    )
    id = painted(page, "paint")
    said = studio.get(f"/api/pictures/{id}").json()
    assert (said["prompt"], said["recipe"]["arguments"]["steps"]) == ("a yellow cone", 60)
    page.reload()
    assert painted(page, "paint") == id
    width = page.eval_on_selector("#paint-stage figure img", "image => image.naturalWidth")
    assert width == said["width"]


def test_a_running_job_survives_a_reload_and_is_cancelled_from_the_jobs_of_another_tab(
    opened, studio
):
    seen = opened()
    page, room = seen.page, seen.page.locator("#paint")
    field(room, "Prompt").fill("a horse at night")
    field(room, "Steps").fill("200")
    field(room, "Count").fill("4")  # long enough for two pages to load meanwhile
    room.locator("#go-generate").click()
    job = page.wait_for_selector("#paint-stage figure[data-job]").get_attribute("data-job")
    page.reload()
    page.wait_for_selector(f"#paint-stage figure[data-job='{job}']")
    other = opened("jobs").page
    other.locator(f"[data-job='{job}']").get_by_role("button", name="Cancel").click()
    page.wait_for_selector("#paint-stage .empty:has-text('Cancelled')")
    assert studio.get(f"/api/jobs/{job}").json()["state"] == "cancelled"
    other.wait_for_selector(f"[data-job='{job}'] button:has-text('Retry')")


def test_what_is_wrong_is_said_in_a_line_below_the_button(opened):
    seen = opened()
    room = seen.page.locator("#paint")
    room.locator("#go-generate").click()
    line = room.locator(".notice")
    assert line.inner_text() == "Describe what to paint first"
    field(room, "Prompt").fill("a cat")
    field(room, "Size").fill("9x9999")
    room.locator("#go-generate").click()
    seen.page.wait_for_function("document.querySelector('#paint .notice')?.innerText.includes('9')")
    assert "128x96" in line.inner_text()
    assert seen.page.locator(".toast-wrap").inner_text().strip() == ""
    field(room, "Size").fill("")
    field(room, "Steps").fill("many")
    room.locator("#go-generate").click()
    seen.page.wait_for_function(
        "document.querySelector('#paint .notice')?.innerText.includes('many')"
    )


def test_the_brush_masks_and_what_it_masked_alone_is_painted_anew(opened, studio, kept):
    seen = opened("edit")
    page, room = seen.page, seen.page.locator("#edit")
    page.click("#easel [data-part=strip] button >> nth=0")
    page.wait_for_function("document.querySelector('#easel canvas').width === 128")
    given = page.get_attribute("#easel [data-part=strip] [aria-pressed=true]", "data-id")
    box = page.locator("#easel canvas").bounding_box()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.5 * box["height"], steps=4)
    page.mouse.up()
    field(room, "Prompt").fill("a blue sphere")
    more(room, Steps=2, Resample=1)
    room.locator("#go-inpaint").click()
    before, after = (pixels(studio, id) for id in (given, painted(page, "edit")))
    changed = np.abs(before.astype(int) - after).max(2) > 0
    assert changed[60:68, 40:88].mean() > 0.5
    assert not changed[:40].any() and not changed[90:].any()


def pixels(studio, id):
    data = studio.get(f"/api/pictures/{id}/file").content
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_the_gallery_is_searched_and_a_picture_marked_collected_and_varied(opened, studio, kept):
    seen = opened("gallery")
    page, room = seen.page, seen.page.locator("#gallery")
    page.wait_for_selector("#gallery-grid .tile")
    field(room, "Search").fill("a plant with thorns")  # by what pictures show: all, in some order
    page.wait_for_timeout(500)
    assert page.locator("#gallery-grid .tile").count() >= 2
    field(room, "Search by").click()
    page.get_by_role("option", name="Its prompt's words").click()
    field(room, "Search").fill("CACTUS")
    page.wait_for_function(
        "[...document.querySelectorAll('#gallery-grid .tile')].map(each => each.title).join()"
        " === 'a cactus in the desert'"
    )
    page.click("#gallery-grid .tile >> nth=0")
    sheet = page.locator("dialog[open]")
    sheet.get_by_role("button", name="Favourite").click()
    sheet.get_by_label("Collections").fill("green things")
    sheet.get_by_role("button", name="Add").click()
    sheet.locator(".chip:has-text('green things')").wait_for()
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog:not([open])", state="attached")
    page.wait_for_selector("#gallery-grid .tile .star")
    found = studio.get("/api/pictures", params={"collection": "green things"}).json()["pictures"]
    assert [(each["prompt"], each["favourite"]) for each in found] == [
        ("a cactus in the desert", True)
    ]
    page.click("#gallery-grid .tile >> nth=0")
    sheet.get_by_role("button", name="Use these settings").click()
    page.wait_for_selector("#rail [data-go=paint][aria-current=page]")
    page.wait_for_function("document.querySelector('#paint textarea').value.startsWith('a cactus')")
    assert field(page.locator("#paint"), "Steps").input_value() == "2"


def test_pictures_are_ranked_and_a_guided_one_gives_its_settings_back(opened, studio, kept):
    seen = opened("more")
    page, room = seen.page, seen.page.locator("#more")
    guided = studio.post("/api/tasks/guide", json={"prompt": "a torus", "steps": 1, "count": 1})
    field(room, "Task").click()
    page.get_by_role("option", name="Rank", exact=True).click()
    pile = page.locator("#rank-pictures")
    pile.get_by_role("button", name="From the gallery").click()
    for place in (0, 1):
        pile.locator("[data-part=strip] button").nth(place).click()
    field(room, "Prompt").fill("a red cube")
    room.locator("#go-rank").click()
    page.wait_for_selector("#more-stage tbody tr:nth-child(2) img")
    scores = page.locator("#more-stage tbody td:last-child").all_inner_texts()
    assert float(scores[0]) > float(scores[1])
    job = studio.get(f"/api/jobs/{guided.json()['id']}").json()
    seen.go("gallery")
    page.click(f"#gallery-grid .tile[data-id='{job['pictures'][0]['id']}']")
    page.get_by_role("button", name="Use these settings").click()
    page.wait_for_function("document.querySelector('#go-guide')?.offsetParent")
    assert field(room, "Prompt").input_value() == "a torus"


def test_boxes_are_drawn_typed_and_moved_by_keys(opened):
    seen = opened("layout")
    page, room = seen.page, seen.page.locator("#layout")
    typed = field(room, "Boxes")
    typed.press_sequentially("a tree: .5,.5,.9,.9")
    page.wait_for_selector("#boxes .box input")
    assert page.input_value("#boxes .box input") == "a tree"
    box = page.locator(".sheet-of-boxes").bounding_box()
    page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 0.1 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.4 * box["height"], steps=4)
    page.mouse.up()
    page.keyboard.type("a cat")
    page.wait_for_function("document.querySelectorAll('#boxes .box').length === 2")
    page.focus("#boxes .box >> nth=1")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(500)
    assert re.fullmatch(r"a tree: 0.5,0.5,0.9,0.9; a cat: 0.1\d,0.1,0.4\d,0.4", typed.input_value())


def test_on_a_phone_nothing_is_wider_than_it_and_every_control_has_a_name(opened, kept):
    seen = opened(viewport={"width": 390, "height": 844})
    rooms = seen.page.eval_on_selector_all("#rail [data-go]", "all => all.map(a => a.dataset.go)")
    assert {"paint", "edit", "layout", "compare", "explain", "gallery", "jobs", "models"} <= set(
        rooms
    )
    for room in rooms:
        seen.go(room)
        seen.page.wait_for_selector(f"#{room} >> visible=true")
        seen.page.wait_for_timeout(300)
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390, room
        assert seen.page.evaluate(NAMELESS) == [], room


# The controls that are seen and that nothing names: no label, no title, no words within.
NAMELESS = """() => [...document.querySelectorAll('button, input, textarea, select, a, img')]
  .filter(each => each.offsetParent && each.type !== 'hidden')
  .filter(each => {
    const by = (each.getAttribute('aria-labelledby') || '').split(' ')
      .map(id => document.getElementById(id)?.innerText || '').join('');
    const own = each.getAttribute('aria-label') || each.title || by || each.alt;
    const around = [...(each.labels || [])].map(label => label.innerText).join('');
    return !(own ?? '').trim() && !around.trim() && !each.innerText.trim()
      && !(each.tagName === 'IMG' && each.closest('button, a, [role=group]'));
  }).map(each => each.outerHTML.slice(0, 200))"""


def test_it_is_dark_where_the_system_is_and_words_stand_out(opened):
    for scheme in ("light", "dark"):
        seen = opened(color_scheme=scheme)
        seen.page.wait_for_selector("#paint-stage .empty-hint")
        for words in ("#paint-stage .empty-hint", "#go-generate", "#rail a:not([aria-current])"):
            assert seen.page.evaluate(CONTRAST, words) >= 4.5, (scheme, words)


# WCAG 2.2's contrast ratio of an element's colour and what is below it.
CONTRAST = """(selector) => {
  const parse = (text) => text.match(/[0-9.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const element = document.querySelector(selector);
  let below = element;
  const ground = (each) => getComputedStyle(each || document.body).backgroundColor;
  while (below && parse(ground(below))[3] === 0) below = below.parentElement;
  const pair = [getComputedStyle(element).color, ground(below)]
    .map(colour => light(parse(colour))).sort((a, b) => b - a);
  return (pair[0] + 0.05) / (pair[1] + 0.05);
}"""
