"""ControlNets: diffusers' residuals and pictures, and what does not fit."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from limner import Control, generate, open_model
from limner.errors import BadInput
from limner.models.controlnet import check_fits, open_controlnet
from limner.models.inspect import inspect
from limner.noise import Noise
from limner.picture import load

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from _controlnets import controlnet, drawing, folder_of, guided_pictures
from _first_names import unet_name

Get = Callable[[str], Path]


@pytest.fixture(scope="module")
def network() -> Any:
    return controlnet()


def test_what_it_says_is_the_librarys(network: Any, tmp_path: Path) -> None:
    torch.manual_seed(1)
    x, states, picture = torch.randn(2, 4, 9, 7), torch.randn(2, 5, 32), torch.rand(1, 3, 36, 28)
    t = torch.tensor([10.0, 900.5])
    for order in ("rgb", "bgr"):
        said = dict(controlnet_conditioning_channel_order=order)
        opened = open_controlnet(folder_of(network, tmp_path / order, **said))
        shown = picture if order == "rgb" else picture.flip(1)
        with torch.no_grad():
            skips, middle = network(x, t, states, shown.expand(2, -1, -1, -1), return_dict=False)
            hint = opened.network.hint(picture)
            beside = torch.cat([x, torch.randn(2, 5, 9, 7)], 1)  # an inpainting U-Net's
            mine = opened.network(beside, t, encoder_hidden_states=states, hint=hint)
        assert len(mine[0]) == len(skips) == 4
        for one, other in zip([*mine[0], mine[1]], [*skips, middle], strict=True):
            assert other.std() > 0.05
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["sd1", "sd2"])
def test_the_unet_adds_what_the_librarys_adds(sd_folder: Get, kind: str) -> None:
    from diffusers import UNet2DConditionModel

    library = UNet2DConditionModel.from_pretrained(sd_folder(kind) / "unet")
    unet = open_model(sd_folder(kind)).unet
    torch.manual_seed(2)
    x, states, t = torch.randn(1, 4, 9, 7), torch.randn(2, 5, 32), torch.tensor([30.0] * 2)
    x = torch.cat([x, x])  # as guidance asks
    shapes = [(16, 9, 7), (16, 9, 7), (16, 5, 4), (32, 5, 4)]
    told = dict(
        down_block_additional_residuals=[torch.randn(2, *shape) for shape in shapes],
        mid_block_additional_residual=torch.randn(2, 32, 5, 4),
    )
    with torch.no_grad():
        wanted = library(x, t, encoder_hidden_states=states, **told).sample
        said = unet(x, t, encoder_hidden_states=states, **told).sample
        plain = unet(x, t, encoder_hidden_states=states).sample
    torch.testing.assert_close(said, wanted, atol=1e-4, rtol=0)
    assert (plain - wanted).abs().max() > 0.1


def pipeline(folder: Path, networks: Any) -> Any:
    from diffusers import DDIMScheduler, StableDiffusionControlNetPipeline

    pipe = StableDiffusionControlNetPipeline.from_pretrained(folder, controlnet=networks)
    config = {**pipe.scheduler.config, "timestep_spacing": "trailing"}
    pipe.scheduler = DDIMScheduler.from_config(config, set_alpha_to_one=True, clip_sample=False)
    return pipe


OPTIONS = dict(seed=3, steps=5, guidance_scale=5.0, sampler="ddim", precision="float32")


def asked(**more: Any) -> dict[str, Any]:
    """The same, in the words of diffusers' pipelines."""
    latents = Noise(3, [0, 1]).normal((4, 16, 16))
    said = dict(negative_prompt="dog", num_images_per_prompt=2, num_inference_steps=5)
    return said | dict(latents=latents, guidance_scale=5.0) | more


def test_pictures_are_diffusers_pipelines(network: Any, sd_folder: Get, tmp_path: Path) -> None:
    begin, end = 0.2, 0.7  # the second and the third of five steps
    picture, model = drawing(tmp_path / "p.png"), open_model(sd_folder("sd1"))
    control = Control(folder_of(network, tmp_path / "c"), picture, 0.8, begin, end)
    said = dict(count=2, negative="dog", model=model, **OPTIONS)
    mine = generate("a red cube", control=control, **said)
    theirs = guided_pictures(
        pipeline(sd_folder("sd1"), network), "a red cube", [picture],
        **asked(
            controlnet_conditioning_scale=0.8, control_guidance_start=begin,
            control_guidance_end=end,
        ),
    )  # fmt: skip
    for one, other in zip(mine, theirs, strict=True):
        assert (one.pixels - other).abs().max() < 1e-3
    for other in (None, Control(control.model, picture, 0.8)):  # never, and always
        plain = generate("a red cube", control=other, **said)
        assert (plain[0].pixels - mine[0].pixels).abs().max() > 0.01


