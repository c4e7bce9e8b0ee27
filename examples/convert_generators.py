"""Generators of others: taming's VQGAN, NVIDIA's StyleGAN2 and 3, BigGAN. Theirs beside limner's.

    python examples/convert_generators.py vqgan.ckpt --config vqgan.yaml
    python examples/convert_generators.py stylegan3-t-ffhq-1024x1024.pkl
    python examples/convert_generators.py biggan-deep-256/pytorch_model.bin

Writes a folder beside the file, opens it and paints sample.png. Nothing in the file runs.
"""

import argparse
from pathlib import Path

import torch

from limner.models.biggan import open_biggan
from limner.models.convert import convert
from limner.models.stylegan import open_stylegan
from limner.models.vqgan import open_vqgan
from limner.noise import Noise
from limner.picture import Picture

said = argparse.ArgumentParser()
said.add_argument("file", type=Path)
said.add_argument("--config", type=Path)
said.add_argument("--label", type=int, help="the class that a StyleGAN of classes paints")
said.add_argument("--licence", default="")
asked = said.parse_args()
folder = asked.file.with_suffix(".limner")
if not folder.exists():
    made = convert(
        asked.file, folder, config=asked.config, label=asked.label, licence=asked.licence
    )
    print(f"{made.family}, {made.parameters / 1e6:.1f}M parameters: {folder}")
noise = Noise(0, [0])

if (folder / "statistics.safetensors").is_file():
    # BigGAN.from_pretrained("biggan-deep-256")(z, one_hot, truncation=0.4)
    biggan = open_biggan(folder).truncated(0.4)
    z = 0.4 * noise.normal((1, biggan.noise)).clamp(-2, 2)  # one for all layers, as theirs
    classes = torch.zeros(1, 1, len(biggan.classes))
    classes[..., 0] = 1
    layers = (-1, biggan.layers, -1)
    pictures = biggan.pictures(z.expand(*layers), classes.expand(*layers))
elif (folder / "generator.safetensors").is_file():
    # G = pickle.load(file)["G_ema"]; G(z, None, truncation_psi=0.7, noise_mode="const")
    stylegan = open_stylegan(folder)
    w = stylegan.truncated(stylegan.mapping(noise.normal((stylegan.width,))), 0.7)
    fixed = stylegan.fixed_noise
    none = torch.zeros(1, stylegan.noise) if fixed is None else fixed
    pictures = stylegan.synthesis(stylegan.repeated(w), none)
else:
    # z, _, (_, _, indices) = model.encode(x * 2 - 1); model.decode(z)
    vqgan = open_vqgan(folder)
    x = torch.linspace(0, 1, vqgan.size).expand(1, 3, vqgan.size, vqgan.size)
    codes = vqgan.codes(x)
    print(f"codes: {tuple(codes.shape)}, {codes.unique().numel()} of {len(vqgan.codebook)}")
    pictures = vqgan.decode(vqgan.looked_up(codes))

Picture(pictures[0].detach().clamp(0, 1)).save("sample.png")
print("sample.png")
