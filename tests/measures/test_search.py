from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from limner.errors import BadInput
from limner.measures._relations import stands
from limner.measures._search import Found, Sight, found, gains, hidden, scored
from limner.measures._templates import RES, SIDES, Bank, bank, seen
from limner.worlds.scenes import Thing, World

THINGS = (Thing("cube", "red"), Thing("sphere", "blue"), Thing("torus", "green"))


@pytest.fixture(scope="module")
def templates() -> Bank:
    return bank(THINGS, World(0).sprite)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def drawn(templates: Bank, thing: int, side: int, top: int, left: int, ground: Tensor) -> Tensor:
    colours = templates.colours[thing, side].roll((top, left), (1, 2))
    cover = templates.cover[thing, side].roll((top, left), (0, 1))
    return colours + (1 - cover) * ground


def test_the_gain_is_the_fall_of_the_squared_error_computed_the_long_way(templates: Bank) -> None:
    picture, ground, weight = (
        random(3, RES, RES),
        random(3, RES, RES, seed=1),
        random(RES, RES, seed=2),
    )
    maps = gains(templates, Sight(picture, ground), weight)
    before = (weight * (picture - ground).square()).sum()
    for thing, side, top, left in ((0, 0, 3, 9), (1, 4, 0, 0), (2, 10, 5, 2), (1, 7, 11, 13)):
        assert templates.valid[thing, side, top, left]
        painted = drawn(templates, thing, side, top, left, ground)
        after = (weight * (picture - painted).square()).sum()
        assert float(maps[thing, side, top, left]) == pytest.approx(float(before - after), abs=2e-3)


def test_a_place_at_which_the_outline_is_cut_off_is_none(templates: Bank) -> None:
    maps = gains(templates, Sight(random(3, RES, RES), random(3, RES, RES)), torch.ones(RES, RES))
    assert torch.equal(maps.isfinite(), templates.valid)
    for thing in range(3):
        for side in range(0, len(SIDES), 3):
            solid = templates.cover[thing, side] >= 0.5
            for top in range(RES):
                rolled = solid.roll(top, 0)
                whole = bool(rolled.any(1).nonzero().diff(dim=0).max() == 1)  # in one piece
                wrapped = bool(rolled.any(1)[0] and rolled.any(1)[-1])
                assert bool(templates.valid[thing, side, top].any()) == (whole and not wrapped)


def test_what_was_painted_is_found_where_it_was_painted(templates: Bank) -> None:
    ground = 0.8 + 0.1 * random(3, RES, RES)
    for thing, side, top, left in ((0, 2, 4, 10), (1, 9, 1, 3), (2, 6, 8, 2)):
        sight = Sight(drawn(templates, thing, side, top, left, ground), ground)
        best = found(templates, scored(templates, sight, torch.ones(RES, RES)))
        assert (best.thing, best.side, best.corner) == (THINGS[thing], side, (left, top))
        assert best.share > 0.9 and sight.error(best) == pytest.approx(0, abs=1e-3)
        solid = (best.cover >= 0.5).nonzero()
        x0, y0, x1, y1 = best.box
        assert (y0, x0) == tuple(solid.amin(0).tolist())
        assert (y1, x1) == tuple((solid.amax(0) + 1).tolist())
        assert float(hidden(best)[best.cover >= 0.5].max()) < 0.05
        assert bool((hidden(best)[best.cover == 0] == 1).any())


def test_one_large_thing_does_not_stand_for_three_small_ones(templates: Bank) -> None:
    ground = torch.full((3, RES, RES), 0.05)
    picture = ground
    for top, left in ((2, 10), (18, 2), (18, 19)):
        picture = drawn(templates, 1, 1, top, left, picture)
    best = found(templates, scored(templates, Sight(picture, ground), torch.ones(RES, RES)))
    assert best.thing == THINGS[1] and abs(best.side - 1) <= 1


