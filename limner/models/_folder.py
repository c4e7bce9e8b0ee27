"""Reading a model's folder without trusting it: JSON and safetensors, and nothing that can run.

Whatever is missing, pickled, cut short or of another shape than its config says is BadInput. A hub
id is fetched only when the name cannot be a path and HF_HUB_OFFLINE is not set.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from limner.errors import BadInput
from limner.models._bounds import check_header, json_bytes
from limner.models._stored import Loading
from limner.models._stored import now as loading_now

__all__ = [
    "assembled",
    "cache_folder",
    "check_numbers",
    "described",
    "fingerprint",
    "find_folder",
    "header",
    "is_hub_id",
    "read_json",
    "refuse_pickled",
    "tensors",
    "weight_files",
    "weights",
]

Module = TypeVar("Module", bound=nn.Module)

PICKLED = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle")
_STEMS = ("diffusion_pytorch_model", "model")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_DEEPEST, _WIDEST = 128, 2_000_000  # layers, and any other number, that a config may ask for
_LARGE = 2**27  # bytes from which a file's hash is remembered
_FETCHED = ["*.json", "*.txt", "*.safetensors", "*spiece.model"]
_NOT_FETCHED = ["*.fp16.*", "*non_ema*", "*ema_only*", "safety_checker/*", "*/openvino*", "*onnx*"]


def find_folder(name: str | Path) -> Path:
    """The folder of a model: a path, a name on the shelf, or a hub id, cached or fetched."""
    from limner.models._shelf import find

    path = Path(name).expanduser()
    try:
        if path.is_dir():
            return path
        exists = path.exists()
    except (OSError, ValueError):  # a name too long, or with a NUL byte
        exists = False
    if exists:
        hint = " (pickled weights are never opened)" if path.suffix in PICKLED else ""
        raise BadInput(
            f"{str(name)!r} is a file{hint}: give the folder of a diffusers model, or a "
            "checkpoint that ends with .safetensors"
        )
    shelved = find(name)
    if shelved is not None and shelved.is_dir():
        return shelved
    if not is_hub_id(name):
        shown = str(name)[:200]
        raise BadInput(f'no model at {shown!r}: give "embedded", a model\'s folder or a hub id')
    return _from_hub(str(name))


def is_hub_id(name: str | Path) -> bool:
    """Whether a name could be owner/name at the hub."""
    return isinstance(name, str) and _HUB_ID.fullmatch(name) is not None and ".." not in name


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    offline = os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}
    try:
        folder = snapshot_download(
            name,
            allow_patterns=_FETCHED,
            ignore_patterns=_NOT_FETCHED,
            local_files_only=offline,
        )
    except Exception as error:  # a dozen types: no network, no such model, not allowed, disk full
        tried = "and HF_HUB_OFFLINE is set" if offline else f"nor on the hub ({_line(error)})"
        raise BadInput(f"no folder {name!r}, not in the hub's cache, {tried}") from None
    return Path(folder)


def _line(error: Exception) -> str:
    """An error's first line, kept short."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:160]


def read_json(path: Path, missing: Any = None) -> Any:
    """The object {…} in a JSON file. `missing` is what to give when there is no such file."""
    if missing is not None and not path.is_file():
        return missing
    try:
        said = json.loads(json_bytes(path).decode("utf-8"), parse_constant=_no_number)
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "it is not JSON"
        raise BadInput(f"cannot read {str(path)!r}: {reason}; is the model complete?") from None
    if not isinstance(said, dict):
        raise BadInput(f"{str(path)!r} holds a {type(said).__name__}: expected a JSON object")
    return said


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of one network. Raises BadInput naming pickled ones, or none at all."""
    for variant in ("", ".fp16"):
        for stem in _STEMS:
            whole = folder / f"{stem}{variant}.safetensors"
            if whole.is_file():
                return [whole]
            index = folder / f"{stem}.safetensors.index{variant}.json"
            if index.is_file():
                return _shards(index)
    refuse_pickled(folder)
    raise BadInput(f"no weights in {str(folder)!r}: expected {_STEMS[0]}.safetensors")


def refuse_pickled(folder: Path) -> None:
    """Raises BadInput when the folder's weights are pickled, saying how to convert them."""
    for file in sorted(folder.glob("*")):
        if file.suffix in PICKLED:
            raise BadInput(
                f"{str(file)!r} is pickled and could run code when opened: convert it to "
                "safetensors (huggingface.co/spaces/safetensors/convert) and give that folder"
            )


def _shards(index: Path) -> list[Path]:
    names = read_json(index).get("weight_map", {})
    files = sorted({str(name) for name in names.values()}) if isinstance(names, dict) else []
    for name in files:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise BadInput(f"{str(index)!r} names {name!r}: expected safetensors files beside it")
        if not (index.parent / name).is_file():
            raise BadInput(f"{str(index)!r} names {name!r}, which is missing: fetch it again")
    if not files:
        raise BadInput(f"{str(index)!r} names no weights")
    return [index.parent / name for name in files]


def weights(folder: Path) -> dict[str, Tensor]:
    """All weights of one network by name, on the CPU, in their own types."""
    return tensors(weight_files(folder))


