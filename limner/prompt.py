"""Prompts: weighted phrases, and the sentences that labels are put into.

parse("a cat:2 | a dog:-1 | photo.png:0.5")
→ [Phrase("a cat", 2.0), Phrase("a dog", -1.0), Phrase("photo.png", 0.5, Path("photo.png"))]
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from limner.errors import BadInput

__all__ = [
    "TEMPLATES",
    "CutWord",
    "Notice",
    "UnseenWord",
    "Phrase",
    "check",
    "fill",
    "parse",
    "read_lines",
    "read_templates",
    "words",
]

MAX_CHARACTERS = 32_000
PICTURES = (".png", ".jpg", ".jpeg", ".webp")

# What a label is put into for zero-shot classification (CLIP, Radford et al. 2021, section 3.1.4:
# an ensemble of sentences beats the bare word).
TEMPLATES = (
    "{a}",
    "a picture of {a}",
    "a photo of {a}",
    "there is {a}",
    "{a} on a plain background",
)

_DETERMINERS = {"a", "an", "the", "some", "one", "two", "three", "four", "five", "six"}
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,2})?")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


class Notice(UserWarning):
    """What limner warns of: the task goes on, but the user should know."""


class UnseenWord(Notice):
    """A word of the prompt was in no caption of the model's training."""


class CutWord(Notice):
    """Words at the end of the prompt are left out."""


@dataclass(frozen=True)
class Phrase:
    """One part of a prompt. `picture` is set when the part names a picture's file."""

    text: str
    weight: float = 1.0
    picture: Path | None = None


def check(prompt: str, what: str = "prompt") -> str:
    """The prompt, when it has something in it and at most 32,000 characters; else BadInput."""
    if not isinstance(prompt, str):
        raise BadInput(f"the {what} is {type(prompt).__name__}: expected text")
    if not prompt.strip():
        raise BadInput(f'the {what} is empty: say what to paint, such as "a red cube"')
    if len(prompt) > MAX_CHARACTERS:
        raise BadInput(
            f"the {what} has {len(prompt):,} characters: up to {MAX_CHARACTERS:,} can be"
        )
    return prompt


def parse(prompt: str) -> list[Phrase]:
    """Splits at |, and takes a weight after each part's last colon.

    Colons in the text survive: only a number there is a weight, and not one that goes on from a
    digit ("a 16:9", "at 10:30"); "7 :2" weighs "7". A part that ends in .png, .jpg, .jpeg or .webp
    is a picture's file. Raises BadInput for an empty part, or a prompt that `check` refuses.
    """
    return [_phrase(part, prompt) for part in check(prompt).split("|")]


def _phrase(part: str, prompt: str) -> Phrase:
    text, colon, number = part.rpartition(":")
    weighted = colon and _NUMBER.fullmatch(number.strip()) and not text[-1:].isdigit()
    text, weight = (text, float(number)) if weighted else (part, 1.0)
    text = text.strip()
    if not text:
        shown = prompt if len(prompt) <= 60 else prompt[:57] + "..."
        raise BadInput(f"an empty phrase in the prompt {shown!r}: put words around each |")
    picture = Path(text) if text.lower().endswith(PICTURES) else None
    return Phrase(text, weight, picture)


def words(text: str) -> list[str]:
    """The words of a text in lower case, in order: "A robot's cat, 2 m" → robot's, cat, m."""
    return _WORD.findall(text.lower())


def fill(templates: Sequence[str], label: str) -> list[str]:
    """Each template with the label in place of {}, or, with its article before it, of {a}."""
    article = label if _has_article(label) else f"{_article(label)} {label}"
    return [template.replace("{a}", article).replace("{}", label) for template in templates]


def _has_article(label: str) -> bool:
    return label.split(" ", 1)[0].lower() in _DETERMINERS


def _article(label: str) -> str:
    return "an" if label[:1].lower() in "aeiou" else "a"


def read_templates(path: str | Path) -> list[str]:
    """One template a line from a text file; each holds {} or {a}. Raises BadInput."""
    lines = read_lines(path)
    for line in lines:
        if "{}" not in line and "{a}" not in line:
            raise BadInput(f"the template {line[:60]!r} has no {{}} or {{a}} for the label")
    return lines


def read_lines(path: str | Path) -> list[str]:
    """The lines of a UTF-8 text file that are not blank. Raises BadInput."""
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise BadInput(f"cannot read {str(path)!r}: {reason}") from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise BadInput(f"{str(path)!r} has no lines: write one a line")
    return lines
