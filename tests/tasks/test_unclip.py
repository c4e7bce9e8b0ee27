"""unCLIP's tasks: vary, textdiff, unclip; what they paint from, recipes, and what they refuse."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from limner import BadInput, Picture, load, open_clip, open_model, replay, textdiff, unclip, vary
from limner.models import adapter, embedded
from limner.models.prior import open_prior
from limner.noise import Noise
from limner.picture import psnr
from limner.tasks import Progress
from limner.tasks._paint import Plan
from limner.tasks._unclip import Way, course_of, imagined, inverted, open_decoder, seen_by
from limner.tasks.textdiff import difference
from limner.training import _embed

sys.path.insert(0, str(Path(__file__).parents[1]))
from _unclip import even_clip, exact, random_decoder, random_prior

Get = Callable[[str], Path]


@pytest.fixture(scope="module")
def parts(
    sd_folder: Get, clip_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("unclip")
    clip = even_clip(root / "clip", clip_folder)
    torch.manual_seed(3)
    picture = Picture(torch.rand(3, 8, 8).repeat_interleave(8, 1).repeat_interleave(8, 2))
    return {
        "model": str(sd_folder("own")),
        "decoder": str(random_decoder(root / "decoder", sd_folder("own"), clip)),
        "prior": str(random_prior(root / "prior", clip)),
        "clip": clip,
        "picture": str(picture.save(root / "a.png")),
    }


def small(parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": parts["model"], "decoder": parts["decoder"], "steps": 2,
            "precision": "float32"} | more  # fmt: skip


def opened(parts: dict[str, Any]) -> Any:
    return open_decoder(parts["model"], parts["decoder"])


PLAN = Plan("a dog", "a cat", 0, 1, 3.0, (0, 1), 0, "ddim", (64, 64))


def test_guidance_pulls_towards_picture_and_words(parts: dict[str, Any]) -> None:
    """One step of the course, beside the network asked by hand: of pure noise v is −x0."""
    decoder = opened(parts)
    seen = seen_by(decoder, parts["picture"])
    course = course_of(decoder, PLAN, seen.embedding, Way(lambda _: seen.embedding))
    x = course.start(Noise(0, [0, 1]))
    states = decoder.states(["a cat", "a dog"], torch.cat([0 * seen.embedding, seen.embedding]))
    with torch.no_grad():
        without, with_ = (
            -decoder.model.unet(
                x, torch.full((2,), 999.0), encoder_hidden_states=each.expand(2, -1, -1)
            ).sample
            for each in states.split(1)
        )
        found = course.denoiser(x, course.levels[0])
    torch.testing.assert_close(found, without + 3 * (with_ - without), atol=2e-4, rtol=1e-3)


def test_a_picture_s_own_noise_leads_back_to_it(
    parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a network that is exact; told another picture, it would lead elsewhere."""
    decoder = exact(opened(parts))
    monkeypatch.setattr("limner.tasks._unclip.open_decoder", lambda *_: decoder)
    plan = replace(PLAN, prompt="", negative="", guidance_scale=1.0, steps=40)
    seen = seen_by(decoder, parts["picture"])
    told: list[Progress] = []
    own = inverted(decoder, plan, seen.x0, seen.embedding, told.append)
    assert [each.step for each in told] == list(range(1, 41)) and told[0].preview()
    how = small(parts, steps=40) | {"guidance_scale": 1.0}
    pictures = vary(parts["picture"], keep=1.0, count=2, **how)
    wanted = decoder.model.decode(seen.x0)[0]
    assert all(psnr(each.pixels, wanted) > 35 for each in pictures)  # nothing is new in them
    strange = inverted(decoder, plan, seen.x0, -seen.embedding, None)
    assert (strange - own).abs().max() > 0.002
    assert psnr(vary(parts["picture"], keep=0.5, **how)[0].pixels, wanted) < 30
    noise = Noise(0, [4])
    less = course_of(decoder, plan, seen.embedding, Way(lambda _: seen.embedding, own, 0.5))
    mixed, new = less.start(noise), noise.normal(own.shape[1:])
    angle = torch.nn.functional.cosine_similarity(own.flatten(), new.flatten(), 0).arccos()
    wanted = (angle / 2).sin() / angle.sin() * (new + own)
    torch.testing.assert_close(mixed, wanted, atol=1e-4, rtol=1e-4)


