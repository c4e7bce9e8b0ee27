"""Paints the pictures of README and docs with the shipped weights."""

from pathlib import Path

import numpy as np

import limner
from limner.picture import Picture, from_uint8, grid
from limner.worlds import faces as portraits
from limner.worlds.scenes import Scene, Thing, World, canonical

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"

README = (
    "an astronaut riding a horse at sunset",
    "a red cube on top of a blue cube",
    "a monkey eating a banana",
    "a panda in the forest",
    "a dragon in the snow",
    "a rocket in space",
    "a robot at night",
    "three mushrooms in the forest",
    "a squirrel and a burger",
    "a brain riding a rocket",
    "a cactus in the desert",
    "a hedgehog using an abacus",
    "a penguin in the snow",
    "a golden apple",
    "a cat wearing a crown",
    "a green sphere to the left of a purple cone",
    "a watercolor of a tree",
    "a large orange torus on the beach",
)

PAINTED = (
    "a red apple on the grass",
    "a yellow cone on the beach",
    "a cat wearing a crown",
    "a cactus in the desert",
)


def sheet(
    name: str, pictures: list[Picture], labels: list[str], columns: int, recipe: bool = True
) -> None:
    made = grid(pictures, columns=columns, labels=labels)
    print(made.save(FOLDER / name, recipe=recipe))


def readme() -> None:
    painted = [limner.generate(prompt, seed=7)[0] for prompt in README]
    sheet("sheet.png", painted, list(README), 6)


def guidance() -> None:
    scales = (1.0, 2.0, 4.0, 7.0)
    prompts = ("a penguin in the snow", "a yellow cone and a blue sphere")
    pairs = [(p, s) for p in prompts for s in scales]
    painted = [limner.generate(p, seed=3, guidance_scale=s)[0] for p, s in pairs]
    sheet("guidance.png", painted, [f"{p}, scale {s:g}" for p, s in pairs], len(scales))


def samplers() -> None:
    from limner._rooms import names

    known = [name for name in names("samplers") if name != "lcm"]  # lcm wants a distilled network
    pairs = [(name, steps) for steps in (6, 12, 24) for name in known]
    prompt = "a mushroom on the grass"
    painted = [limner.generate(prompt, seed=5, sampler=n, steps=k)[0] for n, k in pairs]
    sheet("samplers.png", painted, [f"{n}, {k} steps" for n, k in pairs], len(known))


def composition() -> None:
    prompts = ("a tree", "a tree | at night", "a tree:1.5 | on the grass:-1", "a tree | a car")
    painted = [limner.generate(prompt, seed=2)[0] for prompt in prompts]
    sheet("composition.png", painted, list(prompts), len(prompts))


def paint() -> None:
    from limner.tasks._generators import GENERATORS

    for name in (each for each in GENERATORS if "=" not in each):
        painted = [limner.paint(prompt, generator=name, seed=1)[0] for prompt in PAINTED]
        sheet(f"paint-{name}.png", painted, list(PAINTED), len(PAINTED))


def edit() -> None:
    nouns, grounds = ("apple", "cat", "robot", "car"), ("plain", "grass", "night", "snow")
    texts = ("a golden apple", "a cat made of ice", "a wooden robot", "a crochet car")
    world, rng = World(), np.random.default_rng(0)
    drawn = [Scene((Thing(noun),), background=ground) for noun, ground in zip(nouns, grounds)]
    given = [from_uint8(world.paint(scene, rng)[0]) for scene in drawn]
    files = [each.save(FOLDER / f"edit-{i}.png") for i, each in enumerate(given, 1)]
    for method in ("layer", "sdedit", "latent"):
        edited = [limner.edit(f, t, method=method) for f, t in zip(files, texts)]
        pictures = given + [each.picture for each in edited]
        labels = [*map(canonical, drawn), *texts]
        if method == "layer":
            pictures += [from_uint8(each.layer[..., 3:].repeat(3, 2)) for each in edited]
            labels += ["its opacity"] * len(texts)
        # The recipes of edits name files of the machine that this runs on.
        sheet(f"edit-{method}.png", pictures, labels, len(texts), recipe=False)


def latents() -> None:
    ends = ("seed:7", "seed:3", "seed:12", "seed:20")
    painted, labels = [], []
    for layers in ("coarse", "middle", "fine"):
        painted += [limner.mix(ends[0], b, layers=layers) for b in ends]
        labels += ["seed:7, a", *(f"{layers} of {b}" for b in ends[1:])]
    sheet("latents-mix.png", painted, labels, len(ends), recipe=False)
    names = ("smile", "glasses", "beard", "age", "hair")
    pairs = [(end, name) for end in ends for name in ("", *names)]
    changed = [limner.arithmetic(e, add=n) if n else limner.mix(e, e) for e, n in pairs]
    sheet("latents-add.png", changed, [f"+ {n}" if n else e for e, n in pairs], 1 + len(names))


def adapt() -> None:
    from limner.measures.adapted import SOURCE, TARGETS

    for style in ("pencil sketch", "zombie", "night"):
        made = limner.adapt(SOURCE, TARGETS[style], seed=1)
        print(made.sheet.save(FOLDER / f"adapt-{style.replace(' ', '-')}.png", recipe=False))


def fast() -> None:
    painted = [limner.generate(prompt, seed=7, fast=True)[0] for prompt in README[:12]]
    sheet("fast.png", painted, list(README[:12]), 6)


def guide() -> None:
    kinds = ("none", "cfg", "clip", "noised-clip", "classifier", "cfg+noised-clip")
    painted = limner.guide("a panda on the beach", compare=kinds, count=4, seed=0)
    labels = [f"{kind} {k}" for kind in kinds for k in range(4)]
    sheet("guide.png", painted, labels, 4, recipe=False)


def explain() -> None:
    found = limner.explain("a cat to the left of a red cube in the snow")
    print(found.sheet().save(FOLDER / "explain.png", recipe=False))


def layout() -> None:
    boxes = "a cat: .05,.4,.5,.95; a rocket: .55,.1,.95,.6"
    shown = limner.layout("a cat and a rocket at night", boxes=boxes, count=4)
    other = "a mushroom: .05,.5,.35,.95; a mushroom: .4,.1,.6,.4; a panda: .6,.4,1,1"
    shown += limner.layout("in the forest", boxes=other, count=4)
    sheet("layout.png", shown, ["cat, rocket"] * 4 + ["mushrooms, panda"] * 4, 4, recipe=False)


def upscale() -> None:
    small = from_uint8(World(seed=1, split="held_out").draw([4]).pictures[0])
    small.save(FOLDER / "upscale-given.png", recipe=False)
    large = limner.upscale(FOLDER / "upscale-given.png", to=512)
    print(large.save(FOLDER / "upscale.png", recipe=False))


def scenes() -> None:
    drawn = World(seed=0).draw(range(36))
    captions = [phrasings[0] for phrasings in drawn.captions]
    sheet("scenes.png", [from_uint8(pixels) for pixels in drawn.pictures], captions, 9)


def faces() -> None:
    drawn = portraits.World(seed=7).draw(range(36))
    captions = [phrasings[0].removeprefix("a portrait of ") for phrasings in drawn.captions]
    sheet("faces.png", [from_uint8(pixels) for pixels in drawn.pictures], captions, 9)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for make in (
        scenes,
        faces,
        readme,
        guidance,
        samplers,
        composition,
        paint,
        edit,
        latents,
        adapt,
        fast,
        guide,
        explain,
        layout,
        upscale,
    ):
        make()
