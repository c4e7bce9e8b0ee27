"""Tiny CLIPs in open_clip's layout, the same wherever they are drawn, and pictures for them.

`benchmarks/open_clip_numbers.py` asks open_clip itself about them; its answers lie beside this
file, with the tensors' shapes.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image

NUMBERS = Path(__file__).with_name("open_clip_numbers.json")
TEXTS = [
    "a red cube",
    "Two CATS, and a dog's bowl!",
    "",
    "a photo of " + "the very same thing " * 9,
]
SIZES = ((37, 52), (64, 33), (20, 20))  # of pictures, height and width

_TEXT = dict(context_length=16, vocab_size=49408, width=16, heads=2, layers=2)
_VIT = dict(image_size=32, patch_size=8, width=32, head_width=16, layers=2, mlp_ratio=3.0)
_MIDDLE = dict(mean=[0.5, 0.4, 0.6], std=[0.5, 0.6, 0.4])
CONFIGS = {
    "gelu": dict(
        model_cfg=dict(embed_dim=12, vision_cfg=_VIT, text_cfg=_TEXT), preprocess_cfg=_MIDDLE
    ),
    "tanh": dict(
        model_cfg=dict(
            embed_dim=12,
            custom_text=True,
            init_logit_bias=-10.0,
            vision_cfg=_VIT | dict(act_kwargs=dict(approximate="tanh")),
            text_cfg=_TEXT | dict(norm_kwargs=dict(eps=1e-3), act_kwargs=dict(approximate="tanh")),
        ),
        preprocess_cfg=_MIDDLE | dict(resize_mode="squash", interpolation="bilinear"),
    ),
    "quick": dict(
        model_cfg=dict(embed_dim=12, quick_gelu=True, vision_cfg=_VIT, text_cfg=_TEXT),
        preprocess_cfg=dict(resize_mode="longest", fill_color=90),
    ),
    "resnet": dict(
        model_cfg=dict(
            embed_dim=12,
            quick_gelu=True,
            vision_cfg=dict(image_size=64, layers=[1, 2, 1, 1], width=8, patch_size=None),
            text_cfg=_TEXT | dict(width=64, heads=1),  # as OpenAI's, a head of 64
        ),
        preprocess_cfg={},
    ),
}
SEEN = [
    dict(mean=[0.0] * 3, std=[1.0] * 3, resize_mode=mode, interpolation=kind, fill_color=51)
    for mode in ("shortest", "squash", "longest")
    for kind in ("bicubic", "bilinear")
]
SEEN_SIDE = 12


def drawn(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """Tensors of these names and shapes: each follows from its name alone."""
    out = {}
    for name, shape in shapes.items():
        values = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
        if name.endswith(("running_var", "logit_scale")):
            values = 1.5 + 0.1 * values
        elif name.endswith("logit_bias"):
            values = values - 3
        elif len(shape) > 1:
            values = values * (0.7 if "embedding" in name else 2 * np.prod(shape[1:]) ** -0.5)
        elif name.endswith("weight"):  # of a norm
            values = 1 + 0.2 * values
        else:
            values = 0.2 * values
        out[name] = torch.as_tensor(values, dtype=torch.float32)
    return out


def write(case: str, shapes: dict[str, list[int]], folder: Path) -> Path:
    """The folder of a case, as on the hub."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(drawn(shapes), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIGS[case]))
    return folder


def squares(case: str) -> list[Image.Image]:
    """Pictures of the size that the case sees, so that nothing is rounded on the way."""
    side = CONFIGS[case]["model_cfg"]["vision_cfg"]["image_size"]
    return [image(side, side, seed) for seed in range(3)]


def image(height: int, width: int, seed: int = 0) -> Image.Image:
    small = np.random.default_rng(height + seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
