from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def copy(sd_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    """A model's folder to do harm to."""
    return Path(shutil.copytree(sd_folder("sd1"), tmp_path / "model"))
