"""Speed and memory on networks of the real sizes, beside diffusers' pipeline, in one run.

    python benchmarks/real_sizes.py                     # 860M, 84M and 123M random weights, 512 px
    python benchmarks/real_sizes.py --tiny              # whether it runs
    python benchmarks/real_sizes.py --folder FOLDER --contenders limner diffusers-float32

A folder in the layout of Stable Diffusion 1.5 is written once (bfloat16, random), and each
contender paints from it in a process of its own: what a user of each would call. Reported are the
seconds of a step, of a picture, of opening, and the process' memory at its most (VmHWM), and the
ratios to diffusers'. Rounds take turns, so that what else the machine does falls on all.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parents[1]
PROMPT = "an astronaut riding a horse on the beach at sunset"
# limner's by the arguments of generate, diffusers' by its type of numbers
CONTENDERS: dict[str, dict[str, Any]] = {
    "limner": {"precision": "bfloat16"},
    "limner-low-memory": {"precision": "bfloat16", "low_memory": True},
    "limner-int8": {"precision": "int8"},
    "limner-float32": {"precision": "float32"},
    "diffusers-float32": {"dtype": "float32"},
    "diffusers-bfloat16": {"dtype": "bfloat16"},
}


def write_folder(folder: Path, tiny: bool) -> None:
    """Stable Diffusion 1.5's layout and sizes, with random weights in bfloat16."""
    widths, heads, side = ((32, 64, 64, 64), 4, 8) if tiny else ((320, 640, 1280, 1280), 8, 64)
    codec = (32, 32, 64, 64) if tiny else (128, 256, 512, 512)
    width = 64 if tiny else 768
    unet = {
        "_class_name": "UNet2DConditionModel", "act_fn": "silu", "attention_head_dim": heads,
        "block_out_channels": widths, "center_input_sample": False, "cross_attention_dim": width,
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"], "in_channels": 4,
        "layers_per_block": 2, "norm_num_groups": 32, "out_channels": 4, "sample_size": side,
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    }  # fmt: skip
    vae = {
        "_class_name": "AutoencoderKL", "block_out_channels": codec, "latent_channels": 4,
        "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 2, "norm_num_groups": 32, "sample_size": 8 * side,
        "scaling_factor": 0.18215,
    }  # fmt: skip
    text = {
        "architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "hidden_size": width,
        "intermediate_size": 4 * width, "num_attention_heads": width // 64,
        "num_hidden_layers": 2 if tiny else 12, "vocab_size": 49408, "hidden_act": "quick_gelu",
        "max_position_embeddings": 77, "bos_token_id": 49406, "eos_token_id": 49407,
    }  # fmt: skip
    scheduler = {
        "_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012,
        "beta_schedule": "scaled_linear", "num_train_timesteps": 1000, "clip_sample": False,
        "set_alpha_to_one": False, "steps_offset": 1, "prediction_type": "epsilon",
    }  # fmt: skip
    index = {
        "_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"], "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"], "scheduler": ["diffusers", "DDIMScheduler"],
        "safety_checker": [None, None], "feature_extractor": [None, None],
        "requires_safety_checker": False,
    }  # fmt: skip
    for name, said in (("unet", unet), ("vae", vae), ("text_encoder", text)):
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text(json.dumps(said))
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    _write_words(folder / "tokenizer")
    for name, config in (("unet", unet), ("vae", vae), ("text_encoder", text)):
        _write_weights(folder / name, config)
    (folder / "model_index.json").write_text(json.dumps(index))


