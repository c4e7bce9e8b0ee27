"""The recipe of ``limner train diffusion``: words into latents.

Latent diffusion (Rombach et al. 2022) with diffusers' ``UNet2DConditionModel``: CLIP's text states
by cross-attention and, pooled, in the time embedding; text dropped for classifier-free guidance (Ho
and Salimans 2022); v-prediction on a VP schedule with zero terminal SNR (Lin et al. 2024), or ε, or
flow. Levels are drawn logit-normally in flow time (Esser et al. 2024, section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limner.data import CaptionedPictures
from limner.denoisers.cfg import CFG
from limner.denoisers.network import Network
from limner.errors import BadInput
from limner.levels import levels_of
from limner.noise import Noise
from limner.picture import Picture, grid
from limner.prompt import words
from limner.samplers.dpmpp_2m import dpmpp_2m
from limner.training._data import Captioned, drawing
from limner.training._latents import Latents, encode
from limner.training._noising import Noising
from limner.training._parts import Parts, build_unet, open_parts, schedule, scheduler, sources
from limner.training._processes import processes
from limner.training.loop import Plan, Progress, flush_denormals, open_run, train

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

__all__ = ["Diffusion", "build_unet", "diffusion", "kept_latents", "schedule"]

PREDICTIONS = ("v_prediction", "epsilon", "flow")
PROMPTS = (
    "an astronaut riding a horse at sunset",
    "a red cube on top of a blue cube",
    "a panda",
    "a cat in the snow",
    "a green sphere to the left of a purple cone",
    "a monkey eating a banana on the beach",
    "three mushrooms in the forest",
    "a robot",
    "a dragon in the snow",
    "a wooden horse on the grass",
    "a rocket in space",
    "a hedgehog using an abacus",
)


class Diffusion:
    """Recipe.

    Args:
        data: latents and captions (``Latents``).
        unet: what is trained. text_encoder, tokenizer: CLIP's. autoencoder: frozen.
        vocabulary: the words of the captions, told to whoever opens the model.
        text_learns: the text encoder is trained on with the U-Net, else it stays CLIP's.
        prediction: ``v_prediction``, ``epsilon`` or ``flow``.
        dropped: the share of captions replaced by the empty one.
        spread: mean and standard deviation of the logit of the flow time.
        uniform: the share of levels drawn evenly from the table instead, so that its ends are seen.
    """

    def __init__(
        self,
        data: Captioned,
        unet: Any,
        text_encoder: Any,
        tokenizer: CLIPTokenizer,
        autoencoder: Any,
        *,
        vocabulary: Sequence[str] = (),
        text_learns: bool = True,
        prediction: str = "v_prediction",
        dropped: float = 0.1,
        spread: tuple[float, float] = (0.0, 1.0),
        uniform: float = 0.15,
        seed: int = 0,
    ) -> None:
        self.data, self.unet, self.tokenizer = data, unet, tokenizer
        self.vocabulary = list(vocabulary)
        self.text_encoder, self.autoencoder = text_encoder.requires_grad_(text_learns), autoencoder
        self.prediction, self.dropped, self.seed = prediction, dropped, seed
        self.table = schedule(zero_snr=prediction != "epsilon")
        of_network = None if prediction == "flow" else self.table
        self.noising = Noising(prediction, of_network, spread, uniform)
        both = nn.ModuleDict({"unet": unet, "text_encoder": text_encoder})
        self.players: Mapping[str, nn.Module] = {"denoiser": both}
        unet.to(memory_format=torch.channels_last)

    def levels(self, count: int, rng: np.random.Generator) -> Tensor:
        """Timesteps (count,): indices of the table, or 1000·t for flow."""
        return self.noising.timesteps(count, rng)

    def _level(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """α and σ (b,) of x = α·x0 + σ·n."""
        return self.noising.level(timesteps)

    def batch(self, step: int, size: int, rank: int, ranks: int) -> dict[str, Tensor]:
        """Latents, their noise, timesteps and token ids of one step."""
        latents, captions = self.data.step(step, size, rank, ranks)
        rng = drawing(self.seed, step, 0, "diffusion")  # of all processes; this one has its rows
        total, own = size * ranks, slice(rank * size, (rank + 1) * size)
        kept = rng.random(total)[own] >= self.dropped
        captions = [text if keep else "" for text, keep in zip(captions, kept, strict=True)]
        noise = rng.standard_normal((total, *latents.shape[1:]), np.float32)[own]
        return {
            "latents": torch.from_numpy(latents),
            "noise": torch.from_numpy(noise),
            "timesteps": self.levels(total, rng)[own],
            "ids": self._ids(captions),
        }

    def _ids(self, captions: list[str]) -> Tensor:
        length = self.tokenizer.model_max_length
        return self.tokenizer(
            captions, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).input_ids

    def _states(self, ids: Tensor) -> Tensor:
        """The text's states (b, n, d), as StableDiffusionPipeline takes them."""
        states: Tensor = self.text_encoder(ids)[0]
        return states

    def learn(
        self,
        player: str,
        batch: dict[str, Tensor],
        step: int,
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor]:
        device = next(self.unet.parameters()).device
        latents, noise = batch["latents"].to(device), batch["noise"].to(device)
        timesteps = batch["timesteps"]
        noisy, target = self.noising.noisy(latents, noise, timesteps)
        states = self._states(batch["ids"].to(device))
        said = self.unet(noisy, timesteps.to(device), encoder_hidden_states=states).sample
        loss = F.mse_loss(said.float(), target)
        backward(loss)
        return {"loss": loss.detach()}

    def paint(self, prompts: list[str], *, steps: int = 20, scale: float = 4.0) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1], by the very sampler and guidance of ``generate``."""
        device = next(self.unet.parameters()).device
        table = None if self.prediction == "flow" else self.table
        network, levels = Network(self.unet, self.prediction, table), levels_of(table, steps)
        said, nothing = (self._states(self._ids(texts).to(device)) for texts in (prompts, [""]))
        denoiser = CFG(network, said, nothing.expand_as(said), scale)
        noise = Noise(self.seed, range(len(prompts)))
        side = self.data.size
        latent = noise.normal((self.unet.config.in_channels, side, side)).to(device)
        for state in dpmpp_2m(denoiser, latent * levels[0].sigma, levels, noise=noise):
            latent = state.x
        drawn = self.autoencoder.decode(latent / self.autoencoder.config.scaling_factor).sample
        pictures: Tensor = (drawn / 2 + 0.5).clamp(0, 1)
        return pictures

    def preview(self, step: int, folder: Path) -> None:
        painted = self.paint(list(PROMPTS))
        pictures = [Picture(pixels.float().cpu()) for pixels in painted]
        grid(pictures, columns=6, labels=list(PROMPTS)).save(folder / f"step-{step:06d}.png")

    def export(self, folder: Path) -> None:
        """A folder in Stable Diffusion's layout, which diffusers' StableDiffusionPipeline opens."""
        pixels = self.data.size * 2 ** (len(self.autoencoder.config.block_out_channels) - 1)
        card = {"size": pixels, "steps": 20, "guidance_scale": 4.0, "vocabulary": self.vocabulary}
        parts = Parts(self.unet, self.text_encoder, self.tokenizer, self.autoencoder)
        parts.save(folder, scheduler(self.prediction), card)


def diffusion(
    data: CaptionedPictures,
    run: Path,
    plan: Plan,
    *,
    clip: str | None = None,
    autoencoder: str | None = None,
    start: str | None = None,
    text_learns: bool = True,
    prediction: str = "v_prediction",
    latents: int = 30_000,
    resume: bool = False,
    watch: Callable[[int, int], None] | None = None,
) -> Iterator[Progress]:
    """Train latent diffusion on captioned pictures; ``run/model`` is a Stable Diffusion folder.

    Args:
        clip: CLIP folder whose text tower the words are at first, or embedded; without it those
            of the model to start from, else of the embedded CLIP.
        autoencoder: AutoencoderKL folder, or embedded; without it as for clip.
        start: Stable Diffusion folder to go on from, or embedded; without it the U-Net is new.
        text_learns: train the text encoder, too; else it stays as it is.
        prediction: v_prediction, epsilon or flow.
        latents: how many pictures are encoded beforehand and learned from in turn.
        resume: go on from the last checkpoint in the run's folder.
    """
    flush_denormals()
    if prediction not in PREDICTIONS:
        raise BadInput(f"prediction {prediction!r}: give {', '.join(PREDICTIONS)}")
    if latents < 1:
        raise BadInput(f"latents {latents}: give at least 1")
    found = sources(clip, autoencoder, start)
    open_run(run, resume)
    torch.manual_seed(plan.seed)
    parts = open_parts(found, data.size)
    kept = kept_latents(data, parts.autoencoder, run / "latents", latents, watch)
    recipe = Diffusion(
        Captioned(kept, plan.seed),
        parts.unet,
        parts.text_encoder,
        parts.tokenizer,
        parts.autoencoder,
        vocabulary=sorted({word for text in kept.captions for word in words(text)}),
        text_learns=text_learns,
        prediction=prediction,
        seed=plan.seed,
    )
    yield from train(recipe, plan, run, resume=resume)


def kept_latents(
    data: CaptionedPictures,
    autoencoder: Any,
    folder: Path,
    count: int,
    watch: Callable[[int, int], None] | None,
) -> Latents:
    """Those of the first pictures, encoded by the main process while others wait."""
    here = processes()
    autoencoder.to(here.device, memory_format=torch.channels_last)
    with here.main_process_first():
        for done in encode(data, autoencoder, folder, count) if here.is_main_process else ():
            if watch:
                watch(done, min(count, len(data)))
    return Latents(folder)
