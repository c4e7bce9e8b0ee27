import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from limner.errors import BadInput
from limner.training._data import Captioned
from limner.training.clip import MEAN, STD, Clip, build, clip
from limner.training.loop import Plan

sys.path.insert(0, str(Path(__file__).parent))
from _toy import TINY, Bars, tiny_clip

PLAN = Plan(
    steps=30, batch_size=12, learning_rate=2e-3, warmup_steps=4, save_every=100, ema=0.8, seed=2
)


def recipe(words, **options):
    torch.manual_seed(5)
    sizes = {key: TINY[key] for key in ("size", "width", "layers", "patch")}
    return Clip(Captioned(Bars(), 1), words, **{**sizes, **options})


def gradients(made, batch):
    made.towers.zero_grad()
    logged = made.learn("towers", batch, 0, torch.Tensor.backward)
    named = made.towers.named_parameters()
    return logged, {name: p.grad.clone() for name, p in named if p.grad is not None}


def plain_loss(made, batch):
    """Figure 3 of the paper, in its words, with transformers' own model."""
    pixels, ids = batch
    vision, text = made.model.vision_model, made.model.text_model
    pictures = made.model.visual_projection(vision(pixels).pooler_output)
    texts = made.model.text_projection(text(ids).pooler_output)
    pictures, texts = pictures / pictures.norm(dim=1)[:, None], texts / texts.norm(dim=1)[:, None]
    logits = pictures @ texts.T * made.towers.logit_scale.exp()
    labels = torch.arange(len(logits))
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


@pytest.mark.parametrize("micro_batch", [12, 5, 1])
def test_a_step_is_plain_infonce_whatever_the_micro_batch(words, micro_batch):
    made = recipe(words, micro_batch=micro_batch)
    batch = made.batch(3, 12, 0, 1)
    wanted = plain_loss(made, batch)
    wanted.backward()
    expected = {name: p.grad.clone() for name, p in made.towers.named_parameters()}
    logged, found = gradients(made, batch)
    assert abs(logged["infonce"] - wanted) < 1e-6
    assert logged["logit_scale"] == pytest.approx(1 / 0.07)
    assert found.keys() == expected.keys() and len(found) > 20
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-5, msg=name)
    assert expected["logit_scale"].abs() > 1e-4


def test_a_batch_is_pictures_as_clip_sees_them_and_whole_captions(words):
    made = recipe(words)
    pixels, ids = made.batch(0, 4, 0, 1)
    pictures, captions = made.data.step(0, 4, 0, 1)
    for channel in range(3):
        plain = torch.from_numpy(pictures[..., channel]).float() / 255
        expected = (plain - MEAN[channel]) / STD[channel]
        torch.testing.assert_close(pixels[:, channel], expected)
    for row, caption in zip(ids, captions, strict=True):
        assert words.decode(row, skip_special_tokens=True).strip() == caption
        assert row[0] == words.bos_token_id and row[-1] == words.eos_token_id


@pytest.mark.parametrize(
    ("tower", "text"), [("vit", "transformer"), ("resnet", "bag_of_words"), ("vit", "bag_of_words")]
)
def test_every_variant_learns(tmp_path, tower, text):
    steps = 30 if tower == "vit" else 12
    plan = replace(PLAN, steps=steps)
    done = list(clip(Bars(), tmp_path, plan, tower=tower, text=text, **TINY))
    losses = [progress.metrics["infonce"] for progress in done]
    assert len(losses) == steps
    first, last = sum(losses[:3]) / 3, sum(losses[-3:]) / 3
    assert last < 0.8 * first


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = tmp_path_factory.mktemp("clip")
    list(clip(Bars(), run, replace(PLAN, preview_every=15), **TINY))
    return run


