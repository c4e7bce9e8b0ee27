"""What is written down while a model paints or looks: where its words look, and each call of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from limner.denoisers import Denoiser
from limner.denoisers.network import Plain
from limner.levels import Level, level_at
from limner.models._attended import Recorder, recorded
from limner.models._text_to_image import TextToImage
from limner.models._words import words_of
from limner.picture import Picture
from limner.prompt import parse
from limner.tasks._paint import Plan, guided

__all__ = ["Call", "Explained", "Notes", "noted"]


class Call(NamedTuple):
    """The network was asked at a level. pull: how far guidance moved its x0 from what the words
    alone say, the root of the mean square over the latents' numbers; 0 where it did not."""

    level: Level
    pull: float


@dataclass(frozen=True, eq=False)
class Explained:
    """words:     those of the prompt, in order, each as often as it occurs
    maps:      (words, h, w), the share of attention that each pixel of the latents gives the word:
               the mean over heads, layers and calls of the network, and over a word's tokens
    over:      the same of the picture's size, (words, H, W), enlarged
    previews:  what was expected to come out, after each step; of a picture that was looked at, what
               the model made of it under each level's noise
    calls:     of the network, in their order
    """

    picture: Picture
    prompt: str
    words: list[str]
    maps: Tensor
    over: Tensor
    previews: list[Picture]
    calls: list[Call]
    painted: bool

    def sheet(self) -> Picture:
        """All of it in one picture."""
        from limner.tasks._sheet import sheet

        return sheet(self)


@dataclass
class Notes:
    """What `noted` writes down."""

    recorder: Recorder
    words: list[tuple[int, str, tuple[int, ...]]]  # of which phrase, the word, its places
    calls: list[Call] = field(default_factory=list)

    def maps(self) -> Tensor:
        """(words, h, w) of the first picture."""
        each = [maps[0] / self.recorder.steps for maps in self.recorder.maps()]
        return torch.stack([each[k][list(places)].mean(0) for k, _, places in self.words])


@contextmanager
def noted(model: TextToImage, plan: Plan) -> Iterator[Notes]:
    """While it is open, what the model's U-Net is asked for one picture of this plan is noted."""
    phrases = parse(plan.prompt)
    # In one call, as `guided` does, so that the states agree to the bit and in their windows.
    _, *texts = model.encode_text([plan.negative, *(each.text for each in phrases)]).split(1)
    words = [
        (k, word.text, word.places)
        for k, phrase in enumerate(phrases)
        for word in words_of(model.tokenizer, phrase.text)
    ]
    with recorded(model.unet, texts, pictures=1) as recorder:
        notes = Notes(recorder, words)
        hook = model.unet.register_forward_hook(_watching(model, plan, notes), with_kwargs=True)
        try:
            yield notes
        finally:
            hook.remove()


def _watching(model: TextToImage, plan: Plan, notes: Notes) -> Any:
    """A hook that notes each call's level and pull, by guiding what the network said once more,
    with the plan's scale and with 1."""
    said: list[Tensor] = []

    def again(x: Tensor, timesteps: Tensor, states: Tensor) -> Tensor:
        return said[-1][-len(x) :]

    replayed = replace(model, unet=_Module(Plain(again)), takes_scale=False)
    beside = torch.zeros(1, model.beside, 1, 1) if model.beside else None
    both = [guided(replayed, each, beside) for each in (plan, replace(plan, guidance_scale=1.0))]

    def watch(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any], out: Any) -> None:
        x, timestep = given[0][:1, : model.channels].float(), float(given[1][0])
        said.append(out.sample.float())
        level = _level(model, timestep)
        notes.calls.append(Call(level, _pull(both, x, level) if len(said[-1]) > 1 else 0.0))
        said.clear()

    return watch


def _pull(both: list[Denoiser], x: Tensor, level: Level) -> float:
    ours, plain = (denoiser(x, level) for denoiser in both)
    return float((ours - plain).square().mean().sqrt())


def _level(model: TextToImage, timestep: float) -> Level:
    """The network's own level of a timestep that it was told."""
    if model.alpha_bars is None:
        return Level(1 - timestep / 1000, timestep / 1000)
    return level_at(model.alpha_bars, timestep)


class _Module(nn.Module):
    """A function in the place of a U-Net."""

    def __init__(self, function: Plain) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor, timesteps: Tensor, *, encoder_hidden_states: Tensor) -> Any:
        return self.function(x, timesteps, encoder_hidden_states=encoder_hidden_states)
