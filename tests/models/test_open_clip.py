"""open_clip's layout: the same numbers as open_clip gave (benchmarks/open_clip_numbers.py)."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from limner import open_clip
from limner.errors import BadInput
from limner.models._sight import of_open_clip

sys.path.insert(0, str(Path(__file__).parent))
from _clip_uses import used
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

SAID = json.loads(NUMBERS.read_text())
AGREE = 0.99999  # cosine


def tensor(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float()[None] / 255


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("open_clip")
    return {case: write(case, SAID["cases"][case]["shapes"], home / case) for case in CONFIGS}


@pytest.mark.parametrize("case", CONFIGS)
def test_embeddings_and_logits_are_open_clip_s(folders: dict[str, Path], case: str) -> None:
    clip, said = open_clip(folders[case]), SAID["cases"][case]
    short = TEXTS[:3]  # of a longer one than a window limner reads the rest, too
    assert [clip.tokenizer.filled(clip.tokenizer.windows(t)[0]) for t in TEXTS] == said["tokens"]
    pictures = clip.embed_pictures(torch.cat([tensor(each) for each in squares(case)]))
    texts = clip.embed_texts(short)
    wanted = torch.tensor(said["texts"][:3]), torch.tensor(said["pictures"])
    assert (texts * wanted[0]).sum(1).min() > AGREE
    assert (pictures * wanted[1]).sum(1).min() > AGREE
    assert wanted[1][0] @ wanted[1][1] < 0.999  # the pictures can be told apart
    logits = torch.tensor(said["logits"])[:, :3]
    assert torch.allclose(clip.logits(pictures, texts), logits, atol=1e-4)
    biased = case == "tanh"
    chances = logits.sigmoid() if biased else logits.softmax(1)
    assert torch.allclose(clip.chances(pictures, texts), chances, atol=1e-5)
    assert (clip.logit_bias != 0) is biased


@pytest.mark.parametrize("number", range(len(SEEN)))
def test_pictures_are_shown_as_by_open_clip(number: int) -> None:
    sight = of_open_clip(SEEN[number], SEEN_SIDE, Path("file"))
    for size, data in zip(SIZES, SAID["seen"][number], strict=True):
        theirs = np.frombuffer(base64.b64decode(data), np.uint8).reshape(3, SEEN_SIDE, SEEN_SIDE)
        apart = np.abs(sight(tensor(image(*size)))[0].numpy() * 255 - theirs.astype(float))
        assert apart.max() < 3 and apart.mean() < 0.4  # Pillow rounds and clips to bytes, twice


@pytest.mark.parametrize("case", ["gelu", "tanh"])
def test_it_is_used_as_any_clip(folders: dict[str, Path], case: str, run, tmp_path: Path) -> None:
    used(open_clip(folders[case]), run, tmp_path)


def test_transformers_files_beside_it_go_first(
    folders: dict[str, Path], clip_folder: Path, tmp_path: Path
) -> None:
    for file in [*clip_folder.iterdir(), *folders["gelu"].iterdir()]:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert open_clip(tmp_path).side == 32 and open_clip(tmp_path).tokenizer.length == 24
    (tmp_path / "model.safetensors").unlink()  # as where transformers' weights are pickled
    assert open_clip(tmp_path).tokenizer.length == 16


REFUSED = [
    ({"vision_cfg": {"timm_model_name": "vit_base"}}, "timm's 'vit_base'"),
    ({"text_cfg": {"hf_model_name": "roberta-base"}}, "Hugging Face's 'roberta-base'"),
    ({"text_cfg": {"hf_tokenizer_name": "bert"}}, "words are those of 'bert'"),
    ({"multimodal_cfg": {"width": 8}}, "CoCa"),
    ({"text_cfg": {"no_causal_mask": True}}, "no_causal_mask = True"),
    ({"vision_cfg": {"pool_type": "avg"}}, "pool_type = 'avg'"),
    ({"vision_cfg": {"of_tomorrow": 3}}, "of_tomorrow = 3"),
    ({"vision_cfg": {"norm_kwargs": {"bias": 1}}}, "norm_kwargs"),
    ({"vision_cfg": {"image_size": [32, 48]}}, "expected a square"),
    ({"vision_cfg": {"width": 48}}, "not those of its config"),
    ({"vision_cfg": {"layers": 10**6}}, "layers = 1000000"),
    ({"vision_cfg": 3}, "no vision_cfg"),
    ({"embed_dim": None}, "not usable"),
]


@pytest.mark.parametrize("change, said", REFUSED)
def test_what_it_does_not_compute_is_refused(
    folders: dict[str, Path], tmp_path: Path, change: dict, said: str
) -> None:
    config = json.loads((folders["gelu"] / "open_clip_config.json").read_text())
    model = config["model_cfg"]
    for key, value in change.items():
        inner = isinstance(value, dict) and isinstance(model.get(key), dict)
        model[key] = model[key] | value if inner else value
    weights = (folders["gelu"] / "open_clip_model.safetensors").read_bytes()
    (tmp_path / "open_clip_model.safetensors").write_bytes(weights)
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match=said) as caught:
        open_clip(tmp_path)
    assert "\n" not in str(caught.value)


def test_unknown_ways_of_showing_and_missing_weights(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    for wrong in ({"resize_mode": "stretch"}, {"interpolation": 3}, {"mean": [1]}, {"std": 0}):
        with pytest.raises(BadInput, match=next(iter(wrong))):
            of_open_clip(wrong, 32, Path("file"))
    text = (folders["gelu"] / "open_clip_config.json").read_text()
    (tmp_path / "open_clip_config.json").write_text(text)
    with pytest.raises(BadInput, match=r"open_clip_model\.safetensors is missing"):
        open_clip(tmp_path)
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(BadInput, match="pickled"):
        open_clip(tmp_path)
