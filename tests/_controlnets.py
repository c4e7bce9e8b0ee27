"""ControlNets, random and tiny, for the models of `conftest.py`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

Get = Callable[[str], Path]


def controlnet(seed: int = 0, **changes: Any) -> Any:
    """diffusers' ControlNetModel for sd1, of which nothing is zero as it is at birth."""
    from diffusers import ControlNetModel

    torch.manual_seed(40 + seed)
    config: dict[str, Any] = dict(
        block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8, attention_head_dim=4,
        cross_attention_dim=32, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        conditioning_embedding_out_channels=(8, 8, 16), in_channels=4,
    )  # fmt: skip
    network = ControlNetModel(**config | changes)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "controlnet_" in name:
                weight.normal_(std=0.25)
    return network.eval()


def folder_of(network: Any, folder: Path, **said: Any) -> Path:
    """It, saved; `said` is changed in its config afterwards."""
    network.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | said))
    return folder


def drawing(path: Path, size: tuple[int, int] = (64, 64), seed: int = 0) -> Path:
    """A picture of a few rectangles."""
    noise = torch.Generator().manual_seed(seed)
    picture = Image.new("RGB", size, (20, 20, 60))
    for _ in range(5):
        left, top, r, g, b = torch.randint(0, 255, (5,), generator=noise).tolist()
        left, top = left * size[0] // 300, top * size[1] // 300
        picture.paste((r, g, b), (left, top, left + size[0] // 4, top + size[1] // 3))
    picture.save(path)
    return path


def guided_pictures(pipe: Any, prompt: str, controls: Sequence[Path], **options: Any) -> Any:
    """What diffusers' pipeline paints under the pictures, (b, 3, h, w) in [0, 1]."""
    pipe.set_progress_bar_config(disable=True)
    pictures = [Image.open(path).convert("RGB") for path in controls]
    given = pictures if len(pictures) > 1 else pictures[0]
    said = pipe(prompt, image=given, output_type="np", **options).images
    return torch.from_numpy(said).permute(0, 3, 1, 2)
