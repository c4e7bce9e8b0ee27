"""The recipe of ``limner train mapper``: a network that changes any picture of a StyleGAN2 as one
text says (Patashnik et al. 2021, "StyleCLIP", section 5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from limner.data._open import open_data
from limner.errors import BadInput
from limner.judges._views import Camera
from limner.judges.clip import Clip
from limner.models.clip import open_clip
from limner.models.embedded import facing
from limner.models.mapper import write
from limner.models.stylegan import StyleGAN, open_stylegan
from limner.nets.mapper import Mapper as Network
from limner.nets.stylegan import mixed
from limner.noise import Noise
from limner.picture import Picture, grid
from limner.prompt import check, parse
from limner.tasks._checks import check_whole, clip_names
from limner.tasks._portrait import identities
from limner.training._inverted import inverted as _found
from limner.training.loop import Plan, Progress, flush_denormals, train

__all__ = ["Mapper", "mapper"]

_TRUNCATION = 0.7  # of the pictures it learns from: the paper's
_CAMERA = Camera(cut_power=0.3)  # views of 80 to 100%: a small CLIP is fooled by a single one
_FOUND = 0.5  # share of the inverted pictures, where there are some
_SHOWN = 8  # pictures of a preview


class Mapper:
    """Recipe.

    Args:
        generator: whose pictures are changed; it stays as it is.
        judge: of changed pictures.
        text: what the judge wants.
        latent_weight, identity_weight: beside the judge's 1.
        found: w+ (n, layers, d) of pictures that are not the generator's own, of which half of what
            it learns from is taken; or None.
    """

    def __init__(
        self,
        generator: StyleGAN,
        judge: Clip,
        text: str,
        *,
        latent_weight: float = 0.08,
        identity_weight: float = 0.1,
        found: Tensor | None = None,
        seed: int = 0,
    ) -> None:
        self.found = found
        self.generator, self.judge, self.text, self.seed = generator, judge, text, seed
        self.latent_weight, self.identity_weight = latent_weight, identity_weight
        self.identities = identities(generator)
        self.network = Network(generator.layers, generator.width)
        self.players: Mapping[str, nn.Module] = {"mapper": self.network}

    def batch(self, step: int, size: int, rank: int, ranks: int) -> Noise:
        """The noise of these pictures, which no other step has."""
        first = (step * ranks + rank) * size
        return Noise(self.seed, range(first, first + size))

    @torch.no_grad()
    def begin(self, noise: Noise) -> Tensor:
        """w+ (b, layers, d): of pictures that were inverted, where there are some, every other
        time; else truncated, of one w up to some layer and of another from there, since in
        pictures' own w+ the rows need not agree."""
        model = self.generator
        w, other = (
            model.truncated(model.mapping(noise.normal((model.width,), purpose=of)), _TRUNCATION)
            for of in ("z", "other z")
        )
        cut = 1 + noise.uniform((), purpose="cut").mul(model.layers).long()
        drawn = mixed(model.repeated(w), model.repeated(other), cut)
        if self.found is None:
            return drawn
        which = noise.uniform((2,), purpose="found")  # (b, 2): whether, and which of them
        found = self.found.to(drawn)[which[:, 1].mul(len(self.found)).long()]
        return torch.where(which[:, :1, None] < _FOUND, found, drawn)

    def learn(
        self, player: str, batch: Noise, step: int, backward: Callable[[Tensor], None]
    ) -> dict[str, Tensor]:
        """CLIP's distance to the text, the way that w+ goes in deviations of w, and whether it is
        still the same face, where there is a network that tells."""
        w_plus = self.begin(batch).to(next(self.network.parameters()).device)
        model = self.generator = self.generator.to(w_plus.device)
        change = self.network(w_plus).float()  # in deviations of w
        pictures = self._painted(w_plus + change * model.w_std)
        apart = torch.stack(list(self.judge.losses(pictures, batch, step))).sum(0).mean()
        way = change.square().mean()
        logged = {"clip": apart, "latent": way}
        loss = apart + self.latent_weight * way
        if self.identities is not None:
            with torch.no_grad():
                identity = self.identities(self._painted(w_plus))
            other = torch.stack(list(identity.losses(pictures, batch, step))).sum(0).mean()
            logged["identity"], loss = other, loss + self.identity_weight * other
        backward(loss)
        return logged

    def _painted(self, w_plus: Tensor) -> Tensor:
        """Pictures (b, 3, s, s) in [0, 1]."""
        still = torch.zeros(1, self.generator.noise, device=w_plus.device)
        return self.generator.synthesis(w_plus, still).float().clamp(0, 1)

    def preview(self, step: int, folder: Path) -> None:
        """A row of pictures, and below it the same ones changed."""
        w_plus = self.begin(Noise(self.seed, range(2**40, 2**40 + _SHOWN)))
        w_plus = w_plus.to(next(self.network.parameters()).device)
        changed = w_plus + self.network(w_plus) * self.generator.w_std
        pictures = torch.cat([w_plus, changed])
        shown = [Picture(each) for each in self._painted(pictures).cpu()]
        grid(shown, columns=_SHOWN).save(folder / f"step-{step:06d}.png")

    def export(self, folder: Path) -> None:
        """The network, its text and its generator's name."""
        write(folder, self.network, self.text, self.generator)


def mapper(
    text: str,
    run: Path,
    plan: Plan,
    *,
    generator: str = "embedded",
    clip: str | None = None,
    views: int = 4,
    latent_weight: float = 0.08,
    identity_weight: float = 0.1,
    pictures: str | None = None,
    inverted: int = 256,
    resume: bool = False,
    watch: Callable[[int, int], None] | None = None,
) -> Iterator[Progress]:
    """Train a mapper for a text; ``run/model`` is for ``limner edit --method mapper --model``.

    Its pictures are the generator's own, and where some are given, half of them those: edited are
    pictures that were inverted, whose w+ lie apart from what the generator draws by itself.

    Args:
        text: what pictures are to show, such as "a smiling face".
        generator: the StyleGAN2, embedded or a folder.
        clip: the CLIPs that are followed, with commas; limner's own for faces where it is here.
        views: random views of each picture that each CLIP judges in each step.
        latent_weight: of the mean square way that w+ goes, in deviations of w; less goes farther.
        identity_weight: of the face's identity, where limner's own network for it is here.
        pictures: what is inverted to learn from, too: world:faces?aligned=1, or a folder.
        inverted: how many of them; found once for all texts.
        resume: go on from the last checkpoint in the run's folder.
        watch: told how many pictures are inverted, of how many.
    """
    flush_denormals()
    check(text, "text")
    check_whole({"views": (views, 1, 1024), "inverted": (inverted, 1, 100_000)})
    for name, weight in (("latent_weight", latent_weight), ("identity_weight", identity_weight)):
        if not 0 <= weight < math.inf:
            raise BadInput(f"{name} {weight}: give a number of at least 0")
    model = open_stylegan(generator)
    clips = [open_clip(name) for name in clip_names(facing() if clip is None else clip)]
    judge = Clip(clips, parse(text), distance="cosine", views=views, camera=_CAMERA)
    found = None
    if pictures is not None:
        found = _found(model, open_data(pictures, size=model.size), inverted, watch=watch)
    torch.manual_seed(plan.seed)
    recipe = Mapper(
        model,
        judge,
        text,
        latent_weight=latent_weight,
        identity_weight=identity_weight,
        found=found,
        seed=plan.seed,
    )
    yield from train(recipe, replace(plan, weight_decay=0.0), run, resume=resume)
