"""Deformation operations alone: move Gaussians, and find the deformation between two sets."""

import torch

from diff4splat.gaussians import Gaussians, deform_gaussians, deltas_between

values = torch.rand(100, 3), torch.rand(100, 4), torch.rand(100, 3), torch.rand(100), torch.rand(100, 1, 3)
start = Gaussians(*values)
shift = torch.zeros(100, 3, requires_grad=True)
end = deform_gaussians(start, shift + 1, torch.tensor([[1.0, 0.5, 0.0, 0.0]]).expand(100, 4), shift)
deltas_between(start, end).means.square().sum().backward()
print("moved by", (end.means - start.means).mean().item(), "gradient", shift.grad.norm().item())
