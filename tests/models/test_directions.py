"""Global directions: measured one picture at a time, chosen by hand, and in a folder."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from limner.errors import BadInput
from limner.models._channels import changes, channels, deviations, samples
from limner.models.clip import Clip, open_clip
from limner.models.directions import Directions, open_directions, write
from limner.models.stylegan import StyleGAN, open_stylegan
from limner.nets.stylegan import Shape
from limner.noise import Noise

sys.path.insert(0, str(Path(__file__).parents[1] / "tasks"))
from _toys import stylegan_folder

SHAPE = Shape((6, 5, 4), width=8, mapping_layers=2)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> StyleGAN:
    folder = tmp_path_factory.mktemp("styled") / "generator"
    return open_stylegan(stylegan_folder(folder, (6, 5, 4)))


@pytest.fixture(scope="module")
def clip(clip_folder: Path) -> Clip:
    return open_clip(clip_folder)


@pytest.fixture
def folder(tmp_path: Path, generator: StyleGAN, clip: Clip) -> Path:
    table = Noise(3, [0]).normal((len(channels(SHAPE)), 16))[0] / 8
    write(tmp_path / "directions", generator, deviations(generator, 50), [table], [clip])
    return tmp_path / "directions"


def test_colours_are_left_out() -> None:
    """4 px conv1 6, torgb 6; 8 px conv0 6, conv1 5, torgb 5; 16 px conv0 5, conv1 4, torgb 4."""
    assert SHAPE.style_widths == [6, 6, 6, 5, 5, 5, 4, 4]
    wanted = [*range(6), *range(12, 23), *range(28, 37)]
    assert channels(SHAPE).tolist() == wanted
    large = Shape((512,) * 5 + (256, 128, 64, 32), width=512)  # of 1024 pixels: the paper's counts
    assert len(channels(large)) == 6048 and sum(large.style_widths) == 9088


def test_deviations_are_those_of_many_styles(generator: StyleGAN) -> None:
    found = deviations(generator, 2500)
    rows = [
        generator.styles(generator.repeated(generator.mapping(noise)))
        for noise in Noise(0, range(2500)).normal((8,), purpose="z").split(1)
    ]
    torch.testing.assert_close(found, torch.cat(rows).double().std(0).float(), rtol=1e-3, atol=1e-5)


def test_changes_are_those_of_each_picture_by_itself(generator: StyleGAN, clip: Clip) -> None:
    styles, deviation = samples(generator, 3), deviations(generator, 50)
    (found,) = changes(generator, [clip], styles, deviation, [2, 15])
    for row, channel in enumerate((2, 15)):
        ways = []
        for style in styles:
            seen: list[Tensor] = []
            for sign in (-5, 5):
                moved = style.clone()
                moved[channel] += sign * deviation[channel]
                still = torch.zeros(1, generator.noise)
                picture = generator.synthesis_from_styles(moved[None], still).clamp(0, 1)
                seen.append(clip.embed_pictures(picture)[0])
            ways.append((seen[1] - seen[0]).double())
        wanted = torch.stack([way / (way.norm() ** 2 + 1e-6).sqrt() for way in ways]).mean(0)
        torch.testing.assert_close(found[row].double(), wanted, atol=2e-3, rtol=0)
    assert found.norm(dim=1).max() > 0.3


def test_what_does_nothing_has_no_direction(generator: StyleGAN, clip: Clip) -> None:
    styles = samples(generator, 2)
    (found,) = changes(generator, [clip], styles, torch.zeros(styles.shape[1]), [0])
    assert found.norm() < 1e-2


def measured(generator: StyleGAN, tables: list[Tensor]) -> Directions:
    deviation = 1 + torch.arange(41.0)
    clips = tuple(("c", "f") for _ in tables)
    return Directions("d", generator, deviation, tuple(tables), clips, "MIT", ())


def test_relevance_is_the_mean_over_clips_of_the_part_along_the_text(generator: StyleGAN) -> None:
    first, second = torch.zeros(26, 3), torch.zeros(26, 2)
    first[4, 1], second[4, 0], first[9, 1] = 0.6, 0.4, -0.5
    found = measured(generator, [first, second])
    axes = [torch.tensor([0.0, 1, 0]), torch.tensor([1.0, 0])]
    relevance = found.relevance(axes)
    assert relevance[4] == pytest.approx(0.5) and relevance[9] == pytest.approx(-0.25)
    assert int((relevance != 0).sum()) == 2


def test_the_direction_is_one_deviation_of_the_most_relevant(generator: StyleGAN) -> None:
    table = torch.zeros(26, 1)
    table[4, 0], table[9, 0], table[25, 0] = 0.5, -0.25, 0.1
    found, axes = measured(generator, [table]), [torch.ones(1)]
    places = channels(SHAPE)
    wanted = torch.zeros(41)
    wanted[places[4]], wanted[places[9]] = 1.0 + places[4], -0.5 * (1.0 + places[9])
    torch.testing.assert_close(found.direction(axes, 0.2), wanted)
    wanted[places[25]] = 0.2 * (1.0 + places[25])
    torch.testing.assert_close(found.direction(axes, 0.1), wanted)
    with pytest.raises(BadInput, match=r"no channel has a relevance of 0.6 or more.*0.500"):
        found.direction(axes, 0.6)


def test_the_usual_threshold_lets_the_square_root_of_the_channels_pass(
    generator: StyleGAN,
) -> None:
    table = Noise(1, [0]).normal((26, 1))[0]
    way = measured(generator, [table]).direction([torch.ones(1)])
    assert int((way != 0).sum()) == 5
    kept = table[:, 0].abs().topk(5).indices
    assert set(way.nonzero()[:, 0].tolist()) == set(channels(SHAPE)[kept].tolist())


def test_what_is_saved_opens(folder: Path, generator: StyleGAN, clip: Clip) -> None:
    found = open_directions(folder)
    assert isinstance(found, Directions)
    torch.testing.assert_close(found.changes[0], Noise(3, [0]).normal((26, 16))[0] / 8)
    torch.testing.assert_close(found.deviation, deviations(generator, 50))
    assert found.clips == ((clip.name, clip.fingerprint),)
    axis = functional.normalize(Noise(5, [0]).normal((16,))[0], dim=0)
    assert found.relevance([axis]).shape == (26,)


def test_a_generator_s_folder_is_the_generator(generator: StyleGAN) -> None:
    found = open_directions(generator.files[0].parent)
    assert isinstance(found, StyleGAN) and found.fingerprint == generator.fingerprint


def test_what_does_not_fit_is_told(folder: Path, generator: StyleGAN, clip: Clip) -> None:
    config = json.loads((folder / "config.json").read_text())
    for changed, reason in (
        ({"clips": []}, "names no CLIP"),
        ({"clips": [{"name": "c"}]}, "names no CLIP"),
        ({"clips": config["clips"] * 2}, "are not its generator's"),
        ({"generator": {"name": "gone"}}, "for a generator at 'gone', where there is none"),
        ({"model_type": "clip"}, "is a 'clip': expected stylegan2"),
    ):
        (folder / "config.json").write_text(json.dumps(config | changed))
        with pytest.raises(BadInput, match=reason):
            open_directions(folder)


def test_of_two_clips_each_has_its_table(tmp_path: Path, generator: StyleGAN, clip: Clip) -> None:
    tables = [Noise(i, [0]).normal((26, width))[0] for i, width in enumerate((16, 7))]
    deviation = torch.ones(41)
    write(tmp_path / "two", generator, deviation, tables, [clip, replace(clip, name="other")])
    found = open_directions(tmp_path / "two")
    assert isinstance(found, Directions)
    assert [name for name, _ in found.clips] == [clip.name, "other"]
    for own, table in zip(found.changes, tables):
        torch.testing.assert_close(own, table)
