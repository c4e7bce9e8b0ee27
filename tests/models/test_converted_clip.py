"""CLIPs of OpenAI's names which transformers has no place for: ResNets; and open_clip's files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from limner import open_clip
from limner.errors import BadInput
from limner.models.convert import convert

sys.path.insert(0, str(Path(__file__).parent))
from _clip_uses import used
from _open_clip_drawn import CONFIGS, NUMBERS, TEXTS, drawn, squares

SAID = json.loads(NUMBERS.read_text())["cases"]
AGREE = 0.99999  # cosine


def agree(folder: Path, case: str) -> None:
    """With what open_clip says of the same tensors."""
    clip, said = open_clip(folder), SAID[case]
    shown = np.stack([np.array(each) for each in squares(case)])
    pictures = clip.embed_pictures(torch.from_numpy(shown).permute(0, 3, 1, 2).float() / 255)
    assert (pictures * torch.tensor(said["pictures"])).sum(1).min() > AGREE
    texts = clip.embed_texts(TEXTS[:3])
    assert (texts * torch.tensor(said["texts"][:3])).sum(1).min() > AGREE


def test_openai_s_resnet(tmp_path: Path, run) -> None:
    state = {name: value.half() for name, value in drawn(SAID["resnet"]["shapes"]).items()}
    state["visual.bn1.num_batches_tracked"] = torch.tensor(9)
    state |= {"input_resolution": torch.tensor(64), "context_length": torch.tensor(16)}
    torch.save(state | {"vocab_size": torch.tensor(49408)}, tmp_path / "RN.pt")
    status, _, said = run("convert", tmp_path / "RN.pt", "-o", tmp_path / "out")
    assert status == 0, said
    agree(tmp_path / "out", "resnet")
    used(open_clip(tmp_path / "out"), run, tmp_path)


@pytest.mark.parametrize("case", ["gelu", "quick", "tanh"])
def test_open_clip_s_pickled_file(tmp_path: Path, case: str) -> None:
    file = tmp_path / "open_clip_pytorch_model.bin"
    torch.save(drawn(SAID[case]["shapes"]), file)
    with pytest.raises(BadInput, match=r"put its open_clip_config\.json beside it"):
        convert(file, tmp_path / "out")
    (tmp_path / "open_clip_config.json").write_text(json.dumps(CONFIGS[case]))
    convert(file, tmp_path / "out")
    agree(tmp_path / "out", case)
    assert open_clip(tmp_path / "out").mean == open_clip(tmp_path / "out").sight.mean


def test_another_s_config_is_refused(tmp_path: Path) -> None:
    torch.save(drawn(SAID["gelu"]["shapes"]), tmp_path / "clip.bin")
    for said in ({}, {"model_cfg": {"text_cfg": 3}}, CONFIGS["resnet"]):
        (tmp_path / "said.json").write_text(json.dumps(said))
        with pytest.raises(BadInput) as caught:
            convert(tmp_path / "clip.bin", tmp_path / "out", config=tmp_path / "said.json")
        assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()
