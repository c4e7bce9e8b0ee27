from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest


@pytest.fixture
def copy(sd_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    """A model's folder to do harm to."""
    return Path(shutil.copytree(sd_folder("sd1"), tmp_path / "model"))


@pytest.fixture(scope="session")
def xl_folder(
    sd_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """xl_folder(kind of `_xl_pipelines`) → a model's folder; not to be written into."""
    sys.path.insert(0, str(Path(__file__).parent))
    import _xl_pipelines

    @cache
    def get(kind: str) -> Path:
        folder = tmp_path_factory.mktemp(kind.replace(" ", "_"))
        _xl_pipelines.pipeline(kind, sd_folder("sd1") / "tokenizer").save_pretrained(folder)
        return folder

    return get


@pytest.fixture(scope="session")
def flow_folder(
    sd_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """flow_folder("sd3" | "sd3_without_t5" | "flux_dev" | "flux_schnell") → a model's folder."""
    from transformers import CLIPTokenizer

    sys.path.insert(0, str(Path(__file__).parent))
    import _flow_pipelines

    made: dict[str, Path] = {}
    words = CLIPTokenizer.from_pretrained(sd_folder("sd1") / "tokenizer")

    def get(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp(kind)
            _flow_pipelines.build(kind, made[kind], words)
        return made[kind]

    return get
