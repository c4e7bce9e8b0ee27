import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from limner.training._coders import build_kl
from limner.training._latents import Latents, encode

sys.path.insert(0, str(Path(__file__).parent))
from _toy import Bars


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    model = build_kl((8, 8, 8, 8), latent_channels=4).eval().requires_grad_(False)
    model.register_to_config(scaling_factor=0.37)
    return model


def direct(vae, indices):
    pictures = torch.from_numpy(Bars().batch(indices)[0]).permute(0, 3, 1, 2)
    with torch.no_grad():
        return vae.encode(pictures / 127.5 - 1).latent_dist.mode() * 0.37


def assert_right(folder, vae, count):
    latents = Latents(folder)
    values, captions = latents.batch(range(count))
    assert len(latents) == count and latents.size == 4
    assert captions == Bars().batch(range(count))[1]
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, direct(vae, range(count)), rtol=2e-3, atol=2e-3)
    assert np.array_equal(latents.batch([5, 2])[0], values[[5, 2]])


def test_they_are_the_scaled_means(tmp_path, vae):
    assert list(encode(Bars(), vae, tmp_path, 40, chunk=16)) == [16, 32, 40]
    assert_right(tmp_path, vae, 40)


class Counting(Bars):
    asked = 0

    def batch(self, indices):
        self.asked += len(indices)
        return super().batch(indices)


@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_goes_on_after_an_interruption(tmp_path, vae, done):
    """Stopped after some chunks, with a caption half written and one written too many."""
    steps = encode(Bars(), vae, tmp_path, 40, chunk=16)
    for _ in range(done):
        next(steps)
    steps.close()
    if done:
        with (tmp_path / "captions.jsonl").open("a") as file:
            file.write('"a caption too many"\n"half a capti')
    source = Counting()
    assert list(encode(source, vae, tmp_path, 40, chunk=16)) == [16, 32, 40][min(done, 2) :]
    assert source.asked <= 40 - 16 * min(done, 2) + 4
    assert_right(tmp_path, vae, 40)


def test_half_a_caption_at_the_end_of_a_chunk_is_not_one(tmp_path, vae):
    steps = encode(Bars(), vae, tmp_path, 40, chunk=16)
    next(steps), next(steps)
    steps.close()
    texts = tmp_path / "captions.jsonl"
    texts.write_text(texts.read_text()[:-8])
    assert list(encode(Bars(), vae, tmp_path, 40, chunk=16)) == [32, 40]
    assert_right(tmp_path, vae, 40)


def test_what_is_whole_is_not_made_again(tmp_path, vae):
    list(encode(Bars(), vae, tmp_path, 20))
    source = Counting()
    assert list(encode(source, vae, tmp_path, 20)) == [20] and source.asked <= 4
    assert_right(tmp_path, vae, 20)


def test_no_more_than_there_are(tmp_path, vae):
    assert list(encode(Bars(30), vae, tmp_path, 1000)) == [30]
    assert_right(tmp_path, vae, 30)


@pytest.mark.parametrize("whole", [True, False])
def test_another_autoencoder_or_other_pictures_begin_anew(tmp_path, vae, whole):
    """Latents of two autoencoders in one file would look right and teach nonsense."""

    def leave(source, model, count):
        steps = encode(source, model, tmp_path, count, chunk=16)
        for done in steps:
            if done >= 16 and not whole:
                break
        steps.close()

    torch.manual_seed(1)
    leave(Bars(), build_kl((8, 8, 8, 8), latent_channels=4), 40)
    list(encode(Bars(), vae, tmp_path, 40, chunk=16))
    assert_right(tmp_path, vae, 40)
    leave(Bars(), vae, 20)
    list(encode(Bars(), vae, tmp_path, 40, chunk=16))
    assert_right(tmp_path, vae, 40)

    class Upside(Bars):
        def batch(self, indices):
            pictures, captions = super().batch(indices)
            return pictures[:, ::-1], captions

    leave(Upside(), vae, 40)
    list(encode(Bars(), vae, tmp_path, 40, chunk=16))
    assert_right(tmp_path, vae, 40)


def test_captions_may_hold_anything(tmp_path, vae):
    class Odd(Bars):
        def batch(self, indices):
            pictures, _ = super().batch(indices)
            return pictures, ['"line\nfeed"\u2028 \u00e9 \U0001f600' for _ in indices]

    list(encode(Odd(), vae, tmp_path, 5))
    assert Latents(tmp_path).captions == Odd().batch(range(5))[1]
    lines = (tmp_path / "captions.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == Odd().batch(range(5))[1]
