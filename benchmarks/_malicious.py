"""The files of `malicious_files.py`: each a name and a function that writes one into a folder.

Every call that they ask for would leave a file, the canary, if anything ran it.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from _malicious_networks import networks

__all__ = ["CANARY", "cases"]

Maker = Callable[[Path], Path]
CANARY = "canary"
_SAID = f"touch {CANARY}"
# Names that bypassed deny-lists, or would: what runs, imports, opens, spawns, unpickles again.
_NAMES = """
os.system posix.system nt.system os.popen os.execv os.spawnv builtins.eval builtins.exec
builtins.__import__ builtins.getattr builtins.compile builtins.open builtins.setattr
__builtin__.eval
subprocess.Popen subprocess.check_output subprocess.call runpy.run_path runpy._run_code pty.spawn
importlib.import_module code.InteractiveInterpreter timeit.timeit cProfile.run profile.run pdb.run
bdb.Bdb webbrowser.open socket.create_connection ctypes.CDLL torch.load torch.hub.load
torch.storage._load_from_bytes torch.jit.load torch.serialization.load torch.classes.load_library
torch._utils._rebuild_device_tensor_from_numpy torch._utils._rebuild_tensor_v2.__globals__
torch._utils.__builtins__ torch.utils.collect_env.run torch.utils.data.DataLoader numpy.load
numpy.core.multiarray._reconstruct numpy.testing._private.utils.runstring pickle.loads
_pickle.loads marshal.loads types.FunctionType types.CodeType functools.partial functools.reduce
operator.attrgetter operator.methodcaller collections.OrderedDict.popitem copyreg._reconstructor
copyreg.__newobj__ copyreg.add_extension shutil.rmtree multiprocessing.util.spawnv_passfds
asyncio.run logging.config.dictConfig pydoc.pipepager site.addsitedir sys.modules pip.main
pip._internal.main doctest.debug_script idlelib.run.Executive collections.namedtuple
torch.nn.Linear __main__.anything limner.models.convert.convert pathlib.Path.unlink
""".split()  # noqa: SIM905 - a list would take a page


def _text(said: str) -> bytes:
    return b"X" + struct.pack("<I", len(said.encode())) + said.encode()


def _calls(full: str) -> list[bytes]:
    """One call of a name in each way that a pickle knows."""
    module, _, name = full.rpartition(".")
    named = f"c{module}\n{name}\n".encode()
    both = _text(module) + _text(name) + b"\x93"
    said = _text(_SAID)
    return [
        named + said + b"\x85R",
        both + said + b"\x85R",
        f"({_inst(module, name)}".encode(),
        b"(" + named + said + b"o",
        named + said + b"\x85\x81",
        named + said + b"\x85}\x92",
        named + b")\x81}" + _text("__setstate__") + named + b"sb",
    ]


def _inst(module: str, name: str) -> str:
    return f"V{_SAID}\ni{module}\n{name}\n"


def _zipped(pickled: bytes, numbers: dict[str, bytes] | None = None) -> bytes:
    """An archive as torch.save writes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/byteorder", "little")
        for key, each in (numbers or {"0": bytes(16)}).items():
            archive.writestr(f"a/data/{key}", each)
    return out.getvalue()


def _legacy(body: bytes) -> bytes:
    """The five pickles of torch before 1.6."""
    first = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True, "type_sizes": {}})
    head = b"".join(pickle.dumps(each, 2) for each in first)
    return head + body + pickle.dumps([], 2)


def _tensor(shape: tuple[int, ...] = (4,), strides: tuple[int, ...] = (1,), at: int = 0) -> bytes:
    """The opcodes of one float32 tensor over storage "0" of four numbers."""
    numbers = pickle.dumps((at, shape, strides), 2)[2:-1]
    _, inner = numbers, b"".join(pickle.dumps(each, 2)[2:-1] for each in (at, shape, strides))
    storage = b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text("0") + _text("cpu")
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x04tQ" + inner + b"\x89}tR"


def _saved(value: bytes, name: str = "w") -> bytes:
    """A pickle of {name: value}."""
    return b"\x80\x02}" + _text(name) + value + b"s."


def _file(name: str, content: bytes) -> Maker:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    return make


def cases() -> Iterator[tuple[str, Maker]]:
    """All of them."""
    for i, full in enumerate(_NAMES):
        ways = _calls(full)
        yield f"zip {full} {i % 7}", _file("a.ckpt", _zipped(_saved(ways[i % 7])))
        other = ways[(i + 3) % 7]
        yield f"legacy {full} {(i + 3) % 7}", _file("a.pt", _legacy(_saved(other)))
    yield from _pickles()
    yield from ((name, _file("a.pkl", content)) for name, content in networks(_SAID, _calls))
    yield from _archives()
    yield from _safetensors()
    yield from _folders()


