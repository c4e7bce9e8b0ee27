"""CLIP's two towers and their temperature: built by name, and saved (Radford et al. 2021)."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limner.errors import BadInput
from limner.models._folder import read_json, tensors
from limner.models._towers import OWN
from limner.training._quiet import open_part, quiet

__all__ = ["Towers", "build", "check", "open_towers", "save_towers"]

HEAD_WIDTH = 64  # numbers of a state that one head of attention sees


class Towers(nn.Module):
    """A picture tower and a text tower that end in the same space, and the temperature.

    ``pictures``: (b, 3, s, s) normalised → (b, d). ``texts``: ids (b, n) → (b, d). Not normalised.
    """

    def __init__(self, pictures: nn.Module, texts: nn.Module) -> None:
        super().__init__()
        self.pictures, self.texts = pictures, texts
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))  # section 2.5

    def forward(self, pictures: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised embeddings (b, d) of both, and the factor of their products, at most 100."""
        return self.see(pictures), self.read(ids), self.scale()

    def see(self, pictures: Tensor) -> Tensor:
        return _unit(self.pictures(pictures))

    def read(self, ids: Tensor) -> Tensor:
        return _unit(self.texts(ids))

    def scale(self) -> Tensor:
        return self.logit_scale.clamp(max=math.log(100)).exp()


def _unit(embeddings: Tensor) -> Tensor:
    return nn.functional.normalize(embeddings.float(), dim=-1)


class _Projected(nn.Module):
    """A transformers tower and CLIP's projection of its pooled output."""

    def __init__(self, tower: nn.Module, projection: nn.Module) -> None:
        super().__init__()
        self.tower, self.projection = tower, projection

    def forward(self, inputs: Tensor) -> Tensor:
        projected: Tensor = self.projection(self.tower(inputs).pooler_output)
        return projected


def build(
    vocabulary: int,
    end: int,
    *,
    tower: str = "vit",
    text: str = "transformer",
    length: int = 32,
    size: int = 64,
    width: int = 256,
    layers: int = 4,
    patch: int = 8,
    channels: int = 32,
) -> tuple[Towers, Any]:
    """The towers by name, and the ``CLIPModel`` that holds those of them that transformers has.

    Args:
        vocabulary, end: number of token ids, and the id that ends (and pads) a caption.
        tower: ``vit`` or ``resnet``. text: ``transformer`` or ``bag_of_words``.
        length: tokens of a caption. size: pixels of a picture's side.
        channels: the ResNet's width.

    Raises BadInput for other names and for sizes that do not divide evenly.
    """
    check(tower, text, size, width, layers, patch, channels)
    from limner.nets.bag_of_words import BagOfWords
    from limner.nets.resnet_tower import SMALL, ResNetTower

    model = _transformers_clip(vocabulary, end, length, size, width, layers, patch)
    pictures: nn.Module = _Projected(model.vision_model, model.visual_projection)
    texts: nn.Module = _Projected(model.text_model, model.text_projection)
    if tower == "resnet":
        pictures = ResNetTower(width, channels, SMALL, input_size=size)
        # a step takes 0.7 of the time on a CPU
        pictures = pictures.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if text == "bag_of_words":
        texts = BagOfWords(vocabulary, width, output_dim=width, end=end)
    return Towers(pictures, texts), model


def check(
    tower: str, text: str, size: int, width: int, layers: int, patch: int, channels: int
) -> None:
    """Raises the BadInput of ``build``."""
    cell = {"vit": patch, "resnet": 32}.get(tower)
    if cell is None:
        raise BadInput(f"tower {tower!r}: give vit or resnet")
    if text not in ("transformer", "bag_of_words"):
        raise BadInput(f"text {text!r}: give transformer or bag_of_words")
    if cell < 1 or size < cell or size % cell:
        raise BadInput(f"size {size} with tower {tower}: give a multiple of {max(1, cell)} pixels")
    if width < HEAD_WIDTH or width % HEAD_WIDTH:
        raise BadInput(f"width {width}: give a multiple of {HEAD_WIDTH}")
    if layers < 1:
        raise BadInput(f"layers {layers}: give at least 1")
    if channels < 2 or channels % 2:
        raise BadInput(f"channels {channels}: give an even number")


def _transformers_clip(
    vocabulary: int, end: int, length: int, size: int, width: int, layers: int, patch: int
) -> Any:
    """A ``CLIPModel`` both of whose towers have ``width`` and ``layers``."""
    from transformers import CLIPConfig, CLIPModel

    both = {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // HEAD_WIDTH,
        "hidden_act": "gelu",
        "projection_dim": width,
    }
    text = both | {
        "vocab_size": vocabulary,
        "max_position_embeddings": length,
        "bos_token_id": end - 1,
        "eos_token_id": end,
        "pad_token_id": end,
    }
    vision = both | {"image_size": size, "patch_size": patch}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=width))


def open_towers(folder: Path) -> tuple[Towers, Any, dict[str, Any]]:
    """Towers, ``CLIPModel`` and the arguments of ``build`` from a folder that ``save_towers`` made.

    Raises BadInput where it is not one.
    """
    if (folder / OWN).is_file():
        return _open_own(folder)
    from transformers import CLIPModel

    model = open_part(CLIPModel, folder)
    text, vision = model.config.text_config, model.config.vision_config
    built: dict[str, Any] = {
        "vocabulary": text.vocab_size,
        "end": text.eos_token_id,
        "tower": "vit",
        "text": "transformer",
        "length": text.max_position_embeddings,
        "size": vision.image_size,
        "width": vision.hidden_size,
        "layers": vision.num_hidden_layers,
        "patch": vision.patch_size,
    }
    pictures = _Projected(model.vision_model, model.visual_projection)
    towers = Towers(pictures, _Projected(model.text_model, model.text_projection))
    with torch.no_grad():
        towers.logit_scale.copy_(model.logit_scale)
    return towers, model, built


def _open_own(folder: Path) -> tuple[Towers, Any, dict[str, Any]]:
    """Of towers that are not both transformers'."""
    file = folder / "towers.safetensors"
    built = read_json(folder / OWN)
    try:
        towers, model = build(**built)
        towers.load_state_dict(tensors([file]))
    except (TypeError, ValueError, RuntimeError) as error:  # other arguments, other sizes
        told = [line.strip() for line in str(error).splitlines() if line.strip()][-1][:200]
        raise BadInput(f"no towers can be read from {str(folder)!r}: {told}") from None
    return towers, model, built


def save_towers(towers: Towers, model: Any, built: dict[str, Any], folder: Path) -> None:
    """What ``build(**built)`` gave, trained.

    Both towers of transformers make a ``CLIPModel`` folder. Otherwise they are in
    ``towers.safetensors``, with ``built`` in ``towers.json``, and a text transformer is beside it
    as a ``CLIPTextModelWithProjection``, which a diffusion can begin from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kinds = built["tower"], built["text"]
    if kinds == ("vit", "transformer"):
        with torch.no_grad(), quiet():
            model.logit_scale.copy_(towers.logit_scale.clamp(max=math.log(100)))
            model.save_pretrained(folder)
        return
    from safetensors.torch import save_file
    from transformers import CLIPTextModelWithProjection

    state = {name: tensor.contiguous() for name, tensor in towers.state_dict().items()}
    save_file(state, folder / "towers.safetensors")
    (folder / OWN).write_text(json.dumps(built, indent=1))
    if built["text"] == "transformer":
        text = CLIPTextModelWithProjection(model.config.text_config)
        text.text_model, text.text_projection = model.text_model, model.text_projection
        with quiet():
            text.save_pretrained(folder)
