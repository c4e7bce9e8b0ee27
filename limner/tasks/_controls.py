"""Pictures that ControlNets paint by: as they are said, opened, and on a course."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from limner.denoisers.controlled import Acting
from limner.errors import BadInput
from limner.levels import Level
from limner.models._text_to_image import TextToImage
from limner.models.controlnet import Control, ControlNet, check_fits, open_controlnet
from limner.picture import load
from limner.tasks._checks import file_hash, is_local
from limner.tasks._recipe import told

__all__ = ["PREPARATIONS", "Controls", "Said", "canny", "controls_again", "controls_of", "steering"]

Said = str | Control | Sequence[str | Control] | None

PREPARATIONS = ("none", "canny")
_TEXT = re.compile(
    r"(?P<model>.+?)(?::(?P<weight>[^:=]*))?(?::(?P<span>[^:=]*))?"
    rf"=(?:(?P<prepare>{'|'.join(PREPARATIONS)}):)?(?P<picture>.+)"
)
_SHOWN = "MODEL:WEIGHT=PICTURE, such as canny-sd15:0.8=edges.png"
_MOST = 100.0  # times that what a control says is added
# Gradients that are edges, and those that are where they touch one: the ControlNets' own demo takes
# 100 and 200 of Sobel's sums of 8-bit values, not smoothed (github.com/lllyasviel/ControlNet).
_WEAK, _STRONG = 100 / 255, 200 / 255


@dataclass(frozen=True, eq=False)
class Steered:
    """One control, opened: its picture (1, 3, H, W) in [0, 1] as it is in its file."""

    said: Control
    network: ControlNet
    picture: Tensor


@dataclass(frozen=True, eq=False)
class Controls:
    """The controls of a run, opened, or none."""

    each: tuple[Steered, ...] = ()

    def along(
        self, levels: Sequence[Level], view: Callable[[Tensor], Tensor]
    ) -> tuple[Acting, ...]:
        """Those of a way along these levels. view: a picture (1, 3, H, W) → what the model sees of
        it (1, 3, h, w). Raises BadInput for one that would act in no step."""
        return tuple(_acting(each, levels, view) for each in self.each)

    def arguments(self) -> list[dict[str, Any]] | None:
        """As a recipe's arguments have them, see `controls_again`."""
        return [_told(each.said) for each in self.each] or None

    def recipe(self) -> dict[str, Any]:
        """What a recipe says of the networks beside: nothing where there are none."""
        return {"controls": [told(each.network) for each in self.each]} if self.each else {}

    def files(self) -> dict[str, str]:
        """The pictures with their hashes."""
        return {str(each.said.picture): file_hash(str(each.said.picture)) for each in self.each}


def controls_of(said: Said) -> list[Control]:
    """What was said, checked. Raises BadInput."""
    each = [] if said is None else [said] if isinstance(said, (str, Control)) else said
    controls = [_parsed(one) if isinstance(one, str) else one for one in each]
    for control in controls:
        _check(control)
    return controls


def steering(controls: Sequence[Control], model: TextToImage) -> Controls:
    """The controls opened, where the model is. Raises BadInput for one that does not fit it."""
    opened: dict[str, ControlNet] = {}
    out = []
    for control in controls:
        picture = load(control.picture).pixels[None]
        network = control.model
        if not isinstance(network, ControlNet):
            name = str(network)
            network = opened[name] = opened.get(name) or open_controlnet(name, model.dtype)
        check_fits(network, model)
        out.append(Steered(control, network.to(model.device, model.dtype), picture))
    return Controls(tuple(out))


def controls_again(said: Mapping[str, Any]) -> list[Control]:
    """Those of a recipe's arguments. Raises BadInput where one is not on this machine: a picture
    must not decide what is fetched."""
    controls = [Control(**each) for each in said.get("control") or ()]
    for control in controls:
        if not is_local(control.model):
            raise BadInput(
                f"the picture was made with the ControlNet {control.model!r}, which is no folder "
                "here: paint it again by the folder"
            )
    return controls


def _parsed(text: str) -> Control:
    """ "FOLDER:0.8:0,0.6=canny:photo.png"; the weight, the interval and canny may be left out."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise BadInput(f"control {text!r}: give {_SHOWN}")
    weight, span = found["weight"], found["span"]
    begin, end = (0.0, 1.0) if span is None else _pair(span, text)
    return Control(
        found["model"],
        found["picture"],
        1.0 if weight is None else _number(weight, text),
        begin,
        end,
        found["prepare"] or "none",
    )


def _number(said: str, text: str) -> float:
    try:
        return float(said)
    except ValueError:
        raise BadInput(f"control {text!r} has the weight {said!r}: give {_SHOWN}") from None


def _pair(said: str, text: str) -> tuple[float, float]:
    try:
        begin, end = (float(part) for part in said.split(","))
    except ValueError:
        raise BadInput(
            f"control {text!r} acts from {said!r}: give two shares of the steps, such as "
            "canny-sd15:0.8:0,0.6=edges.png"
        ) from None
    return begin, end


def _check(control: Control) -> None:
    weight, begin, end = control.weight, control.begin, control.end
    numbers = {"weight": weight, "begin": begin, "end": end}
    for name, value in numbers.items():
        plain = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (plain and math.isfinite(value)):
            raise BadInput(f"a control's {name} {value!r}: give a number")
    if abs(weight) > _MOST:
        raise BadInput(f"a control's weight {weight}: give a number up to {_MOST:g}")
    if not 0 <= begin < end <= 1:
        raise BadInput(
            f"a control from {begin} to {end}: give shares of the steps, 0 ≤ from < to ≤ 1"
        )
    if control.prepare not in PREPARATIONS:
        known = ", ".join(PREPARATIONS)
        raise BadInput(f"a control's picture prepared by {control.prepare!r}: choose of {known}")


def _told(control: Control) -> dict[str, Any]:
    """A control by `Control`'s own names, as JSON."""
    name = control.model.name if isinstance(control.model, ControlNet) else str(control.model)
    return {
        "model": name,
        "picture": str(control.picture),
        "weight": control.weight,
        "begin": control.begin,
        "end": control.end,
        "prepare": control.prepare,
    }


@torch.no_grad()
def _acting(each: Steered, levels: Sequence[Level], view: Callable[[Tensor], Tensor]) -> Acting:
    control, net = each.said, each.network
    seen = view(each.picture)
    seen = canny(seen) if control.prepare == "canny" else seen
    hint = net.network.hint(seen.to(net.device, net.dtype))
    times = _times(levels, control.begin, control.end)
    return Acting(partial(net.network, hint=hint), control.weight, times)


def _times(levels: Sequence[Level], begin: float, end: float) -> tuple[float, float]:
    """Flow times of the steps that lie in an interval whole, as diffusers counts them."""
    count = len(levels) - 1
    inside = [i for i in range(count) if i / count >= begin and (i + 1) / count <= end]
    if not inside:
        raise BadInput(
            f"a control from {begin:g} to {end:g} of {count} steps acts in none of them: give a "
            "longer part, or more steps"
        )
    return levels[inside[-1] + 1].time, levels[inside[0]].time


def canny(picture: Tensor) -> Tensor:
    """(1, 3, h, w) in [0, 1] → its edges (1, 3, h, w), white on black (Canny 1986)."""
    from kornia.filters import canny as edges

    _, found = edges(picture.float(), _WEAK, _STRONG, kernel_size=1)
    return found.expand(-1, 3, -1, -1)
