"""Models by the names that clients use, opened once and kept."""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.picture import Picture

if TYPE_CHECKING:
    from limner.models._text_to_image import TextToImage
    from limner.models.clip import Clip

__all__ = ["Models", "aliases"]

_KEPT = 4  # text-to-image models at a time: the embedded one has 200 MB of weights, others more
# Where a message would show how this machine's disk is laid out.
_PATH = re.compile(r"(?<![\w.])(?:/[^\s/'\"]+){2,}/?")


def aliases(models: Sequence[str]) -> dict[str, str]:
    """What `limner serve --model` gave, by names that show no path: a folder's last part, a hub id
    as it is; a second one of a name gets a number."""
    found: dict[str, str] = {}
    for model in models:
        path = Path(model).expanduser()
        base = path.resolve().name if os.path.isdir(path) else model.rstrip("/")
        base = base.replace("+", "-") or "model"
        name, number = base, 2
        while name in found or name == "embedded":
            name, number = f"{base}-{number}", number + 1
        found[name] = str(path.resolve()) if os.path.isdir(path) else model
    return found


class Models:
    """given: what `limner serve --model` was told, see `aliases`."""

    def __init__(self, given: Sequence[str] = ()) -> None:
        self.places = aliases(given)
        self._kept: OrderedDict[str, TextToImage] = OrderedDict()
        self._clips: dict[str, Clip] = {}

    def text_to_image(self, name: str) -> TextToImage:
        """By a client's name, or "embedded+ADAPTER"; the last few stay open."""
        from limner.models._open import open_model

        if name not in self._kept:
            self._kept[name] = open_model(self.places.get(name, name))
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(name)
        return self._kept[name]

    def opened(
        self, task: str, arguments: dict[str, Any], kinds: Mapping[str, str]
    ) -> dict[str, Any]:
        """A task's arguments with its models in place of their names: opened where the task takes
        an opened one, else by their place."""
        said = dict(arguments)
        if "model" in kinds and "TextToImage" in kinds["model"] and task != "modifiers":
            name = said.get("model", "embedded")
            student = "+student" if said.pop("fast", False) else ""
            said["model"] = self.text_to_image(name + student)
        for name in ("model", "weak"):
            if isinstance(said.get(name), str):
                said[name] = self.places.get(said[name], said[name])
        if kinds.get("clip") == "str | Path | Clip":
            said["clip"] = self._clip(said.get("clip", "embedded"))
        return said

    def _clip(self, name: str) -> Clip:
        from limner.models.clip import open_clip

        if name not in self._clips:
            self._clips[name] = open_clip(name)
        return self._clips[name]

    def told(self, text: str) -> str:
        """A message without this machine's paths: models by their names."""
        for name, place in self.places.items():
            text = text.replace(place, name)
        for here in (Path.cwd(), Path.home()):  # which may have spaces in them
            text = text.replace(str(here), "/…/…")
        return _PATH.sub("…", text)

    def renamed(self, picture: Picture) -> Picture:
        """A picture whose recipe names models as clients do."""
        return replace(picture, recipe=self._without_places(picture.recipe))

    def _without_places(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._without_places(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._without_places(each) for each in value]
        if isinstance(value, str):
            for name, place in self.places.items():
                value = value.replace(place, name)
        return value