def _pickles() -> Iterator[tuple[str, Maker]]:
    system = _calls("os.system")[0]
    chain = b"cbuiltins\ngetattr\ncos\nsystem\n" + _text("__call__") + b"\x86R"
    deep, laughs = b"]" * 200_000, b"]" + b"2\x86" * 5000
    twice = (b"h" + bytes([i]) for i in range(90))
    bomb = b"".join(b"(" + 2 * each + b"lq" + bytes([i + 1]) for i, each in enumerate(twice))
    said = {
        "getattr chain": chain,
        "call of a call": system + b")R",
        "call of a tensor": _tensor() + b")R",
        "state of a list": b"](K\x01eK\x01b",
        "extension 1": b"\x82\x01)R",
        "extension 2": b"\x83\x01\x00)R",
        "extension 4": b"\x84\x01\x00\x00\x00)R",
        "persistent text": b"Pos.system\n",
        "persistent call": system + b"Q",
        "persistent tuple": b"(" + _text("module") + b"cos\nsystem\ntQ",
        "storage of a name": b"(" + _text("storage") + b"cos\nsystem\n" + _text("00") + b"NK\x01tQ",
        "out-of-band buffer": b"\x97\x98",
        "deep lists": deep + b"a" * 199_999,
        "nested pairs": laughs,
        "memo laughs": b"(](K\x01eq\x00" + bomb + b"t",
        "hash of nested pairs": b"}" + b")" + b"2\x86" * 60 + b"K\x01s",
        "pairs of pairs": b"ccollections\nOrderedDict\n]()" + b"2\x86" * 60 + b"K\x01\x86e\x85R",
        "itself": b"]q\x00h\x00a",
        "long integer": b"\x8b" + struct.pack("<i", 5_000_000) + b"\x7f" * 5_000_000,
        "written integer": b"I" + b"9" * 400 + b"\n",
        "no mark": b"t",
        "empty stack": b"0000",
        "text of no length": b"X\xff\xff\xff\xff",
        "bytes of no length": b"\x8e" + b"\xff" * 8,
        "frame of no length": b"\x95" + b"\xff" * 8,
        "memo of no number": b"h\xff",
        "million steps": b"N0" * 1_000_000 + b"N",
        "million lists": b"(" + b"]" * 900_000 + b"l",
        "beyond its storage": _tensor((5,)),
        "far offset": _tensor((1,), (1,), 2**40),
        "negative stride": _tensor((4,), (-1,)),
        "expanded": _tensor((100_000, 100_000), (0, 0)),
        "overflowing shape": _tensor((2**40, 2**40), (1, 1)),
        "shape of names": _tensor().replace(b"K\x04\x85", _text("4") + b"\x85", 1),
        "sparse": b"ctorch._utils\n_rebuild_sparse_tensor\n)R",
        "quantised": b"ctorch._utils\n_rebuild_qtensor\n)R",
        "no tensors": b"K\x01",
        "callback called": b"cpytorch_lightning.callbacks.x\nX\n)R",
        "script class in a plain file": b"c__torch__.os\nsystem\n)\x81",
        "unicode name": "cos\u2024x\nsystem\n".encode() + b")R",
        "escape in a name": b"c\x1b[31mos\nsystem\n)R",
    }  # fmt: skip
    for name, body in said.items():
        yield name, _file("a.ckpt", _zipped(_saved(body)))
    for name in ("getattr chain", "deep lists", "memo laughs", "persistent call", "million steps"):
        yield f"legacy {name}", _file("a.pt", _legacy(_saved(said[name])))
    numbers = struct.pack("<4f", 1, float("nan"), 2, 3)
    yield "NaN", _file("a.ckpt", _zipped(_saved(_tensor()), {"0": numbers}))
    endless = struct.pack("<4f", 1, float("inf"), 2, 3)
    yield "infinity", _file("a.ckpt", _zipped(_saved(_tensor()), {"0": endless}))
    yield "raw pickle", _file("a.pkl", _saved(system))
    yield "raw pickle of protocol 0", _file("a.pkl", f"cos\nsystem\n(V{_SAID}\ntR.".encode())
    yield "two pickles", _file("a.pkl", pickle.dumps(0x1950A86A20F9469CFC6C, 2) + _saved(system))


