"""Camera conditioning alone: Plücker rays of a path, with gradients of the poses."""

import torch

from diff4splat.cameras import Cameras, field_of_view_to_intrinsics, plucker_rays

poses = torch.eye(4).repeat(5, 1, 1).requires_grad_()
intrinsics = field_of_view_to_intrinsics(60.0, height=24, width=32).expand(5, 3, 3)
rays = plucker_rays(Cameras(poses, intrinsics, height=24, width=32))
(rays - 1).square().mean().backward()
print("rays", list(rays.shape), "gradient", poses.grad.norm().item())
