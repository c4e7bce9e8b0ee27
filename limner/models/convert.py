"""Other programs' checkpoints → folders of safetensors that limner opens.

The only place where pickled files are read, by a child that runs nothing of them. What a file is
follows from its tensors' names.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from limner.errors import BadInput
from limner.models import (
    _converted_biggan,
    _converted_clip,
    _converted_nvidia,
    _converted_stylegan,
    _converted_vqgan,
    _folder,
)
from limner.models._families import family_of, without_wrapper
from limner.models._quarantined import finite, unpickled
from limner.models.open_clip import CONFIG as OPEN_CLIP

__all__ = ["Converted", "convert"]


@dataclass(frozen=True)
class Converted:
    """What `convert` wrote."""

    family: str
    folder: Path
    tensors: int
    parameters: int
    plain: dict[str, Any]  # the file's own plain values, by dotted names


def convert(
    file: str | Path,
    out: str | Path,
    *,
    config: str | Path | None = None,
    tokenizer: str | Path | None = None,
    label: int | None = None,
    licence: str = "",
) -> Converted:
    """Writes the folder `out`, which must not be there yet.

    file:      .ckpt, .pt, .pth, .bin of torch.save, or .safetensors by a known family's names; or
               NVIDIA's .pkl of a StyleGAN2 or 3
    config:    a VQGAN's .yaml, a BigGAN's .json or an open_clip's; where none is given, the one
               beside the file
    label:     the number of the class that a StyleGAN of classes paints from then on
    tokenizer: a folder with a CLIP's tokenizer; where none is given, CLIP's own
    licence:   is written down with the model

    Raises BadInput for files that are broken, hold more than tensors and plain values, or are of
    no family that limner knows.
    """
    source, target = Path(file).expanduser(), Path(out).expanduser()
    if target.exists() or target.is_symlink():
        raise BadInput(f"{str(target)!r} is there already: name a folder that is not")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".limner-", dir=target.parent) as work:
        made = Path(work) / "model"
        state, plain = _read(source, Path(work) / "read.safetensors")
        state = without_wrapper(state)
        family = family_of(state)
        if label is not None and not family.startswith("nvidia"):
            raise BadInput(
                f"label {label}: only NVIDIA's networks of classes take one, no {family}"
            )
        if family.startswith("nvidia"):
            with _named(source, family):
                _converted_nvidia.write(state, plain, made, label)
        else:
            _written(family, state, made, source, config, tokenizer)
        card = {"family": family, "source": source.name}
        if licence:
            card["licence"] = licence
        (made / "limner.json").write_text(json.dumps(card, indent=1))
        made.rename(target)
    parameters = sum(tensor.numel() for tensor in state.values())
    return Converted(family, target, len(state), parameters, plain)


def _read(source: Path, into: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """All tensors of a file, and its plain values."""
    if source.suffix == ".safetensors" and source.is_file():
        state = _folder.tensors([source])
        finite(state, source)
        return state, {}
    state, said = unpickled(source, into)
    return state, said.plain


def _written(
    family: str,
    state: dict[str, Tensor],
    made: Path,
    source: Path,
    config: str | Path | None,
    tokenizer: str | Path | None,
) -> None:
    with _named(source, family):
        if family in ("vqgan", "gumbel vqgan"):
            _converted_vqgan.write(state, made, _yaml(source, config))
        elif family == "biggan":
            _converted_biggan.write(state, made, _json(source, config))
        elif family in ("clip", "custom clip"):
            beside = Path(config) if config else source.with_name(OPEN_CLIP)
            _converted_clip.write(state, made, Path(tokenizer) if tokenizer else None, beside)
        elif family == "stylegan2":
            _converted_stylegan.write(state, made)
        else:
            _plain(state, made)


@contextmanager
def _named(source: Path, family: str) -> Iterator[None]:
    """What is refused says of which file."""
    try:
        yield
    except BadInput as error:
        raise BadInput(f"{str(source)!r}, a {family}: {error}") from None


def _plain(state: dict[str, Tensor], made: Path) -> None:
    """Its own names, one file: how Stable Diffusion's checkpoints are shared."""
    from safetensors.torch import save_file

    made.mkdir()
    rows = {name: tensor.clone() for name, tensor in state.items()}
    save_file(rows, made / "model.safetensors", metadata={"format": "pt"})


def _json(source: Path, config: str | Path | None) -> Path:
    """A BigGAN's config: the one named, or that beside the file."""
    path = Path(config).expanduser() if config else source.with_name("config.json")
    if not path.is_file():
        raise BadInput(
            f"no config at {str(path)!r}: put its config.json beside it, or give --config"
        )
    return path


def _yaml(source: Path, config: str | Path | None) -> Path:
    """A VQGAN's config: the one named, or that beside the file."""
    if config:
        return Path(config).expanduser()
    beside = source.with_suffix(".yaml")
    found = [beside] if beside.is_file() else sorted(source.absolute().parent.glob("*.yaml"))
    if len(found) != 1:
        raise BadInput(f"{len(found)} .yaml files lie beside it: name its own with --config")
    return found[0]
