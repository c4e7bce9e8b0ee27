"""Search in a gallery of 100,000 pictures: the exact product, beside usearch's graph (HNSW).

    python benchmarks/gallery_search.py
    python benchmarks/gallery_search.py --rows 10000 --repeats 10

The gallery is a real one, filled by SQL with rows that name no files and with random directions of
the embedded CLIP's width, which are the hardest for a graph. Times are of a whole search: from the
words, which CLIP embeds, to the rows of the pictures found; the graph is given what it finds to be
read and filtered in the same way, asking it for `--more` times as many so that some pass.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from limner._cli_show import print_json
from limner.models.clip import Clip, open_clip
from limner.studio._filters import where
from limner.studio._rows import COLUMNS
from limner.studio.gallery import Filters, Gallery
from limner.studio.store import Store, new_id

WORDS = ("a cat in the snow", "a red cube on top of a blue cube", "a dragon", "a squirrel")
DAY = 86_400
FILTERS = {
    "no filter": Filters(),
    "half of them (a task)": Filters(task="generate"),
    "1 in 100 (favourites)": Filters(favourite=True),
    "10 pictures (a collection)": Filters(collection="ten"),
    "a week of 1,000 days": Filters(since=100 * DAY, until=107 * DAY),
}


def fill(store: Store, clip: Clip, rows: int, seed: int) -> np.ndarray:
    """Writes the pictures and their embeddings; gives these, (rows, d) float16."""
    width = clip.embed_texts(["a"]).shape[1]
    drawn = np.random.default_rng(seed).standard_normal((rows, width), np.float32)
    drawn = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float16)
    chance = random.Random(seed)
    marks = ", ".join(f":{name}" for name in COLUMNS)
    with store.transaction() as opened:
        for number, row in enumerate(drawn, 1):
            prompt = f"a picture of {chance.choice(('a cat', 'a dog', 'an owl'))}, number {number}"
            said = {"prompt": prompt, "seed": number, "steps": 20, "sampler": "dpmpp_2m"}
            told: dict[str, Any] = dict.fromkeys(COLUMNS) | {
                "id": new_id(), "task": chance.choice(("generate", "restyle")), "prompt": prompt,
                "folded": prompt, "negative": "", "model": "embedded", "seed": number,
                "width": 128, "height": 128, "created": chance.uniform(0, 1000 * DAY),
                "origin": "painted", "recipe": json.dumps({"task": "x", "arguments": said}),
            }  # fmt: skip
            opened.execute(
                f"INSERT INTO pictures ({', '.join(COLUMNS)}, favourite) "
                f"VALUES ({marks}, {int(chance.random() < 0.01)})",
                told,
            )
            opened.execute(
                "INSERT INTO embeddings (picture, clip, row) VALUES (?, ?, ?)",
                (number, clip.fingerprint, row.tobytes()),
            )
        for number in chance.sample(range(1, rows + 1), min(10, rows)):
            opened.execute("INSERT INTO collections VALUES ('ten', ?)", (number,))
    return drawn


def milliseconds(call: Callable[[str], Any], repeats: int) -> dict[str, float]:
    """Median and the slowest of 20, over the words in turn."""
    times = []
    for i in range(repeats):
        begin = time.perf_counter()
        call(WORDS[i % len(WORDS)])
        times.append(1000 * (time.perf_counter() - begin))
    worst = sorted(times)[int(0.95 * (len(times) - 1))]
    return {"median": round(statistics.median(times), 2), "p95": round(worst, 2)}


def graph(gallery: Gallery, clip: Clip, rows: np.ndarray, said: argparse.Namespace) -> Any:
    """A search by usearch with the rest as the gallery has it; and what building it cost."""
    from usearch.index import Index

    begin = time.perf_counter()
    index = Index(ndim=rows.shape[1], metric="ip", dtype="f16")
    index.add(np.arange(1, len(rows) + 1), rows)
    built = time.perf_counter() - begin

    def search(words: str, filters: Filters) -> list[int]:
        sought = clip.embed_texts([words])[0].numpy().astype(np.float16)
        nearest = [int(key) for key in index.search(sought, said.limit * said.more).keys]
        condition, values = where(filters)
        found = gallery.store.read(
            f"SELECT number FROM pictures WHERE number IN (SELECT value FROM json_each(?)) "
            f"AND {condition}",
            [json.dumps(nearest), *values],
        )
        passed = {row[0] for row in found}
        kept = [number for number in nearest if number in passed][: said.limit]
        marks = ", ".join(map(str, kept))
        gallery._rows(f"number IN ({marks})", [])
        return kept

    return search, built


def agreement(gallery: Gallery, search: Any, filters: Filters, limit: int) -> float:
    """What part of the pictures that are nearest the graph finds."""
    found = wanted = 0
    for words in WORDS:
        exact = {each.kept.seed for each in gallery.search(words, filters=filters, limit=limit)}
        found += len(exact & set(search(words, filters)))
        wanted += len(exact)
    return round(found / max(wanted, 1), 4)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--limit", type=int, default=50, help="pictures a search gives")
    parser.add_argument("--more", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without-usearch", action="store_true")
    said = parser.parse_args()
    clip = open_clip("embedded")
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "data")
        gallery = Gallery(store, clip)
        rows = fill(store, clip, said.rows, said.seed)
        begin = time.perf_counter()
        gallery.search(WORDS[0], limit=said.limit)
        first = time.perf_counter() - begin
        out: dict[str, Any] = {
            "rows": said.rows,
            "width": rows.shape[1],
            "threads": torch.get_num_threads(),
            "the first search, which reads the table, seconds": round(first, 3),
            "words alone, ms": milliseconds(lambda words: clip.embed_texts([words]), said.repeats),
            "exact, ms": {
                name: milliseconds(
                    lambda words, f=f: gallery.search(words, filters=f, limit=said.limit),
                    said.repeats,
                )
                for name, f in FILTERS.items()
            },
            "text in the prompt, ms": milliseconds(
                lambda words: gallery.search(text="owl, number 777", limit=said.limit), said.repeats
            ),
        }
        if not said.without_usearch:
            search, built = graph(gallery, clip, rows, said)
            out["usearch, built in seconds"] = round(built, 1)
            out["usearch, ms"] = {
                name: milliseconds(lambda words, f=f: search(words, f), said.repeats)
                for name, f in FILTERS.items()
            }
            out["usearch finds of the nearest"] = {
                name: agreement(gallery, search, f, said.limit) for name, f in FILTERS.items()
            }
        print_json(out)


if __name__ == "__main__":
    main()