def test_several_are_diffusers_pipelines(network: Any, sd_folder: Get, tmp_path: Path) -> None:
    second = controlnet(seed=1)
    pictures = [drawing(tmp_path / f"{k}.png", seed=k) for k in range(2)]
    folders = [folder_of(network, tmp_path / "a"), folder_of(second, tmp_path / "b")]
    controls = [
        f"{folders[0]}:0.7={pictures[0]}",
        Control(folders[1], pictures[1], weight=-0.4, begin=0.4),
    ]
    model = open_model(sd_folder("sd1"))
    mine = generate("a cat", control=controls, model=model, count=2, negative="dog", **OPTIONS)
    theirs = guided_pictures(
        pipeline(sd_folder("sd1"), [network, second]), "a cat", pictures,
        **asked(
            controlnet_conditioning_scale=[0.7, -0.4], control_guidance_start=[0.0, 0.4],
            control_guidance_end=[1.0, 1.0],
        ),
    )  # fmt: skip
    for one, other in zip(mine, theirs, strict=True):
        assert (one.pixels - other).abs().max() < 1e-3
    alone = generate("a cat", control=controls[:1], model=model, negative="dog", **OPTIONS)[0]
    assert (alone.pixels - mine[0].pixels).abs().max() > 0.01


def first_names(network: Any) -> dict[str, torch.Tensor]:
    """A ControlNet's weights as the first repository named them."""
    hints = {"conv_in": 0, "conv_out": 2 * len(network.controlnet_cond_embedding.blocks) + 2}
    out = {}
    for name, value in network.state_dict().items():
        head, *rest = name.split(".")
        if head == "controlnet_down_blocks":
            new = f"zero_convs.{rest[0]}.0.{rest[1]}"
        elif head == "controlnet_mid_block":
            new = f"middle_block_out.0.{rest[0]}"
        elif head == "controlnet_cond_embedding":
            place = hints.get(rest[0], 2 * int(rest[1]) + 2 if rest[0] == "blocks" else 0)
            new = f"input_hint_block.{place}.{rest[-1]}"
        else:
            new = unet_name(name, layers=network.config.layers_per_block)
        out[new] = value.contiguous().clone()
    return out


