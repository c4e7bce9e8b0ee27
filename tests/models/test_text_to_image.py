"""What joins a model's parts: prompts longer than a window, unseen words, placing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from limner import generate, open_model
from limner.errors import BadInput
from limner.models._open import placed
from limner.picture import psnr
from limner.prompt import CutWord, Notice, UnseenWord

Get = Callable[[str], Path]


def test_a_long_prompt_goes_on_in_further_windows(sd_folder: Get) -> None:
    from transformers import CLIPTextModel

    model = open_model(sd_folder("sd1"))
    text = CLIPTextModel.from_pretrained(sd_folder("sd1") / "text_encoder")
    long = "a red cube on top of the blue sphere and " * 18
    windows = model.tokenizer.windows(long)
    assert len(windows) == 3
    states = model.encode_text(["a cat", long, ""])
    assert states.shape == (3, 3 * 77, 32)
    ids = torch.tensor([model.tokenizer.filled(window) for window in windows])
    with torch.no_grad():
        wanted = text(ids)[0]
    assert torch.allclose(states[1], wanted.flatten(0, 1), atol=1e-6)
    cat, empty = (model.encode_text([prompt])[0] for prompt in ("a cat", ""))
    assert torch.allclose(states[0], torch.cat([cat, empty, empty]), atol=1e-6)
    assert torch.allclose(states[2], empty.repeat(3, 1), atol=1e-6)


def test_no_word_of_a_long_prompt_is_lost(sd_folder: Get) -> None:
    model = open_model(sd_folder("own"))  # 32 tokens a window
    words = "a red cube on top of the blue sphere and " * 6
    options = dict(model=model, steps=4, precision="float32")
    cat, horse = (generate(words + end, **options)[0] for end in ("a cat", "a horse"))
    assert not torch.equal(cat.pixels, horse.pixels)
    long_negative = [generate("cat", negative=words + end, **options)[0] for end in ("dog", "cat")]
    assert not torch.equal(*(picture.pixels for picture in long_negative))


def test_what_is_too_long_even_so_is_named(sd_folder: Get) -> None:
    model = open_model(sd_folder("own"))
    fits = "cat " * (8 * 30)
    assert model.cut_words(fits) == []
    prompt = fits + "red horse"
    assert model.cut_words(prompt) == ["red", "horse"]
    assert model.encode_text([prompt]).shape[1] == 8 * 32
    with pytest.warns(CutWord, match=r"last 2 words are left out \(red horse\)"):
        generate(prompt, model=model, steps=1)


def test_unseen_words_are_named_once(sd_folder: Get) -> None:
    own, foreign = open_model(sd_folder("own")), open_model(sd_folder("sd1"))
    assert own.unseen_words("A Zebra, a zebra on the red cubes") == ["zebra", "cubes"]
    assert foreign.unseen_words("a zebra") == []
    with pytest.warns(UnseenWord) as seen:
        generate("a hors on the cat", negative="zebra", model=own, steps=1)
    texts = [str(each.message) for each in seen if each.category is UnseenWord]
    assert len(texts) == 2
    assert "'hors', did you mean 'horse'?" in texts[0]
    assert "'zebra'" in texts[1]


def test_the_card_speaks_for_the_model(sd_folder: Get) -> None:
    model = open_model(sd_folder("own"))
    assert (model.size, model.steps, model.guidance_scale) == (64, 6, 3.0)
    assert (model.downscale, model.channels, model.licence) == (4, 8, "MIT")
    recipe = generate("a cat", model=model)[0].recipe
    assert recipe is not None
    assert recipe["arguments"]["steps"] == 6
    assert recipe["arguments"]["guidance_scale"] == 3.0


def test_bfloat16_paints_nearly_the_same(sd_folder: Get) -> None:
    options = dict(steps=6, guidance_scale=2.0)
    exact = generate(
        "a red cube", model=open_model(sd_folder("own")), precision="float32", **options
    )
    original = open_model(sd_folder("own"))
    model = placed(original, "bfloat16")
    assert model.dtype == model.encode_text(["a"]).dtype == torch.bfloat16
    half = generate("a red cube", model=model, precision="bfloat16", **options)
    assert 25 < psnr(exact[0].pixels, half[0].pixels) < 80
    assert half[0].recipe is not None
    assert half[0].recipe["precision"] == "bfloat16"
    assert model.to("cpu", torch.bfloat16) is model
    again = generate("a red cube", model=original, precision="float32", **options)
    assert torch.equal(again[0].pixels, exact[0].pixels)  # the original kept its precision
    with pytest.raises(BadInput, match="precision 'int4'"):
        placed(model, "int4")


def test_encoding_goes_back(sd_folder: Get) -> None:
    model = open_model(sd_folder("own"))
    latents = model.encode(torch.rand(2, 3, 64, 32))
    assert latents.shape == (2, 8, 16, 8)
    assert model.decode(latents).shape == (2, 3, 64, 32)


def test_where_it_cannot_be_compiled_it_paints_all_the_same(
    sd_folder: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch._dynamo  # loads torch's compiler, and with it its errors

    calls = []

    def compile_(function: Callable, **_: bool) -> Callable:
        def fail(*arguments: object) -> None:
            calls.append(arguments)
            raise torch._inductor.exc.InductorError(RuntimeError("no C++\ncompiler"), None)

        return fail

    monkeypatch.setattr(torch, "compile", compile_)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/some/cache")
    options = dict(steps=3, precision="float32")
    wanted = generate("a cat", model=open_model(sd_folder("sd1")), **options)[0]
    with pytest.warns(Notice, match=r"which failed \(.*no C\+\+\); its cache is at /some/cache"):
        model = open_model(sd_folder("sd1"))
        got = generate("a cat", model=model, compile=True, **options)[0]
    assert torch.equal(got.pixels, wanted.pixels)
    assert len(calls) == 1
    assert model.compiled() is model.compiled()
    assert model.compiled() is not model
    moved = model.compiled().to("cpu", torch.bfloat16)  # not compiled any more
    generate("a cat", model=moved, steps=1, precision="bfloat16")
    assert len(calls) == 1


@pytest.mark.slow
def test_compiled_it_paints_the_same(sd_folder: Get, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    options = dict(steps=3, precision="float32", count=2)
    wanted = generate("a cat", model=open_model(sd_folder("sd1")), **options)
    got = generate("a cat", model=open_model(sd_folder("sd1")), compile=True, **options)
    assert min(psnr(a.pixels, b.pixels) for a, b in zip(wanted, got, strict=True)) > 60
    assert any(tmp_path.rglob("*.so"))
