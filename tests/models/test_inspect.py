from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from limner.cli import main
from limner.errors import BadInput
from limner.models.inspect import inspect

STATE = {
    "g_ema.style.1.weight": torch.zeros(4, 4),
    "g_ema.to_rgb1.bias": torch.zeros(3),
    "g_ema.convs.0.conv.weight": torch.zeros(2, dtype=torch.float16),
}


def test_a_pickled_file_is_described_without_being_opened(tmp_path, capsys):
    torch.save({"state_dict": STATE, "optimizer": {"a": torch.ones(99)}}, tmp_path / "a.pt")
    told = inspect(tmp_path / "a.pt")
    assert (told.family, told.opens, told.tensors) == ("stylegan2", False, 3)
    assert (told.parameters, told.memory) == (21, 84) and told.precisions == ("F32", "F16")
    assert "limner convert" in told.can
    assert main(["inspect", str(tmp_path / "a.pt"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == 21
    assert main(["inspect", str(tmp_path / "a.pt")]) == 0
    assert "family: stylegan2\nopens: not as it is" in capsys.readouterr().out


def test_a_folder_says_its_family_and_licence(tmp_path):
    save_file({"w": torch.zeros(5, dtype=torch.bfloat16)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"_class_name": "VQModel"}')
    (tmp_path / "limner.json").write_text('{"licence": "MIT"}')
    told = inspect(tmp_path)
    assert (told.family, told.opens, told.licence) == ("vqgan", True, "MIT")
    assert (told.parameters, told.precisions) == (5, ("BF16",))


@pytest.mark.parametrize("config", ['{"auto_map": {"A": "b.C"}}', '{"trust_remote_code": true}'])
def test_a_folder_that_asks_for_code_is_refused(tmp_path, config):
    save_file({"w": torch.zeros(5)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(BadInput, match="asks for code"):
        inspect(tmp_path)


def test_what_is_no_model_is_said(tmp_path):
    for name, words in ((tmp_path, "no safetensors"), (tmp_path / "no.pt", "not there")):
        with pytest.raises(BadInput, match=words):
            inspect(name)


def test_convert_by_the_command_line(tmp_path, capsys):
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pt")
    out = str(tmp_path / "out")
    assert main(["convert", str(tmp_path / "a.pt"), "-o", out, "--licence", "MIT", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["family"], said["parameters"]) == ("tensors", 2)
    assert main(["convert", str(tmp_path / "a.pt"), "-o", out]) == 2
    assert "there already" in capsys.readouterr().err
    assert inspect(out).licence == "MIT"
