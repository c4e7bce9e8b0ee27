"""From words to pictures by search: judges move a generator's latent until they agree."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.errors import BadInput
from limner.prompt import Notice, check, parse
from limner.tasks import Progress, Stopped, Watch
from limner.tasks._checks import check_unchanged, check_whole, check_writable, clip_names
from limner.tasks.generate import size_of

if TYPE_CHECKING:
    from limner.generators import Generator
    from limner.picture import Picture
    from limner.tasks._plan import Plan
    from limner.tasks._search import Painted

__all__ = ["again", "paint"]

MOST_PICTURES, MOST_STEPS, MOST_VIEWS = 1000, 10_000, 1024


def paint(
    prompt: str,
    *,
    generator: str = "fourier",
    judge: str | Sequence[str] | None = None,
    clip: str | Sequence[str] | None = None,
    schedule: str | None = None,
    count: int = 1,
    seed: int = 0,
    first: int = 0,
    best_of: int | None = None,
    steps: int | None = None,
    rate: float = 1.0,
    search: str = "descend",
    views: int | None = None,
    views_at_once: int | None = None,
    size: str | tuple[int, int] | None = None,
    start: str | Path | None = None,
    mask: str | Path | None = None,
    grid: str | None = None,
    palette: str | None = None,
    strokes: int | None = None,
    model: str | Path | None = None,
    precision: str = "auto",
    film: str | Path | None = None,
    svg: str | Path | None = None,
    save: str | Path | None = None,
    resume: str | Path | None = None,
    watch: Watch | None = None,
) -> list[Picture]:
    """Paints by search: judges move a generator's latent until they agree with the prompt.

    The same arguments give the same pictures on the same machine. Picture k of a run is a search
    of its own: it has the same noise and the same views alone and among others.

    Args:
        prompt: what to paint; parts have weights, and can be pictures: "a cat:2 | a dog:-1 |
            photo.png:0.5"
        generator: what paints: a name in limner/generators; vqgan=logits too, and stylegan=w,
            stylegan=z and stylegan=styles
        judge: who judges, with weights: "clip,smooth:0.1,symmetry=vertical:0.05"; several lists
            add up; the generator's usual ones when not given, with score where every network is
            limner's own and nothing is given to start from
        clip: the CLIPs that are followed: names of limner's own, folders or hub ids, with commas
        schedule: further prompts from a step or share of the steps on: "30: a cat; 60%: a dog"
        count: how many pictures
        seed: which run; another seed, other pictures
        first: number of the first picture in its run; replaying picture 5 alone is first=5
        best_of: paint so many and keep those ranked highest by a CLIP that was not followed
        steps: steps of the search; the generator's usual number when not given
        rate: factor on the generator's usual learning rates
        search: descend, by gradients, or evolve, by breeding (needs pymoo)
        views: random views of each picture that each CLIP judges in each step
        views_at_once: how many of them are in memory together; all when not given
        size: width and height in pixels, such as 128x96; the start's or the usual when not given
        start: a picture to start from
        mask: a picture of the same size, white where it is to be painted; elsewhere the start stays
        grid: the generator grid's cells: columns x rows and square, hexagon, triangle or diamond,
            such as "40x30 hexagon"
        palette: colours that the generator grid paints with and the judge palette wants, such as
            "black, white, #ff8800"
        strokes: how many strokes the generator strokes has
        model: what the generators latent, vqgan and stylegan paint with: "embedded", a folder or
            a hub id
        precision: of the model, and of the CLIPs while they judge: float32, bfloat16, or auto:
            bfloat16 where it is faster
        film: a .gif or .mp4 to write of how the first picture comes to be
        svg: an .svg to write of the first picture, by the generator strokes
        save: a .safetensors file that the search is saved to, every few seconds and in the end
        resume: a file that save wrote: the same search goes on from there, to the same bytes
        watch: called after each step with a Progress; raise in it to stop

    Best-of ranks by limner's own measuring CLIP; where that is itself followed, by it all the same,
    with a Notice. Ctrl-C after the first step raises Stopped, which holds the best pictures so far.
    Raises BadInput when an argument, a file or a model is not usable.
    """
    from limner.models._open import number_type
    from limner.models.embedded import here
    from limner.tasks._film import check_film
    from limner.tasks._generators import usual, usual_grid
    from limner.tasks._judges import named
    from limner.tasks._plan import Plan, check_plan, opened
    from limner.tasks._search import keeping
    from limner.tasks._search import paint as searched

    kind = usual(generator)
    _check_numbers(count, seed, first, best_of, steps, views, views_at_once)
    clips = clip_names(clip)
    ours = model in (None, "embedded") and set(clips) <= {*here()}
    scored = ours and start is None and search == "descend"
    judges = named(judge if judge is not None else kind.scored if scored else kind.judges)
    own = kind.side(str(model)) if kind.side and model is not None else kind.size
    shape = _size(size, start, own)
    plan = Plan(
        prompt=check(prompt),
        schedule=schedule,
        generator=generator,
        grid=(grid or usual_grid(shape)) if generator == "grid" else grid,
        palette=palette,
        strokes=64 if generator == "strokes" and strokes is None else strokes,
        model=str(model or "embedded") if kind.opens or model else None,
        size=shape,
        start=None if start is None else str(start),
        mask=None if mask is None else str(mask),
        search=search,
        steps=steps or kind.steps,
        rate=rate,
        judge=tuple(str(each) for each in judges),
        clip=clips,
        views=views or kind.views,
        views_at_once=views_at_once,
        precision=str(number_type(precision, "cpu")).removeprefix("torch."),
        seed=seed,
    )
    check_plan(plan)
    film = None if film is None else check_film(film, plan.size)
    svg = None if svg is None else _svg_place(svg, generator)
    keep = keeping(save, resume, best_of or count)
    samples = range(first, first + (best_of or count))
    run = {"count": count, "first": first, "best_of": best_of}
    parts = opened(plan)
    painted, stopped = searched(
        plan, parts, samples, run, filmed=film is not None, keep=keep, watch=watch
    )
    if best_of is not None:
        painted = _best(painted, plan)[:count]
    _write(painted[0], film, svg, parts.generator)
    pictures = [each.picture for each in painted]
    if stopped is not None:
        raise Stopped(pictures)
    return pictures


def again(
    recipe: dict[str, Any],
    samples: range,
    *,
    model: str | Path | None,
    clip: str | None,
    watch: Watch | None,
) -> list[Picture]:
    """Pictures of a recipe's run once more; one that Ctrl-C ended is stopped at the same step."""
    said, stopped = recipe["arguments"], recipe.get("stopped")
    check_unchanged(recipe, model=model, clip=clip)

    def until(progress: Progress) -> None:
        if watch is not None:
            watch(progress)
        if progress.step == stopped:
            raise KeyboardInterrupt

    try:
        return paint(
            said["prompt"],
            generator=said["generator"],
            judge=said["judge"],
            clip=said["clip"] if clip is None else clip,
            schedule=said["schedule"],
            count=len(samples),
            seed=said["seed"],
            first=samples.start,
            steps=said["steps"],
            rate=said["rate"],
            search=said["search"],
            views=said["views"],
            views_at_once=said["views_at_once"],
            size=tuple(said["size"]),
            start=said["start"],
            mask=said["mask"],
            grid=said["grid"],
            palette=said["palette"],
            strokes=said["strokes"],
            model=said["model"] if model is None else model,
            precision=recipe["precision"],
            watch=until,
        )
    except Stopped as stop:
        if stopped is None:
            raise
        return stop.pictures


