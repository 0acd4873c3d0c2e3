"""Small random scenes for the rendering tests."""

import math

import torch

from diff4splat.cameras import Cameras
from diff4splat.gaussians import Gaussians


def random_gaussians(count=293, *, coefficients=1, dtype=torch.float64, seed=0, batch=()):
    """A cloud around (0, 0, 4): some opaque, behind the camera, far off the image, tiny, flat or needles."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*batch, count, *shape, generator=generator, dtype=torch.float64)

    means = normal(3) * 1.2 + torch.tensor([0.0, 0.0, 4.0], dtype=torch.float64)
    scales = torch.exp(0.6 * normal(3) - 2.2)
    opacities = torch.sigmoid(1.5 * normal())
    opacities[..., :7] = 1.0
    means[..., 7:17, 2] *= -1.0
    means[..., 17:23, 0] += 60.0
    scales[..., 23:29, :] = 1e-9
    scales[..., 29:37, 0] = 0.0
    scales[..., 37:41, 1:] = 1e-4
    opacities[..., 41:43] = 0.0
    tensors = (means, normal(4), scales, opacities, 0.7 * normal(coefficients, 3))
    return Gaussians(*(v.to(dtype) for v in tensors))


def random_cameras(frames=2, height=61, width=67, *, dtype=torch.float64, batch=()):
    """Cameras near the origin that look along z, slightly turned, their axes off centre."""
    angle = 0.1 * torch.arange(math.prod(batch) * frames, dtype=torch.float64)
    poses = torch.eye(4, dtype=torch.float64).repeat(len(angle), 1, 1)
    poses[:, 0, 0] = poses[:, 2, 2] = angle.cos()
    poses[:, 0, 2], poses[:, 2, 0] = angle.sin(), -angle.sin()
    poses[:, :3, 3] = 0.3 * torch.stack([angle, -angle, angle], dim=-1)
    intrinsics = torch.tensor([[0.9 * width, 0, 0.48 * width], [0, 1.1 * height, 0.55 * height], [0, 0, 1]])
    intrinsics = intrinsics.to(torch.float64).repeat(len(angle), 1, 1)
    return Cameras(
        poses.reshape(*batch, frames, 4, 4).to(dtype),
        intrinsics.reshape(*batch, frames, 3, 3).to(dtype),
        height,
        width,
    )
