"""Small random scenes for the rendering tests, and their images and gradients."""

import math
from dataclasses import fields

import torch

from diff4splat.cameras import Cameras
from diff4splat.gaussians import Gaussians
from diff4splat.geometry import rigid_inverse
from diff4splat.rendering import reference, render

NAMES = (
    "means",
    "quaternions",
    "scales",
    "opacities",
    "harmonics",
    "camera_to_world",
    "intrinsics",
    "background",
)


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


def images_and_gradients(gaussians, cameras, *, backend, where=None, **options):
    """Colour, alpha and depth (frames, 5, height, width), and gradients of a random mix of them, as NAMES.

    Pixels where the mask `where` (frames, height, width) is false take no part in the mix.
    """
    tensors = [getattr(gaussians, field.name) for field in fields(gaussians)]
    background = torch.tensor([0.2, 0.5, 0.7], dtype=gaussians.dtype)
    leaves = [
        v.clone().requires_grad_()
        for v in (*tensors, cameras.camera_to_world, cameras.intrinsics, background)
    ]
    seen = Cameras(leaves[5], leaves[6], cameras.height, cameras.width)
    rendering = render(Gaussians(*leaves[:5]), seen, backend=backend, background=leaves[7], **options)
    images = torch.cat([rendering.color, rendering.alpha, rendering.depth], dim=-3)
    weights = torch.randn(images.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    if where is not None:
        weights = weights * where[..., None, :, :]
    (weights.to(images.dtype) * images).sum().backward()
    return images.detach(), [v.grad for v in leaves]


def clear_pixels(gaussians, cameras, *, mode):
    """Pixels (frames, height, width) whose value does not hang on the rounding of float32.

    They are those where, in float64, no opacity comes within 1e-4 (relative) of 1/255, below which it counts
    as zero, or of 0.999, where its gradient ends, no transmittance within 1e-3 of 1e-4, where the pixel is
    finished, and no two depths within 1e-6. In float32 an opacity is off by up to 3e-5 at the end of a
    needle; a transmittance behind an opacity of 0.999 by 6e-8 / 0.001 = 6e-5, and by more behind several.
    """
    height, width = cameras.height, cameras.width
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    clear = []
    for pose, intrinsics in zip(rigid_inverse(cameras.camera_to_world), cameras.intrinsics, strict=True):
        seen = reference.project_gaussians(
            gaussians.means, gaussians.quaternions, gaussians.scales, gaussians.opacities, pose, intrinsics,
            height=height, width=width, near=0.01, far=1e10, eps2d=0.3, radius_clip=0.0, mode=mode,
        )  # fmt: skip
        depths, order = seen.depths[seen.visible].sort()
        assert (seen.depths - 0.01).abs().min() > 1e-5
        centers, conics, opacities = (
            v[seen.visible][order] for v in (seen.means, seen.conics, seen.opacities)
        )
        dx, dy = x - centers[:, 0, None, None], y - centers[:, 1, None, None]
        xx, xy, yy = conics[..., None, None].unbind(dim=1)
        raw = opacities[:, None, None] * torch.exp(-0.5 * (xx * dx**2 + yy * dy**2) - xy * dx * dy)
        alpha = torch.where(raw >= reference.ALPHA_THRESHOLD, raw.clamp(max=reference.MAX_ALPHA), 0.0)
        after = torch.cumprod(1 - alpha, dim=0)

        def near(value, threshold, margin):
            return (value / threshold - 1).abs() < margin

        doubtful = near(raw, reference.ALPHA_THRESHOLD, 1e-4) | near(raw, reference.MAX_ALPHA, 1e-4)
        doubtful |= (alpha > 0) & near(after, reference.TRANSMITTANCE_STOP, 1e-3)
        doubtful[1:] |= (alpha[1:] > 0) & (alpha[:-1] > 0) & (depths.diff() < 1e-6)[:, None, None]
        reached = after / (1 - alpha) > 0.5 * reference.TRANSMITTANCE_STOP
        clear.append(~(doubtful & reached).any(dim=0))
    return torch.stack(clear)
