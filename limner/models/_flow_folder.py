"""What the folders of flow transformers have in common: their parts, their shift, their files."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from limner.errors import BadInput
from limner.levels import Shift
from limner.models import _folder
from limner.models._text_encoder import TextEncoder
from limner.models._text_to_image import TextToImage
from limner.models.diffusers import vae_of

__all__ = ["check_parts", "files_of", "joined", "shift_of", "transformer_of"]

_LIBRARIES = ("diffusers", "transformers")
_WORDS = (
    "tokenizer.json", "vocab.json", "merges.txt", "spiece.model", "tokenizer_config.json",
    "special_tokens_map.json",
)  # fmt: skip


def check_parts(
    folder: Path, wanted: Mapping[str, str], optional: tuple[str, ...] = ()
) -> set[str]:
    """The parts that model_index.json has, of those wanted. Raises BadInput where one that is not
    optional is missing, is of another class, or code from elsewhere is asked for."""
    index = _folder.read_json(folder / "model_index.json")
    if not isinstance(index.get("_class_name", ""), str):
        raise BadInput(
            f"{str(folder)!r} asks for {index['_class_name']} of its own: no code of a model is run"
        )
    there = set()
    for part, known in wanted.items():
        said = index.get(part)
        library, found = said if isinstance(said, list) and len(said) == 2 else (None, said)
        if found is None and part in optional:
            continue
        if found != known or library not in _LIBRARIES:
            shown = found if library in _LIBRARIES else said
            raise BadInput(f"{str(folder)!r} has {shown} as its {part}: expected {known}")
        there.add(part)
    return there


def shift_of(folder: Path, pixels: int) -> Shift:
    """From the scheduler's config. pixels: of a token's side. Raises BadInput for the unknown."""
    path = folder / "scheduler" / "scheduler_config.json"
    said = _folder.read_json(path)
    name = said.get("_class_name")
    if name != "FlowMatchEulerDiscreteScheduler":
        raise BadInput(f"{str(path)!r} says {name}: expected FlowMatchEulerDiscreteScheduler")
    if said.get("invert_sigmas") or said.get("num_train_timesteps", 1000) != 1000:
        raise BadInput(f"{str(path)!r} inverts its times, or has not 1000 of them: not known")
    if not said.get("use_dynamic_shifting"):
        shift = _number(said.get("shift", 1.0), "shift", path, 100)
        return Shift(shift, shift, pixels=pixels)
    few, many = (_number(said.get(key, default), key, path, 1e6) for key, default in _TOKENS)
    low, high = (_number(said.get(key, default), key, path, 10) for key, default in _SHIFTS)
    if few == many:
        raise BadInput(
            f"{str(path)!r} shifts between {few} and {many} tokens: expected two numbers"
        )
    geometric = said.get("time_shift_type", "exponential") == "exponential"
    ends = (math.exp(low), math.exp(high)) if geometric else (low, high)
    return Shift(*ends, int(few), int(many), pixels, geometric)


_TOKENS = (("base_image_seq_len", 256), ("max_image_seq_len", 4096))
_SHIFTS = (("base_shift", 0.5), ("max_shift", 1.15))


def _number(said: Any, key: str, path: Path, most: float) -> float:
    if isinstance(said, bool) or not isinstance(said, (int, float)) or not 0 < said <= most:
        raise BadInput(f"{str(path)!r} says {key} = {said!r}: expected above 0, up to {most:g}")
    return float(said)


def joined(
    folder: Path,
    name: str,
    network: nn.Module,
    encoder: TextEncoder,
    *,
    sides: tuple[int, int],
    patch: int,
    latent_size: int,
    files: tuple[Path, ...],
    steps: int,
    guidance_scale: float,
    takes_scale: bool = False,
) -> TextToImage:
    """The model of these, with the folder's autoencoder, shift and limner.json.

    sides:        channels of the latents that the network takes and gives
    patch:        latents of a token's side
    latent_size:  latents of a picture's side that it was trained on
    """
    said, card = _folder.read_json(folder / "vae" / "config.json"), _card(folder)
    channels, downscale = _latents(folder, said)
    if sides != (channels, channels):
        raise BadInput(
            f"the transformer in {str(folder)!r} takes {sides[0]} channels and gives {sides[1]}, "
            f"its latents have {channels}: those that are shown a picture beside are not known"
        )
    return TextToImage(
        name=name,
        unet=network,
        vae=vae_of(said, _folder.weights(folder / "vae"), folder / "vae"),
        text_encoder=encoder,
        prediction="flow",
        alpha_bars=None,
        shift=shift_of(folder, downscale * patch),
        scaling_factor=float(said.get("scaling_factor") or 1.0),
        shift_factor=float(said.get("shift_factor") or 0.0),
        channels=channels,
        size=card.get("size", latent_size * downscale),
        downscale=downscale,
        licence=str(card.get("licence", "see the model's own page")),
        files=files,
        steps=card.get("steps", steps),
        guidance_scale=float(card.get("guidance_scale", guidance_scale)),
        takes_scale=takes_scale,
    )


def _card(folder: Path) -> dict[str, Any]:
    """What limner.json says."""
    path = folder / "limner.json"
    card: dict[str, Any] = _folder.read_json(path, missing={})
    for key in ("size", "steps"):
        if key in card and (not isinstance(card[key], int) or not 1 <= card[key] <= 8192):
            raise BadInput(f"{str(path)!r} says {key} = {card[key]!r}: expected 1 to 8192")
    if "guidance_scale" in card:
        _number(card["guidance_scale"], "guidance_scale", path, 1000)
    return card


def _latents(folder: Path, config: dict[str, Any]) -> tuple[int, int]:
    """Channels of the latents, and pixels of their side."""
    channels, blocks = config.get("latent_channels", 4), config.get("block_out_channels", [64])
    if not isinstance(channels, int) or not isinstance(blocks, list) or not 1 <= len(blocks) <= 8:
        raise BadInput(f"the config in {str(folder / 'vae')!r} has no usable latents")
    return channels, 2 ** (len(blocks) - 1)


def transformer_of(folder: Path, make: Callable[[dict[str, Any]], nn.Module]) -> nn.Module:
    """The folder's transformer. Raises BadInput for what does not fit."""
    where = folder / "transformer"
    config = _folder.read_json(where / "config.json")
    network = _folder.assembled(make, config, _folder.weights(where), where)
    if any(each.is_meta for each in network.buffers()):
        raise BadInput(f"the config in {str(where)!r} leaves out what its places are made from")
    return network


def files_of(folder: Path, parts: set[str]) -> tuple[Path, ...]:
    """All that the pictures depend on: weights, configs and the tokenizers."""
    out = [folder / "scheduler" / "scheduler_config.json"]
    for part in sorted(parts):
        if part.startswith("tokenizer"):
            out += [folder / part / name for name in _WORDS]
        else:
            out += [*_folder.weight_files(folder / part), folder / part / "config.json"]
    return tuple(file for file in out if file.is_file())
