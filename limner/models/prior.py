"""The prior of unCLIP (Ramesh et al. 2022, "DALL·E 2", section 2.2): from a text to the embedding
that a CLIP would have of its picture. It is diffusers' PriorTransformer, which `limner train prior`
wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.errors import BadInput
from limner.levels import alpha_bars
from limner.models import _folder
from limner.models._bounds import refusing
from limner.models._towers import Texts
from limner.models.clip import Clip, open_clip
from limner.models.embedded import folder as embedded_folder

__all__ = ["CARD", "RECIPE", "Prior", "blind", "open_prior", "said_of", "told_of"]

RECIPE, CARD = "prior", "limner.json"
_CLASS = "PriorTransformer"


class _Said(NamedTuple):
    sample: Tensor


@torch.no_grad()
def told_of(clip: Clip, texts: Sequence[str]) -> Tensor:
    """What a prior is told of texts (b): the CLIP's states of the tokens, zeros behind a text's
    end, and as the last row its embedding; (b, n + 1, d).

    Of a text longer than one window the states are the first one's. Raises BadInput where the CLIP
    has no such states, or none of its embeddings' width.
    """
    tower = clip.towers.texts
    if not isinstance(tower, Texts):
        raise BadInput(f"the CLIP {clip.name!r} knows no order of words: give one of transformers")
    windows = [clip.tokenizer.windows(text)[0] for text in texts]
    ends = torch.tensor([len(window) + 2 for window in windows])
    tokens = torch.tensor([clip.tokenizer.filled(window) for window in windows])
    device = clip.towers.logit_scale.device
    states = tower.tower(tokens[:, : int(ends.max())].to(device))
    states = functional.pad(states, (0, 0, 0, tokens.shape[1] - states.shape[1]))
    behind = torch.arange(tokens.shape[1]) >= ends[:, None]
    embeddings = clip.embed_texts(texts)
    if states.shape[2] != embeddings.shape[1]:
        raise BadInput(
            f"the CLIP {clip.name!r} has states of {states.shape[2]} numbers and embeddings of "
            f"{embeddings.shape[1]}: a prior takes one where they are of one width"
        )
    states = states.masked_fill(behind[..., None].to(device), 0)
    # as unit variance, which is what the states have about
    return torch.cat([states, embeddings[:, None] * embeddings.shape[1] ** 0.5], 1)


def said_of(network: Any, x: Tensor, timesteps: Tensor, told: Tensor) -> Tensor:
    """What a PriorTransformer makes of noisy embeddings x (b, d) at timesteps (b,), told
    (b, n + 1, d): x0 (b, d). Each token sees those before it (section 2.2)."""
    seen = torch.ones(told.shape[0], told.shape[1] - 1, device=told.device)
    found: Tensor = network(
        x,
        timesteps,
        proj_embedding=told[:, -1],
        encoder_hidden_states=told[:, :-1],
        attention_mask=seen,
    ).predicted_image_embedding
    return found


def blind(length: int) -> Tensor:
    """The mask (1, n, n) of a PriorTransformer for texts of so many tokens, which is not among its
    weights: no token sees what comes after it."""
    return torch.full((length + 4, length + 4), -10000.0).triu_(1)[None]


@dataclass(frozen=True, eq=False)
class Prior:
    """What `open_prior` gives. It is a network as `limner.denoisers.network.Network` takes them,
    which predicts `sample`; its x is (b, d, 1, 1), embeddings less their mean, over their spread.
    """

    name: str
    network: Any  # a PriorTransformer
    clip: Clip
    alpha_bars: Tensor
    steps: int
    guidance_scale: float
    licence: str
    files: tuple[Path, ...]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the model's files."""
        return _folder.fingerprint(self.files)

    @property
    def size(self) -> int:
        """Numbers of an embedding."""
        return int(self.network.config.embedding_dim)

    def told(self, texts: Sequence[str]) -> Tensor:
        """Texts (b) → conditions (b, n + 1, d)."""
        return told_of(self.clip, texts)

    @torch.no_grad()
    def __call__(self, x: Tensor, timesteps: Tensor, *, encoder_hidden_states: Tensor) -> _Said:
        """x (b, d, 1, 1) → x0, its like."""
        said = said_of(self.network, x.flatten(1), timesteps, encoder_hidden_states)
        return _Said(said.view_as(x))

    def embeddings(self, x0: Tensor) -> Tensor:
        """x0 (b, d, 1, 1) → the CLIP's embeddings of pictures (b, d), of length 1."""
        return functional.normalize(self.network.post_process_latents(x0.flatten(1)), dim=1)


@refusing
def open_prior(name: str | Path = "embedded") -> Prior:
    """Opens "embedded", or a folder that `limner train prior` wrote, and the CLIP that it was
    trained with; float32, on the CPU.

    Only safetensors are read. Raises BadInput when it is missing, pickled, broken or another's.
    """
    folder = _embedded() if name == "embedded" else _folder.find_folder(name)
    if not (folder / "config.json").is_file():
        _folder.refuse_pickled(folder)
    config = _folder.read_json(folder / "config.json")
    card = _folder.read_json(folder / CARD, missing={})
    told = card.get("clip")
    if config.get("_class_name") != _CLASS or not isinstance(told, dict):
        raise BadInput(
            f"{str(folder)!r} is no prior of limner's: give a folder that limner train prior wrote"
        )
    clip = open_clip(str(told.get("name")))
    if clip.fingerprint != told.get("fingerprint"):
        raise BadInput(
            f"{str(name)!r} was trained with another CLIP than {clip.name!r} is now: train it "
            "again (limner train prior)"
        )
    network = _folder.assembled(_library, config, _folder.weights(folder), folder)
    network.register_buffer("causal_attention_mask", blind(clip.tokenizer.length), persistent=False)
    _check(network, clip, folder)
    return Prior(
        name=str(name),
        network=network,
        clip=clip,
        alpha_bars=alpha_bars("cosine"),
        steps=int(card.get("steps", 25)),
        guidance_scale=float(card.get("guidance_scale", 1.0)),
        licence=str(card.get("licence", "see the model's own page")),
        files=(*_folder.weight_files(folder), folder / "config.json", folder / CARD),
    )


def _library(config: dict[str, Any]) -> nn.Module:
    from diffusers.models.transformers.prior_transformer import PriorTransformer

    network = PriorTransformer.from_config(config)
    assert isinstance(network, nn.Module)
    return network


def _check(network: Any, clip: Clip, folder: Path) -> None:
    """BadInput unless the network takes what `told_of` gives."""
    said, size = network.config, clip.embed_texts(["a"]).shape[1]
    wanted = {
        "embedding_dim": (said.embedding_dim, size),
        "num_embeddings": (said.num_embeddings, clip.tokenizer.length),
        "additional_embeddings": (said.additional_embeddings, 4),
        "added_emb_type": (said.added_emb_type, "prd"),
        "clip_embed_dim": (said.clip_embed_dim or size, size),
        "embedding_proj_dim": (said.embedding_proj_dim or size, size),
    }
    for key, (found, needed) in wanted.items():
        if found != needed:
            raise BadInput(
                f"the prior in {str(folder)!r} has {key} = {found!r}, and {clip.name!r} needs "
                f"{needed!r}: give one that limner train prior wrote"
            )


def _embedded() -> Path:
    try:
        return embedded_folder("prior")
    except BadInput:
        raise BadInput(
            "limner has no embedded prior here: name one's folder (limner train prior --data "
            "world:scenes -o RUN makes RUN/model)"
        ) from None
