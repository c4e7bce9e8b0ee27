"""How a CLIP is shown a picture: resized, cut or filled up to a square, normalised.

Each maker does it a little differently, and a network is shown what it was trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor
from torch.nn import functional

from limner.errors import BadInput
from limner.picture import resize

__all__ = ["MEAN", "STD", "Sight", "of_open_clip", "of_transformers"]

# Of CLIP's own training pictures (github.com/openai/CLIP)
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_BILINEAR, _BICUBIC = 2, 3  # Pillow's numbers, which processors' configs give
_LARGEST = 4096


@dataclass(frozen=True)
class Sight:
    """Pictures (b, 3, h, w) in [0, 1] of any size → (b, 3, side, side), normalised.

    way:   "shortest" brings the shorter side to `to` and keeps the middle; "squash" brings both
           sides to `to`; "longest" brings the longer side to `side` and fills up what is missing
    evens: where there is no exact middle, which pixel it begins at: the even one of the two, as
           torchvision and so open_clip have it, else the first, as transformers has it
    """

    side: int  # pixels
    to: int
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    way: Literal["shortest", "squash", "longest"] = "shortest"
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    fill: float = 0.0  # 0 to 1
    evens: bool = False

    def __call__(self, pictures: Tensor) -> Tensor:
        height, width = pictures.shape[2:]
        pictures = self._resized(pictures, self._size(height, width))
        return self.normalised(self._square(pictures))

    def normalised(self, pictures: Tensor) -> Tensor:
        """(b, 3, h, w) in [0, 1] → the same with the training's mean and deviation."""
        mean, std = (pictures.new_tensor(each)[:, None, None] for each in (self.mean, self.std))
        return (pictures - mean) / std

    def _size(self, height: int, width: int) -> tuple[int, int]:
        if self.way == "squash":
            return self.to, self.to
        if self.way == "longest":
            scale = max(height, width) / self.side
            return max(1, round(height / scale)), max(1, round(width / scale))
        short = min(height, width)  # the longer side is rounded down by all of them
        return self.to * height // short, self.to * width // short

    def _resized(self, pictures: Tensor, size: tuple[int, int]) -> Tensor:
        if self.interpolation == "bicubic":
            return resize(pictures, size)
        return functional.interpolate(pictures, size=size, mode="bilinear", antialias=True)

    def _square(self, pictures: Tensor) -> Tensor:
        lacking = [max(0, self.side - have) for have in pictures.shape[2:]]
        if any(lacking):
            (down, right) = lacking
            edges = (right // 2, right - right // 2, down // 2, down - down // 2)
            pictures = functional.pad(pictures, edges, value=self.fill)
        top, left = (self._begin(have - self.side) for have in pictures.shape[2:])
        return pictures[:, :, top : top + self.side, left : left + self.side]

    def _begin(self, over: int) -> int:
        return round(over / 2) if self.evens else over // 2


def of_transformers(said: dict[str, Any], side: int, usual: Sight, folder: Path) -> Sight:
    """From a preprocessor_config.json; `usual` is what its class does where it says nothing.

    Raises BadInput for a value that is not understood.
    """
    read = _reader(said, folder / "preprocessor_config.json")
    resample = read("resample", _number(usual), lambda value: value in (_BILINEAR, _BICUBIC))
    way, to = _target(said, usual, folder)
    if said.get("do_normalize") is False:
        said = said | {"image_mean": [0.0] * 3, "image_std": [1.0] * 3}
        read = _reader(said, folder / "preprocessor_config.json")
    return Sight(
        side=side,
        to=max(side, to),
        mean=tuple(read("image_mean", usual.mean, _three)),
        std=tuple(read("image_std", usual.std, _three_above)),
        way=way,
        interpolation="bilinear" if resample == _BILINEAR else "bicubic",
    )


def of_open_clip(said: dict[str, Any], side: int, file: Path) -> Sight:
    """From the preprocess_cfg of an open_clip_config.json. Raises BadInput likewise."""
    read = _reader(said, file)
    ways, kinds = ("shortest", "squash", "longest"), ("bicubic", "bilinear", "random")
    fill = read("fill_color", 0, lambda value: isinstance(value, int) and 0 <= value <= 255)
    read("size", side, lambda value: value in (side, [side], [side, side]))
    read("mode", "RGB", lambda value: value == "RGB")
    kind = read("interpolation", "bicubic", lambda value: value in kinds)
    return Sight(
        side=side,
        to=side,
        mean=_spread(read("mean", MEAN, lambda value: _three(_spread(value)))),
        std=_spread(read("std", STD, lambda value: _three_above(_spread(value)))),
        way=read("resize_mode", "shortest", lambda value: value in ways),
        interpolation="bilinear" if kind == "bilinear" else "bicubic",  # "random" is training's
        fill=fill / 255,
        evens=True,
    )


def _reader(said: dict[str, Any], file: Path) -> Callable[..., Any]:
    """read(key, usual, fits) → the value, or BadInput where it does not fit."""

    def read(key: str, usual: Any, fits: Callable[[Any], bool]) -> Any:
        value = usual if said.get(key) is None else said[key]
        if not fits(value):
            raise BadInput(f"{str(file)!r} says {key} = {value!r:.80}, which limner does not know")
        return value

    return read


def _target(
    said: dict[str, Any], usual: Sight, folder: Path
) -> tuple[Literal["shortest", "squash", "longest"], int]:
    """The way and the number of pixels, which configs say in four ways."""
    size = said.get("size")
    if size is None:
        return usual.way, usual.to
    shown = size
    if isinstance(size, dict) and "shortest_edge" in size:
        way: Literal["shortest", "squash"] = "shortest"
        size = size["shortest_edge"]
    elif isinstance(size, dict):
        way = "squash"
        size = size.get("height") if size.get("height") == size.get("width") else None
    else:
        way = "shortest"
    if not isinstance(size, int) or not 0 < size <= _LARGEST:
        raise BadInput(f"{str(folder)!r} says size = {shown!r:.80}: expected a square in pixels")
    return way, size


def _number(sight: Sight) -> int:
    return _BILINEAR if sight.interpolation == "bilinear" else _BICUBIC


def _spread(value: Any) -> Any:
    """One number stands for all three colours."""
    return (value,) * 3 if isinstance(value, (int, float)) else tuple(value or ())


def _three(value: Any) -> bool:
    fits = isinstance(value, (list, tuple)) and len(value) == 3
    return fits and all(isinstance(each, (int, float)) and abs(each) <= 1e3 for each in value)


def _three_above(value: Any) -> bool:
    return _three(value) and all(each > 1e-3 for each in value)