def test_a_text_difference_is_the_paper_s(parts: dict[str, Any]) -> None:
    """z_d = norm(z_t − z_t0), and slerp(z_i, z_d, θ): in one plane, at the share of the angle."""
    clip = open_clip(parts["clip"])
    first, last = clip.embed_texts(["a red cube", "a blue cube"]).double()
    found = difference(clip, "a red cube", "a blue cube").double()[0]
    torch.testing.assert_close(found, (last - first) / (last - first).norm(), atol=1e-5, rtol=1e-5)
    told = []

    def watched(decoder: Any, plan: Any, embeddings: Any, way: Any) -> Any:
        told.append(embeddings)
        return course_of(decoder, plan, embeddings, way)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("limner.tasks._unclip.course_of", watched)
        textdiff(parts["picture"], "a red cube", "a blue cube", amount=0.25, **small(parts))
    z, turned = clip.embed_pictures(load(parts["picture"]).pixels[None])[0].double(), told[0][0]
    angle = math.acos(float(z @ found))
    wanted = (math.sin(0.75 * angle) * z + math.sin(0.25 * angle) * found) / math.sin(angle)
    torch.testing.assert_close(turned.double(), wanted, atol=1e-5, rtol=1e-5)


def test_the_best_of_the_prior_s_candidates_is_taken(parts: dict[str, Any]) -> None:
    prior = open_prior(parts["prior"])
    how: dict[str, Any] = {"steps": 4, "scale": 1.5}
    noise = Noise(5, [0, 1, 2])
    text = prior.clip.embed_texts(["a cat"])[0]
    few, many = (imagined(prior, "a cat", noise, candidates=n, **how) for n in (1, 6))
    torch.testing.assert_close(many.norm(dim=1), torch.ones(3))
    assert bool((many @ text >= few @ text - 1e-6).all()) and not torch.equal(few, many)
    alone = imagined(prior, "a cat", Noise(5, [2]), candidates=6, **how)
    torch.testing.assert_close(alone[0], many[2], atol=1e-4, rtol=1e-4)


def test_pictures_come_again(parts: dict[str, Any], tmp_path: Path) -> None:
    source, own = parts["picture"], small(parts)
    own |= {"seed": 4}
    varied = vary(source, "a dog", keep=0.4, count=2, **own)
    alone = vary(source, "a dog", keep=0.4, first=1, **own)
    assert (alone[0].pixels - varied[1].pixels).abs().max() < 1e-4
    assert (varied[0].pixels - varied[1].pixels).abs().max() > 0.01
    del own["seed"]
    changed = textdiff(source, "a cat", "a dog", words=True, **own)
    painted = unclip("a red cube", prior=parts["prior"], count=2, size="64x32", **own)
    assert painted[0].pixels.shape == (3, 32, 64)
    for number, picture in enumerate([*varied, *changed, *painted]):
        file = picture.save(tmp_path / f"{number}.png")
        recipe = picture.recipe
        assert recipe is not None and recipe["model"]["name"].endswith("+" + parts["decoder"])
        assert recipe["clips"][0]["fingerprint"] == open_clip(parts["clip"]).fingerprint
        again = replay(file)
        assert again.identical and not again.notes, recipe["task"]
    assert painted[0].recipe is not None and len(painted[0].recipe["guides"]) == 1
    wordless = unclip("a red cube", prior=parts["prior"], words=False, size="64x32", **own)
    assert not torch.equal(wordless[0].pixels, painted[0].pixels)


def test_a_watcher_is_told_of_all_steps_and_can_stop_at_each(parts: dict[str, Any]) -> None:
    told: list[Progress] = []
    vary(parts["picture"], keep=0.5, count=9, watch=told.append, **small(parts))
    assert [each.step for each in told] == list(range(1, 7)) and told[0].total == 6
    for stop in (1, 3):

        def watch(progress: Progress, stop: int = stop) -> None:
            if progress.step == stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            textdiff(parts["picture"], "a cat", "a dog", watch=watch, **small(parts))


def test_pictures_of_other_sizes_come_back_in_their_own(
    parts: dict[str, Any], tmp_path: Path
) -> None:
    wide = Picture(torch.rand(3, 50, 90)).save(tmp_path / "wide.png")
    assert vary(wide, keep=0.5, **small(parts))[0].pixels.shape == (3, 50, 90)
    assert vary(wide, **small(parts))[0].pixels.shape == (3, 50, 90)


