"""What the measures look at: pictures on disk, the world's unseen scenes, what a model paints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.measures import Watch, batches
from limner.measures._painted import Kept, painted, painter
from limner.measures._share import checked
from limner.picture import FORMATS, Picture, load
from limner.worlds.scenes import World

__all__ = ["files", "held_out", "model_pictures", "one_by_one", "prompt_of"]

_AT_ONCE = 32


def files(paths: Sequence[Path]) -> list[Path]:
    """The pictures among these files, and in these folders and theirs. Raises BadInput for none."""
    found: list[Path] = []
    for path in paths:
        inside = (each for each in path.rglob("*") if each.suffix.lower() in FORMATS)
        found += sorted(inside) if path.is_dir() else [path]
    if not found:
        raise BadInput(f"no PNG, JPEG or WebP pictures in {', '.join(map(repr, map(str, paths)))}")
    return found


def one_by_one(paths: Sequence[Path]) -> Iterator[Tensor]:
    """Pictures as batches of one (1, 3, h, w): their sizes may differ."""
    return (load(path).pixels[None] for path in paths)


def prompt_of(picture: Picture) -> str:
    """The prompt in a picture's recipe. Raises BadInput where there is none."""
    said = (picture.recipe or {}).get("arguments")
    prompt = said.get("prompt") if isinstance(said, dict) else None
    if not isinstance(prompt, str):
        raise BadInput(f"{str(picture.path)!r} carries no recipe: say what it shows (--prompt)")
    return prompt


def held_out(count: int, seed: int) -> tuple[Iterator[Tensor], list[str]]:
    """Unseen scenes in batches (b, 3, h, w), drawn when asked for, and as many others' captions."""
    checked("count", count, 2, 1_000_000)
    world = World(seed, split="held_out")
    drawn = (
        torch.from_numpy(world.draw(some).pictures).permute(0, 3, 1, 2) / 255
        for some in batches(0, count, _AT_ONCE)
    )
    others = (world.draw(some).captions for some in batches(count, 2 * count, _AT_ONCE))
    return drawn, [texts[0] for captions in others for texts in captions]


def model_pictures(
    said: Sequence[str], model: str | Path, seed: int, folder: Path | None, watch: Watch | None
) -> list[Picture]:
    """What a model paints from these prompts, kept in a folder if one is given."""
    from limner.models._open import open_model

    opened = open_model(model)
    about: dict[str, str | int] = {"model": f"{opened.name} {opened.fingerprint[:16]}"}
    kept = Kept(folder, about | {"seed": seed}) if folder else None
    return painted(said, painter(opened, seed=seed), kept, watch)
