"""CLIP: pictures and texts in one space (Radford et al. 2021), from a transformers folder or one of
`limner train clip`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from limner.errors import BadInput
from limner.models import _folder
from limner.models._relevancy import relevancy
from limner.models._tokenizer import Tokenizer, open_tokenizer
from limner.models._towers import OWN, Towers, own_towers, transformers_towers
from limner.models.embedded import CLIPS
from limner.models.embedded import folder as embedded_folder
from limner.picture import resize

__all__ = ["Clip", "open_clip"]

_MEAN, _STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
_AT_ONCE = 128  # pictures or texts in one pass


@dataclass(frozen=True, eq=False)
class Clip:
    """What `open_clip` gives. Cosines of its embeddings tell how well text and picture agree."""

    name: str
    towers: Towers
    tokenizer: Tokenizer
    side: int  # of the pictures it sees, pixels
    shortest: int  # to which a picture's shorter side is brought before the middle is cut out
    mean: tuple[float, ...]
    std: tuple[float, ...]
    licence: str
    files: tuple[Path, ...]
    judges_in: torch.dtype = torch.float32  # the type of the products when it judges views

    @property
    def logit_scale(self) -> float:
        """What cosines are multiplied by before a softmax."""
        return float(self.towers.logit_scale.exp())

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the model's files."""
        return _folder.fingerprint(self.files)

    @torch.no_grad()
    def embed_pictures(self, pictures: Tensor) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1], of any size → (b, d) of length 1."""
        parts = [self.towers.pictures(self._seen(part)) for part in pictures.split(_AT_ONCE)]
        return functional.normalize(torch.cat(parts), dim=1)

    def hidden_states(self, pictures: Tensor) -> list[Tensor]:
        """Pictures (b, 3, h, w) in [0, 1] → the picture tower's states of class token and patches,
        (b, n, d) before its first layer and after each; gradients reach the pictures.

        Raises BadInput where the tower is a ResNet."""
        return self.towers.vit().tower.states(self._seen(pictures))

    def relevancy(self, pictures: Tensor, wanted: Tensor) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1], an embedding (d,) → (b, n, n), from 0 up: how much each
        patch of the middle square has to do with it (Chefer et al. 2021).

        Raises BadInput where the tower is a ResNet."""
        return relevancy(self.towers, self._seen(pictures), wanted)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Texts → (b, d) of length 1; of a text longer than one window, the mean of its windows."""
        windows = [self.tokenizer.windows(text) for text in texts]
        flat = [self.tokenizer.filled(window) for each in windows for window in each]
        # What stands behind the longest text's end is seen by no end before it.
        longest = 2 + max(len(window) for each in windows for window in each)
        tokens = torch.tensor(flat, device=self.towers.logit_scale.device)[:, :longest]
        parts = [self.towers.texts(part) for part in tokens.split(_AT_ONCE)]
        each = functional.normalize(torch.cat(parts), dim=1).split([len(w) for w in windows])
        return functional.normalize(torch.stack([part.mean(0) for part in each]), dim=1)

    def _seen(self, pictures: Tensor) -> Tensor:
        """Resized, the middle cut out, normalised."""
        pictures = pictures.to(self.towers.logit_scale.device, torch.float32)
        height, width = pictures.shape[2:]
        short = min(height, width)  # the longer side is rounded down, as transformers does
        size = (self.shortest * height // short, self.shortest * width // short)
        pictures = resize(pictures, size)
        top, left = (size[0] - self.side) // 2, (size[1] - self.side) // 2
        pictures = pictures[:, :, top : top + self.side, left : left + self.side]
        mean, std = (pictures.new_tensor(each)[:, None, None] for each in (self.mean, self.std))
        return (pictures - mean) / std


def open_clip(name: str | Path = "embedded") -> Clip:
    """Opens a CLIP by name; float32, on the CPU.

    "embedded" describes and measures; "robust" and "second" (another tower) are judges that a
    search may follow; "faces" is such a judge for portraits, and knows nothing else. Else: a folder
    or hub id of a transformers CLIPModel, or what `limner train clip` wrote. Only safetensors are
    read. Raises BadInput when it is missing, pickled or broken.
    """
    own = CLIPS.get(str(name))
    folder = embedded_folder(own) if own else _folder.find_folder(name)
    towers, files = _opened(folder)
    side = towers.side
    card = _folder.read_json(folder / "limner.json", missing={})
    seen = _folder.read_json(folder / "preprocessor_config.json", missing={})
    return Clip(
        name=str(name),
        towers=towers,
        tokenizer=open_tokenizer(folder, towers.length),
        side=side,
        shortest=max(side, _shortest(seen.get("size"), side)),
        mean=tuple(seen.get("image_mean", _MEAN)),
        std=tuple(seen.get("image_std", _STD)),
        licence=str(card.get("licence", "see the model's own page")),
        files=tuple(files),
    )


def _opened(folder: Path) -> tuple[Towers, list[Path]]:
    """The towers, and the files of their weights."""
    if (folder / OWN).is_file():
        towers, file = own_towers(folder)
        return towers, [file]
    if not (folder / "config.json").is_file():
        _folder.refuse_pickled(folder)
    config = _folder.read_json(folder / "config.json")
    if config.get("model_type") != "clip":
        raise BadInput(f"{str(folder)!r} is a {config.get('model_type')!r} model: expected CLIP")
    return transformers_towers(config, folder), _folder.weight_files(folder)


def _shortest(size: Any, side: int) -> int:
    """The shorter side to resize to, which configs say in three ways."""
    if isinstance(size, dict):
        size = size.get("shortest_edge") or size.get("height")
    return size if isinstance(size, int) and 0 < size <= 4096 else side
