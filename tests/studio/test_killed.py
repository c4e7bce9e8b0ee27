"""kill -9 at random moments and at every named point: a small run of the benchmark."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from limner.studio.store import POINTS

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "studio_kill.py"


def test_nothing_that_was_said_is_lost_or_doubled(tmp_path):
    flags = ["--kills", "4", "--seconds", "0.2", "--passes", "1", "--folder", tmp_path / "data"]
    run = subprocess.run(
        [sys.executable, SCRIPT, *flags],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    told = json.loads(run.stdout)
    assert told["problems"] == [] and told["points"] == f"{len(POINTS)} of {len(POINTS)}"
    assert told["accepted"] > 10 and told["finished"] > 5 and told["brought"] > 3
