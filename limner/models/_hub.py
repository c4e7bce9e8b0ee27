"""Fetching a model's files from the hub, going on where an earlier try was cut off.

The hub says of every file its size and its hash (SHA-256, or git's of small ones). A file is
written under its hash and gets its name once that is right; so what is there of it is of use to
whoever asks for it again.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from limner.errors import BadInput

__all__ = ["Offered", "Report", "Sent", "fetch", "offered"]

Report = Callable[[str, int, int], None]  # what, bytes done, bytes in all

_PART = re.compile(r"[A-Za-z0-9_][\w.-]*", re.ASCII)
_KINDS = (".json", ".txt", ".model")
_NOT = ("non_ema", "ema_only", "openvino", "onnx", "flax", "tf_model")
_NOT_IN = ("safety_checker",)
_TRIES = 5  # without a byte more
_MOST_FILES = 300


@dataclass(frozen=True)
class Sent:
    """A file that the hub has."""

    path: str
    size: int
    digest: str  # hexadecimal: SHA-256 of 64 digits, or git's SHA-1 of 40


@dataclass(frozen=True)
class Offered:
    """A model at the hub, and those of its files that limner reads."""

    name: str
    revision: str
    licence: str
    files: tuple[Sent, ...]


def offered(name: str) -> Offered:
    """What the hub has of a model. Raises BadInput where that cannot be told."""
    from huggingface_hub import HfApi

    try:
        said = HfApi(endpoint=_endpoint()).model_info(name, files_metadata=True, timeout=20)
    except Exception as error:  # a dozen types: no network, offline, no such model, not allowed
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise BadInput(f"the hub does not tell of {name!r} ({lines[0][:160]})") from None
    card = said.card_data
    licence = str((card.get("license") if card else None) or "see the model's own page")
    sent = [_sent(each) for each in said.siblings or [] if _wanted(str(each.rfilename))]
    files = tuple(_chosen([each for each in sent if each is not None]))
    if not any(each.path.endswith(".safetensors") for each in files):
        raise BadInput(f"{name!r} has no safetensors at the hub: limner fetches no pickled weights")
    if len(files) > _MOST_FILES:
        raise BadInput(
            f"{name!r} has {len(files)} files at the hub: no model that limner opens has"
        )
    return Offered(name, str(said.sha or "main"), licence, files)


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _sent(said: Any) -> Sent | None:
    digest = said.lfs.sha256 if said.lfs else said.blob_id
    if not isinstance(said.size, int) or not re.fullmatch(
        r"[0-9a-f]{40}|[0-9a-f]{64}", str(digest)
    ):
        return None
    return Sent(said.rfilename, said.size, digest)


def _wanted(path: str) -> bool:
    parts = path.split("/")
    plain = len(parts) <= 3 and all(_PART.fullmatch(part) for part in parts)
    kind = path.endswith((".safetensors", *_KINDS))
    return plain and kind and parts[0] not in _NOT_IN and not any(word in path for word in _NOT)


def _chosen(files: list[Sent]) -> list[Sent]:
    """Of weights in two precisions the first; beside a pipeline's parts no whole checkpoint."""
    names = {each.path for each in files}
    weights = [path for path in names if path.endswith(".safetensors")]
    whole = {str(PurePosixPath(path).parent) for path in weights if ".fp16" not in path}
    out = []
    for each in files:
        folder = str(PurePosixPath(each.path).parent)
        half = ".fp16" in each.path and folder in whole
        beside = "model_index.json" in names and folder == "." and each.path in weights
        out += [] if half or beside else [each]
    return out


def fetch(model: Offered, folder: Path, report: Report) -> None:
    """All its files into a folder, which may hold some of them already, or parts.

    Raises BadInput where the hub cannot be reached, stops sending, or sends other bytes than it
    said; what has come stays.
    """
    total = sum(each.size for each in model.files)
    done = 0
    for each in model.files:
        target = folder / each.path
        if not (target.is_file() and digest_of(target, len(each.digest)) == each.digest):
            target.parent.mkdir(parents=True, exist_ok=True)
            part = folder / f".{each.digest}.part"
            _fetch_one(model, each, part, partial(_more, report, each.path, done, total))
            if digest_of(part, len(each.digest)) != each.digest:
                part.unlink()
                raise BadInput(
                    f"what the hub sent as {each.path!r} of {model.name!r} is not what it said: "
                    "add it again"
                )
            part.replace(target)
        done += each.size
        report(each.path, done, total)


def _more(report: Report, path: str, before: int, total: int, got: int) -> None:
    report(path, before + got, total)


def _fetch_one(model: Offered, sent: Sent, part: Path, report: Callable[[int], None]) -> None:
    """The rest of one file, in as many goes as it takes."""
    tries = 0
    while True:
        had = part.stat().st_size if part.is_file() else 0
        if had >= sent.size:
            with open(part, "ab") as file:
                file.truncate(sent.size)
            return
        try:
            _go_on(model, sent, part, had, report)
            cut = "the connection was cut"
        except OSError as error:  # the disk's, not the network's
            raise BadInput(f"cannot write {str(part)!r}: {error.strerror or error}") from None
        except Exception as error:  # httpx's and the hub's
            cut = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        now = part.stat().st_size if part.is_file() else 0
        tries = 0 if now > had else tries + 1
        if tries == _TRIES or (now < sent.size and tries and "404" in cut):
            raise BadInput(
                f"the hub stopped sending {sent.path!r} of {model.name!r} ({cut}): what has come "
                "is kept; add it again to go on"
            )


def _go_on(model: Offered, sent: Sent, part: Path, had: int, report: Callable[[int], None]) -> None:
    from huggingface_hub import get_session, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    url = hf_hub_url(model.name, sent.path, revision=model.revision, endpoint=_endpoint())
    # no encoding: a range is of the bytes as they are sent
    headers = build_hf_headers() | {"Range": f"bytes={had}-", "Accept-Encoding": "identity"}
    with get_session().stream("GET", url, headers=headers, timeout=20) as answer:
        hf_raise_for_status(answer)
        if answer.status_code != 206:  # all of it, from its first byte
            had = 0
        with open(part, "r+b" if had else "wb") as file:
            file.seek(had)
            for piece in answer.iter_bytes():
                file.write(piece[: sent.size - had])
                had += len(piece)
                report(min(had, sent.size))
                if had >= sent.size:
                    return


def digest_of(file: Path, digits: int) -> str:
    """A file's SHA-256, or git's SHA-1 of a blob where the hub says 40 digits."""
    if digits == 64:
        with open(file, "rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    content = file.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
