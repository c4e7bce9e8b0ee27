"""A latent's file: what is written is read, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from limner import BadInput
from limner.noise import Noise
from limner.tasks._latent_file import Kept, latent_place, load_latent, save_latent

LATENT = {"w+": Noise(0, [0]).normal((4, 3)), "noise": Noise(1, [0]).normal((7,))}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = save_latent(tmp_path / "new" / "a.safetensors", Kept("stylegan", "abc", (8, 16), LATENT))
    kept = load_latent(path)
    assert (kept.generator, kept.fingerprint, kept.size) == ("stylegan", "abc", (8, 16))
    assert all(torch.equal(kept.latent[name], part) for name, part in LATENT.items())
    assert set(kept.latent) == set(LATENT)


def test_the_bytes_are_the_same_each_time(tmp_path: Path) -> None:
    paths = [
        save_latent(tmp_path / f"{i}.safetensors", Kept("latent", "f", (8, 8), LATENT))
        for i in range(2)
    ]
    assert paths[0].read_bytes() == paths[1].read_bytes()


GOOD = {"version": 1, "generator": "latent", "fingerprint": "f", "size": [8, 8]}


@pytest.mark.parametrize(
    ("said", "part", "reason"),
    [
        ({}, LATENT["noise"], "is no latent of this limner"),
        (GOOD | {"version": 2}, LATENT["noise"], "is no latent of this limner"),
        ([1], LATENT["noise"], "is no latent of this limner"),
        (GOOD | {"size": [8]}, LATENT["noise"], "not whole"),
        (GOOD | {"size": ["8", 8]}, LATENT["noise"], "not whole"),
        (GOOD | {"generator": 3}, LATENT["noise"], "not whole"),
        (GOOD | {"fingerprint": None}, LATENT["noise"], "not whole"),
        (GOOD, torch.zeros(2, 3), "not whole"),
        (GOOD, torch.zeros(()), "not whole"),
        (GOOD, torch.zeros(1, 3, dtype=torch.float64), "not whole"),
        (GOOD, torch.full((1, 3), torch.nan), "not whole"),
    ],
)
def test_another_file_is_refused(
    tmp_path: Path, said: object, part: torch.Tensor, reason: str
) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"z": part}, path, {"limner latent": json.dumps(said)})
    with pytest.raises(BadInput, match=reason):
        load_latent(path)


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    path = save_latent(tmp_path / "a.safetensors", Kept("latent", "f", (8, 8), LATENT))
    for data in (path.read_bytes()[:40], b"", b"nonsense" * 10):
        path.write_bytes(data)
        with pytest.raises(BadInput, match="cannot read the latent"):
            load_latent(path)
    with pytest.raises(BadInput, match="cannot read the latent"):
        load_latent(tmp_path / "nowhere.safetensors")


def test_places_are_checked_before_the_work(tmp_path: Path) -> None:
    for name, reason in (("a.png", "ends in .safetensors"), ("x/y/a.safetensors", "no folder")):
        with pytest.raises(BadInput, match=reason):
            latent_place(tmp_path / name)
