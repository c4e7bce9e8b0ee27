"""Put trained models into the package: python -m limner.training._embed --words RUN/model

Weights become float16, which is half the size and, read back into float32, moves no picture
visibly (docs/measurements.md says by how much). What is not named stays as it is.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import NamedTuple

from safetensors.torch import load_file, save_file

from limner.models._gan import DISCRIMINATOR
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
uses it to describe, classify and rank pictures and to measure. A search follows it only where it is
named, or where no CLIP is installed that was made to be followed."""

_ROBUST = """A CLIP for pictures of 64 pixels that searches follow: trained on adversarial views
(`limner train clip --robust`), so that its gradient draws. `CLIPModel.from_pretrained(folder)`
opens it, and so does `limner.open_clip("robust")`."""

_SECOND = """A CLIP for pictures of 64 pixels with a ResNet tower, of another seed than limner's
others, trained on adversarial views (`limner train clip --tower resnet --robust`), so that its
gradient draws. Searches follow it: together with "robust" where that is installed, as what fools
one tower seldom fools another; else alone. `limner.open_clip("second")` opens it."""

_CLIP_FACES = """A CLIP for portraits of 64 pixels with a ResNet tower, trained on adversarial views
(`limner train clip --tower resnet --robust`) of portraits plain and in styles: pencil sketch,
watercolor, pixel art, zombie, night. Edits of faces follow it; no search for scenes does, since it
has seen nothing but faces. `limner.open_clip("faces")` opens it."""

_VQGAN = """A VQGAN: pictures of 128 pixels as 16x16 codes of a codebook, for VQGAN+CLIP and for
transformers over codes. `VQModel.from_pretrained(folder)` of diffusers opens it, and so does
`limner.models.vqgan.open_vqgan()`."""

_STYLEGAN = """A StyleGAN2 for portraits of 64 pixels of limner's world `faces`, drawn heads with no
person's likeness. `limner.models.stylegan.open_stylegan()` opens it, for StyleCLIP, StyleGAN-NADA,
inversion and style mixing."""

_DIRECTIONS = """StyleCLIP's global directions of limner's StyleGAN2 in the eyes of its CLIP
of faces: where pictures go when a channel of StyleSpace moves.
`limner edit --method direction` takes them where no others are named."""

_BIGGAN = """A BigGAN: classes and noise of each layer to pictures of single things.
`limner.models.biggan.open_biggan()` opens it, and searches move its classes and noise."""

_IDENTITY = """A ResNet that embeds drawn portraits so that one person's lie together whatever the
expression, pose, dress, hair and place: what the judge `identity` and the measures of edits
compare. It tells drawn heads apart, and no living person. `ResNetForImageClassification` of
transformers opens it with `from_pretrained(folder)`, its logits being the embedding, and so does
`limner.models.faces.open_identity()`."""

_ATTRIBUTES = """A ResNet that says what is true of a drawn portrait (smile, glasses, beard …), and
in which style it is drawn. Trained apart from every generator and CLIP, to measure whether an edit
did what it was asked to. `ResNetForImageClassification` of transformers opens it with
`from_pretrained(folder)`, and so does `limner.models.faces.open_attributes()`."""

_NOISED_CLIP = """A picture tower in the space of limner's CLIP, for the noisy latents of limner's
text-to-image model at any level: `limner guide --compare noised-clip` is guided by it.
`limner.models.noised_clip.open_noised_clip()` opens it."""

_NOISED_CLASSIFIER = """A classifier of the noisy latents of limner's text-to-image model at any
level: which of the things that the world draws is under the noise.
`limner guide --compare classifier` is guided by it.
`limner.models.noised_classifier.open_noised_classifier()` opens it."""

_UPSCALER = """A diffusion that doubles pictures, shown the small one (SR3), for `limner upscale`: a
cascade of one network. `limner.models.upscaler.open_upscaler()` opens it."""

_STUDENT = """Low-rank changes (LoRA) of limner's text-to-image model, with which it paints in four
steps what it paints in twenty guided ones: `limner generate --fast`."""

_INPAINTING = """Low-rank changes (LoRA) of limner's text-to-image model, with which it fills holes
in pictures: `limner inpaint` and `limner outpaint` use it. `limner.models.adapter.open_adapter`
adds them to the model's weights."""

_REGIONS = """Low-rank changes (LoRA) of limner's text-to-image model and a projection of phrases,
with which it puts things into boxes and outlines: `limner layout` and `limner map` use it.
`limner.models.adapter.open_adapter` adds them to the model's weights."""