def test_the_model_opens_in_transformers_and_in_limner(trained):
    from transformers import CLIPModel, CLIPTokenizer

    from limner.models.clip import open_clip
    from limner.training import _checkpoint

    model = CLIPModel.from_pretrained(trained / "model").eval()
    words = CLIPTokenizer.from_pretrained(trained / "model")
    made = recipe(words)
    stored = _checkpoint.read(_checkpoint.newest(trained / "checkpoints"))[0]
    made.towers.load_state_dict(stored["towers.weights"] | stored["towers.ema"])
    pictures, captions = Bars().batch(range(228, 240))
    pixels, ids = made._tensors((pictures, captions))
    with torch.no_grad():
        seen, read, scale = made.towers.eval()(pixels, ids)
        theirs = model(input_ids=ids, pixel_values=pixels)
    torch.testing.assert_close(theirs.image_embeds, seen, atol=1e-5, rtol=0)
    torch.testing.assert_close(theirs.text_embeds, read, atol=1e-5, rtol=0)
    torch.testing.assert_close(theirs.logits_per_image, scale * seen @ read.T, atol=1e-3, rtol=0)
    ours = open_clip(trained / "model")
    in_unit = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(ours.embed_pictures(in_unit), seen, atol=1e-4, rtol=0)
    torch.testing.assert_close(ours.embed_texts(captions), read, atol=1e-4, rtol=0)


def test_transformers_processor_prepares_pictures_alike(trained):
    from PIL import Image
    from transformers import CLIPImageProcessor

    processor = CLIPImageProcessor.from_pretrained(trained / "model")
    pictures = Bars(size=50).batch(range(3))
    theirs = processor([Image.fromarray(p) for p in pictures[0]], return_tensors="pt")
    with_tokenizer = tiny_clip()
    ours, _ = with_tokenizer._tensors(pictures)
    assert theirs.pixel_values.shape == ours.shape == (3, 3, 32, 32)
    assert (theirs.pixel_values - ours).abs().mean() < 0.02  # Pillow rounds to whole numbers


