"""Folders in the layout of diffusers' StableDiffusionPipeline: Stable Diffusion 1.x and 2.x, also
those trained for inpainting (StableDiffusionInpaintPipeline)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limner.errors import BadInput
from limner.levels import SCHEDULES, alpha_bars, zero_terminal
from limner.models import _autoencoder, _folder, _unet
from limner.models._gather import folded, gathered
from limner.models._text_to_image import TextToImage
from limner.models._tokenizer import Tokenizer, open_tokenizer
from limner.models._transformer import TextTower

__all__ = ["Parts", "built", "diffusers", "parts_of", "unet_of"]

_PARTS = {
    "unet": "UNet2DConditionModel",
    "vae": "AutoencoderKL",
    "text_encoder": "CLIPTextModel",
}
_PREDICTIONS = ("epsilon", "v_prediction", "sample")


@dataclass(frozen=True, eq=False)
class Parts:
    """What a model's files say before it is networks: configs and weights by diffusers' names.

    Whatever is added to a model by its name (LoRA, words, another decoder) changes these, so that
    the networks are put together once.
    """

    where: Path  # the folder or file it was read from
    unet_config: dict[str, Any]
    unet: dict[str, Tensor]
    vae_config: dict[str, Any]
    vae: dict[str, Tensor]
    text_config: dict[str, Any]
    text: dict[str, Tensor]  # without "text_model."
    tokenizer: Tokenizer
    prediction: str
    alpha_bars: Tensor | None
    files: tuple[Path, ...]
    card: dict[str, Any] = field(default_factory=dict)  # what limner.json says
    changed: tuple[Path, ...] = ()  # of the files, those that changed the weights


def diffusers(name: str | Path) -> TextToImage:
    """Opens a folder or hub id; float32, on the CPU. Raises BadInput for whatever does not fit."""
    return built(parts_of(name), str(name))


def parts_of(name: str | Path) -> Parts:
    """Reads a folder or hub id. Raises BadInput for whatever does not fit."""
    folder = _folder.find_folder(name)
    _check_parts(folder)
    prediction, table = _noise(folder / "scheduler" / "scheduler_config.json")
    text_config = _folder.read_json(folder / "text_encoder" / "config.json")
    length = text_config.get("max_position_embeddings", 77)
    return Parts(
        where=folder,
        unet_config=_folder.read_json(folder / "unet" / "config.json"),
        unet=_folder.weights(folder / "unet"),
        vae_config=_folder.read_json(folder / "vae" / "config.json"),
        vae=_folder.weights(folder / "vae"),
        text_config=text_config,
        text=_text_weights(folder / "text_encoder"),
        tokenizer=open_tokenizer(folder / "tokenizer", _whole(length, "its length", folder)),
        prediction=prediction,
        alpha_bars=table,
        files=_files(folder),
        card=_folder.read_json(folder / "limner.json", missing={}),
    )


def built(parts: Parts, name: str) -> TextToImage:
    """The model of these parts. Raises BadInput where configs and weights do not fit."""
    where, card, vae = parts.where, parts.card, parts.vae_config
    channels = _whole(vae.get("latent_channels", 4), "latent_channels", where)
    blocks = vae.get("block_out_channels", [64])
    downscale = 2 ** (len(blocks) - 1)
    latent = parts.unet_config.get("sample_size") or 64
    side = latent[0] if isinstance(latent, list) else latent
    size = card.get("size", _whole(side, "sample_size", where) * downscale)
    return TextToImage(
        name=name,
        beside=_beside(parts.unet_config, channels, where),
        unet=unet_of(parts.unet_config, parts.unet, _part(where, "unet")),
        vae=_open_vae(vae, parts.vae, _part(where, "vae")),
        text_encoder=_folder.assembled(
            TextTower, parts.text_config, parts.text, _part(where, "text_encoder")
        ),
        tokenizer=parts.tokenizer,
        prediction=parts.prediction,
        alpha_bars=parts.alpha_bars,
        scaling_factor=float(vae.get("scaling_factor") or 0.18215),
        shift_factor=float(vae.get("shift_factor") or 0.0),
        channels=channels,
        size=_whole(size, "size", where),
        downscale=downscale,
        licence=str(card.get("licence", "see the model's own page")),
        files=parts.files,
        changed=parts.changed,
        vocabulary=frozenset(card["vocabulary"]) if "vocabulary" in card else None,
        steps=_whole(card.get("steps", 20), "steps", where),
        guidance_scale=float(card.get("guidance_scale", 7.5)),
    )


def _part(where: Path, name: str) -> Path:
    """Where a part is, to name in a message: in its folder, or in the one file."""
    return where / name if where.is_dir() else where


def _check_parts(folder: Path) -> None:
    """Whether model_index.json names the parts that this file knows."""
    if not (folder / "model_index.json").is_file():
        _folder.refuse_pickled(folder)
        raise BadInput(f"{str(folder)!r} has no model_index.json: expected a diffusers folder")
    index = _folder.read_json(folder / "model_index.json")
    for part, wanted in _PARTS.items():
        said = index.get(part)
        found = said[1] if isinstance(said, list) and len(said) == 2 else said
        if found != wanted:
            raise BadInput(
                f"{str(folder)!r} has {found} as its {part}: expected {wanted}, as in "
                "Stable Diffusion 1.x and 2.x"
            )
    if index.get("text_encoder_2"):
        raise BadInput(f"{str(folder)!r} has two text encoders: expected one, as in SD 1.x and 2.x")


def _beside(unet: dict[str, Any], channels: int, folder: Path) -> int:
    """How many channels the U-Net sees below the latents': none, or for inpainting a mask and the
    masked latents. Raises BadInput for others."""
    taken = _whole(unet.get("in_channels", 4), "in_channels", folder)
    if unet.get("out_channels", 4) != channels or taken not in (channels, 2 * channels + 1):
        raise BadInput(
            f"the U-Net in {str(folder)!r} takes {taken} channels and gives "
            f"{unet.get('out_channels', 4)}, its latents have {channels}: expected {channels} in "
            f"and out, or {2 * channels + 1} in for inpainting; those for depth are not known"
        )
    return taken - channels


def _whole(value: Any, what: str, folder: Path) -> int:
    if not isinstance(value, int) or not 1 <= value <= 65536:
        raise BadInput(f"{str(folder)!r} says {what} = {value!r}: expected a whole number above 0")
    return value


def unet_of(config: dict[str, Any], state: dict[str, Tensor], folder: Path) -> nn.Module:
    """The U-Net of a config and its weights by diffusers' names, which came from this folder."""
    if _unet.runs(config):
        return _folder.assembled(_unet.UNet, config, gathered(state), folder)
    return _folder.assembled(_library_unet, config, state, folder)


