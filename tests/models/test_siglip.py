"""SigLIP: the same embeddings, logits and words as transformers' SiglipModel and processors."""

from __future__ import annotations

import json
import shutil
import string
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from limner import classify, describe, open_clip, rank
from limner.errors import BadInput
from limner.models.clip import Clip
from limner.picture import from_uint8

sys.path.insert(0, str(Path(__file__).parent))
from _clip_uses import used

TEXTS = ["a red cube", "Two CATS,  and a dog's bowl!", "the cat on top of a dog"]
PIECES = ["a", "cat", "cats", "dog", "dogs", "red", "cube", "two", "the", "on", "top", "of", "and"]
AGREE = 0.99999  # cosine


def first_words(folder: Path, normalised: bool) -> None:
    """A tokenizer of the first generation: unigrams, </s> at the end and behind it. The published
    file makes letters small and takes punctuation away; the older one left it to Python."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -4.0)]
    pieces += [(f"▁{each}", -2.0 - len(each) / 9) for each in PIECES]
    pieces += [(letter, -5.0) for letter in string.ascii_letters + string.punctuation]
    words = Tokenizer(models.Unigram(pieces, 2, False))
    if normalised:
        marks = "".join("\\" + mark for mark in string.punctuation)
        words.normalizer = normalizers.Sequence(
            [
                normalizers.Lowercase(),
                normalizers.Replace(Regex(f"[{marks}]"), ""),
                normalizers.Replace(Regex(r"\s+"), " "),
                normalizers.Strip(),
            ]
        )
    words.pre_tokenizer = pre_tokenizers.Metaspace()
    words.post_processor = processors.TemplateProcessing("$A </s>", None, [("</s>", 1)])
    words.save(str(folder / "tokenizer.json"))
    said = {"tokenizer_class": "SiglipTokenizer", "model_max_length": 64}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))


def second_words(folder: Path) -> None:
    """One of the second generation, as transformers writes it."""
    from transformers import Siglip2Tokenizer

    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *string.printable]
    merges = [("▁", "c"), ("▁c", "a"), ("▁ca", "t"), ("t", "h"), ("th", "e")]
    tokens += ["".join(pair) for pair in merges]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    Siglip2Tokenizer(vocabulary, merges, padding_side="right").save_pretrained(folder)


@pytest.fixture(scope="session")
def siglip_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """siglip_folder("first" | "second") → a random SiglipModel with its processors."""
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel

    made: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind in made:
            return made[kind]
        torch.manual_seed(7)
        folder = made[kind] = tmp_path_factory.mktemp(kind)
        both = dict(hidden_size=32, intermediate_size=48, num_attention_heads=2)
        text = both | dict(num_hidden_layers=2, vocab_size=120, max_position_embeddings=32)
        vision = both | dict(num_hidden_layers=2, image_size=32, patch_size=8)
        model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
        with torch.no_grad():  # livelier than at birth
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight) * (0.2 if weight.ndim < 3 else 0.5))
            model.logit_scale.fill_(1.2)
            model.logit_bias.fill_(-1.5)
        model.save_pretrained(folder)
        resample = 3 if kind == "first" else 2
        SiglipImageProcessorPil(
            size={"height": 32, "width": 32}, resample=resample
        ).save_pretrained(folder)
        first_words(folder, True) if kind == "first" else second_words(folder)
        return folder

    return get


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float()[None] / 255


@pytest.mark.parametrize("kind", ["first", "second"])
def test_embeddings_and_logits_are_transformers(
    siglip_folder: Callable[[str], Path], kind: str
) -> None:
    from transformers import SiglipModel

    folder = siglip_folder(kind)
    clip, model = open_clip(folder), SiglipModel.from_pretrained(folder).eval()
    assert clip.side == 32 and clip.tokenizer.length == 32
    pictures = torch.cat([tensor(picture(32, 32, seed)) for seed in range(3)])
    with torch.no_grad():
        said = model(input_ids=given_ids(folder, kind), pixel_values=pictures * 2 - 1)
    ours = clip.embed_pictures(pictures), clip.embed_texts(TEXTS)
    assert (ours[0] * said.image_embeds).sum(1).min() > AGREE
    assert (ours[1] * said.text_embeds).sum(1).min() > AGREE
    assert said.image_embeds[0] @ said.image_embeds[1] < 0.99
    assert said.text_embeds[0] @ said.text_embeds[1] < 0.99
    assert torch.allclose(clip.logits(*ours), said.logits_per_image, atol=1e-4)
    assert torch.allclose(clip.chances(*ours), said.logits_per_image.sigmoid(), atol=1e-5)


def given_ids(folder: Path, kind: str) -> torch.Tensor:
    """As transformers' tokenizer has them, brought to full length; the second's own does not end a
    text, which the published one does."""
    from transformers import PreTrainedTokenizerFast, Siglip2Tokenizer

    if kind == "first":
        words = PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json"), pad_token="</s>"
        )
        texts = TEXTS
    else:
        words = Siglip2Tokenizer.from_pretrained(folder)
        texts = [text + "<eos>" for text in TEXTS]
    return words(texts, padding="max_length", max_length=32, return_tensors="pt").input_ids


@pytest.mark.parametrize("kind", ["first", "second"])
def test_pictures_are_shown_as_by_transformers(
    siglip_folder: Callable[[str], Path], kind: str
) -> None:
    from transformers import SiglipImageProcessorPil

    clip = open_clip(siglip_folder(kind))
    theirs = SiglipImageProcessorPil.from_pretrained(siglip_folder(kind))
    for height, width in ((32, 32), (37, 53), (90, 21)):
        image = picture(height, width)
        wanted = theirs([image], return_tensors="pt").pixel_values
        apart = (clip.sight(tensor(image)) - wanted).abs() * 127.5
        assert apart.max() < 3 and apart.mean() < 0.4  # Pillow rounds and clips to bytes, twice


def test_words_lose_capitals_and_the_first_ones_marks(
    siglip_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    from transformers import PreTrainedTokenizerFast

    first = open_clip(siglip_folder("first")).tokenizer
    file = siglip_folder("first") / "tokenizer.json"
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(file))
    folder = Path(shutil.copytree(siglip_folder("first"), tmp_path / "old"))
    first_words(folder, False)  # which leaves it to Python
    old = open_clip(folder).tokenizer
    for text in [*TEXTS, "it's: a CAT?!", "", "top-of-the-DOG"]:
        wanted = theirs(text).input_ids
        assert first.filled(first.ids(text))[: len(wanted)] == wanted
        assert old.filled(old.ids(text)) == first.filled(first.ids(text))
    second = open_clip(siglip_folder("second")).tokenizer
    assert second.ids("The CAT!") == second.ids("the cat!") != second.ids("the cat")
    assert second.filled([7, 8]) == [7, 8, 1] + [0] * 29
    long = "the cat " * 20
    assert [i for window in first.windows(long) for i in window] == first.ids(long)


@pytest.fixture(scope="session")
def clip(siglip_folder: Callable[[str], Path]) -> Clip:
    return open_clip(siglip_folder("first"))


def test_each_label_has_a_chance_of_its_own(clip: Clip) -> None:
    pictures = [from_uint8(np.array(picture(40, 50, seed))) for seed in range(3)]
    embeddings = torch.cat([clip.embed_pictures(each.pixels[None]) for each in pictures])
    logits = np.exp(1.2) * embeddings @ clip.embed_texts(["cat", "dog"]).T - 1.5
    found = classify(pictures, labels="cat,dog", templates=["{}"], clip=clip)
    for each, row in zip(found, logits):
        assert each.labels == pytest.approx(
            dict(zip(("cat", "dog"), row.sigmoid().tolist())), abs=1e-5
        )
    said = describe(pictures, captions=["cat", "dog"], top=2, clip=clip)
    assert [each.captions for each in said] == [pytest.approx(each.labels) for each in found]
    ranked = rank("dog", pictures, clip=clip)
    order = logits[:, 1].argsort(descending=True).tolist()
    assert [each.picture for each in ranked] == [pictures[i] for i in order]


def test_it_is_used_as_any_clip(clip: Clip, run, tmp_path: Path) -> None:
    used(clip, run, tmp_path)


def test_newer_folders_keep_all_processors_in_one_file(clip: Clip, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(clip.name, tmp_path / "newer"))
    file = folder / "preprocessor_config.json"
    said = json.loads(file.read_text()) | {"image_mean": [0.1, 0.2, 0.3]}
    file.unlink()
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": said}))
    assert open_clip(folder).mean == (0.1, 0.2, 0.3)


def test_what_no_caption_was_given_for_is_told_by_the_world(clip: Clip) -> None:
    seen = from_uint8(np.array(picture(40, 50)))
    (found,) = describe([seen], clip=clip, top=1000)
    assert 0 < sum(found.captions.values()) <= 1 + 1e-5


def test_what_is_refused(siglip_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(siglip_folder("first"), tmp_path / "siglip"))
    with pytest.raises(BadInput, match="no class token"):
        open_clip(folder).hidden_states(torch.zeros(1, 3, 32, 32))
    config = json.loads((folder / "config.json").read_text())
    for change, said in (
        ({"model_type": "siglip2"}, "NaFlex"),
        ({"vision_config": {"vision_use_head": False}}, "no head"),
        ({"text_config": 3}, "no text_config"),
        ({"vision_config": {**config["vision_config"], "patch_size": 16}}, "not those of its"),
    ):
        (folder / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(BadInput, match=said):
            open_clip(folder)
    (folder / "config.json").write_text(json.dumps(config))
    seen = json.loads((folder / "preprocessor_config.json").read_text())
    for change in ({"resample": 1}, {"size": {"height": 32, "width": 48}}, {"image_std": [0] * 3}):
        (folder / "preprocessor_config.json").write_text(json.dumps(seen | change))
        with pytest.raises(BadInput, match=next(iter(change))):
            open_clip(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(seen))
    (folder / "tokenizer.json").unlink()
    with pytest.raises(BadInput, match="no tokenizer"):
        open_clip(folder)
