"""The room that says which models are here, what they need, and which words limner's own knows."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

import limner
from limner.errors import BadInput
from limner.models._folder import described
from limner.studio._page_bench import QUIET, acting
from limner.studio._page_fields import label_of
from limner.studio._page_html import act

if TYPE_CHECKING:
    from limner.studio._page_bench import Bench
    from limner.studio.studio import Studio

__all__ = ["models_room"]

_FLOAT32 = 4  # bytes: weights are opened so, unless asked otherwise


@dataclass(frozen=True)
class _Card:
    """What a model's folder says of it, without its weights being opened."""

    name: str
    title: str
    told: str
    licence: str
    numbers: int  # weights
    asked: tuple[str, ...]  # tasks


def models_room(studio: Studio, generate: Bench) -> None:
    """Models, and words that go into the prompt of the room Paint when they are clicked."""
    prompt = generate.controls["prompt"].part
    with gr.Column(elem_classes=["page-wide"]):
        gr.HTML(
            "<h1>Models</h1><p class='lead'>What this studio paints and sees with. Memory is what "
            "the weights take in 32 bits.</p>",
            apply_default_css=False,
        )
        words = acting(_words(), elem_classes=["known-words"])
        bar = acting("", elem_classes=["word-bar"])
        gr.HTML(_cards(studio), apply_default_css=False)

    def taken(said: str, event: gr.EventData) -> tuple[str, str]:
        joined = _joined(said or "", str((event._data or {}).get("text", "")))
        paint = act("paint", "Go and paint it", go="paint", look="plain")
        return joined, f'<p class="line-of-words"><b>{escape(joined)}</b>{paint}</p>'

    words.act(taken, prompt, [prompt, bar], **QUIET)
    bar.act(lambda: None, None, None, **QUIET)


def _joined(said: str, word: str) -> str:
    glue = "" if word.startswith(",") else " "
    return (
        f"{said.rstrip()}{glue}{word}".strip().lstrip(", ") if said.strip() else word.lstrip(", ")
    )


def _words() -> str:
    """The embedded model's words by kind; those that its training left out are left out."""
    vocabulary = _vocabulary()
    groups = "".join(
        f"<section><h3>{escape(kind)}</h3>"
        f'<div class="chips">{_chips(each, vocabulary)}</div></section>'
        for kind, each in _kinds().items()
    )
    return (
        '<h2>Words that limner\'s own model knows</h2><p class="lead">It has seen no others. '
        f'Click words to put a prompt together.</p><div class="kinds">{groups}</div>'
    )


def _chips(words: Mapping[str, str], vocabulary: frozenset[str]) -> str:
    known = {
        called: said
        for called, said in words.items()
        if set(re.findall(r"[a-z]+", said)) <= vocabulary
    }
    return "".join(act("word", called, text=said, look="chip") for called, said in known.items())


def _kinds() -> dict[str, dict[str, str]]:
    """By kind, what a chip is called and what it says."""
    from limner.worlds import _vocabulary as world

    things = [noun.word for noun in world.glyph_nouns("core")] + list(world.SHAPES)
    plain = {word: word for word in (*world.COLOURS, *(size for size in world.SIZES if size))}
    return {
        "Things": {word: world.with_article(word) for word in things},
        "How they look": plain
        | {each: ways[0].format("").strip() for each, ways in _made().items()},
        "How they stand": {ways[0]: ways[0] for ways in world.RELATIONS.values()} | {"and": "and"},
        "Where": {way[0]: way[0] for way in world.BACKGROUNDS.values() if way[0]},
        "How it is drawn": {each: ways[1].format("") for each, ways in world.STYLES.items()},
    }


def _made() -> dict[str, tuple[str, ...]]:
    from limner.worlds._vocabulary import MATERIALS

    return {name: tuple(sorted(ways, key=len)) for name, ways in MATERIALS.items()}


def _folder() -> Path:
    return Path(limner.__file__).parent / "embedded"


def _vocabulary() -> frozenset[str]:
    card = _folder() / "diffusion" / "limner.json"
    said = json.loads(card.read_text(encoding="utf-8")) if card.is_file() else {}
    return frozenset(said.get("vocabulary", ()))


# ---- cards -------------------------------------------------------------------------------------


def _cards(studio: Studio) -> str:
    cards = list(_found(studio))
    rows = "".join(
        f'<li class="model"><div><h3>{escape(card.title)}</h3><p>{escape(card.told)}</p>'
        f'<p class="facts">{escape(_asked(card))}</p></div><dl class="known">'
        f"<dt>Name</dt><dd>{escape(card.name)}</dd><dt>Licence</dt><dd>{escape(card.licence)}</dd>"
        f"<dt>Weights</dt><dd>{card.numbers / 1e6:.1f} million</dd>"
        f"<dt>Memory</dt><dd>{card.numbers * _FLOAT32 / 1e6:.0f} MB</dd></dl></li>"
        for card in cards
    )
    return f'<h2>Models that are here</h2><ul class="models">{rows}</ul>'


def _asked(card: _Card) -> str:
    return "For " + ", ".join(label_of(task).lower() for task in card.asked) if card.asked else ""


def _found(studio: Studio) -> Iterator[_Card]:
    """limner's own, then those that the studio was given."""
    folders = sorted(each for each in _folder().rglob("README.md"))
    order = {"diffusion": 0, "adapters": 1}
    folders.sort(key=lambda file: order.get(file.relative_to(_folder()).parts[0], 2))
    for file in folders:
        part = file.parent.relative_to(_folder())
        name = "embedded"
        if part.parts[0] == "adapters":
            name = f"embedded+{part.name}"
        elif part.name.startswith("clip-"):
            name = part.name.removeprefix("clip-")
        tasks = _tasks(studio, name) if part.parts[0] in ("diffusion", "adapters") else ()
        yield _card(name, file.parent, tasks)
    for name, place in studio.models.items():
        if Path(place).is_dir():
            yield _card(name, Path(place), _tasks(studio, name))
        else:
            yield _Card(name, name, "From the hub.", "see its page", 0, _tasks(studio, name))


def _tasks(studio: Studio, model: str) -> tuple[str, ...]:
    """The tasks that a model may be named for."""
    return tuple(
        task
        for task, form in studio.forms.items()
        if model in str(form.fields.model_json_schema()["properties"].get("model", ""))
    )


def _card(name: str, folder: Path, asked: tuple[str, ...]) -> _Card:
    """From README.md and the headers of the weights; a folder without says less."""
    file = folder / "README.md"
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    licence = re.search(r"^license: *(\S+)", text, re.MULTILINE)
    body = re.search(r"^# (.+)\n+((?:.+\n)+)", text, re.MULTILINE)
    title = body[1] if body else name
    told = " ".join(body[2].split()).replace("`", "") if body else ""
    first = re.match(r".+?[.:](?= |$)", told)
    numbers = sum(map(_numbers, folder.rglob("*.safetensors")))
    return _Card(
        name,
        title[:1].upper() + title[1:],
        (first[0].rstrip(":") + "." if first else told).replace("..", "."),
        licence[1].upper() if licence else "not said",
        numbers,
        asked,
    )


def _numbers(file: Path) -> int:
    """How many weights a safetensors file holds, by its header. 0 where it has none."""
    try:
        return sum(math.prod(shape) for _, (_, shape) in described(file))
    except BadInput:
        return 0