@pytest.mark.parametrize("second", [False, True])
def test_its_first_names(second: bool, tmp_path: Path) -> None:
    wide = dict(block_out_channels=(64, 128), cross_attention_dim=64, norm_num_groups=32)
    if second:
        wide |= dict(attention_head_dim=[1, 2], use_linear_projection=True)
    else:
        wide |= dict(attention_head_dim=8, layers_per_block=2)
    network = controlnet(**wide)
    torch.manual_seed(3)
    x, states, picture = torch.randn(1, 4, 9, 7), torch.randn(1, 5, 64), torch.rand(1, 3, 36, 28)
    with torch.no_grad():
        skips, middle = network(x, torch.tensor([30.0]), states, picture, return_dict=False)
    for prefix in ("control_model.", ""):
        file = tmp_path / "control.safetensors"
        state = {prefix + name: value for name, value in first_names(network).items()}
        beside = {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(3)} if prefix else {}
        save_file(state | beside, file)
        opened = open_controlnet(file)
        with torch.no_grad():
            hint = opened.network.hint(picture)
            told = dict(encoder_hidden_states=states, hint=hint)
            mine, last = opened.network(x, torch.tensor([30.0]), **told)
        for one, other in zip([*mine, last], [*skips, middle], strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
    for lost in ("zero_convs.0.0.weight", "input_blocks.0.0.weight", "input_hint_block.2.weight"):
        save_file({name: value for name, value in state.items() if name != lost}, file)
        with pytest.raises(BadInput, match=r"no whole ControlNet|not those of its config"):
            open_controlnet(file)
    save_file(state | {"difference": torch.zeros(1)}, file)
    with pytest.raises(BadInput, match="difference from one model"):
        open_controlnet(file)
    save_file({"x": torch.zeros(1)}, file)
    with pytest.raises(BadInput, match="holds no ControlNet"):
        open_controlnet(file)


def test_of_xl(xl_folder: Get, tmp_path: Path) -> None:
    from diffusers import DDIMScheduler, StableDiffusionXLControlNetPipeline

    sized = controlnet(
        block_out_channels=(16, 32), cross_attention_dim=56, transformer_layers_per_block=[1, 2],
        attention_head_dim=[2, 4], addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=20 + 6 * 8, use_linear_projection=True,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
    )  # fmt: skip
    picture, folder = drawing(tmp_path / "p.png"), folder_of(sized, tmp_path / "c")
    model = open_model(xl_folder("xl"))
    options = dict(OPTIONS, model=model, size=(64, 64), negative="dog", count=2)
    mine = generate("a red cube", control=Control(folder, picture, 0.8), **options)
    pipe = StableDiffusionXLControlNetPipeline.from_pretrained(xl_folder("xl"), controlnet=sized)
    config = {**pipe.scheduler.config, "timestep_spacing": "trailing"}
    pipe.scheduler = DDIMScheduler.from_config(config, set_alpha_to_one=True, clip_sample=False)
    more = dict(controlnet_conditioning_scale=0.8, height=64, width=64)
    theirs = guided_pictures(pipe, "a red cube", [picture], **asked(**more))
    for one, other in zip(mine, theirs, strict=True):
        assert (one.pixels - other).abs().max() < 1e-3
    plain = generate("a red cube", **options)
    assert (plain[0].pixels - mine[0].pixels).abs().max() > 0.01
    with pytest.raises(BadInput, match=r"1.x or 2.x, and .* is Stable Diffusion XL"):
        check_fits(open_controlnet(folder_of(controlnet(), tmp_path / "d")), model)


def test_a_picture_alone_is_the_one_of_the_batch(
    network: Any, sd_folder: Get, tmp_path: Path
) -> None:
    control = Control(
        open_controlnet(folder_of(network, tmp_path / "c")), drawing(tmp_path / "p.png")
    )
    model, options = open_model(sd_folder("sd1")), dict(OPTIONS, steps=2)
    batch = generate("a cat", control=control, count=3, model=model, **options)
    alone = generate("a cat", control=control, first=2, model=model, **options)[0]
    assert (batch[2].pixels - alone.pixels).abs().max() < 2e-3
    assert load(tmp_path / "p.png").pixels.shape == alone.pixels.shape


def test_a_library_unet_takes_it_too(network: Any, sd_folder: Get, tmp_path: Path) -> None:
    from dataclasses import replace

    from diffusers import UNet2DConditionModel

    own = open_model(sd_folder("sd1"))
    other = replace(own, unet=UNet2DConditionModel.from_pretrained(sd_folder("sd1") / "unet"))
    control = Control(folder_of(network, tmp_path / "c"), drawing(tmp_path / "p.png"))
    options = dict(OPTIONS, steps=2, control=control)
    one, two = (generate("a cat", model=model, **options)[0].pixels for model in (own, other))
    torch.testing.assert_close(one, two, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (dict(cross_attention_dim=48), "a text of width 48, and .* has 32"),
        (dict(in_channels=8), "latents of channels 8, and .* has 4"),
        (dict(conditioning_embedding_out_channels=(8, 8, 8, 16)), "pixels to a latent 8"),
        (dict(block_out_channels=(16, 16)), "feature maps of channels"),
        (dict(layers_per_block=2), "feature maps of channels"),
        (
            dict(
                addition_embed_type="text_time", addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=80,
            ),
            "is for Stable Diffusion XL, and .* is Stable Diffusion 1.x or 2.x",
        ),
    ],
)  # fmt: skip
def test_one_for_another_model(
    sd_folder: Get, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    opened = open_controlnet(folder_of(controlnet(**changes), tmp_path))
    with pytest.raises(BadInput, match=says):
        check_fits(opened, open_model(sd_folder("sd1")))


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"_class_name": "ControlNetUnionModel"}, "is ControlNetUnionModel: expected a ControlNet"),
        ({"_class_name": None}, "no network of diffusers: expected"),
        ({"global_pool_conditions": True}, "says global_pool_conditions = True"),
        ({"conditioning_channels": 4}, "says conditioning_channels = 4"),
        ({"controlnet_conditioning_channel_order": "gbr"}, "= 'gbr': not known"),
        ({"block_out_channels": [16, 64]}, "not those of its config"),
        ({"down_block_types": ["Nonsense"] * 2}, "not usable"),
        ({"block_out_channels": "wide"}, "not usable|cannot be opened"),
    ],
)
def test_what_is_no_controlnet(
    network: Any, tmp_path: Path, said: dict[str, Any], says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        open_controlnet(folder_of(network, tmp_path, **said))


def test_what_is_broken(network: Any, tmp_path: Path) -> None:
    folder = folder_of(network, tmp_path)
    (file,) = folder.glob("*.safetensors")
    state = load_file(file)
    save_file({name: value for name, value in state.items() if "mid_block" not in name}, file)
    with pytest.raises(BadInput, match="not those of its config"):
        open_controlnet(folder)
    file.rename(folder / "diffusion_pytorch_model.bin")
    with pytest.raises(BadInput, match="pickled"):
        open_controlnet(folder)
    with pytest.raises(BadInput, match="no model at"):
        open_controlnet(tmp_path / "nowhere")


def test_what_inspect_says(network: Any, tmp_path: Path) -> None:
    found = inspect(folder_of(network, tmp_path))
    assert found.family == "controlnet" and found.opens and "--control" in found.can
