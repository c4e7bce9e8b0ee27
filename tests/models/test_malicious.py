"""A part of benchmarks/malicious_files.py: refused in a line, soon, with nothing run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from _malicious import CANARY, cases
from malicious_files import tried

CASES = list(cases())


def test_there_are_two_hundred_and_no_name_twice():
    assert len(CASES) >= 200 and len({name for name, _ in CASES}) == len(CASES)


@pytest.mark.parametrize("name, make", CASES[::6], ids=[name for name, _ in CASES[::6]])
def test_it_is_refused_and_nothing_runs(tmp_path, name, make):
    each = tried(name, make, tmp_path)
    assert each.line and not each.event and not (tmp_path / CANARY).exists()
    assert each.mebibytes < 256


def test_the_hook_and_the_canary_notice(tmp_path, monkeypatch):
    """They do, where a reader does run what a file says."""
    import malicious_files

    monkeypatch.chdir(tmp_path)
    broken = malicious_files._HOOKED.replace("child.main()", "import pickle; os.system('true')")
    monkeypatch.setattr(malicious_files, "_HOOKED", broken)
    assert malicious_files._audited(tmp_path, tmp_path)[0].startswith(("import", "os.system"))
    (tmp_path / CANARY).touch()
    assert tried(*CASES[0], tmp_path).event == "the canary is there"
