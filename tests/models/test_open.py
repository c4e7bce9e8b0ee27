"""Names of models: a folder, and an adapter of it after a plus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from limner import open_model
from limner.errors import BadInput
from limner.models._open import parted


def test_an_adapter_is_named_after_a_plus(tmp_path: Path) -> None:
    assert parted("embedded") == ("embedded", "")
    assert parted("embedded+student") == ("embedded", "student")
    assert parted("models/sd+runs/a+b/model") == ("models/sd", "runs/a+b/model")
    assert parted(tmp_path) == (tmp_path, "")


def test_a_folder_may_have_a_plus_in_its_name(
    sd_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    place = tmp_path / "a+b"
    place.symlink_to(sd_folder("own"))
    assert open_model(place).name == str(place)


def test_an_adapter_that_is_not_there_is_named(sd_folder: Callable[[str], Path]) -> None:
    with pytest.raises(BadInput, match=r"no adapter 'x{5000}'"):  # longer than a file's name may be
        open_model("embedded+" + "x" * 5000)
    with pytest.raises(BadInput, match="no adapter 'nowhere'"):
        open_model(f"{sd_folder('own')}+nowhere")
