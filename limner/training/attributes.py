"""The recipe of ``limner train attributes``: what is true of a face, and in which style it is.

A classifier that measures edits, and that no search follows: one logit for each attribute that the
world knows exactly (cross-entropy of each by itself), and where the world draws styles, six more
for the domain: none, or one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from limner.data import CaptionedPictures
from limner.data._decode import fit
from limner.data.world import LENGTH
from limner.errors import BadInput
from limner.models.faces import DOMAIN
from limner.noise import Noise
from limner.training._data import drawing, to_tensor
from limner.training._faces import faces_of, kept_back, note
from limner.training._pool import pooled
from limner.training._resnet import begun, normalised, save
from limner.training._seen import seen
from limner.training.loop import Plan, Progress, flush_denormals, open_run, train
from limner.worlds._faces_truths import TRUTHS, truths
from limner.worlds.faces import STYLES, World

__all__ = ["Attributes", "Portraits", "attributes"]

DOMAINS = (None, *STYLES)


class Portraits:
    """A source whose every picture's answers are known, before it is painted too."""

    def __init__(self, world: World, size: int) -> None:
        self.world, self.size = world, size

    def __len__(self) -> int:
        return LENGTH

    def domain(self, index: int) -> int:
        """Which of DOMAINS: the world's share of styles, each as often as the others."""
        drawn = Noise(self.world.seed, [index]).uniform((2,), purpose="domains")[0]
        styled, which = drawn.tolist()
        return 1 + int(which * len(STYLES)) if styled < self.world.styled else 0

    def batch(self, indices: Sequence[int]) -> tuple[np.ndarray, list[str]]:
        painted = [
            self.world.portrait(self.world.face(i), DOMAINS[self.domain(i)])[0] for i in indices
        ]
        drawn = [fit(Image.fromarray(picture), self.size) for picture in painted]
        return np.stack(drawn), [""] * len(drawn)

    def answers(self, count: int) -> tuple[Tensor, Tensor]:
        """Of the first pictures: (n, k) yes 1, no 0, not to be told -1; and the domains (n,)."""
        domains = [self.domain(index) for index in range(count)]
        told = [
            [-1 if answer is None else int(answer) for answer in each.values()]
            for each in (truths(self.world.face(i), DOMAINS[d]) for i, d in enumerate(domains))
        ]
        return torch.tensor(told, dtype=torch.int8), torch.tensor(domains)


class Attributes:
    """Recipe.

    Args:
        pictures: what Portraits drew.
        answers: theirs (n, k), and their domains (n,).
        network: pictures as ``normalised`` gives them → ``.logits`` (b, k), or (b, k + 6).
        seed: of which pictures are shown when.
    """

    def __init__(
        self,
        pictures: CaptionedPictures,
        answers: tuple[Tensor, Tensor],
        network: Any,
        *,
        seed: int = 0,
    ) -> None:
        self.pictures, self.answers, self.network, self.seed = pictures, answers, network, seed
        self.players: Mapping[str, nn.Module] = {"network": network}
        self.kept = kept_back(len(pictures))
        self.trained = len(pictures) - self.kept  # those after them are never trained on

    def batch(self, step: int, size: int, rank: int, ranks: int) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures (b, 3, s, s) in [0, 1], answers (b, k), domains (b,)."""
        rng = drawing(self.seed, step, 0, "faces")
        rows = rng.choice(self.trained, size * ranks, replace=False)[rank * size :][:size]
        shown = seen(self._shown(rows.tolist()), drawing(self.seed, step, rank, "seen"))
        answers, domains = self.answers
        return shown, answers[rows], domains[rows]

    def _shown(self, rows: Sequence[int]) -> Tensor:
        return to_tensor(self.pictures.batch(rows)[0]).float() / 255

    def learn(
        self,
        player: str,
        batch: tuple[Tensor, Tensor, Tensor],
        step: int,
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor]:
        logits = self._logits(batch[0])
        answers, domains = (told.to(logits.device) for told in batch[1:])
        count = answers.shape[1]
        asked, told = logits[:, :count], answers >= 0
        loss = binary_cross_entropy_with_logits(asked[told], answers[told].float())
        right = ((asked > 0) == answers.bool())[told].float().mean()
        logged = {"attributes": loss.detach(), "right": right}
        if logits.shape[1] > count:
            domain = cross_entropy(logits[:, count:], domains)
            logged["domain"] = domain.detach()
            loss = loss + domain
        backward(loss)
        return logged

    def _logits(self, pictures: Tensor) -> Tensor:
        """(b, 3, s, s) in [0, 1] → (b, k), float32."""
        inside = normalised(pictures).to(next(self.network.parameters()).device)
        logits: Tensor = self.network(inside.contiguous(memory_format=torch.channels_last)).logits
        return logits.float()

    def right(self, count: int = 256) -> dict[str, float | None]:
        """The share of right answers about unseen pictures, by attribute; None: it had none."""
        rows = range(self.trained, self.trained + min(count, self.kept))
        parts = [self._logits(self._shown(rows[i : i + 64])) for i in range(0, len(rows), 64)]
        logits = torch.cat(parts).cpu()
        answers, domains = (told[self.trained :][: len(rows)] for told in self.answers)
        shares: dict[str, float | None] = {}
        for column, name in enumerate(TRUTHS):
            told = answers[:, column] >= 0
            said = (logits[:, column] > 0) == answers[:, column].bool()
            shares[name] = round(float(said[told].float().mean()), 4) if told.any() else None
        if logits.shape[1] > len(TRUTHS):
            said = logits[:, len(TRUTHS) :].argmax(1) == domains
            shares["domain"] = round(float(said.float().mean()), 4)
        return shares

    def preview(self, step: int, folder: Path) -> None:
        """A line of ``right.jsonl``; a step that is learned again overwrites its line."""
        note(folder / "right.jsonl", step, {"of": min(256, self.kept), **self.right()})

    def export(self, folder: Path) -> None:
        """A ``ResNetForImageClassification`` whose config names the logits."""
        save(self.network, folder, self.pictures.size, {"recipe": "attributes"})


def attributes(
    data: CaptionedPictures,
    run: Path,
    plan: Plan,
    *,
    drawn: int = 12_000,
    resume: bool = False,
    watch: Callable[[int, int], None] | None = None,
) -> Iterator[Progress]:
    """Train a classifier of what is true of a face: smile, glasses, beard, hat, old and more.

    It learns on the world faces, with ``world:faces?aligned=1&styled=0.4`` of the styles too.
    ``run/model`` is a transformers ``ResNetForImageClassification`` folder.

    Args:
        drawn: pictures that are drawn beforehand and kept in the run's folder.
        resume: go on from the last checkpoint in the run's folder.
        watch: told how many pictures are drawn, of how many.
    """
    flush_denormals()
    world = faces_of(data, "attributes")
    if drawn - kept_back(drawn) < plan.batch_size:
        raise BadInput(f"drawn {drawn}: too few for batches of {plan.batch_size}")
    domains = [DOMAIN + (style or "none") for style in DOMAINS] if world.styled else []
    torch.manual_seed(plan.seed)
    network = begun([*TRUTHS, *domains], data.size)
    open_run(run, resume)
    source = Portraits(world, data.size)
    pool = pooled(source, run / "pictures", drawn, watch)
    recipe = Attributes(pool, source.answers(drawn), network, seed=plan.seed)
    yield from train(recipe, plan, run, resume=resume)