def _archives() -> Iterator[tuple[str, Maker]]:
    whole = _zipped(_saved(_tensor()))
    for at in (5, 40, len(whole) // 2, len(whole) - 30, len(whole) - 1):
        yield f"zip cut at {at}", _file("a.pt", whole[:at])
    for wrong in (b"}X", b"\0" * 16):  # in the pickle, in the numbers
        at = whole.index(wrong)
        yield f"bad checksum at {at}", _file("a.pt", whole[:at] + b"~" + whole[at + 1 :])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", _saved(_tensor()) + bytes(50_000_000))
    yield "zip bomb", _file("a.pt", packed.getvalue())
    numbers = io.BytesIO()
    with zipfile.ZipFile(numbers, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", _saved(_tensor()), zipfile.ZIP_STORED)
        archive.writestr("a/data/0", bytes(50_000_000))
    yield "zip bomb of numbers", _file("a.pt", numbers.getvalue())
    entry = whole.index(b"PK\x01\x02")
    second = whole.index(b"PK\x01\x02", entry + 4)
    overlap = bytearray(whole)
    overlap[second + 42 : second + 46] = overlap[entry + 42 : entry + 46]
    yield "overlapping entries", _file("a.pt", bytes(overlap))
    far = bytearray(whole)
    far[entry + 42 : entry + 46] = b"\xf0\xff\xff\xff"
    yield "entry beyond the end", _file("a.pt", bytes(far))
    many = bytearray(whole)
    many[-12:-10] = b"\xff\xff"
    yield "directory too long", _file("a.pt", bytes(many))
    yield "no data.pkl", _file("a.pt", _zipped(b"").replace(b"data.pkl", b"data.pk_"))
    yield "data.pkl above", _file("a.pt", whole.replace(b"a/data.pkl", b"../ta.pkl.", 2))
    yield "big-endian", _file("a.pt", whole.replace(b"little", b"big---"))
    yield "tar", _file("a.tar", b"a" * 100 + b"0000644" * 60)
    for name, content in (("png", b"\x89PNG\r\n\x1a\n" + bytes(64)), ("text", b"x" * 100)):
        yield f"a {name} called .ckpt", _file("a.ckpt", content)
    yield "empty", _file("a.ckpt", b"")
    yield "pickle called .safetensors", _file("a.safetensors", _saved(_calls("os.system")[0]))
    yield "zip called .safetensors", _file("a.safetensors", whole)


def _header(said: object, numbers: bytes = bytes(16)) -> bytes:
    text = said if isinstance(said, bytes) else json.dumps(said).encode()
    return struct.pack("<Q", len(text)) + text + numbers


def _safetensors() -> Iterator[tuple[str, Maker]]:
    one = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    nan = struct.pack("<4f", 0, float("nan"), 0, 0)
    said: dict[str, bytes] = {
        "longest header": struct.pack("<Q", 2**63) + b"{}",
        "header beyond the end": struct.pack("<Q", 500) + b"{}",
        "large header": _header(b'{"__metadata__":{' + b" " * 30_000_000 + b"}}"),
        "header of lists": _header(b'{"w":' + b"[" * 50_000),
        "overlapping tensors": _header({"w": one, "v": one}),
        "gap": _header({"w": one | {"data_offsets": [4, 20]}}, bytes(20)),
        "tensor beyond the end": _header({"w": one | {"shape": [8], "data_offsets": [0, 32]}}),
        "wrong shape": _header({"w": one | {"shape": [5]}}),
        "overflowing": _header({"w": one | {"shape": [2**62, 2**62]}}),
        "negative offset": _header({"w": one | {"data_offsets": [-16, 0]}}),
        "backwards": _header({"w": one | {"data_offsets": [16, 0]}}),
        "unknown type": _header({"w": one | {"dtype": "os.system"}}),
        "rest behind": _header({"w": one}, bytes(32)),
        "no object": _header([1, 2]),
        "not JSON": _header(b"import os"),
        "NaN weights": _header({"w": one}, nan),
        "no tensors": _header({}, b""),
        "cut short": _header({"w": one}, bytes(9)),
    }
    for name, content in said.items():
        yield f"safetensors: {name}", _file("a.safetensors", content)


def _folders() -> Iterator[tuple[str, Maker]]:
    """Folders, and what is no plain file."""
    weights = _header({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}})

    def folder(config: bytes, index: object = None) -> Maker:
        def make(place: Path) -> Path:
            model = place / "model"
            model.mkdir()
            (model / "model.safetensors").write_bytes(weights)
            (model / "config.json").write_bytes(config)
            if index is not None:
                said = json.dumps(index)
                (model / "model.safetensors.index.json").write_text(said)
            return model

        return make

    for name, config in {
        "lists": b"[" * 200_000,
        "long": b"[" + b"[]," * 3_000_000 + b"[]]",
        "large": b" " * 5_000_000,
        "integer": b'{"a": ' + b"9" * 100_000 + b"}",
        "no JSON": b"!!python/object/apply:os.system [x]",
        "no object": b"[1]",
        "remote code": b'{"auto_map": {"AutoModel": "evil.Model"}}',
        "trusting": b'{"trust_remote_code": true}',
    }.items():
        yield f"config: {name}", folder(config)
    for name in ("../../secret.safetensors", "/etc/passwd", "a/../b.safetensors", "x.bin", "gone"):
        yield f"index: {name}", folder(b"{}", {"weight_map": {"w": name}})
    yield "link to a device", _link("/dev/zero")
    yield "link to itself", _link("a.ckpt")
    yield "link to a secret", _link("/etc/passwd")
    yield "link to a secret as safetensors", _link("/etc/passwd", "a.safetensors")
    yield "a pipe", _pipe


def _link(to: str, name: str = "a.ckpt") -> Maker:
    def make(folder: Path) -> Path:
        path = folder / name
        path.symlink_to(to)
        return path

    return make


def _pipe(folder: Path) -> Path:
    path = folder / "a.ckpt"
    os.mkfifo(path)
    return path
