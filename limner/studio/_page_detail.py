"""One picture of the gallery, large, with what is known of it and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from limner.studio._page_fields import label_of
from limner.studio._page_gallery import collection_form
from limner.studio._page_html import act, ago, file_of, icon, seconds
from limner.studio._page_run import is_words

if TYPE_CHECKING:
    from limner.studio.gallery import Kept
    from limner.studio.studio import Studio

__all__ = ["detail", "settings_of"]

# Of what a picture was painted with, what its page tells besides.
_TOLD = ("steps", "sampler", "guidance_scale", "strength", "boxes", "fast")


def detail(studio: Studio, kept: Kept, room: str) -> str:
    """The inside of the dialog. room: where its task is asked for."""
    name = escape(kept.prompt or "A picture")
    return (
        f'<div class="sheet-picture"><img src="{file_of(kept.id)}" alt="{name}" '
        f'width="{kept.width}" height="{kept.height}"></div><div class="sheet-side">'
        f"{_title(kept)}{_doing(studio, kept, room)}{_known(studio, kept)}"
        f"{collection_form(kept.id, kept.collections)}{_saving(kept)}</div>"
        '<button type="button" class="act quiet sheet-close" data-do="close" aria-label="Close">'
        "<span>Close</span></button>"
    )


def settings_of(studio: Studio, kept: Kept) -> tuple[str, Mapping[str, Any]] | None:
    """The task that painted it and what it was told, as its form takes it, without the pictures
    that it was given; None: not known."""
    job = studio.queue.get(kept.job) if kept.job else None
    if job is not None:
        uploads = studio.forms[job.task].uploads
        words = {n: v for n, v in job.arguments.items() if n not in uploads or is_words(v)}
        return job.task, words
    recipe = kept.recipe or {}
    form = studio.forms.get(str(recipe.get("task")))
    said = recipe.get("arguments")
    if form is None or not isinstance(said, dict):
        return None
    known = {name: value for name, value in said.items() if name in form.fields.model_fields}
    if isinstance(known.get("size"), list):
        known["size"] = "x".join(str(side) for side in known["size"])
    return form.name, known


def _title(kept: Kept) -> str:
    told = "Brought in" if kept.origin == "imported" else label_of(kept.task or "painted")
    words = kept.prompt or "No words are known for it"
    words = words[:1].upper() + words[1:]
    return (
        f'<p class="counts">{escape(told)} · {escape(ago(kept.created))}</p>'
        f'<h2 class="sheet-title">{escape(words)}</h2>'
    )


def _doing(studio: Studio, kept: Kept, room: str) -> str:
    known = settings_of(studio, kept) is not None
    did = [
        act("edit", "Edit", id=kept.id, go="edit", sign="edit", look="plain"),
        act("vary", "Vary", id=kept.id, go="edit", sign="vary", look="plain"),
    ]
    if kept.job and known:
        did.append(act("again", "Same again", id=kept.id, go=room, sign="again", look="plain"))
    if known:
        did.append(act("settings", "Use these settings", id=kept.id, go=room, look="plain"))
    did.append(act("like", "Find alike", id=kept.id, go="gallery", look="plain"))
    did.append(
        act(
            "favourite",
            "Favourite",
            id=kept.id,
            sign="star",
            look="plain is-on" if kept.favourite else "plain",
            on="" if kept.favourite else "1",
        )
    )
    return f'<div class="tools">{"".join(did)}</div>'


def _known(studio: Studio, kept: Kept) -> str:
    rows: dict[str, Any] = {"Size": f"{kept.width} × {kept.height}"}
    rows |= {"Negative": kept.negative} if kept.negative else {}
    rows |= {"Seed": kept.seed} if kept.seed is not None else {}
    rows |= {"Model": kept.model} if kept.model else {}
    found = settings_of(studio, kept)
    said = found[1] if found else {}
    rows |= {label_of(name): said[name] for name in _TOLD if said.get(name) not in (None, False)}
    rows |= {"Took": seconds(kept.seconds)} if kept.seconds is not None else {}
    lines = "".join(f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in rows.items())
    foreign = ""
    if kept.foreign:
        foreign = (
            '<details class="foreign"><summary>Recipe of another tool</summary>'
            f"<pre>{escape(kept.foreign[:8000])}</pre></details>"
        )
    return f'<dl class="known">{lines}</dl>{foreign}'


def _saving(kept: Kept) -> str:
    kinds = {
        "PNG with recipe": {},
        "PNG": {"recipe": "false"},
        "JPEG": {"format": "jpeg"},
        "WebP": {"format": "webp"},
    }
    links = "".join(
        f'<a class="act plain" download="limner-{kept.id}.{asked.get("format", "png")}" '
        f'href="{escape(file_of(kept.id, **asked))}">{icon("save")}<span>{told}</span></a>'
        for told, asked in kinds.items()
    )
    gone = act("delete", "Delete", id=kept.id, look="plain danger", sure="Delete for good?")
    return f'<div class="tools save">{links}</div><div class="tools">{gone}</div>'
