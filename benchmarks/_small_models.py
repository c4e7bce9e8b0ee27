"""Small random models of every family that limner opens, in the layout of their own programs."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["FAMILIES", "Family", "built"]

TESTS = Path(__file__).resolve().parents[1] / "tests"
Opener = Callable[[Path], Any]


class Family(NamedTuple):
    """build(folder) writes a model; open(folder) opens it with limner."""

    build: Callable[[Path], None]
    open: Opener


def _helper(path: str) -> Any:
    """A module of the tests, which build such models, too."""
    name = "_small_" + Path(path).stem
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, TESTS / path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


def _words(length: int = 77) -> Any:
    return _helper("conftest.py").tokenizer(length)


def _diffusion(kind: str) -> Callable[[Path], None]:
    return lambda folder: _helper("conftest.py").build(kind, folder)


def _one_file(folder: Path) -> None:
    from safetensors.torch import save_file

    names, words = _helper("models/_first_names.py"), _words()
    pipe = names.pipeline(False, words)
    save_file(names.first_names(pipe, False), folder / "model.safetensors")
    words.save_pretrained(folder / "tokenizer")


def _lora(folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    _diffusion("sd1")(folder)
    layer = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    state = {
        f"{layer}.lora_A.weight": torch.randn(2, 16),
        f"{layer}.lora_B.weight": torch.randn(16, 2),
    }
    save_file(state, folder / "lora.safetensors", {"format": "pt"})
    save_file({"<toy>": torch.randn(2, 32)}, folder / "word.safetensors")


def _clip(folder: Path) -> None:
    from transformers import CLIPConfig, CLIPModel

    words = _words(24)
    vision = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                  image_size=32, patch_size=8)  # fmt: skip
    text = _helper("conftest.py").text_config(len(words), 24, words.eos_token_id)
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
    CLIPModel(config).save_pretrained(folder)
    words.save_pretrained(folder)
    seen = dict(size={"shortest_edge": 32}, image_mean=[0.5] * 3, image_std=[0.3] * 3)
    (folder / "preprocessor_config.json").write_text(json.dumps(seen))


def _vqgan(folder: Path) -> None:
    from diffusers import VQModel

    VQModel(
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 16), latent_channels=4, norm_num_groups=4, num_vq_embeddings=24,
    ).save_pretrained(folder)  # fmt: skip


def _stylegan(folder: Path) -> None:
    import torch

    from limner.models import _stylegan
    from limner.nets.stylegan import Discriminator, Generator, Shape

    shape = Shape((6, 5, 4), width=8, mapping_layers=2)
    generator = Generator(shape)
    generator.measure(torch.randn(50, 8))
    _stylegan.write(folder / "model", generator, Discriminator(shape))
    _up(folder)


def _biggan(folder: Path) -> None:
    import torch

    from limner.models import _biggan
    from limner.nets.biggan import Discriminator, Generator, Shape

    shape = Shape(2, (8, 6, 4), noise=3, width=4, attention=8)
    generator = Generator(shape)
    told = torch.eye(2)[torch.arange(6) % 2][:, None].expand(-1, 5, -1)
    generator.measure([generator.conditions(torch.randn(6, 5, 3), told)])
    _biggan.write(folder / "model", ["apple", "hat"], generator, Discriminator(shape))
    _up(folder)


def _up(folder: Path) -> None:
    """What lies in `model` lies in the folder itself."""
    for file in (folder / "model").iterdir():
        file.rename(folder / file.name)
    (folder / "model").rmdir()


def _open_model(folder: Path) -> Any:
    from limner.models._open import open_model

    return open_model(folder)


def _open_file(folder: Path) -> Any:
    from limner.models._open import open_model

    return open_model(folder / "model.safetensors")


def _open_added(folder: Path) -> Any:
    from limner.models._open import open_model

    return open_model(f"{folder}+{folder}/lora.safetensors:0.5+{folder}/word.safetensors")


def _open_clip(folder: Path) -> Any:
    from limner.models.clip import open_clip

    return open_clip(folder)


def _open_vqgan(folder: Path) -> Any:
    from limner.models.vqgan import open_vqgan

    return open_vqgan(folder)


def _open_stylegan(folder: Path) -> Any:
    from limner.models.stylegan import open_stylegan

    return open_stylegan(folder)


def _open_biggan(folder: Path) -> Any:
    from limner.models.biggan import open_biggan

    return open_biggan(folder)


def _sd3(folder: Path) -> None:
    _helper("models/_flow_pipelines.py").build("sd3", folder, _words())


def _flux(folder: Path) -> None:
    _helper("models/_flow_pipelines.py").build("flux_dev", folder, _words())


def _xl(kind: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        _words().save_pretrained(folder / "words")
        made = _helper("models/_xl_pipelines.py").pipeline(kind, folder / "words")
        shutil.rmtree(folder / "words")
        made.save_pretrained(folder)

    return build


def _siglip(folder: Path) -> None:
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel

    both = dict(hidden_size=32, intermediate_size=48, num_attention_heads=2, num_hidden_layers=2)
    text = both | dict(vocab_size=120, max_position_embeddings=32)
    vision = both | dict(image_size=32, patch_size=8)
    SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    _helper("models/test_siglip.py").first_words(folder, True)


def _of_open_clip(folder: Path) -> None:
    drawn = _helper("models/_open_clip_drawn.py")
    cases = json.loads(drawn.NUMBERS.read_text())["cases"]
    drawn.write("gelu", cases["gelu"]["shapes"], folder)


def _taesd(folder: Path) -> None:
    from diffusers import AutoencoderTiny

    _diffusion("sd1")(folder)
    AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8), num_encoder_blocks=(1, 2, 2),
        decoder_block_out_channels=(8, 8, 8), num_decoder_blocks=(2, 1, 1),
    ).save_pretrained(folder / "taesd")  # fmt: skip


def _controlnet(folder: Path) -> None:
    _helper("_controlnets.py").controlnet().save_pretrained(folder)


def _open_taesd(folder: Path) -> Any:
    from limner.models._open import open_model

    return open_model(f"{folder}+{folder}/taesd")


def _open_controlnet(folder: Path) -> Any:
    from limner.models.controlnet import open_controlnet

    return open_controlnet(folder)


FAMILIES: dict[str, Family] = {
    "sd1": Family(_diffusion("sd1"), _open_model),
    "sd2": Family(_diffusion("sd2"), _open_model),
    "own": Family(_diffusion("own"), _open_model),
    "one_file": Family(_one_file, _open_file),
    "lora": Family(_lora, _open_added),
    "xl": Family(_xl("xl"), _open_model),
    "xl_lcm": Family(_xl("xl lcm"), _open_model),
    "taesd": Family(_taesd, _open_taesd),
    "controlnet": Family(_controlnet, _open_controlnet),
    "siglip": Family(_siglip, _open_clip),
    "open_clip": Family(_of_open_clip, _open_clip),
    "sd3": Family(_sd3, _open_model),
    "flux": Family(_flux, _open_model),
    "clip": Family(_clip, _open_clip),
    "vqgan": Family(_vqgan, _open_vqgan),
    "stylegan": Family(_stylegan, _open_stylegan),
    "biggan": Family(_biggan, _open_biggan),
}


def built(name: str, folder: Path) -> Path:
    """A family's model in a new folder."""
    import torch

    torch.manual_seed(0)
    folder.mkdir(parents=True)
    FAMILIES[name].build(folder)
    return folder