def test_one_size_with_its_neighbours(templates: Bank) -> None:
    sight, weight = (
        Sight(random(3, RES, RES), random(3, RES, RES, seed=1)),
        random(RES, RES, seed=2),
    )
    whole = gains(templates, sight, weight)
    for side, wanted in ((0, [0, 1]), (5, [4, 5, 6]), (10, [9, 10])):
        part = gains(templates.only(1, side), sight, weight)
        assert torch.allclose(part[0], whole[1, wanted], atol=1e-4)
        assert templates.only(1, side).sides == tuple(SIDES[i] for i in wanted)


def test_a_picture_of_any_size_is_seen_as_the_means_of_its_areas() -> None:
    picture = random(1, 3, 128, 128)
    wanted = picture[0, :, 4:8, 8:12].mean((1, 2))
    assert torch.allclose(seen(picture)[0, :, 1, 2], wanted, atol=1e-6)
    assert seen(random(2, 3, 50, 77)).shape == (2, 3, RES, RES)


# ---- relations -----------------------------------------------------------------------------


def at(left: int, top: int, right: int, bottom: int) -> Found:
    nothing = torch.zeros(1)
    box = (left, top, right, bottom)
    return Found(Thing("cat"), 1.0, 1.0, box, (left, top), 0, nothing, nothing)


@pytest.mark.parametrize(
    "relation, first, second, so",
    [
        ("left of", (1, 10, 11, 20), (20, 11, 30, 21), True),
        ("left of", (20, 10, 30, 20), (1, 11, 11, 21), False),
        ("right of", (20, 10, 30, 20), (1, 11, 11, 21), True),
        ("left of", (8, 1, 18, 11), (10, 20, 20, 30), False),  # rather above
        ("above", (8, 1, 18, 11), (10, 20, 20, 30), True),
        ("below", (8, 1, 18, 11), (10, 20, 20, 30), False),
        ("below", (10, 20, 20, 30), (8, 1, 18, 11), True),
        ("next to", (1, 10, 11, 20), (20, 11, 30, 21), True),
        ("next to", (8, 1, 18, 11), (10, 20, 20, 30), False),
        ("on top of", (10, 5, 20, 15), (9, 16, 22, 29), True),
        ("on top of", (10, 1, 20, 11), (9, 16, 22, 29), False),  # hovers
        ("on top of", (1, 5, 11, 15), (10, 16, 22, 29), False),  # beside its edge
        ("on top of", (9, 16, 22, 29), (10, 5, 20, 15), False),  # the other way round
        ("riding", (10, 5, 20, 19), (6, 14, 26, 29), True),
        ("wearing", (6, 10, 26, 30), (11, 4, 20, 12), True),
        ("wearing", (11, 4, 20, 12), (6, 10, 26, 30), False),
        ("holding", (2, 5, 22, 26), (18, 17, 30, 29), True),
        ("eating", (2, 5, 14, 26), (20, 17, 30, 29), False),  # out of reach
        ("using", (2, 5, 22, 26), (18, 1, 30, 9), False),  # overhead
    ],
)  # fmt: skip
def test_relations_by_the_outlines_boxes(relation, first, second, so) -> None:
    assert stands(relation, at(*first), at(*second)) is so


def test_an_unknown_relation_is_refused() -> None:
    with pytest.raises(BadInput, match="no relation 'inside'"):
        stands("inside", at(0, 0, 1, 1), at(2, 2, 3, 3))


def test_every_relation_of_the_world_holds_where_the_world_draws_it() -> None:
    """By the world's own boxes, not by the eye's."""
    world, asked = World(3, split="all"), set()
    for index in range(130):
        scenes = world.draw([index], annotate=True)
        scene = scenes.scenes[0]
        if scene.relation is None or scene.relation == "and":
            continue
        boxes = [tuple((scenes.boxes[0][i] / 4).round().astype(int).tolist()) for i in (0, 1)]
        first, second = (replace(at(*box), cover=torch.ones(1)) for box in boxes)
        assert stands(scene.relation, first, second), scenes.captions[0][0]
        asked.add(scene.relation)
    assert len(asked) >= 10