def tensors(files: Iterable[Path]) -> dict[str, Tensor]:
    """What safetensors files hold, by name. Raises BadInput where one is cut short."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    out: dict[str, Tensor] = {}
    how = loading_now()
    for file in files:
        check_header(file)
        try:
            with safe_open(file, "np"):  # whether it is one, and whole
                held = how.stored(file) if how else None
            out.update(load_file(file) if held is None else held)
        except Exception as error:  # its own error, and torch's at types or sizes that cannot be
            raise BadInput(
                f"{str(file)!r} is no whole safetensors file ({_line(error)}): fetch it again"
            ) from None
    return out


def header(file: Path) -> dict[str, str]:
    """What a safetensors file says of itself beside its tensors, often nothing."""
    from safetensors import safe_open

    check_header(file)
    try:
        with safe_open(file, "pt") as opened:
            return dict(opened.metadata() or {})
    except Exception as error:  # its own error, and the system's
        raise BadInput(
            f"{str(file)!r} is no whole safetensors file ({_line(error)}): fetch it again"
        ) from None


def described(file: Path) -> Iterator[tuple[str, tuple[str, tuple[int, ...]]]]:
    """Types and shapes of a safetensors file's tensors, from its header. Raises BadInput."""
    from safetensors import SafetensorError, safe_open

    check_header(file)
    try:
        with safe_open(file, "np") as opened:
            for name in opened.keys():  # noqa: SIM118 - it has no other way
                part = opened.get_slice(name)
                yield name, (part.get_dtype(), tuple(part.get_shape()))
    except (SafetensorError, OSError) as error:
        raise BadInput(
            f"{str(file)!r} is no whole safetensors file ({_line(error)}): fetch it again"
        ) from None


def assembled(
    make: Callable[[dict[str, Any]], Module],
    config: dict[str, Any],
    state: dict[str, Tensor],
    where: Path,
) -> Module:
    """The network of this config with these weights, float32, ready to run.

    Nothing is drawn or allocated before the weights are in: it is built on torch's meta device.
    Raises BadInput when config and weights do not fit each other.
    """
    check_numbers(config, where)
    try:
        with torch.device("meta"):
            network = make(config)
    except BadInput as error:
        raise BadInput(f"the config in {str(where)!r}: {error}") from None
    except Exception as error:  # a config of another make: missing keys, sizes that do not divide …
        raise BadInput(f"the config in {str(where)!r} is not usable ({_line(error)})") from None
    try:
        network.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]] or [_line(error)]
        raise BadInput(
            f"the weights in {str(where)!r} are not those of its config: {lines[0][:160]}"
        ) from None
    how = loading_now() or Loading(torch.float32)
    how.fill(network, state, lambda weight, name, dtype: _ready(weight, name, where, dtype))
    return network.eval().requires_grad_(False)


def _ready(weight: Tensor, name: str, where: Path, dtype: torch.dtype) -> Tensor:
    """In this type; a convolution's channels-last, as the pictures that it meets are, unless it can
    be left as it is stored.

    Raises BadInput where it holds infinity or what is no number.
    """
    out = weight.to(dtype)
    if out.ndim == 4 and (out is not weight or loading_now() is None):
        out = out.contiguous(memory_format=torch.channels_last)
    # a sum is ten times as fast as looking at each; that of finite numbers may be infinite, too
    if not bool(out.sum().isfinite()) and not bool(out.isfinite().all()):
        raise BadInput(
            f"the weights in {str(where)!r} hold infinity or what are no numbers, in {name[:80]!r}:"
            " the training failed or the file is broken; give another"
        )
    return out


def check_numbers(config: dict[str, Any], where: Path) -> None:
    """Refuses a config that would build for hours."""
    for key, value in config.items():
        most = _DEEPEST if "layers" in key else _WIDEST
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, (int, float)) and not abs(number) <= most:
                raise BadInput(f"the config in {str(where)!r} says {key} = {number}")
        if isinstance(value, list) and len(value) > _DEEPEST:
            raise BadInput(f"the config in {str(where)!r} lists {len(value)} of {key}")


def fingerprint(files: Iterable[Path]) -> str:
    """SHA-256 over the files' names and contents, in order of their names."""
    total = hashlib.sha256()
    for file in sorted(files):
        total.update(f"{file.parent.name}/{file.name} {_file_hash(file)}\n".encode())
    return total.hexdigest()


def cache_folder() -> Path:
    """Where limner keeps what it could make again: ~/.cache/limner, or as XDG_CACHE_HOME says."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "limner"


def _file_hash(file: Path) -> str:
    """The file's SHA-256. Large files' are kept in the user's cache, by path, size and time."""
    stat = file.stat()
    if stat.st_size < _LARGE:
        return _read_hash(file)
    key = f"{file.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    kept = cache_folder() / "hashes" / hashlib.sha256(key.encode()).hexdigest()
    with suppress(OSError, ValueError):
        known = kept.read_text("ascii")
        if len(known) == 64:
            return known
    value = _read_hash(file)
    with suppress(OSError):  # a cache that cannot be written costs time, nothing else
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_suffix(f".{os.getpid()}")
        temporary.write_text(value, "ascii")
        temporary.replace(kept)
    return value


def _read_hash(file: Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
