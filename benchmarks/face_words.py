"""Does the CLIP of faces see what edits ask for? For each attribute, how often an unseen face that
has it lies nearer to the words, by their cosine less that of "a person", than one that has not.

python benchmarks/face_words.py [--clip faces] [--count 600]
"""

from __future__ import annotations

import argparse

import torch

from limner.measures._asked import ASKED, SOURCE
from limner.models.clip import open_clip
from limner.picture import resize
from limner.worlds._faces_truths import truths
from limner.worlds.faces import World


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip", default="faces", help="a name of limner's own, or a folder")
    parser.add_argument("--count", type=int, default=600, help="held-out faces")
    given = parser.parse_args()
    clip = open_clip(given.clip)
    world = World(1, split="held_out", aligned=1)
    seen, told = [], []
    for first in range(0, given.count, 50):
        drawn = world.draw(range(first, min(first + 50, given.count)))
        pictures = torch.from_numpy(drawn.pictures).permute(0, 3, 1, 2) / 255
        seen.append(clip.embed_pictures(resize(pictures, (64, 64))))
        told += [truths(face) for face in drawn.faces]
    embedded = torch.cat(seen)
    for name, ask in ASKED.items():
        there, plain = clip.embed_texts([ask.text, SOURCE])
        score = embedded @ (there - plain)
        with_it = score[[each[name] is True for each in told]]
        without = score[[each[name] is False for each in told]]
        nearer = (with_it[:, None] > without).float().mean()  # the area under the ROC curve
        print(f"{name:12} {nearer:.3f}  ({len(with_it)} faces with it, {len(without)} without)")


if __name__ == "__main__":
    main()
