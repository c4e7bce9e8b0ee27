"""What open_clip itself says of the tests' tiny CLIPs, for machines that have it not.

    pip install open_clip_torch torchvision   # in an environment of its own
    python benchmarks/open_clip_numbers.py

writes tests/models/open_clip_numbers.json: shapes, tokens, embeddings and logits of each case, and
the bytes of pictures as each way of preprocessing shows them.
"""

from __future__ import annotations

import base64
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "models"))

from _open_clip_drawn import (
    CONFIGS,
    NUMBERS,
    SEEN,
    SEEN_SIDE,
    SIZES,
    TEXTS,
    image,
    squares,
    write,
)


def main() -> None:
    allow_without_kernels()
    import open_clip

    said: dict[str, Any] = {"version": open_clip.__version__, "cases": {}, "seen": []}
    for case in CONFIGS:
        said["cases"][case] = asked(open_clip, case)
    for options in SEEN:
        show = open_clip.transform.image_transform(SEEN_SIDE, is_train=False, **options)
        shown = [show(image(*size)).mul(255).round().to(torch.uint8) for size in SIZES]
        said["seen"].append([base64.b64encode(each.numpy().tobytes()).decode() for each in shown])
    NUMBERS.write_text(json.dumps(said) + "\n")


def asked(open_clip: Any, case: str) -> dict[str, Any]:
    model = CONFIGS[case]["model_cfg"]
    kind = open_clip.CustomTextCLIP if model.get("custom_text") else open_clip.CLIP
    sizes = {key: value for key, value in model.items() if key != "custom_text"}
    state = kind(**sizes).state_dict()
    shapes = {n: list(t.shape) for n, t in state.items() if not n.endswith("batches_tracked")}
    with tempfile.TemporaryDirectory() as work:
        folder = write(case, shapes, Path(work) / case)
        if "resnet" in case:  # whose norms count batches, for nothing
            add_counters(folder, state)
        network, _, show = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        words = open_clip.get_tokenizer(f"local-dir:{folder}")(TEXTS)
    with torch.no_grad():
        pictures = torch.stack([show(each) for each in squares(case)])
        logits, _ = network.eval().get_logits(pictures, words)
        seen = network.encode_image(pictures, normalize=True)
        read = network.encode_text(words, normalize=True)
    return {
        "shapes": shapes,
        "tokens": words.tolist(),
        "pictures": seen.tolist(),
        "texts": read.tolist(),
        "logits": logits.tolist(),
    }


def add_counters(folder: Path, state: dict[str, torch.Tensor]) -> None:
    from safetensors.torch import load_file, save_file

    file = folder / "open_clip_model.safetensors"
    counters = {n: t for n, t in state.items() if n.endswith("batches_tracked")}
    save_file(load_file(file) | counters, file)


def allow_without_kernels() -> None:
    """torchvision's own kernels are of another torch, where that is a build for CPUs alone; what
    open_clip needs of it is Python. It asks for their names as it is imported."""
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    globals()["_kept"] = library


if __name__ == "__main__":
    main()
