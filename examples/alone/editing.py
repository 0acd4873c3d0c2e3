"""Editing alone: the moving half of a field is exaggerated, played backwards and merged with the rest."""

import torch

from diff4splat.editing import merge_fields, moving_gaussians, retime, scale_motion
from diff4splat.gaussians import DeformableGaussianField, Gaussians

values = torch.rand(100, 3), torch.rand(100, 4), torch.rand(100, 3), torch.rand(100), torch.rand(100, 1, 3)
field = DeformableGaussianField.from_gaussians(Gaussians(*values), torch.linspace(0, 1, 5))
deltas = field.delta_means.requires_grad_().data  # written to, and what gradients flow to
deltas[:, :50] = field.times[:, None, None]
mask = moving_gaussians(field, 0.5)
edited = merge_fields([scale_motion(retime(field.select(mask), (1.0, 0.0)), 2.0), field.select(~mask)])
edited.at(0.3).means.square().sum().backward()
print("moving", mask.sum().item(), "gradient", field.delta_means.grad.norm().item())
