"""Editing alone: the moving half of a field is exaggerated, played backwards and merged with the rest."""

from dataclasses import replace

import torch

from diff4splat.editing import merge_fields, moving_gaussians, retime, scale_motion
from diff4splat.gaussians import DeformableGaussianField, Gaussians

values = torch.rand(100, 3), torch.rand(100, 4), torch.rand(100, 3), torch.rand(100), torch.rand(100, 1, 3)
still = DeformableGaussianField.from_gaussians(Gaussians(*values), torch.linspace(0, 1, 5))
deltas = (still.times[:, None, None] * (torch.arange(100) < 50)[:, None]).repeat(1, 1, 3).requires_grad_()
field = replace(still, delta_means=deltas)
mask = moving_gaussians(field, 0.5)
edited = merge_fields([scale_motion(retime(field.select(mask), (1.0, 0.0)), 2.0), field.select(~mask)])
edited.at(0.3).means.square().sum().backward()
print("moving", int(mask.sum()), "of 100; gradient", deltas.grad.norm().item())
