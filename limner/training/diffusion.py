"""The recipe of ``limner train diffusion``: words into latents.

Latent diffusion (Rombach et al. 2022) with diffusers' ``UNet2DConditionModel``: CLIP's text states
by cross-attention and, pooled, in the time embedding; text dropped for classifier-free guidance (Ho
and Salimans 2022); v-prediction on a VP schedule with zero terminal SNR (Lin et al. 2024), or ε, or
flow. Levels are drawn logit-normally in flow time (Esser et al. 2024, section 3.1).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
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
from limner.levels import Level, alpha_bars, flow_levels, vp_levels, zero_terminal
from limner.noise import Noise
from limner.picture import Picture, grid
from limner.samplers.dpmpp_2m import dpmpp_2m
from limner.training._data import Captioned, drawing
from limner.training._latents import Latents, encode
from limner.training.loop import Plan, Progress, flush_denormals, train

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

__all__ = ["Diffusion", "build_unet", "diffusion", "schedule"]

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


def build_unet(
    widths: tuple[int, ...] = (80, 160, 256), latent_channels: int = 8, text_width: int = 256
) -> nn.Module:
    """A U-Net for 16×16 latents: convolutions at every scale, attention at 8×8 and 4×4."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    deep = len(widths) - 1
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=latent_channels,
        out_channels=latent_channels,
        layers_per_block=1,
        block_out_channels=widths,
        down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * deep,
        up_block_types=("CrossAttnUpBlock2D",) * deep + ("UpBlock2D",),
        cross_attention_dim=text_width,
        attention_head_dim=4,  # diffusers' name for the number of heads
        norm_num_groups=16,
        resnet_time_scale_shift="scale_shift",
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
    )


def schedule(name: str = "scaled_linear", *, zero_snr: bool = True) -> Tensor:
    """ᾱ of the 1,000 timesteps, float64."""
    table = alpha_bars(name)
    return zero_terminal(table) if zero_snr else table


