"""A checkpoint in one file, `.safetensors` by Stable Diffusion's first names: 1.x and 2.x, also
those trained for inpainting.

The file holds networks and says little about them. What the U-Net predicts is said by a tensor
named `v_pred` (and `ztsnr`), or by `modelspec.prediction_type` in its header; 1.x predicts the
noise where nothing is said; of 2.x, the U-Net itself is asked (`predicts_noise`). Its tokenizer is
CLIP's, or the folder `tokenizer` beside the file, in transformers' layout.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limner.errors import BadInput
from limner.levels import alpha_bars, zero_terminal
from limner.models import _folder, _original
from limner.models._tokenizer import Tokenizer, clip_tokenizer, open_tokenizer
from limner.models.diffusers import Parts, unet_of

__all__ = ["checkpoint_parts", "is_checkpoint", "predicts_noise"]

_UNET, _VAE = "model.diffusion_model.", "first_stage_model."
_CLIP, _OPEN_CLIP = "cond_stage_model.transformer.", "cond_stage_model.model."
_TOLD = {"v": "v_prediction", "v_prediction": "v_prediction", "epsilon": "epsilon"}
_OTHERS = (
    ("conditioner.embedders.", "is Stable Diffusion XL: only 1.x and 2.x open from one file"),
    ("model.diffusion_model.joint_blocks.", "is Stable Diffusion 3: only 1.x and 2.x open here"),
    ("lora_unet_", "is a LoRA: name it after a model, as MODEL+FILE.safetensors:0.8"),
    ("unet.", "is a part of a model or a LoRA: name it after a model, as MODEL+FILE.safetensors"),
)


def is_checkpoint(name: str | Path) -> bool:
    """Whether a name is that of a safetensors file which is there."""
    path = Path(name).expanduser()
    return path.suffix == ".safetensors" and os.path.isfile(path)


def checkpoint_parts(name: str | Path) -> Parts:
    """Reads the file. Raises BadInput for one that is broken, or of another family."""
    path = Path(name).expanduser()
    state = _folder.tensors([path])
    _check_family(state, path)
    try:
        unet_config, unet = _original.unet_of_original(_under(state, _UNET))
        vae_config, vae = _original.vae_of_original(_under(state, _VAE))
        second = any(name.startswith(_OPEN_CLIP) for name in state)
        read = _original.open_clip_of if second else _original.clip_of
        text_config, text = read(_under(state, _OPEN_CLIP if second else _CLIP))
    except BadInput as error:
        raise BadInput(f"{str(path)!r} is no whole checkpoint of SD 1.x or 2.x: {error}") from None
    table = alpha_bars("scaled_linear")  # v1-inference.yaml
    parts = Parts(
        where=path,
        unet_config=unet_config,
        unet=unet,
        vae_config=vae_config,
        vae=vae,
        text_config=text_config,
        text=text,
        tokenizer=_tokenizer(path, text_config, second),
        prediction=_said(path, state) or "epsilon",
        alpha_bars=zero_terminal(table) if "ztsnr" in state else table,
        files=(path, *_tokenizer_files(path)),
    )
    if second and not _said(path, state) and unet_config["in_channels"] == 4:
        parts = replace(parts, prediction=_asked(parts))
    # 2.x was trained at 512 pixels, and then on v at 768
    large = second and parts.prediction == "v_prediction"
    return replace(parts, unet_config=unet_config | {"sample_size": 96 if large else 64})


def _check_family(state: dict[str, Tensor], path: Path) -> None:
    known = _UNET + "input_blocks.0.0.weight" in state
    for start, said in _OTHERS[:1] if known else _OTHERS:
        if any(name.startswith(start) for name in state):
            raise BadInput(f"{str(path)!r} {said}")
    if not known:
        raise BadInput(
            f"{str(path)!r} is no Stable Diffusion checkpoint: expected tensors named "
            f"{_UNET}input_blocks.…, {_VAE}… and cond_stage_model.…"
        )


def _under(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): value for n, value in state.items() if n.startswith(prefix)}


def _said(path: Path, state: dict[str, Tensor]) -> str | None:
    """What the file says that its U-Net predicts, if anything."""
    if "v_pred" in state:
        return "v_prediction"
    said = _folder.header(path).get("modelspec.prediction_type")
    if said is not None and said not in _TOLD:
        raise BadInput(f"{str(path)!r} says that it predicts {said!r}: known are epsilon and v")
    return _TOLD[said] if said else None


def _asked(parts: Parts) -> str:
    """What the U-Net predicts, found by asking it."""
    unet = unet_of(parts.unet_config, parts.unet, parts.where)
    width = parts.unet_config["cross_attention_dim"]
    noise = predicts_noise(unet, parts.unet_config["in_channels"], width)
    return "epsilon" if noise else "v_prediction"


@torch.no_grad()
def predicts_noise(unet: nn.Module | Callable[..., Any], channels: int, width: int) -> bool:
    """Whether a trained U-Net predicts the noise, and not v = α·n − σ·x0.

    At the last level x is almost nothing but noise: who predicts noise gives x back, and who
    predicts v gives −x0, of which x knows next to nothing.

    width: of the text's states
    """
    x = torch.randn(1, channels, 32, 32, generator=torch.Generator().manual_seed(0))
    states = torch.zeros(1, 77, width)
    said = unet(x, torch.tensor([999.0]), encoder_hidden_states=states).sample
    return bool(torch.cosine_similarity(said.flatten(), x.flatten(), 0) > 0.5)


def _tokenizer(path: Path, text: dict[str, Any], second: bool) -> Tokenizer:
    length, words = text["max_position_embeddings"], text["vocab_size"]
    folder = path.parent / "tokenizer"
    if folder.is_dir():
        tokenizer = open_tokenizer(folder, length)
    else:
        tokenizer = clip_tokenizer(length, "!" if second else "<|endoftext|>")
    if tokenizer.backend.get_vocab_size() > words:
        raise BadInput(
            f"{str(path)!r} knows {words} tokens, its tokenizer "
            f"{tokenizer.backend.get_vocab_size()}: put the folder `tokenizer` of the model that "
            "it was made from beside it"
        )
    return tokenizer


def _tokenizer_files(path: Path) -> tuple[Path, ...]:
    """Those beside the file: limner's own never change."""
    names = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json")
    files = (path.parent / "tokenizer" / name for name in names)
    return tuple(file for file in files if file.is_file())
