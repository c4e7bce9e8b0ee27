"""Which of some labels a picture shows, without training for them (Radford et al. 2021, §3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from limner.errors import BadInput
from limner.prompt import TEMPLATES, fill, read_templates

if TYPE_CHECKING:
    from torch import Tensor

    from limner.models.clip import Clip
    from limner.picture import Picture

__all__ = ["Classified", "classify"]


@dataclass(frozen=True)
class Classified:
    """A picture and the labels' probabilities, the most likely first; of a SigLIP each label's own,
    whatever the others are."""

    picture: Picture
    labels: dict[str, float]

    @property
    def label(self) -> str:
        """The most likely label."""
        return next(iter(self.labels))


def classify(
    pictures: Sequence[str | Path | Picture],
    *,
    labels: str | Sequence[str],
    templates: str | Path | Sequence[str] | None = None,
    clip: str | Path | Clip = "embedded",
) -> list[Classified]:
    """Says which label each picture shows; one result a picture, in their order.

    A label's embedding is the mean over the sentences it is put into (a prompt ensemble).

    Args:
        pictures: files, or pictures
        labels: what they may show: "cat,dog,horse", or a list
        templates: a text file with one sentence a line, or a list; {} is the label, {a} with "a"
        clip: "embedded", a folder or hub id of a transformers CLIPModel, or what open_clip gave

    Raises BadInput when there are under two labels, or a file cannot be opened.
    """
    from limner.tasks._look import looked_at, opened

    each = labels.split(",") if isinstance(labels, str) else labels
    wanted = list(dict.fromkeys(label.strip() for label in each if label.strip()))
    if len(wanted) < 2:
        raise BadInput(f"labels {labels!r}: give at least two, such as cat,dog,horse")
    sentences: Sequence[str] = TEMPLATES
    if isinstance(templates, (str, Path)):
        sentences = read_templates(templates)
    elif templates is not None:
        sentences = templates
    model = opened(clip)
    seen, embeddings = looked_at(model, pictures)
    means = _means(model, [fill(sentences, label) for label in wanted])
    chances = model.chances(embeddings, means).tolist()
    sorted_ = [sorted(zip(wanted, row), key=lambda pair: -pair[1]) for row in chances]
    return [Classified(picture, dict(pairs)) for picture, pairs in zip(seen, sorted_)]


def _means(model: Clip, texts: Sequence[Sequence[str]]) -> Tensor:
    """Lists of texts → (b, d) of length 1: the middle of each list's embeddings."""
    from torch.nn.functional import normalize

    flat = model.embed_texts([text for each in texts for text in each])
    middles = flat.unflatten(0, (len(texts), -1)).mean(1)
    return normalize(middles, dim=1)
