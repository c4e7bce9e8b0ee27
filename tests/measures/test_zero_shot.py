from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from limner import open_clip
from limner.measures.zero_shot import zero_shot
from limner.worlds import _vocabulary as words
from limner.worlds.scenes import World

NOUNS = [*(noun.word for noun in words.glyph_nouns("core")), *words.SHAPES]
COLOURS = [*words.COLOURS]


class Oracle:
    """A CLIP that knows the world's pictures by heart; `blind` to the nouns in it."""

    name, logit_scale = "oracle", 50.0

    def __init__(self, seed: int, count: int, blind: Sequence[str] = ()) -> None:
        drawn = World(seed, split="held_out").draw(range(count))
        self.scenes = {p.tobytes(): scene for p, scene in zip(drawn.pictures, drawn.scenes)}
        self.blind = blind

    def embed_pictures(self, pictures: Tensor) -> Tensor:
        out = torch.zeros(len(pictures), len(NOUNS) + len(COLOURS))
        for row, each in zip(out, pictures):
            pixels = (each * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
            thing = self.scenes[pixels.tobytes()].things[0]
            row[NOUNS.index("cat" if thing.noun in self.blind else thing.noun)] = 1
            if thing.colour:
                row[len(NOUNS) + COLOURS.index(thing.colour)] = 0.5
        return out

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        out = torch.zeros(len(texts), len(NOUNS) + len(COLOURS))
        for row, text in zip(out, texts):
            for i, word in enumerate([*NOUNS, *COLOURS]):
                row[i] = float(f" {word} " in f" {text} ")
        return out


def test_an_oracle_names_all_and_its_mistakes_are_told() -> None:
    scenes = World(2, split="held_out").draw(range(64)).scenes
    single = [scene.things[0] for scene in scenes if len(scene.things) == scene.count == 1][:20]
    told: list[tuple[int, int]] = []
    best = zero_shot(Oracle(2, 64), count=20, seed=2, watch=lambda *done: told.append(done))  # type: ignore[arg-type]
    assert (best.named.right, best.named.n) == (20, 20)
    assert best.coloured.right == best.coloured.n > 0
    assert best.bare.n < 20 and best.confused == () and told[-1] == (20, 20)
    missed = max({thing.noun for thing in single if not thing.colour and thing.noun != "cat"})
    often = sum(thing.noun == missed for thing in single)
    worse = zero_shot(Oracle(2, 64, [missed]), count=20, seed=2)  # type: ignore[arg-type]
    assert worse.named.right == 20 - often
    assert worse.confused == ((missed, "cat", often),)


def test_a_label_is_as_likely_as_its_sentences_together_or_their_mean(clip_folder: Path) -> None:
    """Computed anew from CLIP's embeddings, over the same pictures."""
    clip, said = open_clip(clip_folder), ["{a}", "the {}", "{} horse cat dog"]
    drawn = World(1, split="held_out").draw(range(40))
    rows = [i for i, s in enumerate(drawn.scenes) if len(s.things) == s.count == 1][:10]
    pictures = clip.embed_pictures(torch.from_numpy(drawn.pictures[rows]).permute(0, 3, 1, 2) / 255)
    labels = [noun for noun in NOUNS if noun not in words.SHAPES]
    labels += [f"{colour} {shape}" for shape in words.SHAPES for colour in COLOURS]
    each = torch.stack(
        [clip.embed_texts([t.replace("{}", n) for t in fill_articles(said, n)]) for n in labels]
    )
    scaled = [(clip.logit_scale * pictures.double() @ part.double().T).exp() for part in each]
    best = torch.stack([part.sum(1) for part in scaled], 1).argmax(1)
    means = torch.stack([part.mean(0) / part.mean(0).norm() for part in each])
    mean = (pictures @ means.T).argmax(1)
    for chosen, ensemble in ((best, False), (mean, True)):
        told = [labels[i].split()[-1] if " " in labels[i] else labels[i] for i in chosen.tolist()]
        told = ["top hat" if noun == "hat" else noun for noun in told]
        right = sum(drawn.scenes[i].things[0].noun == noun for i, noun in zip(rows, told))
        found = zero_shot(clip, count=10, templates=said, ensemble=ensemble)
        assert found.named.right == right
        wrong = {(drawn.scenes[i].things[0].noun, noun) for i, noun in zip(rows, told)}
        assert {(a, b) for a, b, _ in found.confused} == {(a, b) for a, b in wrong if a != b}


def fill_articles(templates: Sequence[str], label: str) -> list[str]:
    article = "an" if label[0] in "aeiou" else "a"
    return [each.replace("{a}", f"{article} {label}") for each in templates]


def test_any_clip_can_be_asked(clip_folder: Path) -> None:
    found = zero_shot(open_clip(clip_folder), count=12, templates=("{a}", "the {}"))
    assert found.named.n == 12 and 0 < len(found.confused) <= 10
    assert found.named.right + sum(n for *_, n in found.confused) <= 12
    assert found == zero_shot(clip_folder, count=12, templates=("{a}", "the {}"))
