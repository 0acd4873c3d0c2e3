"""The reconstruction model alone: latents and cameras to a deformable field, and back for training."""

import torch

from diff4splat.cameras import Cameras, field_of_view_to_intrinsics
from diff4splat.models import LDRM

model = LDRM(latent_channels=16, dim=32, num_layers=2, num_heads=4, num_key_value_heads=2)
poses, lens = torch.eye(4).repeat(1, 5, 1, 1), field_of_view_to_intrinsics(60.0, height=32, width=48)
latents = torch.randn(1, 2, 16, 4, 6, requires_grad=True)
field = model(latents, Cameras(poses, lens.expand(1, 5, 3, 3), height=32, width=48))
field.canonical.means.square().mean().backward()
print("Gaussians", field.canonical.num_gaussians, "gradient", latents.grad.norm().item())
