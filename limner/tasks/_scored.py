"""The judge `score` of a text-to-image model: for the prompt's words, or for pictures as such."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from limner.denoisers import Denoiser
from limner.denoisers.compose import Compose
from limner.denoisers.given import Given
from limner.errors import BadInput
from limner.judges.score import Score
from limner.models._text_to_image import TextToImage
from limner.prompt import Phrase, parse
from limner.tasks._paint import levels, network_of
from limner.tasks._window import window

__all__ = ["Scorer"]

# Of the model's time, where the steps begin: at pure noise any picture is as good as another.
_NOISIEST = 0.9


@dataclass(frozen=True, eq=False)
class Scorer:
    """Makes the judges of a search's steps `begin` … `end` − 1, over which their noise falls, for
    pictures of `size` (width, height)."""

    model: TextToImage
    end: int
    size: tuple[int, int]
    begin: int = 0

    def __post_init__(self) -> None:
        if self.model.conditioned:
            raise BadInput(
                f"the judge score cannot ask {self.model.name!r}, which was trained for "
                f"{self.model.conditioned}: give a plain model (--model), or leave score out"
            )

    def __call__(self, prompt: str, how: str) -> Score:
        """how: words: pictures that go with the prompt, at the model's own guidance scale; any: all
        that it knows. A prompt of pictures alone says nothing to the model."""
        phrases = [each for each in parse(prompt) if each.picture is None] if how == "words" else []
        anywhere = replace(self.model, origin=None)  # a distilled one also between what it learned
        falling = levels(anywhere, self.end - self.begin, _NOISIEST, self.size)
        before = falling[:1] * self.begin  # of steps that are not these judges'
        return Score(_encoder(self.model, self.size), self._told(phrases), before + falling)

    def _told(self, phrases: Sequence[Phrase]) -> Denoiser:
        """The network under phrases: of one, its guided x0, whatever it weighs."""
        without, *states = self.model.encode_text(["", *(each.text for each in phrases)]).split(1)
        network, scale = network_of(self.model, self.model.guidance_scale)
        whole = sum(abs(each.weight) for each in phrases)
        if not whole:
            return Given(network, without)
        weights = [scale * each.weight / whole for each in phrases]
        if weights == [1]:  # a distilled model's: the words alone say it all
            return Given(network, states[0])
        return Compose(network, states, weights, without)


def _encoder(model: TextToImage, size: tuple[int, int]) -> Callable[[Tensor], Tensor]:
    """Latents, with gradients, of pictures brought to a size that the model knows."""
    width, height = size
    seen = window((height, width), model.size, model.downscale)

    return lambda pictures: model.traced(seen.view(pictures))
