"""Any function D(x, level) → x0 can be sampled. Here it is exact: a mixture of two Gaussians."""

import torch

from limner.denoisers.gaussian_mixture import GaussianMixture
from limner.levels import flow_levels
from limner.noise import Noise
from limner.samplers.heun import heun

means = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1)
denoiser = GaussianMixture(means, stds=torch.tensor([0.1, 0.3]), weights=torch.tensor([0.25, 0.75]))
levels = flow_levels(40)
noise = Noise(0, range(20_000))
x = noise.normal((1, 1, 1)) * levels[0].sigma
for state in heun(denoiser, x, levels, noise=noise):
    x = state.x
drawn = x.flatten()
print(f"share near +1: {(drawn > 0).float().mean():.3f} (expected 0.75)")
print(f"spread there:  {drawn[drawn > 0].std():.3f} (expected 0.3)")
