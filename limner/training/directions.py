"""The recipe of ``limner train directions``: what each channel of a StyleGAN2's styles does in
CLIP's eyes (Patashnik et al. 2021, "StyleCLIP", section 6). Nothing is learned: a step measures
some channels, and the loop keeps what is measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from limner.errors import BadInput
from limner.models._channels import changes, channels, deviations, samples
from limner.models.clip import Clip, open_clip
from limner.models.directions import write
from limner.models.embedded import facing
from limner.models.stylegan import StyleGAN, open_stylegan
from limner.tasks._checks import check_whole, clip_names
from limner.training._processes import processes
from limner.training.loop import Plan, Progress, flush_denormals, train

__all__ = ["Directions", "directions"]

_AT_ONCE = 8  # channels a step
_BETWEEN_SAVES = 10  # steps


class Directions:
    """Recipe.

    Args:
        generator: the StyleGAN2.
        clips: who looks.
        pictures: how many of the generator's each channel is moved in.
    """

    def __init__(self, generator: StyleGAN, clips: Sequence[Clip], pictures: int) -> None:
        self.generator, self.clips = generator, clips
        self.styles, self.deviation = samples(generator, pictures), deviations(generator)
        self.some: list[int] = channels(generator.network.shape).tolist()
        widths = [clip.embed_texts(["a"]).shape[1] for clip in clips]
        self.table = _Table(len(self.some), widths)
        self.players: Mapping[str, nn.Module] = {"table": self.table}

    def batch(self, step: int, size: int, rank: int, ranks: int) -> range:
        """Which of the channels."""
        return range(step * size, min((step + 1) * size, len(self.some)))

    def learn(
        self, player: str, batch: range, step: int, backward: Callable[[Tensor], None]
    ) -> dict[str, Tensor]:
        """Their rows of the table; `agreement` is how far the pictures agree on where they lead."""
        some = [self.some[i] for i in batch]
        found = changes(self.generator, self.clips, self.styles, self.deviation, some)
        for rows, part in zip(self.table.changes(), found, strict=True):
            rows[batch.start : batch.stop] = part.to(rows)
        return {"agreement": torch.cat([part.norm(dim=1) for part in found]).mean()}

    def preview(self, step: int, folder: Path) -> None:
        """There is nothing to see."""

    def export(self, folder: Path) -> None:
        """The table, the deviations, and the names of what was measured and by what."""
        parts = [rows.cpu() for rows in self.table.changes()]
        write(folder, self.generator, self.deviation.cpu(), parts, self.clips)


class _Table(nn.Module):
    """What is measured so far: (channels, d) for each CLIP, zeros where nothing is yet."""

    def __init__(self, count: int, widths: Sequence[int]) -> None:
        super().__init__()
        for i, width in enumerate(widths):
            self.register_buffer(f"changes_{i}", torch.zeros(count, width))

    def changes(self) -> list[Tensor]:
        return list(self.buffers())


def directions(
    run: Path,
    plan: Plan,
    *,
    generator: str = "embedded",
    clip: str | None = None,
    pictures: int = 32,
    resume: bool = False,
) -> Iterator[Progress]:
    """Measure StyleCLIP's global directions; ``run/model`` is for ``limner edit --method direction
    --model``.

    The plan's steps and batch are the measurement's own: eight channels a step.

    Args:
        generator: the StyleGAN2, embedded or a folder.
        clip: the CLIPs that look, with commas; limner's own for faces where it is here.
        pictures: of the generator's, in which each channel is moved.
        resume: go on from the last checkpoint in the run's folder.
    """
    flush_denormals()
    check_whole({"pictures": (pictures, 1, 10_000)})
    if processes().num_processes > 1:
        raise BadInput("directions are measured by one process: start it without torchrun")
    model = open_stylegan(generator)
    clips = [open_clip(name) for name in clip_names(facing() if clip is None else clip)]
    recipe = Directions(model, clips, pictures)
    own = replace(
        plan,
        steps=math.ceil(len(recipe.some) / _AT_ONCE),
        batch_size=_AT_ONCE,
        save_every=min(plan.save_every, _BETWEEN_SAVES),
        precision="no",
    )
    yield from train(recipe, own, run, resume=resume)
