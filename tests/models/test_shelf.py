"""The shelf: what is added opens by its name and is checked by hashes, and nothing else is lost."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from limner import open_model
from limner.errors import BadInput
from limner.models import shelf
from limner.models.clip import open_clip
from limner.tasks._checks import is_local

_spec = importlib.util.spec_from_file_location(
    "_small_hub", Path(__file__).with_name("_small_hub.py")
)
assert _spec is not None and _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
SmallHub, small_hub = _module.SmallHub, _module.small_hub

Get = Callable[[str], Path]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data" / "limner" / "models"


def here(folder: Path) -> dict[str, bytes]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_a_folder_opens_by_its_name(sd_folder: Get, clip_folder: Path, place: Path) -> None:
    before = here(sd_folder("own"))
    made = shelf.add(sd_folder("own"), "mine", licence="never asked")
    assert (made.name, made.licence) == ("mine", "MIT") and made.size > 10_000
    assert made.family == "stable diffusion" and {"unet/config.json"} < {f.path for f in made.files}
    opened = open_model("mine")
    assert opened.name == "mine" and (opened.size, opened.licence) == (64, "MIT")
    shelf.add(clip_folder, "eyes", licence="MIT-0")
    assert open_clip("eyes").side == 32 and is_local("eyes") and is_local("mine+student")
    assert [each.name for each in shelf.listed()] == ["eyes", "mine"]
    assert shelf.listed()[0].licence == "MIT-0" and shelf.damaged(made) == []
    shelf.remove("mine")
    with pytest.raises(BadInput, match="no model at 'mine'"):
        open_model("mine")
    assert here(sd_folder("own")) == before and not is_local("mine")


def test_one_file_opens_by_its_name_and_behind_a_plus(tmp_path: Path, sd_folder: Get) -> None:
    state = {"<toy>": torch.randn(2, 32)}
    save_file(state, tmp_path / "toy.safetensors")
    assert shelf.add("toy.safetensors").name == "toy"
    shelf.add(sd_folder("sd1"), "base")
    (tmp_path / "toy.safetensors").unlink()
    model = open_model("base+toy")
    assert model.tokenizer.backend.token_to_id("<toy>") is not None
    with pytest.raises(BadInput, match="no Stable Diffusion checkpoint"):
        open_model("toy")
    (tmp_path / "base").mkdir()  # what is called so here goes before the shelf
    with pytest.raises(BadInput, match="no model_index"):
        open_model("base")


def test_what_cannot_be_added(tmp_path: Path, sd_folder: Get, place: Path) -> None:
    model = sd_folder("sd1")
    (tmp_path / "a.ckpt").write_bytes(b"\x80\x02")
    (tmp_path / "code").mkdir()
    save_file({"w": torch.zeros(2)}, tmp_path / "code" / "model.safetensors")
    (tmp_path / "code" / "config.json").write_text('{"auto_map": {"A": "b.C"}}')
    shelf.add(model, "there")
    for source, name, reason in (
        ("nowhere", None, "no model at 'nowhere'"),
        (tmp_path / "a.ckpt", None, "no safetensors file: limner convert"),
        (tmp_path / "code", None, "asks for code"),
        (tmp_path / "data", None, "no safetensors"),
        (model, "../out", "cannot be a name"),
        (model, ".hidden", "cannot be a name"),
        (model, "a/b", "cannot be a name"),
        (model, "embedded", "limner's own"),
        (model, "there", "on the shelf already"),
        ("a\0b", None, "no model at"),
        ("someone/thing", None, "the hub does not tell"),
    ):
        with pytest.raises(BadInput, match=reason) as raised:
            shelf.add(source, name)
        assert "\n" not in str(raised.value)
    assert [each.name for each in shelf.listed()] == ["there"]
    for name in ("nowhere", "..", "../../x"):
        with pytest.raises(BadInput, match=r"not on the shelf|cannot be a name"):
            shelf.remove(name)


def test_what_changed_is_noticed(sd_folder: Get, place: Path) -> None:
    made = shelf.add(Path(shutil.copytree(sd_folder("sd1"), "copy")), "mine")
    files = place / "mine" / "model"
    weights = files / "vae" / "diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.unlink()
    weights.write_bytes(content)
    (files / "unet" / "config.json").unlink()
    (files / "extra.json").write_text("{}")
    told = shelf.damaged(made)
    assert told == [
        "unet/config.json is missing",
        f"vae/{weights.name} is changed",
        "extra.json was not added",
    ]
    (place / "mine" / "manifest.json").write_text('{"files": [{"path": "../../x"}]}')
    assert shelf.damaged(shelf.listed()[0]) == ["manifest.json cannot be read"]
    with pytest.raises(BadInput, match="no manifest"):
        open_model("mine")
    shelf.remove("mine")
    assert shelf.listed() == []


def test_nothing_outside_is_deleted(sd_folder: Get, tmp_path: Path, place: Path) -> None:
    shelf.add(Path(shutil.copytree(sd_folder("sd1"), "copy")), "mine")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("1")
    (place / "mine" / "model" / "link").symlink_to(outside, target_is_directory=True)
    shelf.remove("mine")
    (place / "linked").symlink_to(outside, target_is_directory=True)
    with pytest.raises(BadInput, match="not on the shelf"):
        shelf.remove("linked")
    assert (outside / "precious").read_text() == "1" and (tmp_path / "copy" / "unet").is_dir()


def test_two_at_once_are_one(sd_folder: Get) -> None:
    errors: list[BadInput] = []

    def add() -> None:
        try:
            shelf.add(sd_folder("sd1"), "mine")
        except BadInput as error:
            errors.append(error)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(errors) == 3 and all("already" in str(error) for error in errors)
    assert shelf.damaged(shelf.listed()[0]) == []


@pytest.fixture
def hub(sd_folder: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    import huggingface_hub

    model = Path(shutil.copytree(sd_folder("sd1"), tmp_path / "at the hub"))
    (model / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"pickled")
    (model / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"half")
    (model / "v1-5.safetensors").write_bytes(b"whole")
    (model / "safety_checker").mkdir()
    (model / "safety_checker" / "model.safetensors").write_bytes(b"not read")
    with small_hub(model) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        yield served


UNET = "unet/diffusion_pytorch_model.safetensors"


def test_a_cut_download_goes_on(hub: Any, monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """Within a run, and in the next."""
    seen: list[tuple[str, int, int]] = []

    def stop(name: str, done: int, total: int) -> None:
        seen.append((name, done, total))
        if name == UNET and len([each for each in hub.asked if each[0] == UNET]) == 2:
            raise KeyboardInterrupt  # by the user

    size = len(hub.files[UNET])
    hub.cuts = {UNET: [size // 2]}
    with pytest.raises(KeyboardInterrupt):
        shelf.add("someone/thing", report=stop)
    unets = [first for name, first in hub.asked if name == UNET]
    assert unets == [0, size // 2] and shelf.listed() == []
    asked = len(hub.asked)
    made = shelf.add("someone/thing", report=lambda *said: seen.append(said))
    again = hub.asked[asked:]
    assert not {name for name, _ in again} & {name for name, _ in hub.asked[: asked - 2]}
    assert [first > size // 2 for name, first in again if name == UNET] in ([], [True])
    assert seen[-1][1] == seen[-1][2] == made.size
    assert made.origin == f"someone/thing@{'a' * 40}" and made.licence == "apache-2.0"
    read = {each.path for each in made.files}
    assert UNET in read and not [each for each in read if "fp16" in each or "safety" in each]
    assert "v1-5.safetensors" not in read and not any(each.endswith(".bin") for each in read)
    assert not list(place.rglob("*.part"))
    # from now on without the hub, by both names
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    asked = len(hub.asked)
    assert open_model("thing").unet is not None and open_model("someone/thing").size > 0
    assert len(hub.asked) == asked and is_local("someone/thing")


def test_a_half_file_of_a_server_without_ranges(hub: Any) -> None:
    hub.ranges, hub.cuts = False, {UNET: [1000]}
    made = shelf.add("someone/thing", "again")
    assert shelf.damaged(made) == []


def test_other_bytes_than_announced_are_not_kept(hub: Any, place: Path) -> None:
    for wrong in (hub.files[UNET][:-1] + b"\7", hub.files[UNET] + b"and more"):
        hub.sent = {UNET: wrong}
        if len(wrong) == len(hub.files[UNET]):
            with pytest.raises(BadInput, match="is not what it said"):
                shelf.add("someone/thing")
            assert shelf.listed() == [] and not list(place.rglob("*.part"))
    assert shelf.damaged(shelf.add("someone/thing")) == []  # what is over is cut off


def test_a_hub_that_gives_up(hub: Any) -> None:
    hub.cuts = {UNET: [0] * 50}
    with pytest.raises(BadInput, match=r"stopped sending .* add it again"):
        shelf.add("someone/thing")
    shelf.remove("thing")  # what has come
    hub.files = {"config.json": b"{}", "model.bin": b"pickled"}
    with pytest.raises(BadInput, match="no safetensors at the hub"):
        shelf.add("someone/thing")
    hub.files = {"../../x.safetensors": b"out", "a/b/c/d.json": b"{}", "/etc/x.safetensors": b"out"}
    with pytest.raises(BadInput, match="no safetensors at the hub"):
        shelf.add("someone/thing")


def test_the_commands(run: Any, sd_folder: Get) -> None:
    status, out, _ = run("models", "add", sd_folder("own"), "--as", "mine", "--json")
    assert status == 0 and json.loads(out)["family"] == "stable diffusion"
    assert run("models", "add", sd_folder("own"), "--as", "mine")[0] == 2
    status, out, _ = run("models", "list")
    assert status == 0 and out.startswith("mine  stable diffusion") and "MIT" in out
    assert run("models", "list", "--check", "--json")[0] == 0
    file = shelf.shelf_folder() / "mine" / "model" / "model_index.json"
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content + b" ")
    status, out, _ = run("models", "list", "--check")
    assert status == 1 and "model_index.json is changed" in out
    assert run("models", "remove", "mine")[0] == 0 and run("models", "remove", "mine")[0] == 2
    status, out, _ = run("models", "--help")
    assert status == 0 and "add" in out and "remove" in out


def test_a_killed_add_leaves_the_shelf_whole(sd_folder: Get, place: Path) -> None:
    """A process that dies with the lock in its hand, and a part on the disk."""
    model = sd_folder("sd1")
    child = os.fork()
    if child == 0:
        shelf.add(model, "mine", report=lambda *said: os._exit(9))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert shelf.listed() == [] and (place / ".partial" / "mine").is_dir()
    assert shelf.damaged(shelf.add(sd_folder("sd1"), "mine")) == []
