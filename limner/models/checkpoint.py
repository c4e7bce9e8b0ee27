"""A checkpoint in one file, `.safetensors` by Stable Diffusion's first names: 1.x, 2.x and XL, also
those trained for inpainting.

The file holds networks and says little about them. What the U-Net predicts is said by a tensor
named `v_pred` (and `ztsnr`), or by `modelspec.prediction_type` in its header; 1.x and XL predict
the noise where nothing is said; of 2.x, the U-Net itself is asked (`predicts_noise`). Its tokenizer
is CLIP's, or the folder `tokenizer` (and `tokenizer_2`) beside the file, in transformers' layout.
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
from limner.models._families import under
from limner.models._scheduler import usual_of
from limner.models._stored import now
from limner.models._tokenizer import Tokenizer, clip_tokenizer, open_tokenizer
from limner.models.diffusers import Parts, SecondText, unet_of

__all__ = ["checkpoint_parts", "is_checkpoint", "predicts_noise"]

_UNET, _VAE = "model.diffusion_model.", "first_stage_model."
_TEXTS = {
    "1.x": "cond_stage_model.transformer.",
    "2.x": "cond_stage_model.model.",
    "XL": "conditioner.embedders.0.transformer.",
}
_XL = "conditioner.embedders.1.model."
_XL_SCALING = 0.13025  # of its latents (sd_xl_base.yaml)
_SIDES = {
    "1.x": 64,
    "2.x": 64,
    "2.x on v": 96,
    "XL": 128,
}  # of the latents that each was trained on
_TOLD = {"v": "v_prediction", "v_prediction": "v_prediction", "epsilon": "epsilon"}
_OTHERS = (
    ("conditioner.embedders.0.model.", "is the refiner of Stable Diffusion XL: give its base"),
    (
        "model.diffusion_model.joint_blocks.",
        "is Stable Diffusion 3: only 1.x, 2.x and XL open here",
    ),
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
        unet_config, unet = _original.unet_of_original(under(state, _UNET))
        vae_config, vae = _original.vae_of_original(under(state, _VAE))
        kind = _kind(state)
        read = _original.open_clip_of if kind == "2.x" else _original.clip_of
        text_config, text = read(under(state, _TEXTS[kind]))
        second = _second(state, path) if kind == "XL" else None
    except BadInput as error:
        raise BadInput(
            f"{str(path)!r} is no whole checkpoint of SD 1.x, 2.x or XL: {error}"
        ) from None
    if second is not None:
        vae_config["scaling_factor"] = _XL_SCALING
        unet_config |= _sized(unet_config, second, path)
    table = alpha_bars("scaled_linear")  # v1-inference.yaml
    parts = Parts(
        where=path,
        unet_config=unet_config,
        unet=unet,
        vae_config=vae_config,
        vae=vae,
        text_config=text_config,
        text=text,
        tokenizer=_tokenizer(path, text_config, "tokenizer", padded=kind == "2.x"),
        prediction=_said(path, state) or "epsilon",
        alpha_bars=zero_terminal(table) if "ztsnr" in state else table,
        files=(path, *_tokenizer_files(path)),
        second=second,
        usual=usual_of({}, unet_config, path),
    )
    if kind == "2.x" and not _said(path, state) and unet_config["in_channels"] == 4:
        parts = replace(parts, prediction=_asked(parts))
    # 2.x was trained at 512 pixels, and then on v at 768
    side = _SIDES["2.x on v" if kind == "2.x" and parts.prediction == "v_prediction" else kind]
    return replace(parts, unet_config=unet_config | {"sample_size": side})


def _kind(state: dict[str, Tensor]) -> str:
    if any(name.startswith(_XL) for name in state):
        return "XL"
    return "2.x" if any(name.startswith(_TEXTS["2.x"]) for name in state) else "1.x"


def _second(state: dict[str, Tensor], path: Path) -> SecondText:
    """XL's second text encoder. Its empty prompt is nothing, as in the folders of its kind."""
    config, weights = _original.open_clip_of(under(state, _XL), cut=0)
    config["projection_dim"] = len(weights["text_projection.weight"])
    words = _tokenizer(path, config, "tokenizer_2", padded=True)
    return SecondText(config, weights, words, zeros=True)


def _sized(unet: dict[str, Any], second: SecondText, path: Path) -> dict[str, int]:
    """In how many numbers XL's U-Net is told each of six sizes. Raises BadInput for others."""
    taken = unet.get("projection_class_embeddings_input_dim", 0)
    each, rest = divmod(taken - second.config["projection_dim"], 6)
    if each < 1 or rest:
        raise BadInput(
            f"{str(path)!r} takes {taken} numbers of text and sizes: expected those of XL's base"
        )
    return {"addition_time_embed_dim": each}


def _check_family(state: dict[str, Tensor], path: Path) -> None:
    known = _UNET + "input_blocks.0.0.weight" in state
    for start, said in _OTHERS[:1] if known else _OTHERS:
        if any(name.startswith(start) for name in state):
            raise BadInput(f"{str(path)!r} {said}")
    if not known:
        raise BadInput(
            f"{str(path)!r} is no Stable Diffusion checkpoint: expected tensors named "
            f"{_UNET}input_blocks.…, {_VAE}… and cond_stage_model.… or conditioner.…"
        )


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
    how = now()
    dtype = how.dtype if how else torch.float32
    x = torch.randn(1, channels, 32, 32, generator=torch.Generator().manual_seed(0)).to(dtype)
    states = torch.zeros(1, 77, width, dtype=dtype)
    said = unet(x, torch.tensor([999.0]), encoder_hidden_states=states).sample
    return bool(torch.cosine_similarity(said.flatten(), x.flatten(), 0) > 0.5)


def _tokenizer(path: Path, text: dict[str, Any], name: str, padded: bool) -> Tokenizer:
    """padded: with "!", as open_clip's texts are."""
    length, words = text["max_position_embeddings"], text["vocab_size"]
    folder = path.parent / name
    if folder.is_dir():
        tokenizer = open_tokenizer(folder, length)
    else:
        tokenizer = clip_tokenizer(length, "!" if padded else "<|endoftext|>")
    if tokenizer.backend.get_vocab_size() > words:
        raise BadInput(
            f"{str(path)!r} knows {words} tokens, its tokenizer "
            f"{tokenizer.backend.get_vocab_size()}: put the folder `{name}` of the model that "
            "it was made from beside it"
        )
    return tokenizer


def _tokenizer_files(path: Path) -> tuple[Path, ...]:
    """Those beside the file: limner's own never change."""
    names = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json")
    folders = (path.parent / folder for folder in ("tokenizer", "tokenizer_2"))
    files = (folder / name for folder in folders for name in names)
    return tuple(file for file in files if file.is_file())
