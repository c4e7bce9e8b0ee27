"""Folders in the layout of diffusers' StableDiffusionPipeline and StableDiffusionXLPipeline: Stable
Diffusion 1.x, 2.x and XL, also those trained for inpainting, and those distilled for few steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from limner._rooms import find
from limner.errors import BadInput
from limner.models import _autoencoder, _folder, _unet
from limner.models._gather import folded, gathered
from limner.models._projected import ProjectedTower, tower_weights
from limner.models._scheduler import Usual, noising_of, usual_of, whole
from limner.models._text_encoder import OneTower, TextEncoder
from limner.models._text_to_image import TextToImage
from limner.models._tokenizer import Tokenizer, open_tokenizer
from limner.models._transformer import TextTower
from limner.models._unet_config import runs
from limner.models._xl import LibraryXL, TwoTowers

__all__ = ["FAMILIES", "Parts", "SecondText", "built", "diffusers", "parts_of", "unet_of", "vae_of"]

_PARTS = {
    "unet": "UNet2DConditionModel",
    "vae": "AutoencoderKL",
    "text_encoder": "CLIPTextModel",
}
_XL_PARTS = _PARTS | {"text_encoder_2": "CLIPTextModelWithProjection"}
# Families without a U-Net, by their transformer's class: each is a file of this room, whose
# function of that name opens a folder.
FAMILIES = {"SD3Transformer2DModel": "sd3", "FluxTransformer2DModel": "flux"}


@dataclass(frozen=True, eq=False)
class SecondText:
    """XL's second text encoder. zeros: its pipeline's force_zeros_for_empty_prompt."""

    config: dict[str, Any]
    weights: dict[str, Tensor]  # without "text_model."
    tokenizer: Tokenizer
    zeros: bool


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
    second: SecondText | None = None
    usual: Usual = field(default_factory=Usual)


def diffusers(name: str | Path) -> TextToImage:
    """Opens a folder or hub id; float32, on the CPU. Raises BadInput for whatever does not fit."""
    folder = _folder.find_folder(name)
    said = _folder.read_json(folder / "model_index.json", missing={}).get("transformer")
    family = FAMILIES.get(str(said[1])) if isinstance(said, list) and len(said) == 2 else None
    if family is not None:
        opened: TextToImage = find("models", family)(folder, str(name))
        return opened
    return built(parts_of(name), str(name))


def parts_of(name: str | Path) -> Parts:
    """Reads a folder or hub id. Raises BadInput for whatever does not fit."""
    folder = _folder.find_folder(name)
    index = _check_parts(folder)
    scheduler = folder / "scheduler" / "scheduler_config.json"
    said = _folder.read_json(scheduler)
    prediction, table = noising_of(said, scheduler)
    unet_config = _folder.read_json(folder / "unet" / "config.json")
    text_config, text, tokenizer = _text(folder, "")
    second = None
    if index.get("text_encoder_2"):
        zeros = bool(index.get("force_zeros_for_empty_prompt", True))
        second = SecondText(*_text(folder, "_2"), zeros)
    return Parts(
        where=folder,
        unet_config=unet_config,
        unet=_folder.weights(folder / "unet"),
        vae_config=_folder.read_json(folder / "vae" / "config.json"),
        vae=_folder.weights(folder / "vae"),
        text_config=text_config,
        text={name: value for name, value in text.items() if name != "text_projection.weight"},
        tokenizer=tokenizer,
        prediction=prediction,
        alpha_bars=table,
        files=_files(folder, _XL_PARTS if second else _PARTS),
        second=second,
        usual=usual_of(said, unet_config, folder),
        card=_folder.read_json(folder / "limner.json", missing={}),
    )


def built(parts: Parts, name: str) -> TextToImage:
    """The model of these parts. Raises BadInput where configs and weights do not fit."""
    where, card, vae, usual = parts.where, parts.card, parts.vae_config, parts.usual
    channels = whole(vae.get("latent_channels", 4), "latent_channels", where)
    if vae.get("latents_mean") or vae.get("latents_std"):
        raise BadInput(f"the autoencoder in {str(where)!r} shifts each channel, which is not known")
    blocks = vae.get("block_out_channels", [64])
    downscale = 2 ** (len(blocks) - 1)
    latent = parts.unet_config.get("sample_size") or 64
    side = latent[0] if isinstance(latent, list) else latent
    size = card.get("size", whole(side, "sample_size", where) * downscale)
    config = parts.unet_config | {"downscale": downscale}
    text_encoder = _text_encoder(parts)
    return TextToImage(
        name=name,
        beside=_beside(config, channels, where),
        unet=unet_of(config, parts.unet, _part(where, "unet")),
        vae=vae_of(vae, parts.vae, _part(where, "vae")),
        text_encoder=text_encoder,
        prediction=parts.prediction,
        alpha_bars=parts.alpha_bars,
        scaling_factor=float(vae.get("scaling_factor") or 0.18215),
        shift_factor=float(vae.get("shift_factor") or 0.0),
        channels=channels,
        size=whole(size, "size", where),
        downscale=downscale,
        licence=str(card.get("licence", "see the model's own page")),
        files=parts.files,
        changed=parts.changed,
        vocabulary=frozenset(card["vocabulary"]) if "vocabulary" in card else None,
        steps=whole(card.get("steps", usual.steps), "steps", where),
        guidance_scale=float(card.get("guidance_scale", usual.guidance_scale)),
        sampler=usual.sampler,
        origin=usual.origin,
        takes_scale=config.get("time_cond_proj_dim") is not None,
    )


def _text_encoder(parts: Parts) -> TextEncoder:
    """Raises BadInput where the encoders do not fit each other or the U-Net."""
    where, second, config = parts.where, parts.second, parts.unet_config
    place = _part(where, "text_encoder")
    tower = _folder.assembled(TextTower, parts.text_config, parts.text, place)
    if second is None:
        return OneTower(tower, parts.tokenizer)
    weights = {
        "projection.weight" if name == "text_projection.weight" else f"tower.{name}": value
        for name, value in second.weights.items()
    }
    other = _folder.assembled(
        ProjectedTower, second.config, weights, _part(where, "text_encoder_2")
    )
    pooled, width = other.projection.weight.shape
    width += tower.final_layer_norm.weight.shape[0]
    told = config.get("cross_attention_dim"), config.get("projection_class_embeddings_input_dim")
    each = config.get("addition_time_embed_dim")
    sizes = 6 * each if isinstance(each, int) else 0
    if told != (width, pooled + sizes) or pooled > width:
        raise BadInput(
            f"the text encoders in {str(where)!r} give {width} numbers a word and, with the sizes, "
            f"{pooled + sizes} in all: its U-Net takes {told[0]} and {told[1]}"
        )
    return TwoTowers(tower, parts.tokenizer, other, second.tokenizer, second.zeros)


def _part(where: Path, name: str) -> Path:
    """Where a part is, to name in a message: in its folder, or in the one file."""
    return where / name if where.is_dir() else where


def _check_parts(folder: Path) -> dict[str, Any]:
    """model_index.json, where it names the parts that this file knows. Raises BadInput."""
    if not (folder / "model_index.json").is_file():
        _folder.refuse_pickled(folder)
        raise BadInput(f"{str(folder)!r} has no model_index.json: expected a diffusers folder")
    index = _folder.read_json(folder / "model_index.json")
    if not isinstance(index.get("_class_name", ""), str):
        raise BadInput(
            f"{str(folder)!r} asks for {index['_class_name']} of its own: no code of a model is run"
        )
    if (transformer := _class_of(index, "transformer")) is not None:
        opens = transformer in FAMILIES
        raise BadInput(
            f"{str(folder)!r} has a {transformer} in place of a U-Net: "
            + ("LoRAs and words are not added to it" if opens else "it is not opened")
        )
    xl = bool(_class_of(index, "text_encoder_2"))
    for part, wanted in (_XL_PARTS if xl else _PARTS).items():
        found = _class_of(index, part)
        if found != wanted:
            raise BadInput(
                f"{str(folder)!r} has {found} as its {part}: expected {wanted}, as in "
                f"Stable Diffusion {'XL (its refiner is not opened)' if xl else '1.x and 2.x'}"
            )
    return dict(index)


def _class_of(index: dict[str, Any], part: str) -> Any:
    """The class of a part, which is named as [library, class]; a missing one is [null, null]."""
    said = index.get(part)
    return said[1] if isinstance(said, list) and len(said) == 2 else said


def _beside(unet: dict[str, Any], channels: int, folder: Path) -> int:
    """How many channels the U-Net sees below the latents': none, or for inpainting a mask and the
    masked latents. Raises BadInput for others."""
    taken = whole(unet.get("in_channels", 4), "in_channels", folder)
    if unet.get("out_channels", 4) != channels or taken not in (channels, 2 * channels + 1):
        raise BadInput(
            f"the U-Net in {str(folder)!r} takes {taken} channels and gives "
            f"{unet.get('out_channels', 4)}, its latents have {channels}: expected {channels} in "
            f"and out, or {2 * channels + 1} in for inpainting; those for depth are not known"
        )
    return taken - channels


def unet_of(config: dict[str, Any], state: dict[str, Tensor], folder: Path) -> nn.Module:
    """The U-Net of a config and its weights by diffusers' names, which came from this folder."""
    if runs(config):
        return _folder.assembled(_unet.UNet, config, gathered(state), folder)
    plain = {key: value for key, value in config.items() if key != "downscale"}
    unet = _folder.assembled(_library_unet, plain, state, folder)
    sized = config.get("addition_embed_type") == "text_time"
    if sized or config.get("time_cond_proj_dim") is not None:
        return LibraryXL(unet, config.get("downscale", 8))
    return unet


def _library_unet(config: dict[str, Any]) -> nn.Module:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    unet = UNet2DConditionModel.from_config(config)
    assert isinstance(unet, nn.Module)
    return unet


def vae_of(
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


def _text(folder: Path, end: str) -> tuple[dict[str, Any], dict[str, Tensor], Tokenizer]:
    """A text encoder's config, weights and words; end: "_2" for the second."""
    config = _folder.read_json(folder / f"text_encoder{end}" / "config.json")
    length = whole(config.get("max_position_embeddings", 77), "its length", folder)
    weights = tower_weights(folder / f"text_encoder{end}")
    return config, weights, open_tokenizer(folder / f"tokenizer{end}", length)


def _files(folder: Path, parts: dict[str, str]) -> tuple[Path, ...]:
    """All that the pictures depend on: weights, configs and the tokenizers."""
    out = [file for part in parts for file in _folder.weight_files(folder / part)]
    out += [folder / part / "config.json" for part in parts]
    out.append(folder / "scheduler" / "scheduler_config.json")
    words = ("tokenizer", "tokenizer_2")[: 1 + ("text_encoder_2" in parts)]
    names = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json")
    out += [folder / part / name for part in words for name in names]
    return tuple(file for file in out if file.is_file())