def test_what_is_refused(parts: dict[str, Any], sd_folder: Get, tmp_path: Path) -> None:
    source, own = parts["picture"], small(parts)
    for why, do in {
        "keep 1.5: give a number from 0 to 1": lambda: vary(source, keep=1.5, **own),
        "limner train decoder": lambda: vary(source, model=parts["model"]),
        "no such file": lambda: vary("gone.png", **own),
        "one phrase, with no weight": lambda: vary(source, "a cat | a dog", **own),
        "steps 1: give at least 2": lambda: vary(source, keep=0.5, **own | {"steps": 1}),
        "amount 0": lambda: textdiff(source, "a", "b", amount=0, **own),
        "are the same to": lambda: textdiff(source, "a cat", "a cat", **own),
        "text after is empty": lambda: textdiff(source, "a cat", " ", **own),
        "candidates 0": lambda: unclip("a", candidates=0, prior=parts["prior"], **own),
        "prior scale nan": lambda: unclip("a", prior_scale=math.nan, prior=parts["prior"], **own),
        "prompt is empty": lambda: unclip("", prior=parts["prior"], **own),
        "decoder 'none'": lambda: vary(source, model=parts["model"], decoder="none"),
    }.items():  # fmt: skip
        with pytest.raises(BadInput, match=why):
            do()
    other = random_prior(tmp_path / "prior", even_clip(tmp_path / "clip", parts["clip"]))
    _spoil(tmp_path / "clip", other)
    with pytest.raises(BadInput, match="knows another CLIP"):
        unclip("a cat", prior=str(other), **own)
    made = vary(source, **own)[0]
    recipe = dict(made.recipe or {})
    with pytest.raises(BadInput, match="is not the one it was made from"):
        replay(Picture(made.pixels, recipe | {"files": {source: "0" * 64}}))
    with pytest.raises(BadInput, match="give that model yourself"):
        replay(Picture(made.pixels, recipe | {"model": {"name": parts["model"] + "+gone"}}))


def _spoil(clip: Path, prior: Path) -> None:
    """The prior's CLIP as another one, which it knows."""
    import json

    from safetensors.torch import load_file, save_file

    file = clip / "model.safetensors"
    weights = load_file(file)
    weights["logit_scale"] = weights["logit_scale"] + 1
    save_file(weights, file, metadata={"format": "pt"})
    card = json.loads((prior / "limner.json").read_text())
    told = {"name": str(clip), "fingerprint": open_clip(clip).fingerprint}
    (prior / "limner.json").write_text(json.dumps(card | {"clip": told}))


def test_the_commands(run: Any, parts: dict[str, Any]) -> None:
    own = ["--model", parts["model"], "--decoder", parts["decoder"], "--steps", 2]
    status, said, _ = run("vary", parts["picture"], "--count", 2, "--sheet", "-o", "v.png", *own)
    assert status == 0 and said.split() == ["v-1.png", "v-2.png", "v-sheet.png"]
    status, said, _ = run("textdiff", parts["picture"], "a cat", "a dog", *own, "--json")
    assert status == 0 and '"path": "a-to-a-dog.png"' in said
    status, said, _ = run("unclip", "a cat", "--prior", parts["prior"], "-o", "u.png", *own)
    assert status == 0 and said.split() == ["u.png"]
    assert run("replay", "u.png")[0] == 0
    status, _, error = run("vary", parts["picture"], "--model", parts["model"])
    assert status == 2 and "limner train decoder" in error and "\n" not in error.strip()
    assert open_model(parts["model"]).conditioned is None


def test_those_that_come_with_limner_need_no_name(
    parts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put into a package that has no others, with half the digits."""
    folder = tmp_path / "limner" / "embedded"
    monkeypatch.setattr(_embed, "FOLDER", folder)
    monkeypatch.setattr(adapter, "_EMBEDDED", folder / "adapters")
    monkeypatch.setattr(embedded, "__file__", str(tmp_path / "limner" / "models" / "embedded.py"))
    said = ["_embed", "--adapter-decoder", parts["decoder"], "--prior", parts["prior"]]
    monkeypatch.setattr(sys, "argv", said)
    _embed.main()
    adapter._with_own.cache_clear()
    how = {"steps": 2, "precision": "float32", "model": parts["model"]}
    made = unclip("a cat", **how)[0]
    assert made.recipe is not None and made.recipe["model"]["name"] == parts["model"] + "+decoder"
    assert replay(made).identical
    named = unclip("a cat", decoder=parts["decoder"], prior=parts["prior"], **how)[0]
    assert psnr(made.pixels, named.pixels) > 30
    assert "unCLIP" in (folder / "prior" / "README.md").read_text()
    adapter._with_own.cache_clear()
