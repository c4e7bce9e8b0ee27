"""StyleCLIP's three ways with their networks open, to edit faces of which each is inverted once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from limner.errors import BadInput
from limner.generators import Latent
from limner.generators.stylegan import stylegan
from limner.measures._asked import ASKED, SOURCE, Portrait
from limner.measures._painted import Kept
from limner.models.clip import Clip, open_clip
from limner.models.directions import Directions, open_directions
from limner.models.mapper import Mapped, open_mapper
from limner.models.stylegan import StyleGAN, open_stylegan
from limner.tasks._checks import clip_names
from limner.tasks._editing import Order, Usual, finished, laid_over, way
from limner.tasks._latent_file import Kept as Found
from limner.tasks._latent_file import load_latent, save_latent
from limner.tasks._portrait import INVERSION_STEPS
from limner.tasks._spaces import fitted

__all__ = ["METHODS", "Mappers", "StyleClip", "styleclip"]

METHODS = ("stylegan", "mapper", "direction")

Mappers = str | Path | Mapping[str, str | Path]
"""Attribute → folder; or a folder that holds one for each, "blonde hair" in blonde-hair."""

_SEED = 0  # of the edits, as `limner edit` has it


@dataclass(frozen=True, eq=False)
class StyleClip:
    """orders:  by method and attribute, all but the pictures and their latents
    steps:   of an inversion
    found:   latents of one row each, by the portraits' numbers
    """

    generator: StyleGAN
    orders: Mapping[tuple[str, str], Order]
    steps: int
    found: dict[int, Latent] = field(default_factory=dict)

    def invert(self, portraits: Sequence[Portrait], folder: Path | None = None) -> int:
        """Finds their latents, together, but reads those that are kept; how many it found."""
        about: dict[str, str | int] = {"model": self.generator.fingerprint, "steps": self.steps}
        kept = None if folder is None else Kept(folder / "inverted", about)
        todo = []
        for each in portraits:
            place = kept.folder / each.named(".safetensors") if kept else None
            if place and place.exists():
                self.found[each.number] = load_latent(place).latent
            else:
                todo.append(each)
        if not todo:
            return 0
        latent = stylegan(self.generator).invert(self.targets(todo), steps=self.steps)
        size = (self.generator.size, self.generator.size)
        for row, each in enumerate(todo):
            own = {name: part[row : row + 1] for name, part in latent.items()}
            self.found[each.number] = own
            if kept:
                place = kept.folder / each.named(".safetensors")
                save_latent(place, Found("stylegan", self.generator.fingerprint, size, own))
        return len(todo)

    def targets(self, portraits: Sequence[Portrait]) -> Tensor:
        """(b, 3, s, s) in [0, 1], what an inversion looks for."""
        size = (self.generator.size, self.generator.size)
        return torch.cat([fitted(each, size) for each in _pixels(portraits)])

    @torch.no_grad()
    def shown(self, portraits: Sequence[Portrait]) -> Tensor:
        """(b, 3, s, s): what the generator paints of them, nothing edited."""
        return stylegan(self.generator).render(self._latent(portraits))

    def edit(self, method: str, name: str, portraits: Sequence[Portrait]) -> np.ndarray:
        """As `limner edit` leaves these pictures, uint8 (b, h, w, 3)."""
        order = self.orders[method, name]
        order = replace(order, picture=_pixels(portraits), latent=self._latent(portraits))
        layers = way(method).edit(order, lambda step, preview: None)
        laid = (
            laid_over(finished(layer[None], order), portrait.picture)
            for layer, portrait in zip(layers, portraits, strict=True)
        )
        return np.stack(list(laid))

    def _latent(self, portraits: Sequence[Portrait]) -> Latent:
        rows = [self.found[each.number] for each in portraits]
        return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}

    def about(self, method: str, name: str) -> dict[str, str | int]:
        """By what a folder of edits is known."""
        order = self.orders[method, name]
        assert order.model is not None  # every method opens one
        return {
            "model": order.model.fingerprint,
            "inverted in": self.steps,
            "followed": " ".join(clip.fingerprint[:16] for clip in order.clips),
            "text": order.text,
            "steps": order.steps,
            "views": order.views,
            "strength": str(order.strength),
            "threshold": str(order.threshold),
        }


def styleclip(
    methods: Sequence[str],
    asked: Sequence[str],
    *,
    model: str | Path = "embedded",
    mappers: Mappers | None = None,
    directions: str | Path = "embedded",
    clip: str | None = None,
    strengths: Mapping[str, float],
    threshold: float | None = None,
    steps: int | None = None,
    views: int | None = None,
    inversion_steps: int | None = None,
) -> StyleClip:
    """Opens what the methods need for these attributes, the arguments as of `portraits`.

    Raises BadInput where a network is not there, or was made for another text or generator.
    """
    generator, orders = open_stylegan(model), dict[tuple[str, str], Order]()
    for method in methods:
        shared = None if method == "mapper" else _shared(method, generator, directions)
        usual = way(method).USUAL
        searches = method == "stylegan"
        clips = [open_clip(each) for each in _clips(clip, usual, shared)]
        for name in asked:
            opened = shared or _mapper(name, generator, mappers)
            orders[method, name] = Order(
                picture=torch.empty(0),
                mask=None,
                text=ASKED[name].text,
                source=SOURCE if usual.has_source else None,
                strength=strengths.get(method, usual.strength),
                steps=(steps or usual.steps) if searches else 0,
                views=(views or usual.views) if searches else 0,
                seed=_SEED,
                clips=clips,
                model=opened,
                threshold=threshold if usual.has_threshold else None,
            )
        _check_clips(shared, clips)
    return StyleClip(generator, orders, inversion_steps or INVERSION_STEPS)


def _shared(method: str, generator: StyleGAN, directions: str | Path) -> StyleGAN | Directions:
    """What a method edits with whatever is asked for."""
    if method == "stylegan":
        return generator
    found = open_directions(directions)
    if isinstance(found, StyleGAN):
        raise BadInput(
            f"{str(directions)!r} holds no directions: limner train directions measures them; give "
            "their folder (--directions), or leave out the method (--methods)"
        )
    _check_generator(generator, found)
    return found


def _mapper(name: str, generator: StyleGAN, mappers: Mappers | None) -> Mapped:
    found, text = open_mapper(_folder(name, mappers)), ASKED[name].text
    if found.text.strip().lower() != text:
        raise BadInput(
            f"the mapper {found.name!r} was trained for {found.text!r}, and {name} is asked for as "
            f"{text!r}: limner train mapper {text!r} makes that one"
        )
    _check_generator(generator, found)
    return found


def _check_generator(generator: StyleGAN, made: Mapped | Directions) -> None:
    if made.generator.fingerprint != generator.fingerprint:
        raise BadInput(
            f"{made.name!r} was made for the generator {made.generator.name!r}, not for "
            f"{generator.name!r}: give that one (--model)"
        )


def _folder(name: str, mappers: Mappers | None) -> str | Path:
    """The mapper for an attribute. BadInput, with how it is made, where there is none."""
    told = mappers.get(name) if isinstance(mappers, Mapping) else None
    if told is not None:
        return told
    if isinstance(mappers, (str, Path)):
        above = Path(mappers) / name.replace(" ", "-")
        for place in (above / "model", above):
            if (place / "config.json").is_file():
                return place
    where = f" in {str(mappers)!r}" if isinstance(mappers, (str, Path)) else ""
    raise BadInput(
        f"no mapper for {name!r}{where}: limner train mapper {ASKED[name].text!r} makes it, then "
        f"give its folder (--mapper), or leave out the method (--methods)"
    )


def _clips(clip: str | None, usual: Usual, opened: StyleGAN | Directions | None) -> Sequence[str]:
    """Directions know by which CLIPs they were measured; `clip` is for the search."""
    if opened is None or usual.clips is None:
        return ()
    given = None if isinstance(opened, Directions) else clip
    return clip_names(usual.clips(opened) if given is None else given)


def _check_clips(shared: StyleGAN | Directions | None, clips: Sequence[Clip]) -> None:
    """Before anything is inverted, not after it."""
    if not isinstance(shared, Directions):
        return
    if [clip.fingerprint for clip in clips] != [mark for _, mark in shared.clips]:
        raise BadInput(
            f"the directions {shared.name!r} were measured by other CLIPs than "
            f"{', '.join(clip.name for clip in clips)} now are: measure them anew"
        )


def _pixels(portraits: Sequence[Portrait]) -> Tensor:
    """(b, 3, h, w) in [0, 1]."""
    stack = np.stack([each.picture for each in portraits])
    return torch.from_numpy(stack).permute(0, 3, 1, 2) / 255
