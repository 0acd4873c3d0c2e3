"""Motion that pixels show, of one set; `tests/evaluation/test_fields.py` has batches and layouts."""

from dataclasses import replace

import pytest
import torch

from diff4splat.cameras import trajectory
from diff4splat.gaussians import Gaussians
from diff4splat.rendering import render, seen_motion


def two_layers() -> Gaussians:
    """A wide wall at z = 4, and a smaller one of a few Gaussians before its left half."""
    generator = torch.Generator().manual_seed(0)
    count = 60
    means = torch.rand(2 * count, 3, generator=generator) * torch.tensor([4.0, 4.0, 0.01]) - 2
    means[:, 2] += 6
    means[count:, 0] = means[count:, 0].abs() * -0.5 - 0.4
    means[count:, 2] -= 2
    return Gaussians(
        means,
        torch.tensor([1.0, 0, 0, 0]).expand(2 * count, 4),
        torch.full((2 * count, 3), 0.25),
        torch.full((2 * count,), 0.8),
        torch.rand(2 * count, 1, 3, generator=generator),
    )


def test_is_the_mean_of_what_a_pixel_shows() -> None:
    start = two_layers()
    moved = replace(
        start, means=start.means + torch.linspace(-1, 1, 120)[:, None] * torch.tensor([1, 0.5, 2])
    )
    cameras = trajectory.static(1, height=11, width=13)
    motion = seen_motion(start, moved, cameras)
    assert motion.shape == (1, 11, 13, 3)
    # the weight of each Gaussian in each pixel: render it white, all others black
    weights = []
    for index in range(120):
        harmonics = torch.full((120, 1, 3), -0.5 / 0.28209479177387814)
        harmonics[index] *= -1
        weights.append(render(replace(start, harmonics=harmonics), cameras).color[0, 0])
    share = torch.stack(weights)
    expected = torch.einsum("ghw,gc->hwc", share, moved.means - start.means) / share.sum(0)[..., None]
    torch.testing.assert_close(motion[0], expected, rtol=0, atol=2e-3)


def test_refuses_other_gaussians() -> None:
    start = two_layers()
    with pytest.raises(
        ValueError, match=r"moved must hold the Gaussians of start.*\[120, 3\], got \[119, 3\]"
    ):
        seen_motion(start, start.select(slice(119)), trajectory.static(1, height=11, width=13))
