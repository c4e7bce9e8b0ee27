"""The house's rules, read from its files: who imports whom, and what a room's door looks like."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import limner
from limner._rooms import find, names
from limner.errors import BadInput

ROOMS = (
    "errors", "noise", "levels", "picture", "prompt", "worlds", "data", "nets", "quarantine",
    "models", "judges", "generators", "denoisers", "samplers", "searches", "tasks", "training",
    "measures", "studio", "cli",
)  # fmt: skip
HOUSE = Path(limner.__file__).parent
FILES = sorted(HOUSE.rglob("*.py"))
DOORS = [file for file in FILES if file.name == "__init__.py" and file.parent != HOUSE]


def room_of(file: Path) -> str:
    """The first part of its path; `_cli_paint.py` is a helper of cli."""
    name = file.relative_to(HOUSE).parts[0].removesuffix(".py")
    first = name[1:].split("_")[0] if name.startswith("_") else name
    return first if first in ROOMS else name


def imported(file: Path) -> set[str]:
    """Every limner module a file imports, at the top, in a function or for its types alone."""
    package = ["limner", *file.relative_to(HOUSE).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "limner"}


def rooms_used(file: Path) -> set[str]:
    return {name.split(".")[1] for name in imported(file) if "." in name} & {
        *ROOMS,
        *(room_of(other) for other in FILES),
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(HOUSE)))
def test_imports_run_one_way_along_the_list_of_rooms(file):
    room = room_of(file)
    if room in ("__init__", "__main__"):
        return  # the front door shows every room, when asked
    if room.startswith("_"):
        assert {used for used in rooms_used(file) if not used.startswith("_")} <= {"errors"}
        return
    assert room in ROOMS, f"{room} has no place in the list of rooms"
    for used in rooms_used(file):
        later = not used.startswith("_") and ROOMS.index(used) > ROOMS.index(room)
        assert not later, f"{file.relative_to(HOUSE)} imports {used}, which comes after {room}"
        assert {used, room} != {"judges", "generators"}, "judges and generators never meet"


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.parent.name)
def test_a_room_s_door_is_its_contract_and_imports_no_member(door):
    text = door.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40
    assert ast.get_docstring(ast.parse(text)), "a contract begins with a sentence"
    own = "limner." + ".".join(door.relative_to(HOUSE).parts[:-1])
    assert not {name for name in imported(door) if name == own or name.startswith(own + ".")}


def test_names_are_the_files_without_the_helpers():
    known = names("samplers")
    assert known == sorted(known) and {"ddim", "heun"} <= set(known)
    assert not [name for name in known if name.startswith("_")]
    assert (HOUSE / "samplers" / "_steps.py").exists()


@pytest.mark.parametrize("room, name", [("samplers", "heun"), ("denoisers", "gaussian_mixture")])
def test_find_gives_what_the_file_is_named_after(room, name):
    found = find(room, name)
    assert found.__module__ == f"limner.{room}.{name}"
    assert found.__name__.lower() == name.replace("_", "")


@pytest.mark.parametrize("room", ["samplers", "denoisers"])
def test_every_member_is_named_after_its_file(room):
    assert all(callable(find(room, name)) for name in names(room))


@pytest.mark.parametrize("name", ["hune", "_steps", "__init__", "../errors", "", "os"])
def test_only_listed_names_are_imported(name):
    with pytest.raises(BadInput, match="choose one of ddim, ddpm"):
        find("samplers", name)


def test_a_file_without_its_own_name_is_a_mistake_of_the_house(monkeypatch):
    import limner._rooms as rooms

    monkeypatch.setattr(rooms.importlib, "import_module", lambda name: ast)
    with pytest.raises(TypeError, match=r"limner/samplers/heun\.py"):
        find("samplers", "heun")