_DECODER = """Low-rank changes (LoRA) of limner's text-to-image model and a projection, with which
it paints what limner's CLIP sees in a picture: unCLIP's decoder, for `limner vary`,
`limner textdiff`, `limner unclip` and `limner interpolate --space clip`."""

_PRIOR = """unCLIP's prior: from a text to the embedding that limner's CLIP would have of its
picture, for `limner unclip`. `PriorTransformer` of diffusers opens it with
`from_pretrained(folder)`, and so does `limner.models.prior.open_prior()`."""


class _Part(NamedTuple):
    """Where a model goes, and what its card says."""

    flag: str
    folder: str
    title: str
    library: str
    text: str
    world: str
    made_by: str


_PARTS = (
    _Part("words", "diffusion", "limner's words to pictures", "diffusers", _WORDS, _SCENES,
          "limner train diffusion"),
    _Part("clip", "clip", "limner's CLIP", "transformers", _CLIP, _SCENES, "limner train clip"),
    _Part("clip-robust", "clip-robust", "limner's robust CLIP", "transformers", _ROBUST, _SCENES,
          "limner train clip --robust"),
    _Part("clip-second", "clip-second", "limner's second CLIP", "limner", _SECOND, _SCENES,
          "limner train clip --robust, of another tower and seed"),
    _Part("clip-faces", "clip-faces", "limner's CLIP of faces", "limner", _CLIP_FACES, _FACES,
          "limner train clip --robust, of faces"),
    _Part("vqgan", "vqgan", "limner's VQGAN", "diffusers", _VQGAN, _SCENES, "limner train vqgan"),
    _Part("stylegan", "stylegan", "limner's StyleGAN2", "limner", _STYLEGAN, _FACES,
          "limner train stylegan"),
    _Part("directions", "directions", "limner's directions", "limner", _DIRECTIONS, _FACES,
          "limner train directions"),
    _Part("biggan", "biggan", "limner's BigGAN", "limner", _BIGGAN, _SCENES,
          "limner train biggan"),
    _Part("identity", "identity", "limner's eye for who it is", "transformers", _IDENTITY, _FACES,
          "limner train identity"),
    _Part("attributes", "attributes", "limner's eye for attributes of faces", "transformers",
          _ATTRIBUTES, _FACES, "limner train attributes"),
    _Part("noised-clip", "noised-clip", "limner's CLIP of noisy latents", "limner", _NOISED_CLIP,
          _SCENES, "limner train noised-clip"),
    _Part("noised-classifier", "noised-classifier", "limner's classifier of noisy latents",
          "limner", _NOISED_CLASSIFIER, _SCENES, "limner train noised-classifier"),
    _Part("adapter-student", "adapters/student", "limner's student", "limner", _STUDENT, _SCENES,
          "limner train student"),
    _Part("upscaler", "upscaler", "limner's upscaler", "limner", _UPSCALER, _SCENES,
          "limner train upscaler"),
    _Part("adapter-inpainting", "adapters/inpainting", "limner's inpainting", "limner",
          _INPAINTING, _SCENES, "limner train inpainting"),
    _Part("adapter-regions", "adapters/regions", "limner's layouts and maps", "limner",
          _REGIONS, _SCENES, "limner train regions"),
    _Part("adapter-decoder", "adapters/decoder", "limner's decoder", "limner", _DECODER, _SCENES,
          "limner train decoder"),
    _Part("prior", "prior", "limner's prior", "diffusers", _PRIOR, _SCENES, "limner train prior"),
)  # fmt: skip


def embed(model: Path, part: _Part) -> None:
    """Copy a model folder into ``limner/embedded`` with float16 weights and a card; of a GAN no
    discriminator: only training asks it, and the package has 100 MB for all."""
    target = FOLDER / part.folder
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(model, target, ignore=shutil.ignore_patterns(DISCRIMINATOR))
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
    (target / "README.md").write_text(_CARD.format(**part._asdict()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for part in _PARTS:
        said = f"RUN/model of {part.made_by}"
        parser.add_argument(
            f"--{part.flag}", dest=part.folder, metavar="FOLDER", type=Path, help=said
        )
    given = vars(parser.parse_args())
    for part in _PARTS:
        if model := given[part.folder]:
            embed(model, part)


if __name__ == "__main__":
    main()
