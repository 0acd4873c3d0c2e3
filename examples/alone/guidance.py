"""Guidance and flow matching alone: sample with a network of your own, and train it."""

import torch

from diff4splat.diffusion import CosineGuidance, euler_sample, flow_matching_loss, noise_interpolate

network, guidance = torch.nn.Linear(8, 8), CosineGuidance()
clean, noise, time = torch.randn(16, 8), torch.randn(16, 8), torch.rand(16)
loss = flow_matching_loss(network(noise_interpolate(clean, noise, time)), clean, noise).mean()
loss.backward()
sample = euler_sample(lambda z, t, given: network(given * z), noise, num_steps=30, guidance=guidance)
print("loss", loss.item(), "gradient", network.weight.grad.norm().item(), "sample", sample.norm().item())
