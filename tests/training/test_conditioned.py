"""Inpainting and regions: what is shown is what is there, what is exported what was trained."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from limner import open_model
from limner.data._open import open_data
from limner.errors import BadInput
from limner.models._regions import boxes_cover, laid_out
from limner.models.adapter import open_adapter
from limner.training import inpainting as recipe_of_holes
from limner.training import regions as recipe_of_regions
from limner.training._cached import Cached
from limner.training._conditioned import Conditioned, open_base
from limner.training._holes import hole
from limner.training.inpainting import Holes, inpainting
from limner.training.loop import Plan
from limner.training.regions import Regions, regions
from limner.worlds._scattered import named, placed

sys.path.insert(0, str(Path(__file__).parent))
from _toy import Bars

PLAN = Plan(
    steps=2, batch_size=4, learning_rate=1e-2, warmup_steps=1, save_every=50, ema=0.5, seed=3
)
RECIPES = {
    "inpainting": partial(inpainting, latents=12, rank=2),
    "regions": partial(regions, latents=12, rank=2, width=3),
}


def data():
    return open_data("world:scenes", size=64)


def trained(run: Path, kind: str, base: Path, plan: Plan = PLAN, **more):
    return list(RECIPES[kind](data(), run, plan, start=str(base), **more))


@pytest.fixture(scope="module")
def runs(tmp_path_factory, sd_folder):
    made = {}
    for kind in RECIPES:
        made[kind] = tmp_path_factory.mktemp(kind) / "run"
        trained(made[kind], kind, sd_folder("own"))
    return made


@pytest.mark.parametrize("kind", RECIPES)
def test_the_adapter_that_is_exported_is_the_network_that_learned(runs, sd_folder, tmp_path, kind):
    """Opened, it says what the recipe's own network says, of the very things it was shown."""
    base = open_base(str(sd_folder("own")), 64)
    kept = Cached(runs[kind] / ("holes" if kind == "inpainting" else "regions"))
    if kind == "inpainting":
        grey = recipe_of_holes._grey(base, 64)
        recipe = Conditioned(base, Holes(kept, grey, lambda x: x), rank=2, seed=3)
    else:
        shown = Regions(kept, recipe_of_regions._embedder(base), 3)
        recipe = Conditioned(base, shown, rank=2, seed=3)
    with torch.no_grad():
        for weight in recipe.additions.parameters():
            weight.add_(0.03 * torch.randn_like(weight))
    recipe.export(tmp_path / "model")
    model = open_adapter(tmp_path / "model", open_model(sd_folder("own")))
    assert model.conditioned == kind
    batch = recipe.batch(5, 6, 0, 1)
    x, target = base.noising.noisy(batch["latents"], batch["noise"], batch["timesteps"])
    losses = []
    recipe.learn("adapter", batch, 5, losses.append)
    if kind == "regions":
        projection = [model.adapter.extra[f"phrase.{part}"] for part in ("weight", "bias")]
        embedded = recipe.shown.embedded[batch["phrases"]]
        beside = laid_out(batch["cover"], embedded, batch["exact"], projection)
    else:
        beside = torch.cat([batch["mask"], batch["known"]], 1)
    states = base.parts.text_encoder(batch["ids"])[0]
    with torch.no_grad():
        said = model.unet(
            torch.cat([x, beside], 1), batch["timesteps"], encoder_hidden_states=states
        ).sample
    counts = batch["weight"].expand_as(said)
    wanted = (counts * (said - target).square()).sum() / counts.sum()
    torch.testing.assert_close(losses[0].detach(), wanted, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("kind", RECIPES)
def test_it_learns_and_resumes_to_the_same(runs, sd_folder, tmp_path, kind):
    from safetensors.torch import load_file

    begun = RECIPES[kind](data(), tmp_path / "run", PLAN, start=str(sd_folder("own")))
    next(begun)
    begun.close()
    trained(tmp_path / "run", kind, sd_folder("own"), resume=True)
    files = [run / "model" / "adapter.safetensors" for run in (runs[kind], tmp_path / "run")]
    whole, resumed = (load_file(file) for file in files)
    assert whole.keys() == resumed.keys()
    for name, weight in whole.items():
        torch.testing.assert_close(weight, resumed[name], atol=1e-6, rtol=1e-5)
    moved = [name for name in whole if name.endswith("lora_B.weight") and whole[name].any()]
    assert len(moved) > 20
    card = json.loads((runs[kind] / "model" / "adapter.json").read_text())
    assert (card["kind"], card["rank"]) == (kind, 2)
    assert card["config"]["in_channels"] == 8 + card["beside"]


def test_what_is_known_is_the_picture_grey_in_its_holes(runs, sd_folder):
    kept = Cached(runs["inpainting"] / "holes")
    model = open_model(sd_folder("own"))
    drawn = placed(data().world, range(12))
    pixels = np.array([Image.fromarray(each.picture).resize((64, 64), 3) for each in drawn])
    pictures = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    latents = torch.from_numpy(np.array(kept.arrays["latents"])).float()
    torch.testing.assert_close(latents, model.encode(pictures), atol=0.02, rtol=0.02)
    for row, each in ((3, 0), (8, 1)):
        mask = torch.from_numpy(np.array(kept.arrays["holes"][row, each]))
        assert mask.any()
        large = mask.repeat_interleave(4, 0).repeat_interleave(4, 1)
        known = torch.where(large, torch.tensor(128 / 255), pictures[row])[None]
        found = torch.from_numpy(np.array(kept.arrays["known"][row, each])).float()[None]
        torch.testing.assert_close(found, model.encode(known), atol=0.02, rtol=0.02)
    assert kept.told == [each.caption for each in drawn]


def test_regions_are_where_the_world_says(runs, sd_folder):
    kept = Cached(runs["regions"] / "regions")
    base = open_base(str(sd_folder("own")), 64)
    shown = Regions(kept, recipe_of_regions._embedder(base), 3)
    model = open_model(sd_folder("own"))
    for row, each in enumerate(placed(data().world, range(12))):
        told = kept.told[row]
        assert told["caption"] == each.caption
        for at, (thing, box, mask) in enumerate(zip(each.things, each.boxes, each.masks), 1):
            assert named(thing).endswith(told["phrases"][at])
            embedded = shown.embedded[shown.phrases[row, at]]
            torch.testing.assert_close(
                embedded, model.embed_phrases([told["phrases"][at]])[0], atol=1e-5, rtol=1e-4
            )
            assert np.allclose(kept.arrays["boxes"][row, at], box / 128)
            cells = mask.reshape(16, 8, 16, 8).mean((1, 3))
            assert np.abs(kept.arrays["covers"][row, at] / 255 - cells).max() < 0.01
        ground = ~each.masks.any(0)
        cells = ground.reshape(16, 8, 16, 8).mean((1, 3))
        assert np.abs(kept.arrays["covers"][row, 0] / 255 - cells).max() < 0.01


def test_what_is_to_be_painted_counts_more(runs, sd_folder):
    rng = np.random.Generator(np.random.Philox(key=4))
    kept = Cached(runs["inpainting"] / "holes")
    batch, _ = Holes(kept, torch.zeros(8, 16, 16), lambda x: x).rows(np.arange(12), rng)
    assert torch.equal(batch["weight"] == 1, batch["mask"] == 1)
    assert torch.allclose(batch["weight"][batch["mask"] == 0], torch.tensor(0.3))
    kept = Cached(runs["regions"] / "regions")
    base = open_base(str(sd_folder("own")), 64)
    batch, _ = Regions(kept, recipe_of_regions._embedder(base), 3).rows(np.arange(12), rng)
    for each, weight in zip(placed(data().world, range(12)), batch["weight"], strict=True):
        things = each.masks.any(0).reshape(16, 8, 16, 8).mean((1, 3))
        assert np.abs(weight[0].numpy() - 1 - 3 * things).max() < 0.05


def test_regions_are_left_out_and_the_small_lie_on_top(runs, sd_folder):
    kept = Cached(runs["regions"] / "regions")
    base = open_base(str(sd_folder("own")), 64)
    shown = Regions(kept, recipe_of_regions._embedder(base), 3)
    rng = np.random.Generator(np.random.Philox(key=1))
    rows = np.arange(3000) % 12
    batch, captions = shown.rows(rows, rng)
    sums = batch["cover"].sum((2, 3))
    boxes = batch["exact"][:, 0] == 0
    assert 0.45 < boxes.float().mean() < 0.55
    of_boxes = torch.where(sums[boxes] > 0, sums[boxes], torch.inf)  # left out: covers nothing
    kept_sums = [row[row < torch.inf] for row in of_boxes]
    assert all((row[:-1] >= row[1:] - 1e-3).all() for row in kept_sums)
    empty = (sums.sum(1) == 0).float().mean()
    assert 0.1 < empty < 0.25
    wordless = np.mean([caption == "" for caption in captions])
    assert 0.33 < wordless < 0.44
    both = np.mean([c == "" and s == 0 for c, s in zip(captions, sums.sum(1).tolist())])
    assert 0.06 < both < 0.16
    whole = boxes_cover(torch.tensor([0.0, 0, 1, 1]), (16, 16))
    grounds = [(cover == whole).all((1, 2)).any() for cover in batch["cover"][boxes]]
    assert 0.15 < np.mean([bool(each) for each in grounds]) < 0.35


@pytest.mark.parametrize("things", [0, 3])
def test_holes_leave_something_and_take_something(things):
    rng = np.random.Generator(np.random.Philox(key=2))
    corners = np.sort(rng.random((things, 2, 2)), 1)
    boxes = corners.reshape(things, 4)  # x0 y0 x1 y1
    drawn = [hole(16, boxes, rng) for _ in range(400)]
    shares = np.array([each.mean() for each in drawn])
    assert shares.min() > 0 and (shares == 1).mean() < 0.1
    assert 0.15 < shares.mean() < 0.7
    often = np.mean(drawn, 0)
    assert often.min() > 0.08  # every place is asked for
    covered = [
        any(each[int(b * 16) : -int(-d * 16), int(a * 16) : -int(-c * 16)].all()
            for a, b, c, d in boxes)
        for each in drawn
    ]  # fmt: skip
    assert not things or np.mean(covered) > 0.4


def test_other_pictures_have_holes_too(sd_folder, tmp_path):
    base = str(sd_folder("own"))
    (last,) = list(
        inpainting(Bars(size=64), tmp_path / "run", Plan(steps=1, batch_size=2, save_every=9),
                   start=base, latents=4, holes=1, rank=1)
    )  # fmt: skip
    assert last.step == 1 and (tmp_path / "run" / "model" / "adapter.json").is_file()


def test_previews_show_both(sd_folder, tmp_path):
    plan = Plan(steps=1, batch_size=2, save_every=9, preview_every=1)
    for kind in RECIPES:
        trained(tmp_path / kind, kind, sd_folder("own"), plan)
        (sheet,) = (tmp_path / kind / "previews").iterdir()
        assert Image.open(sheet).width > 6 * 64


def test_what_they_refuse(sd_folder, tmp_path):
    base, run = str(sd_folder("own")), tmp_path / "run"
    asked = partial(regions, run=run, plan=PLAN)
    for why, made in {
        "says what is where": asked(Bars(size=64), start=base),
        "give at least 1 of each": asked(data(), start=base, latents=0),
        "width 0": asked(data(), start=base, width=0),
        "rank 0": asked(data(), start=base, rank=0, latents=4),
        "multiples of 4": asked(open_data("world:scenes", size=62), start=base),
        "no model": asked(data(), start="nowhere"),
        "holes 0": inpainting(data(), run, PLAN, start=base, holes=0),
    }.items():
        with pytest.raises(BadInput, match=why):
            list(made)
