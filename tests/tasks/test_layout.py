"""layout: boxes read and refused, both methods, recipes; and adapters for inpainting."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from limner import BadInput, Picture, generate, inpaint, layout, open_model, replay
from limner.models._regions import boxes_cover, laid_out
from limner.models.adapter import open_adapter
from limner.noise import Noise
from limner.tasks._paint import Plan
from limner.tasks._regions import boxed, boxes_of, conditioned, course_of

sys.path.insert(0, str(Path(__file__).parent))
from _random_adapter import random_adapter

Get = Callable[[str], Path]
BOXES = "a cat: 0,.25,.5,1; the red cube: .5,0,1,.5"
SMALL: dict[str, Any] = dict(steps=2, precision="float32")


@pytest.fixture(scope="module")
def adapters(
    sd_folder: Get, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Path]:
    def get(base: str, kind: str = "regions") -> Path:
        folder = root / f"{base}-{kind}"
        return folder if folder.exists() else random_adapter(folder, sd_folder(base), kind)

    root = tmp_path_factory.mktemp("adapters")
    return get


def test_boxes_are_read_largest_first() -> None:
    assert boxes_of(" a cat : .5,.5,.75,.75 ; at 10:30, a dog: 0, 0,1,1;") == [
        ("at 10:30, a dog", (0, 0, 1, 1)),
        ("a cat", (0.5, 0.5, 0.75, 0.75)),
    ]


@pytest.mark.parametrize(
    ("boxes", "why"),
    [
        ("", "0 boxes"),
        ("a cat", "colon"),
        ("a cat: .1,.2,.3", "x0,y0,x1,y1"),
        ("a cat: .1,.2,.3,x", "x0,y0,x1,y1"),
        (": .1,.2,.3,.4", "no words"),
        ("a cat: .1,.2,.3,1.4", "shares, 0 to 1"),
        ("a cat: -.1,.2,.3,.4", "shares, 0 to 1"),
        ("a cat: .5,.2,.3,.4", "is empty"),
        ("a cat: .5,.2,.5,.4", "is empty"),
        ("a cat: .1,.1,.5,.5; a dog: .1,.1,.5,.5", "'a cat' and 'a dog' overlap entirely"),
        ("a: 0,0,1,1; b: 0,0,.6,1; c: .4,0,1,1", "overlap entirely"),
        (";".join(f"a cat: 0,0,{i / 40},1" for i in range(1, 35)), "34 boxes"),
    ],
)
def test_boxes_that_are_refused(sd_folder: Get, boxes: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        layout("a cat", boxes=boxes, model=str(sd_folder("own")))


def test_the_network_is_shown_the_boxes(sd_folder: Get, adapters: Any) -> None:
    """One step of the course, beside the adapted network asked by hand."""
    model = open_adapter(adapters("own"), open_model(sd_folder("own")))
    plan = Plan("a red cube", "", 0, 1, 3.0, (0, 1), 0, "ddim", (64, 64))
    course = course_of(model, plan, boxed(boxes_of(BOXES), (16, 16)))
    level = course.levels[0]
    x = course.start(Noise(0, [0, 1]))
    assert model.adapter is not None
    phrases = model.embed_phrases(["a cat", "the red cube"])
    cover = boxes_cover(torch.tensor([[0, 0.25, 0.5, 1], [0.5, 0, 1, 0.5]]), (16, 16))
    projection = [model.adapter.extra[f"phrase.{part}"] for part in ("weight", "bias")]
    beside = laid_out(cover[None], phrases[None], torch.zeros(1, 2), projection)
    nothing, said = model.encode_text(["", plan.prompt]).split(1)
    assert level.alpha == 0  # of zero terminal SNR: v is −x0

    def x0(shown: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        wide = torch.cat([x, shown.expand(2, -1, -1, -1)], 1)
        times, text = torch.tensor([999.0, 999.0]), states.expand(2, -1, -1)
        return -model.unet(wide, times, encoder_hidden_states=text).sample

    with torch.no_grad():
        without, with_ = x0(torch.zeros_like(beside), nothing), x0(beside, said)
        found = course.denoiser(x, level)
    torch.testing.assert_close(found, without + 3 * (with_ - without), atol=2e-4, rtol=1e-3)
    assert (with_ - x0(torch.zeros_like(beside), said)).abs().max() > 0.05


@pytest.mark.parametrize("kind", ["own", "sd1"])
def test_both_methods_paint_and_come_again(
    sd_folder: Get, adapters: Any, tmp_path: Path, kind: str
) -> None:
    options = SMALL | {"model": str(sd_folder(kind)), "seed": 3}
    made = {}
    for method in ("regions", "composed"):
        adapter = str(adapters(kind)) if method == "regions" else None
        pictures = layout("a red cube", boxes=BOXES, method=method, adapter=adapter, count=2,
                          **options)  # fmt: skip
        alone = layout("a red cube", boxes=BOXES, method=method, adapter=adapter, first=1,
                       **options)  # fmt: skip
        assert (alone[0].pixels - pictures[1].pixels).abs().max() < 1e-4
        recipe = pictures[0].recipe
        assert recipe is not None and recipe["arguments"]["method"] == method
        assert recipe["model"]["name"].endswith("+" + adapter) if adapter else True
        again = replay(pictures[0].save(tmp_path / f"{method}.png"))
        assert again.identical and not again.notes
        other = layout("a red cube", boxes="a cat: .5,0,1,1", method=method, adapter=adapter,
                       **options)  # fmt: skip
        assert not torch.equal(other[0].pixels, pictures[0].pixels)
        made[method] = pictures[0].pixels
    plain = generate("a red cube", **options)[0].pixels
    assert not torch.equal(made["composed"], plain) and not torch.equal(made["regions"], plain)


def test_a_wide_picture(sd_folder: Get, adapters: Any) -> None:
    for adapter in (str(adapters("own")), "none"):
        (made,) = layout("a cat", boxes=BOXES, adapter=adapter, size="96x64",
                         model=str(sd_folder("own")), **SMALL)  # fmt: skip
        assert made.pixels.shape == (3, 64, 96)


def test_what_the_model_must_know(sd_folder: Get, adapters: Any) -> None:
    def asked(why: str, base: str = "own", **options: Any) -> None:
        with pytest.raises(BadInput, match=why):
            layout("a cat", boxes=BOXES, model=str(sd_folder(base)), **SMALL, **options)

    asked("knows no regions: give an adapter", method="regions")
    asked("no method 'boxes'", method="boxes")
    asked("composed takes no adapter", method="composed", adapter=str(adapters("own")))
    asked("made for another model", base="sd1", adapter=str(adapters("own")))
    asked("is for inpainting: give one for regions", adapter=str(adapters("own", "inpainting")))
    asked("no adapter", adapter="nowhere")
    asked("prompt of one part", guidance_rescale=0.5)
    own = open_model(sd_folder("own"))
    assert conditioned(own, None, None) is own
    region = open_adapter(adapters("own"), own)
    with pytest.raises(BadInput, match="use limner layout or map"):
        generate("a cat", model=region, **SMALL)
    hole = open_adapter(adapters("own", "inpainting"), own)
    with pytest.raises(BadInput, match="use limner inpaint or outpaint"):
        layout("a cat", boxes=BOXES, model=hole, **SMALL)


def test_inpaint_with_an_adapter(sd_folder: Get, adapters: Any, tmp_path: Path) -> None:
    scene = Picture(Noise(0, [0]).uniform((3, 64, 64))[0]).save(tmp_path / "scene.png")
    grey = torch.zeros(3, 64, 64)
    grey[:, 16:48, 8:40] = 1
    mask = Picture(grey).save(tmp_path / "mask.png")
    options: dict[str, Any] = SMALL | {"mask": mask, "model": str(sd_folder("own"))}
    folder = str(adapters("own", "inpainting"))
    (made,) = inpaint(scene, "a cat", adapter=folder, **options)
    (plain,) = inpaint(scene, "a cat", adapter="none", **options)
    recipe = made.recipe
    assert recipe is not None and recipe["arguments"]["resample"] == 1
    assert plain.recipe is not None and plain.recipe["arguments"]["resample"] == 4
    assert not torch.equal(made.pixels, plain.pixels)
    for each, name in ((made, "made.png"), (plain, "plain.png")):
        again = replay(each.save(tmp_path / name))
        assert again.identical and not again.notes
    with pytest.raises(BadInput, match="trained for regions"):
        inpaint(scene, "a cat", **options | {
            "model": open_adapter(adapters("own"), open_model(sd_folder("own")))
        })  # fmt: skip


def test_the_command(run: Any, sd_folder: Get, adapters: Any, tmp_path: Path) -> None:
    said = ["layout", "a cat", "--model", str(sd_folder("own")), "--steps", "2"]
    status, out, _ = run(*said, "--boxes", BOXES, "--adapter", str(adapters("own")), "-o", "o.png")
    assert status == 0 and out.strip() == "o.png"
    status, out, _ = run("replay", "o.png")
    assert (status, out.strip()) == (0, "identical")
    status, _, errors = run(*said, "--boxes", "a cat: 0,0,2,2")
    assert status == 2 and len(errors.strip().splitlines()) == 1
    status, _, errors = run(*said, "--boxes", BOXES, "--method", "regions")
    assert status == 2 and "knows no regions" in errors
