"""The recipe of ``limner train identity``: who is it? Faces into a space where a person is a place.

InfoNCE (van den Oord et al. 2018, eq. 4; symmetric) between two pictures of each of many people,
and of both with the person's own place. Between the two pictures all is another's that does not
stay with a person: see ``limner/worlds/_faces_people.py``. As in ArcFace (Deng et al. 2019, eq. 2)
places are learned and lie on the sphere; but since the world knows what makes a person, all are one
linear map of that, and nobody's is learned alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import normalize

from limner.data import CaptionedPictures
from limner.data._decode import fit
from limner.data.world import LENGTH
from limner.errors import BadInput
from limner.training._data import drawing, to_tensor
from limner.training._faces import faces_of, kept_back, note
from limner.training._infonce import infonce
from limner.training._pool import pooled
from limner.training._resnet import begun, normalised, save
from limner.training._seen import seen
from limner.training.loop import Plan, Progress, flush_denormals, open_run, train
from limner.worlds._faces_people import lasting, person
from limner.worlds.faces import World

__all__ = ["Identity", "People", "identity"]

TIMES = 3  # pictures of each person
_SCALE = 10.0  # 1/τ with τ = .1 (Chen et al. 2020, "SimCLR", table 5)


class People:
    """A source: picture i shows person i // TIMES, for the time i % TIMES."""

    def __init__(self, world: World, size: int) -> None:
        self.world, self.size = world, size

    def __len__(self) -> int:
        return LENGTH

    def batch(self, indices: Sequence[int]) -> tuple[np.ndarray, list[str]]:
        faces = [person(self.world, *divmod(index, TIMES)) for index in indices]
        drawn = [fit(Image.fromarray(self.world.portrait(face)[0]), self.size) for face in faces]
        return np.stack(drawn), [""] * len(drawn)


class Identity:
    """Recipe.

    Args:
        people: pictures, TIMES of each person in a row.
        lasting: what stays of each, (n, k).
        network: pictures as ``normalised`` gives them → ``.logits`` (b, d), the embedding.
        seed: of who is shown when.
    """

    def __init__(
        self, people: CaptionedPictures, lasting: Tensor, network: Any, *, seed: int = 0
    ) -> None:
        self.people, self.network, self.seed = people, network, seed
        self.kept = kept_back(len(lasting))
        self.trained = len(lasting) - self.kept  # those after them are never trained on
        spread = lasting.std(0, correction=0).clamp(min=1e-6)
        self.lasting = (lasting - lasting.mean(0)) / spread
        self.places = nn.Linear(lasting.shape[1], network.config.num_labels)
        both = nn.ModuleDict({"network": network, "places": self.places})
        self.players: Mapping[str, nn.Module] = {"network": both}

    def batch(self, step: int, size: int, rank: int, ranks: int) -> tuple[Tensor, Tensor]:
        """(b, 3, s, s) in [0, 1]: b/2 people, all of them others, then the same once more; and
        what stays of them (b/2, k)."""
        many = size // 2
        rng = drawing(self.seed, step, 0, "people")
        people = rng.choice(self.trained, many * ranks, replace=False)
        times = rng.random((many * ranks, TIMES)).argsort(1)[:, :2]
        own = slice(rank * many, (rank + 1) * many)
        index = (people[own, None] * TIMES + times[own]).T.flatten()
        pictures = to_tensor(self.people.batch(index.tolist())[0]).float() / 255
        shown = seen(pictures, drawing(self.seed, step, rank, "seen"))
        return shown, self.lasting[people[own]]

    def learn(
        self,
        player: str,
        batch: tuple[Tensor, Tensor],
        step: int,
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor]:
        first, second = self._embedded(batch[0]).chunk(2)
        places = normalize(self.places(batch[1].to(first.device)).float(), dim=1)
        group = dist.group.WORLD if dist.is_available() and dist.is_initialized() else None
        scale = torch.tensor(_SCALE, device=first.device)
        pairs, *placed = (
            infonce(one, other, scale, group=group)
            for one, other in ((first, second), (first, places), (second, places))
        )
        place = (placed[0] + placed[1]) / 2
        backward(pairs + place)
        same = (first * second).sum(1).mean()
        return {"pairs": pairs.detach(), "place": place.detach(), "same": same.detach()}

    def _embedded(self, pictures: Tensor) -> Tensor:
        """(b, 3, s, s) in [0, 1] → (b, d) of length 1, float32."""
        seen = normalised(pictures).to(next(self.network.parameters()).device)
        logits = self.network(seen.contiguous(memory_format=torch.channels_last)).logits
        return normalize(logits.float(), dim=1)

    def recognised(self, count: int = 256) -> float:
        """How often, of ``count`` unseen people's second pictures, the one most like a person's
        first is his own."""
        people = range(self.trained, self.trained + min(count, self.kept))
        index = [number * TIMES + time for time in (0, 1) for number in people]
        parts = [
            self._embedded(to_tensor(self.people.batch(index[i : i + 64])[0]).float() / 255)
            for i in range(0, len(index), 64)
        ]
        first, second = torch.cat(parts).chunk(2)
        own = torch.arange(len(people), device=first.device)
        return float((first @ second.T).argmax(1).eq(own).float().mean())

    def preview(self, step: int, folder: Path) -> None:
        """A line of ``recognised.jsonl``; a step that is learned again overwrites its line."""
        told = {"of": min(256, self.kept), "recognised": round(self.recognised(), 4)}
        note(folder / "recognised.jsonl", step, told)

    def export(self, folder: Path) -> None:
        """A ``ResNetForImageClassification``, whose logits are the embedding."""
        save(self.network, folder, self.people.size, {"recipe": "identity"})


def identity(
    data: CaptionedPictures,
    run: Path,
    plan: Plan,
    *,
    width: int = 64,
    people: int = 4000,
    resume: bool = False,
    watch: Callable[[int, int], None] | None = None,
) -> Iterator[Progress]:
    """Train a network that tells people apart, whatever they wear and however they look at you.

    It learns on the world faces, where the same person can be seen again with all changed that
    does not stay. ``run/model`` is a transformers ``ResNetForImageClassification`` folder.

    Args:
        width: numbers of an embedding.
        people: how many are drawn beforehand, three times each, and kept in the run's folder.
        resume: go on from the last checkpoint in the run's folder.
        watch: told how many pictures are drawn, of how many.
    """
    flush_denormals()
    world = faces_of(data, "identity")
    if not 2 <= width <= 4096:
        raise BadInput(f"width {width}: give 2 to 4096")
    if plan.batch_size % 2 or plan.batch_size < 4:
        raise BadInput(f"batch_size {plan.batch_size}: give an even number, two of each person")
    if people - kept_back(people) < plan.batch_size // 2:
        raise BadInput(f"people {people}: too few for a batch of {plan.batch_size // 2} others")
    torch.manual_seed(plan.seed)
    network = begun([f"direction {number}" for number in range(width)], data.size)
    open_run(run, resume)
    pool = pooled(People(world, data.size), run / "pictures", people * TIMES, watch)
    stays = torch.tensor([lasting(world.face(number)) for number in range(people)])
    yield from train(Identity(pool, stays, network, seed=plan.seed), plan, run, resume=resume)
