"""Editing alone: the moving half of a field is exaggerated, played backwards and merged with the rest."""

from torch import linspace, rand

from diff4splat.editing import merge_fields, moving_gaussians, retime, scale_motion
from diff4splat.gaussians import DeformableGaussianField, Gaussians

values = rand(100, 3).requires_grad_(), rand(100, 4), rand(100, 3), rand(100), rand(100, 1, 3)
field = DeformableGaussianField.from_gaussians(Gaussians(*values), linspace(0, 1, 5))
field.delta_means[:, :50] = field.times[:, None, None]
moving, rest = (field.select(moving_gaussians(field, 0.5) == one) for one in (True, False))
edited = merge_fields([scale_motion(retime(moving, (1.0, 0.0)), 2.0), rest])
edited.at(0.3).means.square().sum().backward()
print("moving", moving.num_gaussians, "gradient", values[0].grad.norm().item())
