"""Geometry alone: rotate points and project them, with gradients."""

import torch

from diff4splat.geometry import project, quaternion_normalize, quaternion_rotate

points = torch.randn(100, 3) + torch.tensor([0.0, 0.0, 5.0])
turn = torch.tensor([1.0, 0.1, 0.0, 0.0], requires_grad=True)
turned = quaternion_rotate(quaternion_normalize(turn).expand(100, 4), points)
intrinsics = torch.tensor([[40.0, 0.0, 16.0], [0.0, 40.0, 12.0], [0.0, 0.0, 1.0]])
pixels, depth = project(turned, torch.eye(4), intrinsics)
pixels.square().mean().backward()
print("depth", depth.mean().item(), "gradient", turn.grad.norm().item())