def test_previews_tell_how_often_the_right_picture_is_found(trained):
    lines = [json.loads(x) for x in (trained / "previews/retrieval.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [15, 30]
    assert all(0 <= line["retrieval"] <= 1 and line["of"] == 12 for line in lines)


def test_retrieval_counts_what_is_nearest(words):
    """Towers made of the answer: caption i looks like picture i, or like the next one."""
    made = recipe(words)
    pairs = made.data.unseen(12)
    _, ids = made._tensors(pairs)
    keys = [tuple(row.tolist()) for row in ids]
    assert len(set(keys)) == 12

    def towers(shift):
        def forward(pixels, ids):
            eye = torch.eye(12)
            rows = [(keys.index(tuple(row.tolist())) + shift(i)) % 12 for i, row in enumerate(ids)]
            return eye, eye[rows], torch.tensor(1.0)

        return forward

    made.towers.forward = towers(lambda i: 0)
    assert made.retrieval(12) == 1.0 and made.towers.training
    made.towers.forward = towers(lambda i: i < 3)
    assert made.retrieval(12) == pytest.approx(0.75)


def test_towers_that_transformers_lacks_come_back(tmp_path, words):
    made = recipe(words, tower="resnet", text="transformer")
    made.export(tmp_path)
    built = json.loads((tmp_path / "towers.json").read_text())
    again, _ = build(**built)
    again.load_state_dict(load_file(tmp_path / "towers.safetensors"))
    pixels, ids = made.batch(0, 3, 0, 1)
    with torch.no_grad():
        wanted, found = made.towers.eval()(pixels, ids), again.eval()(pixels, ids)
    assert all(torch.equal(a, b) for a, b in zip(wanted, found))
    from transformers import CLIPTextModel

    text = CLIPTextModel.from_pretrained(tmp_path)  # what a diffusion begins from
    with torch.no_grad():
        wanted = made.model.text_model(ids).last_hidden_state
        torch.testing.assert_close(text(ids).last_hidden_state, wanted)


@pytest.mark.parametrize(
    ("tower", "text"),
    [("resnet", "transformer"), ("resnet", "bag_of_words"), ("vit", "bag_of_words")],
)
def test_limner_opens_towers_that_transformers_lacks(tmp_path, words, tower, text):
    from limner.models.clip import open_clip

    made = recipe(words, tower=tower, text=text, channels=4 if tower == "resnet" else 32)
    pairs = made.data.unseen(5)
    for _ in range(3):  # the normalisations' averages leave their first values
        made.towers(*made.batch(0, 12, 0, 1))
    made.export(tmp_path)
    opened = open_clip(tmp_path)
    pixels, ids = made._tensors(pairs)
    pixels.requires_grad_()
    seen, read, scale = made.towers.eval()(pixels, ids)
    in_unit = torch.from_numpy(pairs[0]).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(opened.embed_pictures(in_unit), seen.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(opened.embed_texts(pairs[1]), read.detach(), atol=1e-5, rtol=0)
    assert opened.logit_scale == pytest.approx(scale.item(), rel=1e-5)
    assert opened.side == 32 and len(opened.fingerprint) == 64
    again = pixels.detach().requires_grad_()
    F.normalize(opened.towers.pictures(again))[:, 0].sum().backward()
    seen[:, 0].sum().backward()
    torch.testing.assert_close(again.grad, pixels.grad, atol=1e-6, rtol=1e-3)
    if tower == "vit":
        assert [state.shape for state in opened.hidden_states(in_unit)] == [(5, 5, 64)] * 2
    else:
        with pytest.raises(BadInput, match="no class token and patches"):
            opened.hidden_states(in_unit)


def test_towers_that_are_not_those_of_their_description_are_refused(tmp_path, words):
    from limner.models.clip import open_clip

    recipe(words, tower="resnet", text="bag_of_words", channels=4).export(tmp_path)
    told, weights = tmp_path / "towers.json", tmp_path / "towers.safetensors"
    said = json.loads(told.read_text())
    for wrong, message in (
        (said | {"channels": 8}, "not those of its config|size mismatch"),
        ({}, "not usable|missing 2 required|missing .* argument"),
        (said | {"width": "64"}, "not usable|no towers can be read"),
    ):
        told.write_text(json.dumps(wrong))
        for opens in (open_clip, lambda folder: recipe(words, start=folder)):
            with pytest.raises(BadInput, match=message):
                opens(tmp_path)
    told.write_text(json.dumps(said))
    weights.unlink()
    with pytest.raises(BadInput, match=r"towers\.safetensors"):
        open_clip(tmp_path)
    with pytest.raises(BadInput, match=r"towers\.safetensors"):
        recipe(words, start=tmp_path)


def test_bags_of_words_leave_no_other_model(tmp_path, words):
    recipe(words, text="bag_of_words").export(tmp_path)
    assert not (tmp_path / "model.safetensors").exists()
    assert (tmp_path / "towers.safetensors").exists()


def test_a_resumed_run_keeps_its_words(tmp_path):
    plan = replace(PLAN, steps=2)
    list(clip(Bars(), tmp_path, plan, **TINY))
    before = (tmp_path / "tokenizer/tokenizer.json").read_bytes()

    class Others(Bars):
        def batch(self, indices):
            pictures, captions = super().batch(indices)
            return pictures, [f"quite another text about {text}" for text in captions]

    with pytest.raises(BadInput, match="already holds a training"):
        list(clip(Others(), tmp_path, plan, **TINY))
    list(clip(Others(), tmp_path, replace(plan, steps=3), resume=True, **TINY))
    assert (tmp_path / "tokenizer/tokenizer.json").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(tower="vgg"), "tower 'vgg': give vit or resnet"),
        (dict(text="lstm"), "text 'lstm': give transformer or bag_of_words"),
        (dict(patch=5), "multiple of 5"),
        (dict(patch=0), "multiple of"),
        (dict(tower="resnet", size=48), "multiple of 32"),
        (dict(width=100), "width 100: give a multiple of 64"),
        (dict(width=0), "multiple of 64"),
        (dict(layers=0), "layers 0"),
        (dict(micro_batch=0), "micro_batch 0"),
        (dict(vocab_size=10), "vocab_size is 10"),
        (dict(length=2), "length is 2"),
    ],
)
def test_refuses_options_that_make_no_sense(tmp_path, options, message):
    with pytest.raises(BadInput, match=message):
        list(clip(Bars(), tmp_path / "run", PLAN, **{**TINY, **options}))
    assert not (tmp_path / "run" / "checkpoints").exists()
