"""Small ResNets (He et al. 2016) of transformers, which look at faces: begun and saved."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.training._quiet import quiet

__all__ = ["begun", "normalised", "save"]

_WIDTHS, _DEPTHS = (32, 64, 128, 192), (1, 1, 1, 1)
_MIDDLE = 0.5  # mean and standard deviation that pictures in [0, 1] are taken to have
_LEAST = 32  # pixels of a side, which the network halves five times


def begun(labels: Sequence[str], pixels: int) -> Any:
    """A ``ResNetForImageClassification`` with one logit a label, for pictures of this side.

    Raises BadInput for a side that is too small.
    """
    from transformers import ResNetConfig, ResNetForImageClassification

    if pixels < _LEAST:
        raise BadInput(f"pictures of {pixels} pixels: give --pixels {_LEAST} or more")
    config = ResNetConfig(
        embedding_size=_WIDTHS[0],
        hidden_sizes=list(_WIDTHS),
        depths=list(_DEPTHS),
        layer_type="basic",
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
    )
    network: Any = ResNetForImageClassification(config)
    return network.to(memory_format=torch.channels_last)


def normalised(pictures: Tensor) -> Tensor:
    """Pictures in [0, 1] as the network sees them, in [-1, 1]."""
    return (pictures - _MIDDLE) / _MIDDLE


def save(network: Any, folder: Path, pixels: int, card: dict[str, Any]) -> None:
    """A transformers folder with its preprocessing, and limner's card in it."""
    with quiet():
        network.save_pretrained(folder)
    steps = {
        "image_processor_type": "CLIPImageProcessor",  # the one that cuts out the middle square
        "do_resize": True,
        "size": {"shortest_edge": pixels},
        "resample": 3,  # bicubic
        "do_center_crop": True,
        "crop_size": {"height": pixels, "width": pixels},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [_MIDDLE] * 3,
        "image_std": [_MIDDLE] * 3,
        "do_convert_rgb": True,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(steps, indent=1))
    (folder / "limner.json").write_text(json.dumps(card, indent=1))