def _library_unet(config: dict[str, Any]) -> nn.Module:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    unet = UNet2DConditionModel.from_config(config)
    assert isinstance(unet, nn.Module)
    return unet


def _open_vae(
    config: dict[str, Any], weights: dict[str, Tensor], folder: Path
) -> _autoencoder.Autoencoder | _autoencoder.LibraryCodec:
    state = _autoencoder.renamed(weights)
    if _autoencoder.runs(config):
        return _folder.assembled(_autoencoder.Autoencoder, config, folded(state), folder)
    return _autoencoder.LibraryCodec(_folder.assembled(_library_vae, config, state, folder))


def _library_vae(config: dict[str, Any]) -> nn.Module:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    vae = AutoencoderKL.from_config(config)
    assert isinstance(vae, nn.Module)
    return vae


def _text_weights(folder: Path) -> dict[str, Tensor]:
    return {
        name.removeprefix("text_model."): weight
        for name, weight in _folder.weights(folder).items()
        if not name.endswith("position_ids") and not name.startswith("text_projection")
    }


def _noise(path: Path) -> tuple[str, Tensor | None]:
    """What the network predicts and its table ᾱ, from the scheduler's config."""
    config = _folder.read_json(path)
    if str(config.get("_class_name", "")).startswith("FlowMatch"):
        return "flow", None
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in _PREDICTIONS:
        known = ", ".join(_PREDICTIONS)
        raise BadInput(f"{str(path)!r} says prediction_type = {prediction!r}: known are {known}")
    table = _table(config, path)
    return prediction, zero_terminal(table) if config.get("rescale_betas_zero_snr") else table


def _table(config: dict[str, Any], path: Path) -> Tensor:
    total = _whole(config.get("num_train_timesteps", 1000), "num_train_timesteps", path)
    schedule = config.get("beta_schedule", "linear")
    if config.get("trained_betas"):
        betas = torch.tensor(config["trained_betas"], dtype=torch.float64)
        return torch.cumprod(1 - betas, 0)
    if schedule == "squaredcos_cap_v2":
        return alpha_bars("cosine", total)
    low, high = float(config.get("beta_start", 1e-4)), float(config.get("beta_end", 0.02))
    if schedule not in SCHEDULES[:2] or not 0 < low <= high < 1:
        raise BadInput(f"{str(path)!r} has the noise schedule {schedule!r} from {low} to {high}")
    root = 2 if schedule == "scaled_linear" else 1
    betas = torch.linspace(low ** (1 / root), high ** (1 / root), total, dtype=torch.float64)
    return torch.cumprod(1 - betas**root, 0)


def _files(folder: Path) -> tuple[Path, ...]:
    """All that the pictures depend on: weights, configs and the tokenizer."""
    out = [file for part in _PARTS for file in _folder.weight_files(folder / part)]
    out += [folder / part / "config.json" for part in _PARTS]
    out.append(folder / "scheduler" / "scheduler_config.json")
    names = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json")
    out += [folder / "tokenizer" / name for name in names]
    return tuple(file for file in out if file.is_file())
