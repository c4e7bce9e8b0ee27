"""A Stable Diffusion folder, as diffusers' users call it and as limner's do: the same networks.

    python examples/stable_diffusion.py FOLDER --picture photo.png --mask mask.png
    python examples/stable_diffusion.py FOLDER --lora ink.safetensors --by diffusers

FOLDER holds 1.x, 2.x or XL; for limner's half also SD 3 or Flux, one .safetensors file, or the name
of a model on the shelf. Writes text.png, and of a picture also restyled.png and inpainted.png.
"""

import argparse
from pathlib import Path

said = argparse.ArgumentParser()
said.add_argument("model")
said.add_argument("--prompt", default="a house by a lake, watercolor")
said.add_argument("--picture", type=Path)
said.add_argument("--mask", type=Path, help="white where it is to be painted anew")
said.add_argument("--lora", type=Path)
said.add_argument("--steps", type=int, default=20)
said.add_argument("--by", choices=("limner", "diffusers"), default="limner")
asked = said.parse_args()
prompt, steps = asked.prompt, asked.steps


def by_diffusers() -> None:
    import torch
    from diffusers import (
        AutoPipelineForImage2Image,
        AutoPipelineForInpainting,
        AutoPipelineForText2Image,
    )
    from PIL import Image

    pipe = AutoPipelineForText2Image.from_pretrained(asked.model)
    if asked.lora:
        pipe.load_lora_weights(str(asked.lora.parent), weight_name=asked.lora.name)
    common = {"num_inference_steps": steps, "generator": torch.Generator().manual_seed(0)}
    pipe(prompt, **common).images[0].save("text.png")
    if asked.picture:
        picture = Image.open(asked.picture).convert("RGB")
        restyle = AutoPipelineForImage2Image.from_pipe(pipe)
        restyle(prompt, picture, strength=0.6, **common).images[0].save("restyled.png")
        if asked.mask:
            inpaint = AutoPipelineForInpainting.from_pipe(pipe)
            mask = Image.open(asked.mask).convert("L")
            inpaint(prompt, picture, mask, **common).images[0].save("inpainted.png")


def by_limner() -> None:
    import limner

    model = f"{asked.model}+{asked.lora}" if asked.lora else asked.model
    limner.generate(prompt, model=model, steps=steps, seed=0)[0].save("text.png")
    if asked.picture:
        # steps are those that run, at any strength
        restyled = limner.restyle(asked.picture, prompt, strength=0.6, steps=steps, model=model)
        restyled[0].save("restyled.png")
        if asked.mask:
            # of any size; outside the mask no bit changes
            inpainted = limner.inpaint(asked.picture, prompt, mask=asked.mask, model=model)
            inpainted[0].save("inpainted.png")


by_diffusers() if asked.by == "diffusers" else by_limner()
