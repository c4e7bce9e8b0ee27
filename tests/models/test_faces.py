from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from limner.errors import BadInput
from limner.models.faces import open_attributes, open_identity

Get = Callable[[str], Path]


def theirs(folder: Path, squares: Tensor) -> Tensor:
    """Logits of pictures (b, 3, 32, 32) by transformers."""
    from transformers import ResNetForImageClassification

    model = ResNetForImageClassification.from_pretrained(folder).eval()
    said = json.loads((folder / "preprocessor_config.json").read_text())
    mean, std = (torch.tensor(said[f"image_{each}"])[:, None, None] for each in ("mean", "std"))
    with torch.no_grad():
        return model((squares - mean) / std).logits


def some(*size: int) -> Tensor:
    return torch.rand(3, 3, *size, generator=torch.Generator().manual_seed(1))


def test_embeddings_are_transformers_logits_of_length_one(faces_folder: Get) -> None:
    folder, pictures = faces_folder("identity"), some(32, 32)
    model, wanted = open_identity(folder), theirs(folder, pictures)
    wanted = wanted / wanted.norm(dim=1, keepdim=True)
    torch.testing.assert_close(model.embed(pictures), wanted, atol=1e-6, rtol=1e-5)
    assert (model.name, model.licence) == (str(folder), "MIT") and len(model.fingerprint) == 64


def test_the_middle_square_is_seen_at_the_network_s_size(faces_folder: Get) -> None:
    folder, pictures = faces_folder("identity"), some(48, 70)
    square = interpolate(pictures[..., 11:59], (32, 32), mode="bicubic", antialias=True)
    wanted = theirs(folder, square.clamp(0, 1))
    found = open_identity(folder).embed(pictures)
    torch.testing.assert_close(found, wanted / wanted.norm(dim=1, keepdim=True), atol=1e-5, rtol=0)


def test_probabilities_are_transformers_by_their_labels(faces_folder: Get) -> None:
    folder, pictures = faces_folder("attributes"), some(32, 32)
    model, logits = open_attributes(folder), theirs(folder, pictures)
    assert model.names == ("smile", "hat", "beard") and model.domain_names == ("none", "night")
    yes = 1 / (1 + torch.exp(-logits[:, [0, 2, 4]]))
    torch.testing.assert_close(model.probabilities(pictures), yes, atol=1e-6, rtol=1e-5)
    shares = logits[:, [1, 3]].exp() / logits[:, [1, 3]].exp().sum(1, keepdim=True)
    torch.testing.assert_close(model.domains(pictures), shares, atol=1e-6, rtol=1e-5)


def test_gradients_reach_the_pictures(faces_folder: Get) -> None:
    model = open_attributes(faces_folder("attributes")).to("cpu", torch.float64)
    pictures = (0.2 + 0.6 * some(40, 40)).double().requires_grad_()
    along = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(2)).double()
    for asked in (model.probabilities, model.domains):
        (gradient,) = torch.autograd.grad(asked(pictures)[:, 0].sum(), pictures)
        with torch.no_grad():
            ahead, behind = (asked(pictures + s * 1e-7 * along)[:, 0].sum() for s in (1, -1))
        exact = float((gradient * along).sum())
        assert exact == pytest.approx(float(ahead - behind) / 2e-7, rel=1e-4) and abs(exact) > 1e-7


def test_a_copy_of_another_type_leaves_the_model_as_it_is(faces_folder: Get) -> None:
    model = open_identity(faces_folder("identity"))
    other = model.to("cpu", torch.float64)
    assert model.to("cpu") is model and other.network.dtype == torch.float64
    assert model.network.dtype == torch.float32
    near = other.embed(some(32, 32)).float()
    torch.testing.assert_close(near, model.embed(some(32, 32)), atol=1e-5, rtol=1e-4)


def broken(folder: Path, to: Path, file: str, **said: object) -> Path:
    shutil.copytree(folder, to)
    told = json.loads((to / file).read_text()) | said
    (to / file).write_text(json.dumps(told))
    return to


@pytest.mark.parametrize(
    ("file", "said", "message"),
    [
        ("config.json", {"model_type": "vit"}, "holds no network of limner train attributes"),
        ("limner.json", {"recipe": "identity"}, "holds no network of limner train attributes"),
        ("config.json", {"hidden_sizes": [8, 8, 12, 17]}, "not those of its config"),
        ("config.json", {"id2label": ["smile"]}, "does not name its logits"),
        ("config.json", {"id2label": {"0": "smile"}}, "not those of its config"),
        ("preprocessor_config.json", {"crop_size": "large"}, "crop_size = 'large'"),
        ("preprocessor_config.json", {"image_std": [0, 1, 1]}, "image_std"),
    ],
)
def test_wrong_folders_are_named(
    faces_folder: Get, tmp_path: Path, file: str, said: dict, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        open_attributes(broken(faces_folder("attributes"), tmp_path / "wrong", file, **said))


def test_pickled_and_missing_ones_are_refused(faces_folder: Get, tmp_path: Path) -> None:
    wrong = broken(faces_folder("identity"), tmp_path / "wrong", "limner.json")
    (wrong / "model.safetensors").rename(wrong / "model.bin")
    with pytest.raises(BadInput, match="pickled"):
        open_identity(wrong)
    with pytest.raises(BadInput, match="no model at"):
        open_identity(tmp_path / "nowhere")


def test_without_domains_it_says_so(faces_folder: Get, tmp_path: Path) -> None:
    plain = {str(i): name for i, name in enumerate("abcde")}
    folder = tmp_path / "plain"
    broken(faces_folder("attributes"), folder, "config.json", id2label=plain)
    model = open_attributes(folder)
    assert model.domain_names == () and model.probabilities(some(32, 32)).shape == (3, 5)
    with pytest.raises(BadInput, match=r"no domains apart.*styled=0\.4"):
        model.domains(some(32, 32))
