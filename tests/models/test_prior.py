"""The prior: sampled as diffusers samples it, told what CLIP says, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from limner import open_clip
from limner.data._open import open_data
from limner.denoisers.cfg import CFG
from limner.denoisers.network import Network
from limner.errors import BadInput
from limner.levels import vp_levels
from limner.models import embedded
from limner.models.prior import CARD, blind, open_prior, told_of
from limner.samplers.ddpm import ddpm

sys.path.insert(0, str(Path(__file__).parents[1]))
from _unclip import even_clip, random_prior

TEXTS = ["a red cube", "the horse", "a photo of a green sphere on top of the blue cube"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, clip_folder: Path) -> Path:
    return even_clip(tmp_path_factory.mktemp("even") / "clip", clip_folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Path:
    return random_prior(tmp_path_factory.mktemp("prior") / "prior", clip)


def test_it_is_told_the_states_up_to_the_end_and_the_embedding(clip: Path) -> None:
    """Beside transformers' own."""
    from transformers import CLIPModel, CLIPTokenizer

    words, model = CLIPTokenizer.from_pretrained(clip), CLIPModel.from_pretrained(clip).eval()
    given = words(TEXTS, padding="max_length", max_length=24, return_tensors="pt")
    with torch.no_grad():
        states = model.text_model(**given).last_hidden_state
        pooled = model.text_projection(model.text_model(**given).pooler_output)
    ends = (given.input_ids == words.eos_token_id).int().argmax(1)
    behind = torch.arange(24) > ends[:, None]
    told = told_of(open_clip(clip), TEXTS)
    assert told.shape == (3, 25, 32)
    wanted = states.masked_fill(behind[..., None], 0)
    torch.testing.assert_close(told[:, :-1], wanted, atol=1e-4, rtol=1e-4)
    direction = pooled / pooled.norm(dim=1, keepdim=True)
    torch.testing.assert_close(told[:, -1], direction * 32**0.5, atol=1e-4, rtol=1e-4)
    alone = told_of(open_clip(clip), TEXTS[:1])
    torch.testing.assert_close(alone, told[:1], atol=1e-5, rtol=1e-5)


class Drawn:
    """In the place of Noise: torch's own, in the order in which it is asked for."""

    def __init__(self, rows: int) -> None:
        self.rows, self.generator = rows, torch.Generator().manual_seed(3)

    def normal(self, shape: Any, **_: Any) -> torch.Tensor:
        return torch.randn((self.rows, *shape), generator=self.generator)


@pytest.mark.parametrize("steps", [5, 25])
def test_it_is_sampled_as_the_library_samples_it(folder: Path, clip: Path, steps: int) -> None:
    """PriorTransformer under UnCLIPScheduler and guidance, as UnCLIPPipeline runs them."""
    from diffusers import PriorTransformer, UnCLIPScheduler

    found = open_prior(folder)
    told, nothing = found.told(TEXTS), found.told([""])
    noise: Any = Drawn(3)
    x = noise.normal((32, 1, 1))
    levels = vp_levels(found.alpha_bars, steps, "linspace")
    denoiser = CFG(Network(found, "sample", found.alpha_bars), told, nothing, 1.5)
    for state in ddpm(denoiser, x, levels, noise=noise):
        x = state.x

    theirs = PriorTransformer.from_pretrained(folder).eval()
    scheduler = UnCLIPScheduler(clip_sample=False, prediction_type="sample")
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(3)
    latents = torch.randn((3, 32), generator=generator)
    both = torch.cat([nothing.expand(3, -1, -1), told])
    times = scheduler.timesteps
    for i, t in enumerate(times):
        with torch.no_grad():
            without, with_ = theirs(
                torch.cat([latents] * 2), t, proj_embedding=both[:, -1],
                encoder_hidden_states=both[:, :-1], attention_mask=torch.ones(6, 24),
            ).predicted_image_embedding.chunk(2)  # fmt: skip
        before = times[i + 1] if i + 1 < steps else None
        said = without + 1.5 * (with_ - without)
        latents = scheduler.step(
            said, timestep=t, sample=latents, generator=generator, prev_timestep=before
        ).prev_sample
    torch.testing.assert_close(x[..., 0, 0], latents, atol=1e-3, rtol=1e-3)
    wanted = theirs.post_process_latents(latents)
    torch.testing.assert_close(
        found.embeddings(x), wanted / wanted.norm(dim=1, keepdim=True), atol=1e-3, rtol=1e-3
    )


def test_no_token_sees_what_comes_after_it(folder: Path) -> None:
    from diffusers import PriorTransformer

    theirs = PriorTransformer.from_pretrained(folder)
    assert torch.equal(blind(24), theirs.causal_attention_mask)
    found = open_prior(folder)
    assert torch.equal(found.network.causal_attention_mask, theirs.causal_attention_mask)


def test_where_none_is_embedded_it_says_how_to_train_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "limner" / "models" / "embedded.py"
    monkeypatch.setattr(embedded, "__file__", str(place))
    with pytest.raises(BadInput, match="limner train prior --data world:scenes"):
        open_prior()


def test_limners_own_says_what_its_clip_sees() -> None:
    """Nearer to the pictures of unseen scenes than the words themselves are."""
    found = open_prior()
    pictures, words = open_data("world:scenes?split=held_out", size=128).batch(range(8))
    seen = found.clip.embed_pictures(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255)
    told = found.clip.embed_texts(words)
    noise = torch.randn(8, found.size, 1, 1, generator=torch.Generator().manual_seed(0))
    last = torch.full((8,), float(len(found.alpha_bars) - 1))
    x0 = found(noise, last, encoder_hidden_states=found.told(words)).sample
    imagined = found.embeddings(x0)
    near, plain = ((each * seen).sum(1).mean() for each in (imagined, told))
    assert near > plain + 0.03


def test_what_is_refused(folder: Path, clip: Path, clip_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is no prior of limner's"):
        open_prior(clip)
    with pytest.raises(BadInput, match="states of 32 numbers and embeddings of 16"):
        told_of(open_clip(clip_folder), ["a"])
    short = random_prior(tmp_path / "short", clip, num_embeddings=20)
    with pytest.raises(BadInput, match="num_embeddings = 20"):
        open_prior(short)
    card = json.loads((folder / CARD).read_text())
    other = tmp_path / "other"
    random_prior(other, clip)
    (other / CARD).write_text(json.dumps(card | {"clip": {"name": str(clip), "fingerprint": "x"}}))
    with pytest.raises(BadInput, match="another CLIP"):
        open_prior(other)