class Diffusion:
    """Recipe.

    Args:
        data: latents and captions (``Latents``).
        unet: what is trained. text_encoder, tokenizer: CLIP's. autoencoder: frozen.
        text_learns: the text encoder is trained on with the U-Net, else it stays CLIP's.
        prediction: ``v_prediction``, ``epsilon`` or ``flow``.
        dropped: the share of captions replaced by the empty one.
        spread: mean and standard deviation of the logit of the flow time.
        uniform: the share of levels drawn evenly from the table instead, so that its ends are seen.
    """

    def __init__(
        self,
        data: Captioned,
        unet: nn.Module,
        text_encoder: nn.Module,
        tokenizer: CLIPTokenizer,
        autoencoder: nn.Module,
        *,
        text_learns: bool = True,
        prediction: str = "v_prediction",
        dropped: float = 0.1,
        spread: tuple[float, float] = (0.0, 1.0),
        uniform: float = 0.15,
        seed: int = 0,
    ) -> None:
        self.data, self.unet, self.tokenizer = data, unet, tokenizer
        self.text_encoder, self.autoencoder = text_encoder.requires_grad_(text_learns), autoencoder
        self.prediction, self.dropped, self.spread = prediction, dropped, spread
        self.uniform, self.seed = uniform, seed
        self.table = schedule(zero_snr=prediction != "epsilon")
        both = nn.ModuleDict({"unet": unet, "text_encoder": text_encoder})
        self.players: dict[str, nn.Module] = {"denoiser": both}
        unet.to(memory_format=torch.channels_last)

    def levels(self, count: int, rng: np.random.Generator) -> Tensor:
        """Timesteps (count,): indices of the table, or 1000·t for flow."""
        mean, deviation = self.spread
        logit = torch.from_numpy(rng.normal(mean, deviation, count))
        evenly = torch.from_numpy(rng.random(count))
        even = torch.from_numpy(rng.random(count) < self.uniform)
        if self.prediction == "flow":
            return 1000 * torch.where(even, evenly, logit.sigmoid())
        # flow time t has α/σ = (1 − t)/t; the table's entry with the same ratio
        of_table = torch.logit(self.table.clamp(1e-12, 1 - 1e-12))  # log SNR, falling
        nearest = torch.searchsorted(-of_table, 2 * logit).clamp(max=len(self.table) - 1)
        return torch.where(even, (evenly * len(self.table)).long(), nearest)

    def batch(self, step: int, size: int, rank: int, ranks: int) -> dict[str, Tensor]:
        """Latents, their noise, timesteps and token ids of one step."""
        latents, captions = self.data.step(step, size, rank, ranks)
        rng = drawing(self.seed, step, rank, "diffusion")
        kept = rng.random(size) >= self.dropped
        captions = [words if keep else "" for words, keep in zip(captions, kept, strict=True)]
        return {
            "latents": torch.from_numpy(latents),
            "noise": torch.from_numpy(rng.standard_normal(latents.shape, np.float32)),
            "timesteps": self.levels(size, rng),
            "ids": self._ids(captions),
        }

    def _ids(self, captions: list[str]) -> Tensor:
        length = self.tokenizer.model_max_length
        return self.tokenizer(
            captions, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).input_ids

    def _states(self, ids: Tensor) -> Tensor:
        """The text's states (b, n, d), as StableDiffusionPipeline takes them."""
        return self.text_encoder(ids)[0]

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
        if self.prediction == "flow":
            sigma = (timesteps / 1000).to(latents)
            alpha = 1 - sigma
        else:
            alpha_bar = self.table[timesteps]
            alpha, sigma = alpha_bar.sqrt().to(latents), (1 - alpha_bar).sqrt().to(latents)
        alpha, sigma = alpha.view(-1, 1, 1, 1), sigma.view(-1, 1, 1, 1)
        target = {
            "epsilon": noise,
            "v_prediction": alpha * noise - sigma * latents,  # Salimans and Ho 2022, appendix D
            "flow": noise - latents,
        }[self.prediction]
        noisy = (alpha * latents + sigma * noise).contiguous(memory_format=torch.channels_last)
        states = self._states(batch["ids"].to(device))
        said = self.unet(noisy, timesteps.to(device), encoder_hidden_states=states).sample
        loss = F.mse_loss(said.float(), target)
        backward(loss)
        return {"loss": loss.detach()}

    def paint(self, prompts: list[str], *, steps: int = 20, scale: float = 4.0) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1], by the very sampler and guidance of ``generate``."""
        device = next(self.unet.parameters()).device
        flow = self.prediction == "flow"
        network = Network(self.unet, self.prediction, None if flow else self.table)
        levels: list[Level] = flow_levels(steps) if flow else vp_levels(self.table, steps)
        words, nothing = (self._states(self._ids(texts).to(device)) for texts in (prompts, [""]))
        denoiser = CFG(network, words, nothing.expand_as(words), scale)
        noise = Noise(self.seed, range(len(prompts)))
        side = self.data.size
        latent = noise.normal((self.unet.config.in_channels, side, side)).to(device)
        for state in dpmpp_2m(denoiser, latent * levels[0].sigma, levels, noise=noise):
            latent = state.x
        drawn = self.autoencoder.decode(latent / self.autoencoder.config.scaling_factor).sample
        return (drawn / 2 + 0.5).clamp(0, 1)

    def preview(self, step: int, folder: Path) -> None:
        painted = self.paint(list(PROMPTS))
        pictures = [Picture(pixels.float().cpu()) for pixels in painted]
        grid(pictures, columns=6, labels=list(PROMPTS)).save(folder / f"step-{step:06d}.png")

    def export(self, folder: Path) -> None:
        """A folder in Stable Diffusion's layout, which diffusers' ``StableDiffusionPipeline`` opens."""
        parts = {
            "unet": ("diffusers", "UNet2DConditionModel"),
            "vae": ("diffusers", "AutoencoderKL"),
            "text_encoder": ("transformers", "CLIPTextModel"),
            "tokenizer": ("transformers", "CLIPTokenizer"),
            "scheduler": ("diffusers", "DDIMScheduler"),
            "safety_checker": (None, None),
            "feature_extractor": (None, None),
            "image_encoder": (None, None),
        }
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.unet.save_pretrained(folder / "unet")
        self.autoencoder.save_pretrained(folder / "vae")
        self.text_encoder.save_pretrained(folder / "text_encoder")
        self.tokenizer.save_pretrained(folder / "tokenizer")
        self._scheduler().save_pretrained(folder / "scheduler")
        index = {
            "_class_name": "StableDiffusionPipeline",
            "requires_safety_checker": False,
            **parts,
        }
        (folder / "model_index.json").write_text(json.dumps(index, indent=1))

    def _scheduler(self) -> Any:
        from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

        if self.prediction == "flow":
            return FlowMatchEulerDiscreteScheduler()
        return DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            prediction_type=self.prediction,
            timestep_spacing="trailing",
            rescale_betas_zero_snr=self.prediction != "epsilon",
            clip_sample=False,
            set_alpha_to_one=True,
        )


def diffusion(
    data: CaptionedPictures,
    run: Path,
    plan: Plan,
    *,
    clip: str = "embedded",
    autoencoder: str = "embedded",
    start: str | None = None,
    text_learns: bool = True,
    prediction: str = "v_prediction",
    latents: int = 30_000,
    resume: bool = False,
    watch: Callable[[int, int], None] | None = None,
) -> Iterator[Progress]:
    """Train latent diffusion on captioned pictures; ``run/model`` is a Stable Diffusion folder.

    Args:
        clip: CLIP folder whose text tower conditions the U-Net at first, or embedded.
        autoencoder: AutoencoderKL folder, or embedded.
        start: Stable Diffusion folder whose U-Net and text encoder to go on from, or embedded.
        text_learns: train the text encoder, too; else it stays as it is.
        prediction: v_prediction, epsilon or flow.
        latents: how many pictures are encoded beforehand and learned from in turn.
    """
    flush_denormals()
    if prediction not in ("v_prediction", "epsilon", "flow"):
        raise BadInput(f"prediction {prediction!r}: give v_prediction, epsilon or flow")
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    from limner.models.embedded import folder as embedded

    clip_folder = embedded("clip") if clip == "embedded" else _folder(clip)
    vae_folder = (
        embedded("diffusion") / "vae" if autoencoder == "embedded" else _folder(autoencoder)
    )
    vae = AutoencoderKL.from_pretrained(vae_folder).eval().requires_grad_(False)
    vae.to("cuda" if torch.cuda.is_available() else "cpu", memory_format=torch.channels_last)
    for done in encode(data, vae, run / "latents", latents):
        if watch:
            watch(done, latents)
    torch.manual_seed(plan.seed)
    if start:
        words = embedded("diffusion") if start == "embedded" else _folder(start)
        unet: nn.Module = UNet2DConditionModel.from_pretrained(words, subfolder="unet")
        text_encoder = CLIPTextModel.from_pretrained(words, subfolder="text_encoder")
    else:
        text_encoder = CLIPTextModel.from_pretrained(clip_folder)
        width = text_encoder.config.hidden_size
        unet = build_unet(latent_channels=vae.config.latent_channels, text_width=width)
    recipe = Diffusion(
        Captioned(Latents(run / "latents"), plan.seed),
        unet,
        text_encoder,
        CLIPTokenizer.from_pretrained(clip_folder),
        vae,
        text_learns=text_learns,
        prediction=prediction,
        seed=plan.seed,
    )
    yield from train(recipe, plan, run, resume=resume)


def _folder(name: str) -> Path:
    """A model folder that is there."""
    if (
        not (Path(name) / "config.json").is_file()
        and not (Path(name) / "model_index.json").is_file()
    ):
        raise BadInput(
            f"no model folder at {name!r}: give one that limner train wrote, or embedded"
        )
    return Path(name)
