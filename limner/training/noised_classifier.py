"""The recipe of ``limner train noised-classifier``: which thing is under the noise.

Dhariwal & Nichol 2021, §4: a classifier trained on noisy x at every level, whose gradient guides a
diffusion. A picture's class is the thing that its caption names first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from limner.data import CaptionedPictures
from limner.errors import BadInput
from limner.models.noised_classifier import RECIPE
from limner.nets.noised_tower import NoisedTower
from limner.training._classes import class_names, named_first
from limner.training._data import Captioned, drawing
from limner.training._faces import note
from limner.training._latents import Latents
from limner.training._noised import TOLD_AT, begun, noised, rounded, times, write
from limner.training._parts import open_autoencoder
from limner.training.diffusion import kept_latents
from limner.training.loop import Plan, Progress, flush_denormals, open_run, train
from limner.training.noised_clip import check_sizes

__all__ = ["Labelled", "NoisedClassifier", "noised_classifier"]


class Labelled:
    """The latents whose caption names a class; in the place of a caption, its number.

    ``names``: the classes that there are, in order. Raises BadInput where there are fewer than two.
    """

    def __init__(self, latents: Latents, names: Sequence[str]) -> None:
        labels = np.array([_number(caption, names) for caption in latents.captions])
        present, renumbered = np.unique(labels[labels >= 0], return_inverse=True)
        if len(present) < 2:
            known = ", ".join(names[:5])
            raise BadInput(f"hardly a caption names one of {known} …: say with --classes what else")
        self.names = [names[number] for number in present]
        self.size, self._latents = latents.size, latents
        self._kept, self._labels = np.flatnonzero(labels >= 0), renumbered

    def __len__(self) -> int:
        return len(self._kept)

    def batch(self, indices: Sequence[int]) -> tuple[np.ndarray, list[Any]]:
        chosen = np.asarray(indices)
        values, _ = self._latents.batch(self._kept[chosen].tolist())
        return values, self._labels[chosen].tolist()


def _number(caption: str, names: Sequence[str]) -> int:
    found = named_first(caption, names)
    return -1 if found is None else found


class NoisedClassifier:
    """Recipe.

    Args:
        data: ``Labelled``. names: its classes, in order.
        tower: what is trained. shape: what its card says of it.
    """

    def __init__(
        self,
        data: Captioned,
        names: Sequence[str],
        tower: NoisedTower,
        shape: Mapping[str, Any],
        *,
        seed: int = 0,
    ) -> None:
        self.data, self.names, self.shape, self.seed = data, list(names), shape, seed
        self.tower = tower
        self.players: Mapping[str, nn.Module] = {"tower": tower}

    def batch(self, step: int, size: int, rank: int, ranks: int) -> dict[str, Tensor]:
        """Latents, noise, flow times and classes of one step."""
        latents, labels = self.data.step(step, size, rank, ranks)
        rng = drawing(self.seed, step, rank, RECIPE)
        return {
            "latents": torch.from_numpy(latents),
            "noise": torch.from_numpy(rng.standard_normal(latents.shape, np.float32)),
            "times": torch.from_numpy(times(size, rng)),
            "labels": torch.tensor(labels),
        }

    def learn(
        self,
        player: str,
        batch: dict[str, Tensor],
        step: int,
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor]:
        logits = self._logits(batch["latents"], batch["noise"], batch["times"])
        labels = batch["labels"].to(logits.device)
        loss = cross_entropy(logits, labels)
        backward(loss)
        right = (logits.argmax(1) == labels).float().mean()
        return {"loss": loss.detach(), "right": right}

    def _logits(self, latents: Tensor, noise: Tensor, flow_times: Tensor) -> Tensor:
        """(b, k), float32."""
        device = next(self.tower.parameters()).device
        x = noised(latents, noise, flow_times).to(device)
        logits: Tensor = self.tower(x, flow_times.to(x)).float()
        return logits

    def right(self, count: int = 512) -> dict[str, float]:
        """The share of unseen latents whose class is told, by flow time."""
        latents, labels = self.data.unseen(min(count, self.data.kept))
        values, told = torch.from_numpy(latents), torch.tensor(labels)
        noise = torch.from_numpy(
            drawing(self.seed, 0, 0, "unseen").standard_normal(latents.shape, np.float32)
        )
        said = (self._logits(values, noise, torch.full((len(values),), time)) for time in TOLD_AT)
        return rounded([float((each.argmax(1).cpu() == told).float().mean()) for each in said])

    def preview(self, step: int, folder: Path) -> None:
        """A line of ``right.jsonl``; a step that is learned again overwrites its line."""
        note(folder / "right.jsonl", step, {"of": min(512, self.data.kept), **self.right()})

    def export(self, folder: Path) -> None:
        """A folder that ``limner.models.noised_classifier.open_noised_classifier`` opens."""
        card = {"recipe": RECIPE, "tower": dict(self.shape), "classes": self.names}
        write(folder, self.tower, card | {"right": self.right()})


def noised_classifier(
    data: CaptionedPictures,
    run: Path,
    plan: Plan,
    *,
    classes: str | None = None,
    autoencoder: str = "embedded",
    width: int = 48,
    latents: int = 30_000,
    resume: bool = False,
    watch: Callable[[int, int], None] | None = None,
) -> Iterator[Progress]:
    """Train a classifier of noisy latents; ``run/model`` guides `limner guide`.

    Args:
        classes: their names, with commas: a picture's is the one that its caption names first, and
            pictures without one are left out. Not said: the nouns of the world scenes.
        autoencoder: AutoencoderKL folder, or a text-to-image model's, or embedded: that of the
            model that is to be guided.
        width: of the tower's first blocks, a multiple of 8.
        latents: how many pictures are encoded beforehand and learned from in turn.
        resume: go on from the last checkpoint in the run's folder.
    """
    flush_denormals()
    check_sizes(width, latents)
    names, vae = class_names(classes), open_autoencoder(autoencoder).eval().requires_grad_(False)
    open_run(run, resume)
    source: Any = Labelled(kept_latents(data, vae, run / "latents", latents, watch), names)
    torch.manual_seed(plan.seed)
    tower, shape = begun(vae.config.latent_channels, len(source.names), width)
    recipe = NoisedClassifier(
        Captioned(source, plan.seed), source.names, tower, shape, seed=plan.seed
    )
    yield from train(recipe, plan, run, resume=resume)
