"""`limner gallery`: what its commands print, write and refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from limner.picture import Picture, load
from limner.studio.gallery import Gallery
from limner.studio.store import Store

CAT, DOG = (
    Picture(
        torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(n)),
        {"task": "generate", "arguments": {"prompt": prompt, "seed": n}},
    )
    for n, prompt in enumerate(("a cat\nin the snow", "a dog \x1b[2J"))
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two pictures to import; the studio's folder is named by the environment."""
    monkeypatch.setenv("LIMNER_DATA", str(tmp_path / "data"))
    (tmp_path / "old" / "deeper").mkdir(parents=True)
    CAT.save(tmp_path / "old" / "cat.png")
    DOG.save(tmp_path / "old" / "deeper" / "dog.png")
    (tmp_path / "old" / "notes.txt").write_text("no picture")
    return tmp_path


def test_import_search_list_and_export(run: Any, folder: Path) -> None:
    status, out, err = run("gallery", "import", "old")
    assert (status, err) == (0, "") and len(out.splitlines()) == 2
    assert run("gallery", "import", "old")[1] == out  # again: the same two
    cat = Path(out.splitlines()[0])
    assert cat.parent == folder / "data" / "pictures"
    status, listed, _ = run("gallery", "list")
    assert [line.split("\t")[2] for line in listed.splitlines()] == [
        "a dog \\x1b[2J",
        "a cat in the snow",
    ]
    status, found, _ = run("gallery", "search", "--text", "SNOW")
    assert found == f"{cat}\ta cat in the snow\n"
    status, found, _ = run("gallery", "search", "a cat", "--like", "old/cat.png", "--json")
    rows = json.loads(found)
    assert rows[0]["path"] == str(cat) and rows[0]["score"] > rows[1]["score"]
    assert rows[0]["recipe"] == CAT.recipe
    assert run("gallery", "export", cat, "-o", "out.png")[:2] == (0, "out.png\n")
    assert load("out.png").recipe == CAT.recipe
    (folder / "taken").mkdir()
    status, out, _ = run("gallery", "export", cat.stem, "-o", "taken", "--no-recipe")
    assert out == f"taken/{cat.name}\n" and load(f"taken/{cat.name}").recipe is None


def test_filters_reach_the_gallery(run: Any, folder: Path) -> None:
    run("gallery", "import", "old/cat.png", "old/deeper/dog.png")
    gallery = Gallery(Store(folder / "data"))
    dog, cat = gallery.list()
    gallery.favourite(dog.id)
    gallery.collect(cat.id, "best")

    def seeds(*flags: str) -> list[int]:
        return [row["seed"] for row in json.loads(run("gallery", "list", "--json", *flags)[1])]

    assert (
        seeds() == [1, 0] and seeds("--favourite") == [1] and seeds("--collection", "best") == [0]
    )
    assert seeds("--since", "2001-01-01", "--task", "generate") == [1, 0]
    assert seeds("--until", "2001-01-01") == [] and seeds("--limit", "1") == [1]
    assert seeds("--origin", "painted") == [] and seeds("--model", "x") == []


def test_what_is_wrong_is_one_line_and_the_rest_goes_on(run: Any, folder: Path) -> None:
    for words in (["list"], ["search", "a cat"], ["export", "x"]):
        status, out, err = run("gallery", *words)
        assert (status, out) == (2, "") and "no gallery in" in err and err.count("\n") == 1
    assert not (folder / "data").exists()
    status, out, err = run("gallery", "import", "old/notes.txt", "missing.png", "old/cat.png")
    assert status == 2 and len(out.splitlines()) == 1 and len(err.splitlines()) == 2
    assert "'old/notes.txt' is no PNG" in err and "cannot read the picture 'missing.png'" in err
    wrong = {
        ("search",): "nothing to search for",
        ("search", " "): "prompt",
        ("search", "--like", "no.png"): "cannot read the picture",
        ("list", "--origin", "x"): "no origin 'x'",
        ("list", "--limit", "0"): "--limit",
        ("list", "--data", "old/cat.png"): "no gallery in",
        ("export", "../../etc/passwd"): "no such picture",
        ("export", "x", "-o", "nowhere"): "no folder 'nowhere'",
        ("export", "x", "y", "-o", "out.png"): "one file for 2 pictures",
        ("import", "old/cat.png", "--data", "old/cat.png"): "cannot use the data folder",
    }
    for words, told in wrong.items():
        status, out, err = run("gallery", *words)
        assert (status, out) == (2, "") and told in err and "Traceback" not in err, (words, err)
