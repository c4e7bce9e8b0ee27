"""CLIP: pictures and texts in one space (Radford et al. 2021), and SigLIP, which says of each pair
by itself whether it belongs together (Zhai et al. 2023).

From transformers' folders, open_clip's, and those of `limner train clip`.
"""

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
from limner.models._bounds import refusing
from limner.models._relevancy import relevancy
from limner.models._sight import Sight, of_transformers
from limner.models._siglip_words import SiglipWords, open_siglip_words
from limner.models._tokenizer import Tokenizer, open_tokenizer
from limner.models._towers import OWN, Towers, own_towers, transformers_towers
from limner.models.embedded import CLIPS
from limner.models.embedded import folder as embedded_folder
from limner.models.open_clip import CONFIG, open_parts
from limner.models.siglip import siglip_towers

__all__ = ["Clip", "open_clip"]

_MIDDLE = (0.5, 0.5, 0.5)
_AT_ONCE = 128  # pictures or texts in one pass


@dataclass(frozen=True, eq=False)
class Clip:
    """What `open_clip` gives. Cosines of its embeddings tell how well text and picture agree."""

    name: str
    towers: Towers
    tokenizer: Tokenizer | SiglipWords
    sight: Sight  # how pictures are shown to it
    licence: str
    files: tuple[Path, ...]
    judges_in: torch.dtype = torch.float32  # the type of the products when it judges views

    @property
    def side(self) -> int:
        """Of the pictures it sees, pixels."""
        return self.sight.side

    @property
    def mean(self) -> tuple[float, ...]:
        """Of the colours of its training's pictures."""
        return self.sight.mean

    @property
    def std(self) -> tuple[float, ...]:
        """Their standard deviation."""
        return self.sight.std

    @property
    def logit_scale(self) -> float:
        """What cosines are multiplied by."""
        return float(self.towers.logit_scale.exp())

    @property
    def logit_bias(self) -> float:
        """What is added then: of a SigLIP, how rarely a pair belongs together; else 0."""
        return 0.0 if self.towers.logit_bias is None else float(self.towers.logit_bias)

    def logits(self, pictures: Tensor, texts: Tensor) -> Tensor:
        """Embeddings (b, d) and (n, d) → (b, n), as it was trained to compare them."""
        return self.logit_scale * pictures @ texts.T + self.logit_bias

    def chances(self, pictures: Tensor, texts: Tensor) -> Tensor:
        """Embeddings (b, d) and (n, d) → (b, n) in [0, 1]: of a CLIP the chance that it is this one
        of the texts, a row's sum 1; of a SigLIP that picture and text belong together, each by
        itself."""
        logits = self.logits(pictures, texts)
        return logits.softmax(1) if self.towers.logit_bias is None else logits.sigmoid()

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

        Raises BadInput where the tower has no class token, as a ResNet or a SigLIP."""
        return self.towers.vit().tower.states(self._seen(pictures))

    def relevancy(self, pictures: Tensor, wanted: Tensor) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1], an embedding (d,) → (b, n, n), from 0 up: how much each
        patch of the middle square has to do with it (Chefer et al. 2021).

        Raises BadInput where the tower has no class token, as a ResNet or a SigLIP."""
        return relevancy(self.towers, self._seen(pictures), wanted)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Texts → (b, d) of length 1; of a text longer than one window, the mean of its windows."""
        windows = [self.tokenizer.windows(text) for text in texts]
        flat = [self.tokenizer.filled(window) for each in windows for window in each]
        # What stands behind the longest text's end is seen by no end before it, of a CLIP.
        longest = 2 + max(len(window) for each in windows for window in each)
        seen = self.tokenizer.length if self.towers.padded else longest
        tokens = torch.tensor(flat, device=self.towers.logit_scale.device)[:, :seen]
        parts = [self.towers.texts(part) for part in tokens.split(_AT_ONCE)]
        each = functional.normalize(torch.cat(parts), dim=1).split([len(w) for w in windows])
        return functional.normalize(torch.stack([part.mean(0) for part in each]), dim=1)

    def _seen(self, pictures: Tensor) -> Tensor:
        return self.sight(pictures.to(self.towers.logit_scale.device, torch.float32))


@refusing
def open_clip(name: str | Path = "embedded") -> Clip:
    """Opens a CLIP or SigLIP by name; float32, on the CPU.

    "embedded" describes and measures; "robust" and "second" (another tower) are judges that a
    search may follow; "faces" is such a judge for portraits, and knows nothing else. Else: a folder
    or hub id of a transformers CLIPModel or SiglipModel or of open_clip's layout, or what `limner
    train clip` wrote. Only safetensors are read. Raises BadInput when it is missing, pickled or
    broken.
    """
    own = CLIPS.get(str(name))
    folder = embedded_folder(own) if own else _folder.find_folder(name)
    towers, words, sight, files = _opened(folder)
    card = _folder.read_json(folder / "limner.json", missing={})
    return Clip(
        name=str(name),
        towers=towers,
        tokenizer=words,
        sight=sight,
        licence=str(card.get("licence", "see the model's own page")),
        files=tuple(files),
    )


_Parts = tuple[Towers, Tokenizer | SiglipWords, Sight, list[Path]]


def _opened(folder: Path) -> _Parts:
    """The towers, their words, how pictures are shown to them, and the files of their weights."""
    if (folder / OWN).is_file():
        towers, file = own_towers(folder)
        return towers, open_tokenizer(folder, towers.length), _sight(folder, towers.side), [file]
    if _is_open_clip(folder):
        return open_parts(folder)
    if not (folder / "config.json").is_file():
        _folder.refuse_pickled(folder)
    config = _folder.read_json(folder / "config.json")
    kind = config.get("model_type")
    if kind == "siglip":
        return _siglip(config, folder)
    if kind == "siglip2":
        raise BadInput(
            f"{str(folder)!r} is a SigLIP 2 of any size (NaFlex): give one of fixed size"
        )
    if kind != "clip":
        raise BadInput(f"{str(folder)!r} is a {kind!r} model: expected CLIP or SigLIP")
    towers, files = transformers_towers(config, folder), _folder.weight_files(folder)
    return towers, open_tokenizer(folder, towers.length), _sight(folder, towers.side), files


def _is_open_clip(folder: Path) -> bool:
    """Whether to read open_clip's files; where transformers' lie beside them, those are read."""
    if not (folder / CONFIG).is_file():
        return False
    config = _folder.read_json(folder / "config.json", missing={})
    theirs = any(folder.glob("model*.safetensors"))
    return not theirs or config.get("model_type") not in ("clip", "siglip")


def _siglip(config: dict[str, Any], folder: Path) -> _Parts:
    towers, files = siglip_towers(config, folder), _folder.weight_files(folder)
    usual = Sight(towers.side, towers.side, _MIDDLE, _MIDDLE, "squash")
    sight = of_transformers(_seen_by(folder), towers.side, usual, folder)
    return towers, open_siglip_words(folder, towers.length), sight, files


def _sight(folder: Path, side: int) -> Sight:
    return of_transformers(_seen_by(folder), side, Sight(side, side), folder)


def _seen_by(folder: Path) -> dict[str, Any]:
    """What the picture's processor is told, which newer folders keep among other processors'."""
    file = folder / "preprocessor_config.json"
    if file.is_file():
        said: dict[str, Any] = _folder.read_json(file)
        return said
    inner = _folder.read_json(folder / "processor_config.json", missing={}).get("image_processor")
    return inner if isinstance(inner, dict) else {}
