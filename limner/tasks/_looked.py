"""A picture that nobody painted, looked at: the model is shown it under noise, with its words."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from limner.models._open import placed
from limner.models._text_to_image import TextToImage
from limner.noise import Noise
from limner.picture import Picture
from limner.tasks import Progress, Watch
from limner.tasks._explained import Explained, Notes, noted
from limner.tasks._paint import Plan, guided, levels
from limner.tasks._window import Window, window

__all__ = ["LOOKED", "Previews", "looked", "told", "whole"]

# The shares of the model's time at which a picture is looked at, from noisy to clean. A single one
# would do, but which is best differs from picture to picture.
LOOKED = tuple(k / 10 for k in range(9, 0, -1))


class Previews:
    """A watcher that keeps each step's preview of one picture, and hands each Progress on."""

    def __init__(self, watch: Watch | None) -> None:
        self.watch = watch
        self.pictures: list[Picture] = []

    def __call__(self, progress: Progress) -> None:
        self.pictures.append(progress.preview()[0])
        if self.watch is not None:
            self.watch(progress)


@torch.no_grad()
def looked(
    opened: TextToImage,
    plan: Plan,
    picture: Picture,
    sample: int,
    precision: str,
    watch: Watch | None,
) -> Explained:
    """The picture as α·x0 + σ·n at each of LOOKED, and what the model, under the plan's words and
    guidance, makes of it. sample: of the noise, which is one for all levels."""
    model = placed(opened, precision)
    seen, previews = whole(picture, model), Previews(watch)
    x0 = model.encode(seen.view(picture.pixels[None]))
    denoiser, noise = guided(model, plan), Noise(plan.seed, [sample])
    n = noise.normal(x0.shape[1:]).to(x0)
    with noted(model, plan) as notes:
        for done, share in enumerate(LOOKED, 1):
            level = levels(model, 1, share)[0]
            denoised = denoiser(level.alpha * x0 + level.sigma * n, level)
            previews(Progress(done, len(LOOKED), partial(_shown, model, seen, denoised)))
    return told(picture, plan.prompt, notes, previews.pictures, seen, painted=False)


def _shown(model: TextToImage, seen: Window, latents: Tensor) -> list[Picture]:
    return [Picture(pixels) for pixels in seen.back(model.decode(latents).cpu())]


def whole(picture: Picture, model: TextToImage) -> Window:
    """How the model sees all of a picture that is not of its size."""
    return window((picture.pixels.shape[1], picture.pixels.shape[2]), model.size, model.downscale)


def told(
    picture: Picture,
    prompt: str,
    notes: Notes,
    previews: list[Picture],
    seen: Window | None = None,
    *,
    painted: bool = True,
) -> Explained:
    """What was noted, put together. seen: of the picture, where its latents are not all of it."""
    maps = notes.maps()
    size = (picture.pixels.shape[1], picture.pixels.shape[2])
    if seen is not None:
        size = tuple(-(-side // seen.by) * seen.by for side in seen.scaled)  # type: ignore[assignment]
    large = functional.interpolate(maps[None], size, mode="bicubic").clamp(0, 1)
    over = (large if seen is None else seen.back(large))[0]
    words = [word for _, word, _ in notes.words]
    return Explained(picture, prompt, words, maps, over, previews, notes.calls, painted)
