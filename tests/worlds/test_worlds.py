"""What holds for every world: its pictures are a pure function of seed and index."""

import hashlib
import importlib
import os
import subprocess
import sys

import numpy as np
import pytest

from limner._rooms import names

COUNT = 40


@pytest.fixture(scope="module", params=names("worlds"))
def world(request):
    return importlib.import_module(f"limner.worlds.{request.param}").World


@pytest.fixture(scope="module")
def pictures(world):
    return world(3).draw(range(COUNT)).pictures


def test_another_process_draws_the_same_picture(world, pictures):
    """Hashes of strings differ from process to process; nothing drawn may depend on one."""
    code = (
        f"import hashlib; from {world.__module__} import World;"
        f"print(hashlib.sha256(World(3).draw(range({COUNT})).pictures.tobytes()).hexdigest())"
    )
    environment = os.environ | {"PYTHONHASHSEED": "77"}
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert said.stdout.strip() == hashlib.sha256(pictures.tobytes()).hexdigest()


def test_another_seed_draws_other_pictures(world, pictures):
    other = world(seed=4).draw(range(20))
    assert all(not np.array_equal(a, b) for a, b in zip(other.pictures, pictures[:20]))
