"""The parts of a text-to-image model in Stable Diffusion's layout: opened, begun and saved."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from limner.errors import BadInput
from limner.levels import alpha_bars, zero_terminal
from limner.training._quiet import open_part, quiet, save_tokenizer

__all__ = [
    "Parts",
    "Sources",
    "autoencoder_folder",
    "build_unet",
    "model_folder",
    "open_autoencoder",
    "open_parts",
    "schedule",
    "scheduler",
    "sources",
]


@dataclass(frozen=True)
class Parts:
    """diffusers' and transformers' modules, whose own types say too little to be checked."""

    unet: Any  # UNet2DConditionModel
    text_encoder: Any  # CLIPTextModel
    tokenizer: Any  # CLIPTokenizer
    autoencoder: Any  # AutoencoderKL

    def save(self, folder: Path, noise: Any, card: dict[str, Any]) -> None:
        """A folder that diffusers' ``StableDiffusionPipeline`` opens, with limner's card in it.

        Args:
            noise: the scheduler. card: what ``limner.json`` says.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with quiet():
            self.unet.save_pretrained(folder / "unet")
            self.autoencoder.save_pretrained(folder / "vae")
            self.text_encoder.save_pretrained(folder / "text_encoder")
            save_tokenizer(self.tokenizer, folder / "tokenizer")
            noise.save_pretrained(folder / "scheduler")
        index = {
            "_class_name": "StableDiffusionPipeline",
            "requires_safety_checker": False,
            "unet": ("diffusers", "UNet2DConditionModel"),
            "vae": ("diffusers", "AutoencoderKL"),
            "text_encoder": ("transformers", "CLIPTextModel"),
            "tokenizer": ("transformers", "CLIPTokenizer"),
            "scheduler": ("diffusers", type(noise).__name__),
            "safety_checker": (None, None),
            "feature_extractor": (None, None),
            "image_encoder": (None, None),
        }
        (folder / "model_index.json").write_text(json.dumps(index, indent=1))
        (folder / "limner.json").write_text(json.dumps(card, indent=1))


def build_unet(
    widths: tuple[int, ...] = (80, 160, 256),
    latent_channels: int = 8,
    text_width: int = 256,
    side: int = 16,
) -> Any:
    """A U-Net for latents of ``side``: convolutions at every scale, attention below the first."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    deep = len(widths) - 1
    return UNet2DConditionModel(
        sample_size=side,
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


def scheduler(prediction: str) -> Any:
    """diffusers' scheduler of ``schedule()`` for networks of this prediction."""
    from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

    if prediction == "flow":
        return FlowMatchEulerDiscreteScheduler()
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction,
        timestep_spacing="trailing",
        rescale_betas_zero_snr=prediction != "epsilon",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,  # of no effect with this spacing; diffusers warns of others
    )


class Sources(NamedTuple):
    """The folders from which a training takes its parts."""

    clip: Path | None  # of the words (text encoder, tokenizer); None: those of `start`
    autoencoder: Path
    start: Path | None  # of the U-Net; None: a new one


def sources(clip: str | None, autoencoder: str | None, start: str | None) -> Sources:
    """By name, where None is the model to start from, or else the embedded one; or BadInput."""
    begun = model_folder(start, "diffusion") if start else None
    words = None if begun and clip is None else model_folder(clip or "embedded", "clip")
    if begun and autoencoder is None:
        return Sources(words, begun / "vae", begun)
    return Sources(words, autoencoder_folder(autoencoder or "embedded"), begun)


def autoencoder_folder(name: str) -> Path:
    """An autoencoder's own folder, or that of a text-to-image model's autoencoder; or BadInput."""
    folder = model_folder(name, "diffusion")
    return folder / "vae" if (folder / "model_index.json").is_file() else folder


_SIGNS = ("config.json", "model_index.json", "towers.json")  # of which a model's folder has one


def model_folder(name: str, part: str) -> Path:
    """A model's folder that is there; ``part`` is what ``embedded`` means."""
    from limner.models.embedded import folder as embedded

    if name == "embedded":
        return embedded(part)
    if any((Path(name) / file).is_file() for file in _SIGNS):
        return Path(name)
    raise BadInput(f"no model folder at {name!r}: give one that limner train wrote, or embedded")


def open_parts(found: Sources, pixels: int) -> Parts:
    """Opens what ``sources`` found; only safetensors are read.

    pixels: side of the pictures for which a new U-Net is built.
    """
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    vae = open_autoencoder(str(found.autoencoder)).eval().requires_grad_(False)
    if found.clip:
        text = open_part(CLIPTextModel, found.clip)
        tokenizer = CLIPTokenizer.from_pretrained(found.clip)
    else:
        assert found.start is not None  # whose words they are
        text = open_part(CLIPTextModel, found.start, "text_encoder")
        tokenizer = CLIPTokenizer.from_pretrained(found.start / "tokenizer")
    channels, width = vae.config.latent_channels, text.config.hidden_size
    if found.start is None:
        side = pixels // 2 ** (len(vae.config.block_out_channels) - 1)
        return Parts(
            build_unet(latent_channels=channels, text_width=width, side=side), text, tokenizer, vae
        )
    unet = open_part(UNet2DConditionModel, found.start, "unet")
    takes = (unet.config.in_channels, unet.config.cross_attention_dim)
    if takes != (channels, width):
        raise BadInput(
            f"the U-Net in {str(found.start)!r} takes {takes[0]} channels and words of {takes[1]} "
            f"numbers, {str(found.autoencoder)!r} gives {channels} and the words have {width}: "
            "name the autoencoder and the clip it was trained with"
        )
    return Parts(unet, text, tokenizer, vae)


def open_autoencoder(name: str) -> Any:
    """diffusers' AutoencoderKL of a folder of its own or of Stable Diffusion's, or embedded."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    return open_part(AutoencoderKL, autoencoder_folder(name))
