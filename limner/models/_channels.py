"""What each channel of StyleSpace does to a StyleGAN2's pictures, in CLIP's eyes (Patashnik et al.
2021, "StyleCLIP", section 6)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from limner.models.clip import Clip
from limner.models.stylegan import StyleGAN
from limner.nets import stylegan, stylegan3
from limner.noise import Noise

__all__ = ["changes", "channels", "deviations", "samples"]

_MOVED = 5.0  # deviations of the channel, either way: the paper's
_TRUNCATION = 0.7  # of the pictures that are moved
_MEASURED = 10_000  # w by which a channel's deviation is known to 1%; the paper takes 100,000
_AT_ONCE = 2_000  # of them
_NEAR = 1e-3  # embeddings apart by less count as not apart, as for the judge `direction`


def channels(shape: stylegan.Shape | stylegan3.Shape) -> Tensor:
    """Which numbers of a style (b, Σ style_widths) scale a convolution's maps, (n,) in order; the
    others make colours of them, and the paper leaves those out."""
    each = [torch.full((n,), scales) for n, scales in zip(shape.style_widths, shape.scales)]
    return torch.cat(each).nonzero()[:, 0]


@torch.no_grad()
def deviations(model: StyleGAN, count: int = _MEASURED) -> Tensor:
    """Of each number of a style, over so many z that are the same every time: (Σ style_widths,)."""
    styles = [
        model.styles(model.repeated(model.mapping(_z(model, range(i, min(i + _AT_ONCE, count))))))
        for i in range(0, count, _AT_ONCE)
    ]
    return torch.cat(styles).std(0)


@torch.no_grad()
def samples(model: StyleGAN, count: int) -> Tensor:
    """Styles of so many of the generator's pictures, (count, Σ style_widths)."""
    w = model.truncated(model.mapping(_z(model, range(count))), _TRUNCATION)
    return model.styles(model.repeated(w))


@torch.no_grad()
def changes(
    model: StyleGAN,
    clips: Sequence[Clip],
    styles: Tensor,
    deviation: Tensor,
    some: Sequence[int],
) -> list[Tensor]:
    """For each CLIP (len(some), d): where the embedding goes when one channel goes from −5 to +5
    deviations, the mean of the ways' directions over the pictures; shorter where they disagree.

    styles:     (n, Σ style_widths), of the pictures
    deviation:  (Σ style_widths,)
    some:       channels, places in a style
    """
    rows: list[list[Tensor]] = [[] for _ in clips]
    still = torch.zeros(1, model.noise, device=model.device, dtype=model.dtype)
    for channel in some:
        moved = styles.repeat(2, 1)
        way = _MOVED * deviation[channel]
        moved[:, channel] += torch.cat([-way.expand(len(styles)), way.expand(len(styles))])
        pictures = model.synthesis_from_styles(moved, still).clamp(0, 1).float()
        for clip, found in zip(clips, rows):
            before, after = clip.embed_pictures(pictures).chunk(2)
            apart = after - before
            length = (apart.square().sum(1, keepdim=True) + _NEAR**2).sqrt()
            found.append((apart / length).mean(0).cpu())
    return [torch.stack(found) for found in rows]


def _z(model: StyleGAN, numbers: range) -> Tensor:
    return Noise(0, numbers).normal((model.width,), purpose="z").to(model.w_mean)
