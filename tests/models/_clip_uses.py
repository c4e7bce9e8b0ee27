"""What every kind of CLIP is used for, asked of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from limner import classify, describe, rank
from limner.judges._views import Camera
from limner.judges.clip import Clip as Judge
from limner.models.clip import Clip
from limner.noise import Noise
from limner.picture import Picture
from limner.prompt import parse
from limner.studio.gallery import Gallery
from limner.studio.store import Store


def used(clip: Clip, run: Callable[..., tuple[int, str, str]], home: Path) -> None:
    """As a judge with gradients, an encoder, a classifier, in a gallery, and from the command
    line; each against the products of its own embeddings."""
    made = [torch.rand(3, 40, 56, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    stripes = (-1) ** torch.arange(56) / 2
    made = [0.4 * each + 0.3 * (i - 1) * stripes + 0.3 for i, each in enumerate(made)]
    pictures = [Picture(each.clamp(0, 1)) for each in made]
    seen = torch.cat([clip.embed_pictures(each.pixels[None]) for each in pictures])
    cosines = seen @ clip.embed_texts(["a cat"])[0]
    order = cosines.argsort(descending=True).tolist()
    judged(clip)
    ranked = rank("a cat", pictures, clip=clip)
    assert [each.picture for each in ranked] == [pictures[i] for i in order]
    labelled = classify(pictures, labels="a cat,a dog", templates=["{}"], clip=clip)
    chances = clip.chances(seen, clip.embed_texts(["a cat", "a dog"]))
    for each, row in zip(labelled, chances.tolist()):
        assert {label: round(chance, 4) for label, chance in each.labels.items()} == {
            label: round(chance, 4) for label, chance in zip(("a cat", "a dog"), row)
        }
    said = describe(pictures, captions=["a cat", "a dog"], clip=clip)
    assert [each.caption for each in said] == [each.label for each in labelled]
    searched(clip, pictures, order, home)
    status, out, _ = run("gallery", "search", "a cat", "--data", home / "data", "--clip", clip.name)
    assert status == 0 and len(out.splitlines()) == 3
    files = [each.save(home / f"{i}.png") for i, each in enumerate(pictures)]
    status, out, _ = run("rank", "a cat", *files, "--clip", clip.name)
    assert status == 0
    assert [line.split("\t")[1] for line in out.splitlines()] == [str(files[i]) for i in order]


def judged(clip: Clip) -> None:
    """The judge's loss of a whole picture, and its slope along a random direction."""
    judge = Judge([clip], parse("a cat"), "cosine", views=1, camera=Camera(*[0.0] * 8))
    generator = torch.Generator().manual_seed(4)
    picture = torch.rand(1, 3, clip.side, clip.side, generator=generator).requires_grad_()
    (loss,) = judge.losses(picture, Noise(0, [0]), 0)
    wanted = 1 - clip.embed_pictures(picture.detach())[0] @ clip.embed_texts(["a cat"])[0]
    assert abs(float(loss) - float(wanted)) < 1e-4
    (slope,) = torch.autograd.grad(loss.sum(), picture)
    assert slope.isfinite().all() and float(slope.abs().max()) > 0


def searched(clip: Clip, pictures: list[Picture], order: list[int], home: Path) -> None:
    gallery = Gallery(Store(home / "data"), clip)
    ids = [gallery.bring(each.bytes(), f"{i}.png").id for i, each in enumerate(pictures)]
    gallery.embed_missing()
    found = gallery.search("a cat", None)
    assert [each.kept.id for each in found] == [ids[i] for i in order]
