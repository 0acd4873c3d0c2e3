"""Random Gaussians and fields for the tests."""

import torch

from diff4splat.gaussians import DeformableGaussianField, Gaussians
from diff4splat.geometry import quaternion_normalize

TIMES = (0.1, 0.25, 0.3, 0.7, 0.9)
FIELDS = ("means", "quaternions", "scales", "opacities", "harmonics")


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def random_gaussians(*batch, count=7, dtype=torch.float64):
    return Gaussians(
        means=normal(*batch, count, 3, dtype=dtype),
        quaternions=quaternion_normalize(normal(*batch, count, 4, seed=1, dtype=dtype)),
        scales=normal(*batch, count, 3, seed=2, dtype=dtype).exp(),
        opacities=normal(*batch, count, seed=3, dtype=dtype).sigmoid(),
        harmonics=normal(*batch, count, 4, 3, seed=4, dtype=dtype),
    )


def random_field(*batch, count=7, times=TIMES, dtype=torch.float64, **options):
    shape = (*batch, len(times), count)
    return DeformableGaussianField(
        canonical=random_gaussians(*batch, count=count, dtype=dtype),
        times=torch.tensor(times, dtype=dtype),
        delta_means=normal(*shape, 3, seed=5, dtype=dtype),
        delta_quaternions=quaternion_normalize(normal(*shape, 4, seed=6, dtype=dtype)),
        delta_scales=0.3 * normal(*shape, 3, seed=7, dtype=dtype),
        **options,
    )
