"""limner: text steers pictures.

    import limner
    limner.generate("an astronaut riding a horse at sunset", seed=7)[0].save("out.png")

Names are loaded when they are first used, so that importing limner costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from limner.errors import BadInput, LimnerError

if TYPE_CHECKING:
    from limner.models._open import open_model
    from limner.models.clip import open_clip
    from limner.models.controlnet import Control
    from limner.picture import Picture, grid, load
    from limner.tasks.adapt import adapt
    from limner.tasks.arithmetic import arithmetic
    from limner.tasks.classify import classify
    from limner.tasks.describe import describe
    from limner.tasks.edit import edit
    from limner.tasks.explain import explain
    from limner.tasks.generate import generate
    from limner.tasks.guide import guide
    from limner.tasks.inpaint import inpaint
    from limner.tasks.interpolate import interpolate
    from limner.tasks.invert import invert
    from limner.tasks.layout import layout
    from limner.tasks.map import map
    from limner.tasks.mix import mix
    from limner.tasks.modifiers import modifiers
    from limner.tasks.outpaint import outpaint
    from limner.tasks.paint import paint
    from limner.tasks.rank import rank
    from limner.tasks.replay import replay
    from limner.tasks.restyle import restyle
    from limner.tasks.sample import sample
    from limner.tasks.textdiff import textdiff
    from limner.tasks.unclip import unclip
    from limner.tasks.upscale import upscale
    from limner.tasks.vary import vary

__version__ = "0.1.0"
__all__ = [
    "BadInput",
    "Control",
    "LimnerError",
    "Picture",
    "adapt",
    "arithmetic",
    "classify",
    "describe",
    "edit",
    "explain",
    "generate",
    "grid",
    "guide",
    "inpaint",
    "interpolate",
    "invert",
    "layout",
    "load",
    "map",
    "mix",
    "modifiers",
    "open_clip",
    "open_model",
    "outpaint",
    "paint",
    "rank",
    "replay",
    "restyle",
    "sample",
    "textdiff",
    "unclip",
    "upscale",
    "vary",
]

_HOMES = {
    "Control": "limner.models.controlnet",
    "Picture": "limner.picture",
    "adapt": "limner.tasks.adapt",
    "arithmetic": "limner.tasks.arithmetic",
    "classify": "limner.tasks.classify",
    "describe": "limner.tasks.describe",
    "edit": "limner.tasks.edit",
    "explain": "limner.tasks.explain",
    "generate": "limner.tasks.generate",
    "grid": "limner.picture",
    "guide": "limner.tasks.guide",
    "inpaint": "limner.tasks.inpaint",
    "interpolate": "limner.tasks.interpolate",
    "invert": "limner.tasks.invert",
    "layout": "limner.tasks.layout",
    "load": "limner.picture",
    "map": "limner.tasks.map",
    "mix": "limner.tasks.mix",
    "modifiers": "limner.tasks.modifiers",
    "open_clip": "limner.models.clip",
    "open_model": "limner.models._open",
    "outpaint": "limner.tasks.outpaint",
    "paint": "limner.tasks.paint",
    "rank": "limner.tasks.rank",
    "replay": "limner.tasks.replay",
    "restyle": "limner.tasks.restyle",
    "sample": "limner.tasks.sample",
    "textdiff": "limner.tasks.textdiff",
    "unclip": "limner.tasks.unclip",
    "upscale": "limner.tasks.upscale",
    "vary": "limner.tasks.vary",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'limner' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
