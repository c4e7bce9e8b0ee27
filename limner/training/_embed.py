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

__all__ = ["embed"]

FOLDER = Path(__file__).parents[1] / "embedded"

_CARD = """---
license: mit
library_name: {library}
tags: [limner]
---
# {title}

{text}

Trained from scratch by limner's own recipe on limner's own world `scenes` (drawn pictures; the
glyphs are Noto Color Emoji's, under the SIL Open Font License 1.1). No photograph, no scraped
caption and no other model's weights went into it. It knows the words of that world and nothing
else: see `docs/worlds.md`. What it reaches, and the commands that made and measured it, are in
`docs/measurements.md`.
"""

_WORDS = """A text-to-image model for pictures of 128 pixels: latent diffusion, v-prediction, zero
terminal SNR. The folder is in Stable Diffusion's layout: `StableDiffusionPipeline` opens it with
`from_pretrained(folder)`, and so does `limner generate`."""

_CLIP = """A CLIP for pictures of 64 pixels. `CLIPModel.from_pretrained(folder)` opens it; limner
uses it to describe, classify and rank pictures."""


def embed(model: Path, part: str, title: str, library: str, text: str) -> None:
    """Copy a model folder to ``limner/embedded/part`` with float16 weights and a card."""
    target = FOLDER / part
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(model, target)
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
    (target / "README.md").write_text(_CARD.format(title=title, library=library, text=text))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", type=Path, help="RUN/model of limner train diffusion")
    parser.add_argument("--clip", type=Path, help="RUN/model of limner train clip")
    given = parser.parse_args()
    if given.words:
        embed(given.words, "diffusion", "limner's words to pictures", "diffusers", _WORDS)
    if given.clip:
        embed(given.clip, "clip", "limner's CLIP", "transformers", _CLIP)


if __name__ == "__main__":
    main()
