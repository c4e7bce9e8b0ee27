"""Which family a checkpoint is of, told from its tensors' names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from limner.errors import BadInput

__all__ = ["FAMILIES", "family_among", "family_of", "under", "without_wrapper"]

Value = TypeVar("Value")

# A family is the first whose names are all there; a name that ends with a point begins others.
FAMILIES: dict[str, tuple[str, ...]] = {
    "stable diffusion xl": ("model.diffusion_model.", "first_stage_model.", "conditioner."),
    "stable diffusion": ("model.diffusion_model.", "first_stage_model.", "cond_stage_model."),
    "clip": ("visual.", "text_projection", "token_embedding.weight", "logit_scale"),
    "custom clip": ("visual.", "text.token_embedding.weight", "logit_scale"),  # some of open_clip's
    "transformers clip": ("vision_model.", "text_model.", "logit_scale"),
    "stylegan2": ("g_ema.style.1.weight", "g_ema.to_rgb1.", "g_ema.convs."),
    "nvidia stylegan2": ("G_ema.mapping.w_avg", "G_ema.synthesis.b4."),
    "nvidia stylegan3": ("G_ema.mapping.w_avg", "G_ema.synthesis.input.", "G_ema.synthesis.L0_"),
    "biggan": ("embeddings.weight", "generator.gen_z.", "generator.layers.", "generator.bn."),
    "gumbel vqgan": ("encoder.", "decoder.", "quant_conv.", "quantize.embed.weight"),
    "vqgan": ("encoder.", "decoder.", "quant_conv.", "quantize.embedding.weight"),
    "autoencoder": ("encoder.", "decoder.", "quant_conv."),
    "controlnet": ("controlnet_cond_embedding.",),
    "u-net": ("down_blocks.", "mid_block.", "up_blocks.", "time_embedding."),
    "lora": ("lora_",),
}
_WRAPPERS = ("state_dict.", "model_state_dict.", "params_ema.")


def under(state: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    """What is named below a prefix, such as "unet.", without it."""
    return {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}


def without_wrapper(state: Mapping[str, Value]) -> dict[str, Value]:
    """The tensors under "state_dict", where a training's checkpoint keeps the network there."""
    for wrapper in _WRAPPERS:
        if inner := under(state, wrapper):
            return inner
    return dict(state)


def family_of(state: Mapping[str, object]) -> str:
    """The family's name, "tensors" where none fits. Raises BadInput where there are no tensors."""
    if not state:
        raise BadInput("it holds no tensors")
    return family_among(state)


def family_among(names: Iterable[str]) -> str:
    """The first family all of whose names are among these."""
    known = list(names)
    for family, wanted in FAMILIES.items():
        if all(any(_is(name, want) for name in known) for want in wanted):
            return family
    return "tensors"


def _is(name: str, wanted: str) -> bool:
    return name.startswith(wanted) if wanted[-1] in "._" else name == wanted