def _check_numbers(
    count: int,
    seed: int,
    first: int,
    best_of: int | None,
    steps: int | None,
    views: int | None,
    views_at_once: int | None,
) -> None:
    check_whole(
        {
            "count": (count, 1, MOST_PICTURES),
            "seed": (seed, 0, 2**64 - 1),
            "first": (first, 0, 2**53),
            "best-of": (count if best_of is None else best_of, count, MOST_PICTURES),
            "steps": (1 if steps is None else steps, 1, MOST_STEPS),
            "views": (1 if views is None else views, 1, MOST_VIEWS),
            "views-at-once": (1 if views_at_once is None else views_at_once, 1, MOST_VIEWS),
        }
    )


def _size(
    size: str | tuple[int, int] | None, start: str | Path | None, usual: int
) -> tuple[int, int]:
    if size is None and start is not None:
        from limner.picture import load

        height, width = load(start).pixels.shape[1:]
        size = (width, height)
    return size_of(size or (usual, usual))


def _svg_place(svg: str | Path, generator: str) -> Path:
    path = Path(svg)
    if generator != "strokes":
        raise BadInput("an svg is made of strokes: paint with --generator strokes")
    if path.suffix.lower() != ".svg":
        raise BadInput(f"cannot write {str(path)!r}: an SVG file's name ends in .svg")
    return check_writable(path)


def _best(painted: list[Painted], plan: Plan) -> list[Painted]:
    """Best first, in the eyes of a CLIP that was not followed, for the prompt that came last."""
    import torch

    from limner.judges._embedding import embedded_phrase
    from limner.tasks._look import looked_at, opened
    from limner.tasks._schedule import stages

    name = "embedded"
    if name in plan.clip:
        message = "best-of asks the very CLIP that was followed, which is easily pleased"
        warnings.warn(message, Notice, stacklevel=3)
    clip = opened(name)
    phrases = parse(stages(plan.prompt, plan.schedule, plan.steps)[-1].prompt)
    targets = torch.stack([embedded_phrase(clip, phrase) for phrase in phrases])
    weights = torch.tensor([phrase.weight for phrase in phrases])
    _, embeddings = looked_at(clip, [each.picture for each in painted])
    scores = (embeddings @ targets.T @ weights).tolist()
    order = sorted(range(len(painted)), key=lambda i: -scores[i])
    return [painted[i] for i in order]


def _write(painted: Painted, film: Path | None, svg: Path | None, generator: Generator) -> None:
    from limner.generators.strokes import Strokes
    from limner.picture import save_bytes
    from limner.tasks._film import write_film

    if film is not None and painted.frames:
        write_film(film, painted.frames)
    if svg is not None and isinstance(generator, Strokes):
        save_bytes(svg, generator.svg(painted.latent)[0].encode())
