"""Scenes of the benchmarks of rendering, for a camera at the origin whose focal length is one image side.

"a" is four overlapping depth maps with large footprints (heavy), "b" a random cloud, "c" one depth map with a
Gaussian per pixel (typical).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField, Gaussians, rgb_to_harmonics
from diff4splat.rendering import Rendering


def scene(name: str, count: int = 50_000) -> Gaussians:
    """About `count` Gaussians in front of the camera; scene "b" has exactly as many."""
    generator = torch.Generator().manual_seed(0)
    if name == "a":
        parts = [depth_map(round(math.sqrt(count / 4)), 1.0, generator) for _ in range(4)]
        means = torch.cat(
            [(1 + 0.05 * i) * m + torch.tensor([0.05 * i, 0, 0]) for i, (m, _) in enumerate(parts)]
        )
        scales, lowest = torch.cat([s for _, s in parts]), 0.3
    elif name == "b":
        z = 2 + 4 * torch.rand(count, 1, generator=generator)
        means = torch.cat([(torch.rand(count, 2, generator=generator) - 0.5) * z, z], dim=-1)
        scales, lowest = z / 512 * (1 + 2 * torch.rand(count, 3, generator=generator)), 0.1
    else:
        (means, scales), lowest = depth_map(round(math.sqrt(count)), 0.5, generator), 0.3
    count = len(means)
    return Gaussians(
        means,
        torch.randn(count, 4, generator=generator),
        scales,
        lowest + (0.95 - lowest) * torch.rand(count, generator=generator),
        rgb_to_harmonics(torch.rand(count, 1, 3, generator=generator)),
    )


def depth_map(side: int, sigma: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Means and scales of a smooth depth map of `side` x `side` pixels, a Gaussian per pixel.

    Standard deviations are 1 to 1.5 times `sigma`, in pixels of the map, each axis stretched a little.
    """
    centers = (torch.arange(side) + 0.5) / side
    y, x = torch.meshgrid(centers, centers, indexing="ij")
    z = 3 + torch.sin(7 * x) + 0.6 * torch.cos(9 * y + 3 * x)
    means = torch.stack([(x - 0.5) * z, (y - 0.5) * z, z], dim=-1).reshape(-1, 3)
    sigmas = sigma * (1 + 0.5 * torch.rand(len(means), 1, generator=generator))
    return means, means[:, 2:] / side * sigmas * torch.exp(
        0.2 * torch.randn(means.shape, generator=generator)
    )


def moving(gaussians: Gaussians, num_times: int = 25) -> DeformableGaussianField:
    """Field in which every Gaussian sways, turns and breathes around its place, each in its own phase."""
    generator = torch.Generator().manual_seed(1)
    count, times = gaussians.num_gaussians, torch.linspace(0, 1, num_times)
    phases = 2 * math.pi * torch.rand(count, 1, generator=generator)
    swing = torch.sin(2 * math.pi * times[:, None, None] + phases) - torch.sin(phases)
    directions = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    half_angles = 0.1 * swing
    turns = torch.cat([half_angles.cos(), half_angles.sin() * directions], dim=-1)
    return DeformableGaussianField(
        gaussians, times, 0.02 * swing * directions, turns, 0.1 * swing * torch.ones(3)
    )


def cameras(side: int, num_frames: int = 1) -> Cameras:
    """Cameras that see `side` x `side` pixels, the first at the origin, the last 0.1 to its right."""
    poses = torch.eye(4).repeat(num_frames, 1, 1)
    poses[:, 0, 3] = 0.1 * torch.linspace(0, 1, num_frames)
    intrinsics = torch.tensor([[side, 0, side / 2], [0, side, side / 2], [0, 0, 1]], dtype=torch.float32)
    return Cameras(poses, intrinsics.repeat(num_frames, 1, 1), side, side)


def tensors(gaussians: Gaussians) -> tuple[Tensor, ...]:
    """The five tensors of a set."""
    return (
        gaussians.means,
        gaussians.quaternions,
        gaussians.scales,
        gaussians.opacities,
        gaussians.harmonics,
    )


def images(rendering: Rendering) -> tuple[Tensor, ...]:
    """Colour, alpha and depth."""
    return rendering.color, rendering.alpha, rendering.depth


def passes(function: Callable[[], Rendering], inputs: Sequence[Tensor]) -> dict[str, Callable[[], Any]]:
    """The calls to time: `function` without gradients, and with those by `inputs` of a random weighting."""
    with torch.no_grad():
        shapes = [image.shape for image in images(function())]
    generator = torch.Generator().manual_seed(2)
    weights = [torch.randn(shape, generator=generator).to(inputs[0]) for shape in shapes]
    for tensor in inputs:
        tensor.requires_grad_()
    return {
        "forward": torch.no_grad()(function),
        "forward+backward": lambda: torch.autograd.grad(images(function()), inputs, weights),
    }
