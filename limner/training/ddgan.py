"""The recipe of ``limner train ddgan``: denoising diffusion GANs on small pictures.

Xiao, Kreis & Vahdat 2022, "Tackling the generative learning trilemma with denoising diffusion
GANs": a few large steps, whose x0 a conditional GAN draws; x_{t−1} is a sample of the posterior
q(x_{t−1} | x_t, x0), and the discriminator is shown it beside x_t (eq. 4 and 5). Logistic loss that
does not saturate, and R1 now and then on real x_{t−1} (appendix C).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from limner.data import CaptionedPictures
from limner.denoisers.drawn import Drawn
from limner.errors import BadInput
from limner.levels import Level
from limner.models.ddgan import CARD, MAPPING, RECIPE, Ddgan, ladder
from limner.nets import ddgan as nets
from limner.noise import Noise
from limner.picture import Picture, grid
from limner.samplers.ddpm import ddpm
from limner.tasks._checks import check_whole
from limner.training._data import Captioned, drawing, to_tensor
from limner.training._pixels import build_unet, check_unet
from limner.training._quiet import quiet
from limner.training.loop import Plan, Progress, flush_denormals, open_run, train

__all__ = ["Ladder", "RecipeOfDdgan", "ddgan"]

_SHOWN = 16  # pictures of a preview
_PENALTY_EVERY = 15  # steps between R1's, as the paper's public code has it for CIFAR-10
_FASTER = 1.28  # the generator's rate over the discriminator's: 1.6e-4 and 1.25e-4 there
_TOLD = 4  # of build_unet: what it is told has 4·width numbers


class Ladder:
    """The chain of a few levels: q(x_t | x_{t−1}) and q(x_{t−1} | x_t, x0), for t (b,) from 1 to T.

    levels: T + 1, noisy to clean; t counts from the clean end
    """

    def __init__(self, levels: list[Level]) -> None:
        rising = levels[::-1]
        self.alpha = torch.tensor([level.alpha for level in rising], dtype=torch.float64)
        self.sigma = torch.tensor([level.sigma for level in rising], dtype=torch.float64)

    def __len__(self) -> int:
        return len(self.alpha) - 1

    def noised(self, x0: Tensor, t: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """A real pair x_{t−1}, x_t: from x0 by the first noise, from there by the second."""
        before = _wide(self.alpha[t - 1], x0) * x0 + _wide(self.sigma[t - 1], x0) * first
        a, b = self._step(t)
        return before, _wide(a, x0) * before + _wide(b, x0) * second

    def posterior(self, x0: Tensor, x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """A sample x_{t−1} of q(x_{t−1} | x_t, x0) (Ho et al. 2020, eq. 6 and 7); at t = 1 x0."""
        a, b = self._step(t)
        alpha, sigma, here = self.alpha[t - 1], self.sigma[t - 1], self.sigma[t]
        mean = _wide(a * (sigma / here) ** 2, x) * x + _wide(alpha * (b / here) ** 2, x) * x0
        return mean + _wide(b * sigma / here, x) * noise

    def _step(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """a and b of x_t = a·x_{t−1} + b·n."""
        a = self.alpha[t] / self.alpha[t - 1]
        added = self.sigma[t] ** 2 - (a * self.sigma[t - 1]) ** 2
        return a, added.clamp(min=0).sqrt()


class RecipeOfDdgan:
    """Recipe.

    Args:
        data: pictures; captions are not read. grey: one channel of them.
        generator, discriminator: what is trained.
        count: levels.
        penalty: γ of R1.
    """

    def __init__(
        self,
        data: Captioned,
        generator: nets.Generator,
        discriminator: nets.Discriminator,
        *,
        count: int,
        grey: bool = False,
        penalty: float = 0.05,
        seed: int = 0,
    ) -> None:
        self.data, self.penalty, self.seed = data, penalty, seed
        self.generator, self.discriminator = generator, discriminator
        self.levels = ladder(count)
        self.chain = Ladder(self.levels)
        self.width = _shape(generator)["noise"]
        channels = 1 if grey else 3
        self.model = Ddgan(RECIPE, generator, count, self.width, channels, data.size)
        self.players: Mapping[str, nn.Module] = {
            "discriminator": discriminator,
            "generator": generator,
        }

    def batch(self, step: int, size: int, rank: int, ranks: int) -> dict[str, Tensor]:
        """Real pairs and their t."""
        drawn, _ = self.data.step(step, size, rank, ranks)
        rng = drawing(self.seed, step, 0, RECIPE)  # of all processes; this one has its rows
        total, own = size * ranks, slice(rank * size, (rank + 1) * size)
        x0 = self.model.encode(to_tensor(drawn).float() / 255)
        t = torch.from_numpy(rng.integers(1, len(self.chain) + 1, total))[own]
        noise = rng.standard_normal((2, total, *x0.shape[1:]), np.float32)[:, own]
        first, second = torch.from_numpy(noise)
        before, x = self.chain.noised(x0, t, first, second)
        return {"before": before, "x": x, "t": t}

    def learn(
        self,
        player: str,
        batch: dict[str, Tensor],
        step: int,
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor]:
        device = next(self.generator.parameters()).device
        x, t = batch["x"].to(device), batch["t"]
        if player == "generator":
            said = self._judged(self._drawn(x, t), x, t)
            loss = F.softplus(-said).mean()
            backward(loss)
            return {"fooling": loss}
        with torch.no_grad():
            drawn = self._drawn(x, t)
        return self._tell(batch["before"].to(device), drawn, x, t, step, backward)

    def _tell(
        self,
        real: Tensor,
        drawn: Tensor,
        x: Tensor,
        t: Tensor,
        step: int,
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor]:
        """Eq. 4, and γ/2·‖∇D‖² of real x_{t−1} (Mescheder et al. 2018) in some steps."""
        punished = self.penalty > 0 and step % _PENALTY_EVERY == 0
        real = real.requires_grad_(punished)
        of_real, of_drawn = self._judged(real, x, t), self._judged(drawn, x, t)
        loss = F.softplus(-of_real).mean() + F.softplus(of_drawn).mean()
        told = {"telling": loss, "real": of_real.mean(), "drawn": of_drawn.mean()}
        if punished:
            (slope,) = torch.autograd.grad(of_real.sum(), real, create_graph=True)
            told["slope"] = slope.square().flatten(1).sum(1).mean()
            loss = loss + self.penalty / 2 * told["slope"]
        backward(loss)
        return {name: value.detach() for name, value in told.items()}

    def _drawn(self, x: Tensor, t: Tensor) -> Tensor:
        """x_{t−1} by the generator's x0, with fresh z and noise."""
        z = torch.randn(len(x), self.width, device=x.device)
        timesteps = (1000 * t / len(self.chain)).to(x.device, torch.float32)
        x0 = self.generator(x, timesteps, z).float()
        return self.chain.posterior(x0, x, t, torch.randn_like(x))

    def _judged(self, before: Tensor, x: Tensor, t: Tensor) -> Tensor:
        said: Tensor = self.discriminator(before, x, (t / len(self.chain)).to(x))
        return said.float()

    def preview(self, step: int, folder: Path) -> None:
        """Pictures in as many steps as it has levels, and in one."""
        device = next(self.generator.parameters()).device
        model, noise = replace(self.model, device=device), Noise(self.seed, range(_SHOWN))
        shown: list[Picture] = []
        for levels in (self.levels, [self.levels[0], self.levels[-1]]):
            denoiser, x = Drawn(model.draw, self.levels[:-1], noise, self.width), model.start(noise)
            for state in ddpm(denoiser, x, levels, noise=noise):
                x = state.x
            shown += [Picture(pixels) for pixels in model.decode(x).cpu()]
        grid(shown, columns=8).save(folder / f"step-{step:06d}.png")

    def export(self, folder: Path) -> None:
        """A folder for ``limner.models.ddgan.open_ddgan``; its U-Net opens in diffusers."""
        with quiet():
            self.generator.unet.save_pretrained(folder)  # type: ignore[operator]  # a diffusers one
        state = self.generator.mapping.state_dict()
        weights = {name: weight.detach().cpu().contiguous() for name, weight in state.items()}
        save_file(weights, folder / MAPPING, metadata={"format": "pt"})
        shape = _shape(self.generator)
        card = {"recipe": RECIPE, "levels": len(self.chain), "mapping": shape, "licence": "MIT"}
        (folder / CARD).write_text(json.dumps(card, indent=1))


