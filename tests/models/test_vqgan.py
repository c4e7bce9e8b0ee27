from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from limner.errors import BadInput
from limner.models.vqgan import is_vqgan, open_vqgan

KINDS = {
    "own": dict(mid_block_add_attention=False, sample_size=16),
    "attends": dict(vq_embed_dim=3, layers_per_block=2),
    "spatial": dict(norm_type="spatial", block_out_channels=(32, 32, 32)),  # by diffusers' own
}


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from diffusers import VQModel

    torch.manual_seed(3)
    config = dict(
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 16), latent_channels=4, norm_num_groups=4, num_vq_embeddings=24,
    )  # fmt: skip
    model = VQModel(**config | KINDS[request.param])
    torch.nn.init.normal_(model.quantize.embedding.weight, std=0.3)
    made = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(made)
    return made


def test_it_is_diffusers_own(folder: Path) -> None:
    from diffusers import VQModel

    theirs, ours = VQModel.from_pretrained(folder).eval(), open_vqgan(folder)
    pictures = torch.rand(3, 3, 16, 24)
    with torch.no_grad():
        z = theirs.encode(pictures * 2 - 1).latents
        code, _, (_, _, index) = theirs.quantize(z)
        drawn = theirs.decode(z).sample / 2 + 0.5
    torch.testing.assert_close(ours.encode(pictures), z, atol=1e-5, rtol=1e-4)
    assert torch.equal(ours.codes(pictures).flatten(), index) and index.unique().numel() > 3
    quantised, again = ours.quantise(z)
    torch.testing.assert_close(quantised, code, atol=1e-6, rtol=1e-5)
    assert torch.equal(again.flatten(), index) and again.shape == (3, 4, 6)
    torch.testing.assert_close(ours.decode(quantised), drawn, atol=1e-5, rtol=1e-4)
    assert torch.equal(ours.codebook, theirs.quantize.embedding.weight)
    assert (ours.downscale, len(ours.fingerprint)) == (4, 64)


def test_gradients_pass_the_decoder(folder: Path) -> None:
    model = open_vqgan(folder)
    z = model.encode(torch.rand(1, 3, 16, 16)).requires_grad_()
    along = torch.randn_like(z)
    slope = (torch.autograd.grad(model.decode(z).square().sum(), z)[0] * along).sum()
    with torch.no_grad():
        ahead, behind = (model.decode(z + s * 1e-3 * along).square().sum() for s in (1, -1))
    assert float(slope) == pytest.approx(float(ahead - behind) / 2e-3, rel=0.02)


def test_a_copy_of_another_type_leaves_the_model_as_it_is(folder: Path) -> None:
    model = open_vqgan(folder)
    other, pictures = model.to("cpu", torch.float64), torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(other.encode(pictures), model.encode(pictures), atol=1e-4, rtol=1e-3)
    assert other.codebook.dtype == torch.float64 and model.codebook.dtype == torch.float32
    assert model.to("cpu") is model


def broken(folder: Path, to: Path, **said: object) -> Path:
    shutil.copytree(folder, to)
    config = json.loads((to / "config.json").read_text()) | said
    (to / "config.json").write_text(json.dumps(config))
    return to


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"_class_name": "AutoencoderKL"}, "is a 'AutoencoderKL': expected a VQModel"),
        ({"num_vq_embeddings": 25}, "not those of its config"),
        ({"sample_size": "large"}, "sample_size = 'large'"),
        ({"layers_per_block": 10**9}, "layers_per_block = 1000000000"),
    ],
)
def test_wrong_folders_are_named(folder: Path, tmp_path: Path, said: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        open_vqgan(broken(folder, tmp_path / "wrong", **said))


def test_pickled_weights_are_never_opened(folder: Path, tmp_path: Path) -> None:
    wrong = broken(folder, tmp_path / "wrong")
    (wrong / "diffusion_pytorch_model.safetensors").rename(wrong / "diffusion_pytorch_model.bin")
    with pytest.raises(BadInput, match="pickled"):
        open_vqgan(wrong)
    with pytest.raises(BadInput, match="no model at"):
        open_vqgan(tmp_path / "nowhere")


def test_folders_are_told_apart(folder: Path, tmp_path: Path) -> None:
    assert is_vqgan(folder) and not is_vqgan(tmp_path) and not is_vqgan("embedded")
    assert not is_vqgan(broken(folder, tmp_path / "kl", _class_name="AutoencoderKL"))


def test_in_bfloat16_the_codes_are_still_told_apart() -> None:
    model = open_vqgan()
    half = model.to("cpu", torch.bfloat16)
    chance = torch.Generator().manual_seed(0)
    z = model.codebook[:256].T.reshape(1, -1, 16, 16)
    z = z + z.std() * torch.randn(z.shape, generator=chance)
    assert torch.equal(half.quantise(z)[1], model.quantise(z)[1])
    exact, near = model.decode(z), half.decode(z)
    assert near.dtype == torch.float32
    assert 1e-5 < float((exact - near).square().mean().sqrt()) < 0.02
