"""A classifier of noisy latents (Dhariwal & Nichol 2021): what `limner train noised-classifier`
wrote."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.levels import Level
from limner.models._bounds import refusing
from limner.models._noised import Noised, open_noised

__all__ = ["RECIPE", "NoisedClassifier", "open_noised_classifier"]

RECIPE = "noised-classifier"


@dataclass(frozen=True, eq=False)
class NoisedClassifier:
    """What `open_noised_classifier` gives."""

    noised: Noised

    @property
    def name(self) -> str:
        return self.noised.name

    @property
    def licence(self) -> str:
        return self.noised.licence

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the model's files."""
        return self.noised.fingerprint

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """What it tells apart, in the order of `logits`."""
        return tuple(self.noised.card["classes"])

    def to(self, device: str | torch.device) -> NoisedClassifier:
        """Its tower on a device."""
        return replace(self, noised=self.noised.to(device))

    def logits(self, x: Tensor, level: Level) -> Tensor:
        """x (b, c, h, w) at `level`, of any family → (b, k), with gradients."""
        return self.noised(x, level)

    def named(self, text: str) -> str:
        """The class that a text names first, as whole words. Raises BadInput for none."""
        low = text.lower()
        found = [
            (place.start(), -len(name), name)
            for name in self.classes
            if (place := re.search(rf"\b{re.escape(name)}s?\b", low))
        ]
        if not found:
            known = ", ".join(self.classes[:12]) + (" …" if len(self.classes) > 12 else "")
            raise BadInput(f"{text!r} names none of the classes of {self.name!r}: {known}")
        return min(found)[2]

    def likelihood(self, name: str) -> Callable[[Tensor, Level], Tensor]:
        """x at a level → log p(class | x) (b,), with gradients. Raises BadInput for no class."""
        if name not in self.classes:
            raise BadInput(f"{name!r} is no class of {self.name!r}")
        number = self.classes.index(name)

        def said(x: Tensor, level: Level) -> Tensor:
            return self.logits(x, level).log_softmax(1)[:, number]

        return said


@refusing
def open_noised_classifier(name: str | Path = "embedded") -> NoisedClassifier:
    """Opens "embedded", or what `limner train noised-classifier` wrote; float32, on the CPU.

    Only safetensors are read. Raises BadInput when it is missing, pickled, broken or another's.
    """
    noised = open_noised(name, RECIPE)
    classes, outputs = noised.card.get("classes"), noised.card["tower"]["outputs"]
    names = classes if isinstance(classes, list) else []
    if len(names) != outputs or not all(isinstance(each, str) for each in names):
        raise BadInput(f"{str(name)!r} does not name its {outputs} classes: train it again")
    return NoisedClassifier(noised)