def _shape(generator: nets.Generator) -> dict[str, int]:
    """Of its mapping, as the card says it."""
    layers = [each for each in generator.mapping.layers if isinstance(each, nn.Linear)]
    first = layers[0]
    return {"noise": first.in_features, "width": first.out_features, "layers": len(layers) - 1}


def _wide(values: Tensor, like: Tensor) -> Tensor:
    """(b,) of float64 → (b, 1, 1, 1) of the like's type and device."""
    return values.to(like).view(-1, 1, 1, 1)


def ddgan(
    data: CaptionedPictures,
    run: Path,
    plan: Plan,
    *,
    levels: int = 4,
    width: int = 64,
    layers: int = 2,
    noise: int = 64,
    judge: int = 32,
    penalty: float = 0.05,
    grey: bool = False,
    resume: bool = False,
) -> Iterator[Progress]:
    """Train a denoising diffusion GAN on small pictures, without words, for `limner sample`.

    The plan's betas are 0.5 and 0.9, with no weight decay and no limit on gradients; its rate is
    the discriminator's, and the generator's is 1.28 times that. The paper's is 0.000125.

    Args:
        levels: of noise, and the steps of a sample; the paper finds 4 the best.
        width: of the generator, channels at the pictures' own size; twice as many below.
        layers: resnets at each size.
        noise: numbers of z, which says what of all that x may be is drawn.
        judge: width of the discriminator's first layers.
        penalty: weight of R1, in every 15th step; 0 leaves it out.
        grey: one channel of grey instead of three of colour.
        resume: go on from the last checkpoint in the run's folder.
    """
    flush_denormals()
    check_unet(width, layers, data.size)
    check_whole({"levels": (levels, 1, 64), "noise": (noise, 1, 4096), "judge": (judge, 4, 1024)})
    if not 0 <= penalty < math.inf:
        raise BadInput(f"penalty {penalty}: give 0 or more")
    open_run(run, resume)
    torch.manual_seed(plan.seed)
    channels = 1 if grey else 3
    unet: Any = build_unet(data.size, channels, channels, width, layers, told=True)
    generator = nets.Generator(unet, nets.Mapping(noise, _TOLD * width))
    discriminator = nets.Discriminator(channels, data.size, judge)
    recipe = RecipeOfDdgan(
        Captioned(data, plan.seed),
        generator,
        discriminator,
        count=levels,
        grey=grey,
        penalty=penalty,
        seed=plan.seed,
    )
    own = replace(
        plan, betas=(0.5, 0.9), weight_decay=0.0, clip_norm=1e9, rates={"generator": _FASTER}
    )
    yield from train(recipe, own, run, resume=resume)
