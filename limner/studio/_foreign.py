"""Pictures from elsewhere: their pixels, and the recipe that limner or another tool wrote in them.

Other tools keep a recipe as text in a PNG: A1111 and its kin "parameters", ComfyUI "prompt" and
"workflow", InvokeAI "invokeai_metadata" and, before, "sd-metadata" and "Dream". It is kept as text
and read for the prompt alone; everything else that a file carries is dropped.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import warnings
from dataclasses import replace
from typing import Any

from PIL import Image

from limner.errors import BadInput
from limner.picture import MADE_BY_MODEL, Picture, from_bytes
from limner.studio._rows import row_of, storable

__all__ = ["brought"]

_LARGEST = 100_000_000  # bytes of a file
_LONGEST = 65_536  # bytes of another tool's recipe, or of limner's
_A1111, _COMFY = "parameters", "prompt"
_KEYS = (
    _A1111, _COMFY, "workflow", "invokeai_metadata", "invokeai_graph", "sd-metadata", "Dream",
)  # fmt: skip
_SETTINGS = re.compile(r"(?:^|, )(Seed|Model): ([^,\n]+)")
_LONGEST_PROMPT = 32_000  # characters, as everywhere in limner
_DEEPEST = 20  # nodes from a sampler to its words, in ComfyUI's graph


def brought(id: str, data: bytes, name: str) -> tuple[Picture, dict[str, Any]]:
    """The picture as it will be written, and its row. Raises BadInput naming it."""
    if len(data) > _LARGEST:
        raise BadInput(f"{name!r} has over {_LARGEST // 10**6} MB: make it smaller")
    try:
        picture = from_bytes(data)
    except BadInput as error:
        raise BadInput(f"{name!r} {error}") from None
    recipe = picture.recipe
    if recipe is not None and len(json.dumps(recipe)) > _LONGEST:
        recipe = None
    texts, marked = _texts(data)
    foreign = None if recipe is not None else _foreign(texts)
    source = hashlib.sha256(data).hexdigest()
    row = row_of(id, replace(picture, recipe=recipe), origin="imported", source=source)
    if foreign is not None:
        row |= {"elsewhere": foreign} | _said(texts)
        row["folded"] = row["prompt"].casefold()
    if recipe is None and (foreign is not None or marked):
        # A model made it: the file says so, and keeps the text.
        recipe = {"task": "import", "foreign": foreign}
    return replace(picture, recipe=recipe), row


def _texts(data: bytes) -> tuple[dict[str, str], bool]:
    """What other tools wrote, by key; and whether the file says that a model made it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=["PNG", "JPEG", "WEBP"]) as image:
            info = image.info  # of a PNG, what stands before its pixels, within Pillow's limits
    texts = {key: info[key] for key in _KEYS if isinstance(info.get(key), str) and info[key]}
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp") or ""
    xmp = xmp.decode("utf-8", "replace") if isinstance(xmp, bytes) else str(xmp)
    return texts, MADE_BY_MODEL in xmp or info.get("digitalSourceType") == MADE_BY_MODEL


def _foreign(texts: dict[str, str]) -> str | None:
    """One text as it is, several as a JSON object; what would be too long in all is left out."""
    kept: dict[str, str] = {}
    for key, text in texts.items():
        text = storable(text)
        if len(json.dumps(kept | {key: text}, ensure_ascii=False).encode()) <= _LONGEST:
            kept[key] = text
        elif not kept:  # half a recipe is better to read than none
            return text.encode()[:_LONGEST].decode("utf-8", "ignore")
    if len(kept) > 1:
        return json.dumps(kept, ensure_ascii=False)
    return next(iter(kept.values()), None)


def _said(texts: dict[str, str]) -> dict[str, Any]:
    """Columns of a row: prompt, negative, model and seed, as far as they can be read."""
    if _A1111 in texts:
        return _a1111(texts[_A1111])
    for key, read in (
        (_COMFY, _comfy),
        ("invokeai_metadata", _invoke),
        ("sd-metadata", _invoke_before),
    ):
        try:
            said = read(json.loads(texts[key][: 2**20])) if key in texts else None
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
            continue  # of another version, or cut: it is kept as text all the same
        if said is not None:
            return _usable(said)
    return {}


def _usable(said: dict[str, Any]) -> dict[str, Any]:
    """Columns as sqlite takes them; what is of another type is left out."""
    row: dict[str, Any] = {}
    for key in ("prompt", "negative", "model"):
        if isinstance(said.get(key), str):
            row[key] = storable(said[key])[:_LONGEST_PROMPT]
    if isinstance(said.get("seed"), int) and abs(said["seed"]) < 2**63:
        row["seed"] = said["seed"]
    return row


def _a1111(text: str) -> dict[str, Any]:
    """Lines: the prompt, "Negative prompt: …", "Steps: 20, Sampler: …, Seed: 1, Model: …"."""
    words, _, settings = text.rpartition("\nSteps: ")
    prompt, _, negative = (words if settings and words else text).partition("\nNegative prompt: ")
    found = dict(_SETTINGS.findall(settings))
    seed = found.get("Seed", "")
    return _usable(
        {
            "prompt": prompt.strip(),
            "negative": negative.strip(),
            "model": found.get("Model"),
            "seed": int(seed) if re.fullmatch(r"\d{1,18}", seed) else None,
        }
    )


def _comfy(graph: dict[str, Any]) -> dict[str, Any] | None:
    """The first node with positive and negative words is a sampler: from it back to them."""
    for node in graph.values():
        inputs = node["inputs"]
        if "positive" in inputs and "negative" in inputs:
            return {
                "prompt": _upstream(graph, inputs["positive"], "text"),
                "negative": _upstream(graph, inputs["negative"], "text"),
                "model": _upstream(graph, inputs.get("model"), "ckpt_name"),
                "seed": inputs.get("seed", inputs.get("noise_seed")),
            }
    return None


def _upstream(graph: dict[str, Any], link: Any, key: str) -> Any:
    """Follows links [node, output] until an input of this name is said."""
    for _ in range(_DEEPEST):
        if not isinstance(link, list):
            return None
        inputs = graph[str(link[0])]["inputs"]
        if isinstance(inputs.get(key), str):
            return inputs[key]
        link = next((each for each in inputs.values() if isinstance(each, list)), None)
    return None


def _invoke(said: dict[str, Any]) -> dict[str, Any]:
    model = said.get("model")
    name = model.get("name", model.get("model_name")) if isinstance(model, dict) else model
    return {
        "prompt": said.get("positive_prompt"),
        "negative": said.get("negative_prompt"),
        "model": name,
        "seed": said.get("seed"),
    }


def _invoke_before(said: dict[str, Any]) -> dict[str, Any]:
    image = said["image"]
    prompt = image.get("prompt")
    if isinstance(prompt, list):  # parts with weights
        prompt = ", ".join(part["prompt"] for part in prompt)
    return {"prompt": prompt, "seed": image.get("seed"), "model": said.get("model_weights")}