def _write_weights(folder: Path, config: dict[str, Any]) -> None:
    """As at birth: norms of 1, the rest small, so that numbers neither vanish nor explode."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from safetensors.torch import save_file
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.device("meta"):
        if "model_type" in config:
            network: Any = CLIPTextModel(CLIPTextConfig(**config))
        else:
            kind = {"AutoencoderKL": AutoencoderKL}.get(config["_class_name"], UNet2DConditionModel)
            network = kind.from_config(config)
    state, noise = {}, torch.Generator().manual_seed(0)
    for name, weight in network.named_parameters():
        if weight.ndim == 1:
            made = torch.full(weight.shape, float(name.endswith("weight")))
        else:
            scale = 0.02 if "embedding" in name else weight[0].numel() ** -0.5
            made = torch.randn(weight.shape, generator=noise) * scale
        state[name] = made.to(torch.bfloat16)
    stem = "model" if "model_type" in config else "diffusion_pytorch_model"
    save_file(state, folder / f"{stem}.safetensors", {"format": "pt"})


def _write_words(folder: Path) -> None:
    """CLIP's, which come with limner, as transformers keeps them."""
    from limner.models import _tokenizer

    folder.mkdir()
    merges = gzip.decompress(_tokenizer._CLIP_MERGES.read_bytes()).decode()
    words = _tokenizer.clip_tokenizer(77).backend.get_vocab()
    (folder / "vocab.json").write_text(json.dumps(words))
    (folder / "merges.txt").write_text("#version: 0.2\n" + merges)
    said = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
    said |= {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>"}
    said |= {"pad_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))


def painted(contender: str, folder: Path, steps: int, pictures: int) -> dict[str, Any]:
    """One contender's pictures, in this process: seconds, and memory in MiB."""
    began = time.perf_counter()
    marks: list[float] = []
    paint = _limner if contender.startswith("limner") else _diffusers
    run = paint(folder, steps, marks, **CONTENDERS[contender])
    opened = time.perf_counter() - began
    each = []
    step: list[float] = []
    for number in range(pictures):
        marks.clear()
        began = time.perf_counter()
        run(number)
        each.append(time.perf_counter() - began)
        step += [b - a for a, b in pairwise(marks)]  # the first holds the words, too
    peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
    return {"open": opened, "picture": min(each), "step": min(step), "peak": int(peak) / 1024}


def _limner(folder: Path, steps: int, marks: list[float], **said: Any) -> Any:
    from limner import generate
    from limner.models._open import opened_for

    model = opened_for(str(folder), said["precision"], said.get("low_memory", False))

    def watch(progress: Any) -> None:
        marks.append(time.perf_counter())

    return lambda seed: generate(
        PROMPT, model=model, steps=steps, seed=seed, sampler="ddim", watch=watch, **said
    )


def _diffusers(folder: Path, steps: int, marks: list[float], dtype: str) -> Any:
    import torch
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=getattr(torch, dtype))
    pipe.set_progress_bar_config(disable=True)

    def watch(pipeline: Any, step: int, time_: Any, kept: dict[str, Any]) -> dict[str, Any]:
        marks.append(time.perf_counter())
        return kept

    return lambda seed: pipe(
        PROMPT,
        num_inference_steps=steps,
        generator=torch.Generator().manual_seed(seed),
        callback_on_step_end=watch,
    )


def tiles_agree() -> float:
    """dB between a picture of 1024 pixels decoded whole and in tiles, by limner's own decoder."""
    import torch

    from limner import generate, open_model
    from limner.models._tiles import tiled
    from limner.picture import resize

    model = open_model()
    (picture,) = generate("a red cube on top of a blue cube", model=model, steps=4)
    with torch.no_grad():
        latents = model.encode(resize(picture.pixels[None], (1024, 1024)))
        plain = latents / model.scaling_factor + model.shift_factor
        whole, parts = model.vae.decode(plain) / 2, tiled(model.vae.decode, plain) / 2
    return float(-10 * (whole - parts).square().mean().log10())


def main() -> None:
    said = argparse.ArgumentParser(description=__doc__)
    said.add_argument("--tiny", action="store_true")
    said.add_argument("--folder", type=Path, help="where it is written, or is already")
    said.add_argument("--steps", type=int, default=4)
    said.add_argument("--pictures", type=int, default=1, help="in each process")
    said.add_argument("--rounds", type=int, default=2)
    said.add_argument("--threads", type=int, help="torch's own choice when not given")
    said.add_argument("--contenders", nargs="+", default=list(CONTENDERS), choices=list(CONTENDERS))
    said.add_argument("--child", help=argparse.SUPPRESS)
    asked = said.parse_args()
    if asked.child:
        import torch

        if asked.threads:
            torch.set_num_threads(asked.threads)
        print(json.dumps(painted(asked.child, asked.folder, asked.steps, asked.pictures)))
        return
    with tempfile.TemporaryDirectory() as work:
        folder = asked.folder or Path(work) / "model"
        if not (folder / "model_index.json").is_file():
            write_folder(folder, asked.tiny)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in asked.contenders}
        for _ in range(asked.rounds):
            for name in asked.contenders:
                found[name].append(_child(name, folder, asked))
                print(name, found[name][-1], file=sys.stderr, flush=True)
    print(json.dumps(_told(found) | {"tiles, dB": tiles_agree()}, indent=1))


def _child(name: str, folder: Path, asked: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", name, "--folder", str(folder)]
    command += ["--steps", str(asked.steps), "--pictures", str(asked.pictures)]
    command += ["--threads", str(asked.threads)] if asked.threads else []
    env = os.environ | {"HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, env=env, cwd=HOME)
    if ended.returncode:
        raise SystemExit(f"{name} failed: {ended.stderr[-2000:]}")
    said: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return said


def _told(found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Medians, and limner's over diffusers': speeds as theirs/ours, memory as ours/theirs."""
    middle = {
        name: {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        for name, rounds in found.items()
    }
    ratios = {}
    for ours in (name for name in middle if name.startswith("limner")):
        for theirs in (name for name in middle if name.startswith("diffusers")):
            a, b = middle[ours], middle[theirs]
            ratios[f"{ours} / {theirs}"] = {
                "step": b["step"] / a["step"],
                "picture": b["picture"] / a["picture"],
                "peak": a["peak"] / b["peak"],
            }
    return {"seconds and MiB": middle, "ratios": ratios}


if __name__ == "__main__":
    main()
