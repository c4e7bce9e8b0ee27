"""Words that painters add to prompts, and what they were measured to do."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from limner.errors import BadInput
from limner.prompt import Notice, fill

if TYPE_CHECKING:
    from limner.models._text_to_image import TextToImage

__all__ = ["CATALOGUE", "FILE", "Effect", "Effects", "Modifier", "modifiers"]

FILE = Path(__file__).with_name("modifiers.json")  # of limner's own model


class Modifier(NamedTuple):
    """What a prompt is put into: {a} is the prompt with its article, {} without."""

    name: str
    kind: str
    template: str

    def applied(self, prompt: str) -> str:
        """ "a watercolor of {a}" and "cat" → "a watercolor of a cat"."""
        return fill([self.template], prompt)[0]

    @property
    def words(self) -> str:
        """Its own, without the prompt."""
        return self.template.replace("{a}", " ").replace("{}", " ")


# The first seven kinds are made of words that the embedded model was trained on, in the world's own
# phrasings. The rest are the classics of prompt lists, most of whose words it has never seen; and
# nonsense, for how much a picture changes by any words at all.
CATALOGUE = tuple(
    Modifier(*row)
    for row in (
        ("wooden", "material", "a wooden {}"),
        ("golden", "material", "a golden {}"),
        ("made of ice", "material", "{a} made of ice"),
        ("stone", "material", "a stone {}"),
        ("stained glass", "material", "a stained glass {}"),
        ("crochet", "material", "a crochet {}"),
        ("clay", "material", "a clay {}"),
        ("watercolor", "style", "a watercolor of {a}"),
        ("oil painting", "style", "an oil painting of {a}"),
        ("pencil sketch", "style", "a pencil sketch of {a}"),
        ("pixel art", "style", "pixel art of {a}"),
        ("mosaic", "style", "a mosaic of {a}"),
        ("neon sign", "style", "a neon sign of {a}"),
        ("comic", "style", "a comic of {a}"),
        ("on the grass", "place", "{a} on the grass"),
        ("on the beach", "place", "{a} on the beach"),
        ("in the snow", "place", "{a} in the snow"),
        ("on the sea", "place", "{a} on the sea"),
        ("in the desert", "place", "{a} in the desert"),
        ("in space", "place", "{a} in space"),
        ("underwater", "place", "{a} underwater"),
        ("in the city", "place", "{a} in the city"),
        ("in the forest", "place", "{a} in the forest"),
        ("at night", "light", "{a} at night"),
        ("at sunset", "light", "{a} at sunset"),
        ("red background", "colour", "{a} on a red background"),
        ("yellow background", "colour", "{a} on a yellow background"),
        ("blue background", "colour", "{a} on a blue background"),
        ("green background", "colour", "{a} on a green background"),
        ("small", "size", "a small {}"),
        ("large", "size", "a large {}"),
        ("a picture of", "opening", "a picture of {a}"),
        ("a photo of", "opening", "a photo of {a}"),
        ("highly detailed", "quality", "{a}, highly detailed"),
        ("masterpiece", "quality", "{a}, masterpiece, best quality"),
        ("8k", "quality", "{a}, 8k uhd"),
        ("trending on artstation", "quality", "{a}, trending on artstation"),
        ("unreal engine", "renderer", "{a}, unreal engine"),
        ("octane render", "renderer", "{a}, octane render"),
        ("cinematic lighting", "light", "{a}, cinematic lighting"),
        ("concept art", "style", "concept art of {a}"),
        ("black and white", "style", "a black and white photo of {a}"),
        ("nonsense", "nonsense", "{a}, brillig slithy toves"),
    )
)


@dataclass(frozen=True)
class Effect:
    """What a modifier did to the pictures of some prompts, each painted from the same noise.

    change:           mean absolute difference of the pixels with it and without, of 1
    direction:        cosine, in a CLIP's space, between the way that the picture went and the way
                      that the words went (Gal et al. 2021, "StyleGAN-NADA", section 3.2): 1 is
                      straight there, 0 is anywhere else
    direction_error:  the standard error of its mean
    kept:             the share of pictures in which CLIP still finds the prompt's own thing first
    unseen:           its words that were in no caption of the model's training
    """

    change: float
    direction: float
    direction_error: float
    kept: float
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True)
class Effects:
    """The effects of modifiers on one model, by their names; None of those not measured.

    source:  what they were measured on and how, as plain JSON: model, clip, command, date, …
    """

    effects: dict[str, Effect | None]
    source: dict[str, Any]

    @cached_property
    def rows(self) -> list[tuple[Modifier, Effect | None]]:
        """The catalogue; of each kind those first that go straightest where their words say."""
        kinds = list(dict.fromkeys(each.kind for each in CATALOGUE))
        rows = [(each, self.effects.get(each.name)) for each in CATALOGUE]

        def order(row: tuple[Modifier, Effect | None]) -> tuple[int, float]:
            return kinds.index(row[0].kind), -row[1].direction if row[1] else math.inf

        return sorted(rows, key=order)


def modifiers(
    *, model: str | Path | TextToImage | None = None, file: str | Path | None = None
) -> Effects:
    """The catalogue of prompt modifiers, with the measured effect of each on a model.

    Args:
        model: the model that is meant: "embedded", a folder or a hub id; the one that was measured
            when not given
        file: effects on another model, as `limner measure modifiers --json` prints them; those on
            limner's own when not given

    Raises BadInput for a model that was not measured, or a file that is no such measurement.
    """
    if file is None:
        return _own(model)
    effects = _read(Path(file))
    if model is not None:
        measured = effects.source["model"]
        if measured["fingerprint"] != _fingerprint(model):
            raise BadInput(
                f"the effects in {str(file)!r} are those on {measured['name']!r}, whose files are "
                f"not those of {_name(model)!r}: {_HOW}"
            )
    return effects


_HOW = "measure it (limner measure modifiers --model MODEL --json > effects.json)"


def _own(model: str | Path | TextToImage | None) -> Effects:
    """Those that come with limner; a Notice where its model was trained on since."""
    if model is not None and _name(model) != "embedded":
        raise BadInput(
            f"the effects on {_name(model)!r} are not known: {_HOW}, and give it with --from"
        )
    if not FILE.exists():
        warnings.warn(f"no effects are measured yet: {_HOW}", Notice, stacklevel=3)
        return Effects(dict.fromkeys((each.name for each in CATALOGUE), None), {})
    effects = _read(FILE)
    try:
        now = _fingerprint("embedded")
    except BadInput:  # the catalogue is of use where the model is not here
        return effects
    if now != effects.source["model"]["fingerprint"]:
        message = f"the embedded model was trained on since its effects were measured: {_HOW}"
        warnings.warn(message, Notice, stacklevel=3)
    return effects


def _read(path: Path) -> Effects:
    """BadInput for what `limner measure modifiers --json` did not print."""
    try:
        told = json.loads(path.read_text("utf-8"))
        rows = told.pop("modifiers")
        effects: dict[str, Effect | None] = {
            str(row["name"]): Effect(
                change=float(row["change"]),
                direction=float(row["direction"]),
                direction_error=float(row["direction_error"]),
                kept=float(row["kept"]),
                unseen=tuple(str(word) for word in row["unseen"]),
            )
            for row in rows
        }
        told["model"] = {key: str(told["model"][key]) for key in ("name", "fingerprint")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or f"it is no such measurement ({error!r})"
        raise BadInput(f"cannot read effects from {str(path)!r}: {reason}; {_HOW}") from None
    return Effects(effects, told)


def _name(model: str | Path | TextToImage) -> str:
    return str(model) if isinstance(model, (str, Path)) else model.name


def _fingerprint(model: str | Path | TextToImage) -> str:
    from limner.models._open import open_model

    return (open_model(model) if isinstance(model, (str, Path)) else model).fingerprint
