"""Put trained models into the package: python -m limner.training._embed --words RUN/model

Weights become float16, which is half the size and, read back into float32, moves no picture
visibly (docs/measurements.md says by how much). What is not named stays as it is.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from limner.models._towers import OWN

__all__ = ["embed"]

FOLDER = Path(__file__).parents[1] / "embedded"

_CARD = """---
license: mit
library_name: {library}
tags: [limner]
---
# {title}

{text}

Trained from scratch by limner's own recipe on limner's own world {world}.
No photograph, no scraped caption and no other model's weights went into it. It knows that world
and nothing else: see `docs/worlds.md`. What it reaches, and the commands that made and measured
it, are in `docs/measurements.md`.
"""

_SCENES = """`scenes` (drawn pictures; the
glyphs are Noto Color Emoji's, under the SIL Open Font License 1.1)"""

_FACES = "`faces` (drawn portraits)"

_WORDS = """A text-to-image model for pictures of 128 pixels: latent diffusion, v-prediction, zero
terminal SNR. The folder is in Stable Diffusion's layout: `StableDiffusionPipeline` opens it with
`from_pretrained(folder)`, and so does `limner generate`."""

_CLIP = """A CLIP for pictures of 64 pixels. `CLIPModel.from_pretrained(folder)` opens it; limner
uses it to describe, classify and rank pictures, and no search ever follows it."""

_ROBUST = """A CLIP for pictures of 64 pixels that searches follow: trained on adversarial views
(`limner train clip --robust`), so that its gradient draws. `CLIPModel.from_pretrained(folder)`
opens it, and so does `limner.open_clip("robust")`."""

_SECOND = """A CLIP for pictures of 64 pixels with a ResNet tower, of another seed than limner's
others, trained on adversarial views (`limner train clip --tower resnet --robust`): searches follow
it together with "robust", as what fools one tower seldom fools another.
`limner.open_clip("second")` opens it."""

_VQGAN = """A VQGAN: pictures of 128 pixels as 16x16 codes of a codebook, for VQGAN+CLIP and for
transformers over codes. `VQModel.from_pretrained(folder)` of diffusers opens it, and so does
`limner.models.vqgan.open_vqgan()`."""

_STYLEGAN = """A StyleGAN2 for portraits of 64 pixels of limner's world `faces`, drawn heads with no
person's likeness: generator and discriminator. `limner.models.stylegan.open_stylegan()` opens it,
for StyleCLIP, StyleGAN-NADA, inversion and style mixing."""


def embed(
    model: Path, part: str, title: str, library: str, text: str, world: str = _SCENES
) -> None:
    """Copy a model folder to ``limner/embedded/part`` with float16 weights and a card."""
    target = FOLDER / part
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(model, target)
    if (target / OWN).exists():  # a diffusion's text encoder is beside such towers, once more
        for name in ("config.json", "model.safetensors"):
            (target / name).unlink(missing_ok=True)
    for file in target.rglob("*.safetensors"):
        weights = {
            name: value.half() if value.is_floating_point() else value
            for name, value in load_file(file).items()
        }
        save_file(weights, file, metadata={"format": "pt"})
    for file in target.rglob("config.json"):  # diffusers notes the path that it opened
        said = json.loads(file.read_text())
        said.pop("_name_or_path", None)
        file.write_text(json.dumps(said, indent=2) + "\n")
    told = target / "limner.json"
    card = json.loads(told.read_text()) if told.exists() else {}
    told.write_text(json.dumps(card | {"licence": "MIT"}, indent=1))
    card_text = _CARD.format(title=title, library=library, text=text, world=world)
    (target / "README.md").write_text(card_text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", type=Path, help="RUN/model of limner train diffusion")
    parser.add_argument("--clip", type=Path, help="RUN/model of limner train clip")
    parser.add_argument("--clip-robust", type=Path, help="RUN/model of limner train clip --robust")
    parser.add_argument("--clip-second", type=Path, help="of another tower and seed, --robust too")
    parser.add_argument("--vqgan", type=Path, help="RUN/model of limner train vqgan")
    parser.add_argument("--stylegan", type=Path, help="RUN/model of limner train stylegan")
    given = parser.parse_args()
    if given.words:
        embed(given.words, "diffusion", "limner's words to pictures", "diffusers", _WORDS)
    if given.clip:
        embed(given.clip, "clip", "limner's CLIP", "transformers", _CLIP)
    if given.clip_robust:
        embed(given.clip_robust, "clip-robust", "limner's robust CLIP", "transformers", _ROBUST)
    if given.clip_second:
        embed(given.clip_second, "clip-second", "limner's second CLIP", "limner", _SECOND)
    if given.vqgan:
        embed(given.vqgan, "vqgan", "limner's VQGAN", "diffusers", _VQGAN)
    if given.stylegan:
        embed(given.stylegan, "stylegan", "limner's StyleGAN2", "limner", _STYLEGAN, _FACES)


if __name__ == "__main__":
    main()
