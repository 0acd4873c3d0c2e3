"""A small moving scene to write to files, and pictures of it."""

import numpy as np
import torch

from diff4splat.cameras import Cameras, trajectory
from diff4splat.gaussians import DeformableGaussianField, Gaussians
from diff4splat.rendering import render_field

NAMES = ("means", "quaternions", "scales", "opacities", "harmonics")
COUNT, TIMES = 97, (0.0, 0.375, 1.0)


def still_scene(degree: int = 2) -> Gaussians:
    """Gaussians of unit quaternions before cameras that look along +z."""
    generator = torch.Generator().manual_seed(7)

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator)

    return Gaussians(
        normal(COUNT, 3) * torch.tensor([0.7, 0.7, 0.4]) + torch.tensor([0.0, 0.0, 3.0]),
        torch.nn.functional.normalize(normal(COUNT, 4), dim=-1),
        0.12 * (0.4 * normal(COUNT, 3)).exp(),
        (1.5 * normal(COUNT)).sigmoid(),
        0.4 * normal(COUNT, (degree + 1) ** 2, 3),
    )


def moving_scene(degree: int = 2) -> DeformableGaussianField:
    """A field that moves, turns by more than half a turn, and stretches, at uneven times."""
    generator = torch.Generator().manual_seed(11)
    amount = torch.tensor(TIMES)[:, None, None]
    axes = torch.nn.functional.normalize(torch.randn(1, COUNT, 3, generator=generator), dim=-1)
    angles = amount * 4.4  # radians: the quaternion crosses to the other side on the way
    turns = torch.cat(((angles / 2).cos().expand(-1, COUNT, 1), (angles / 2).sin() * axes), dim=-1)
    return DeformableGaussianField(
        still_scene(degree),
        torch.tensor(TIMES),
        amount * 0.5 * torch.randn(1, COUNT, 3, generator=generator),
        turns,
        amount * 0.3 * torch.randn(1, COUNT, 3, generator=generator),
        metadata={"prompt": 'a "dog"\nend_header </script>', "seed": 3, "nested": [1, None, True]},
    )


def some_cameras(frames: int = 3) -> Cameras:
    return trajectory.by_name("spiral", frames, height=61, width=67, focus_depth=3.0)


def picture(gaussians: Gaussians) -> torch.Tensor:
    """The Gaussians from a few sides."""
    field = DeformableGaussianField.from_gaussians(gaussians.to(dtype=torch.float32), torch.zeros(1))
    return render_field(field, some_cameras(), [0.0, 0.0, 0.0]).color


def decibels(actual: Gaussians, expected: Gaussians) -> float:
    """Likeness of the pictures of two sets, peak signal to noise."""
    error = (picture(actual).clamp(0, 1) - picture(expected).clamp(0, 1)).double().square().mean()
    return float(-10 * torch.log10(error.clamp(min=1e-30)))


def from_numpy(values: dict[str, np.ndarray]) -> Gaussians:
    """What a reader in `reference` found, as Gaussians."""
    return Gaussians(*(torch.from_numpy(values[name]).float() for name in NAMES))


def assert_equal(values: dict[str, np.ndarray], expected: Gaussians, **tolerances: float) -> None:
    """Every attribute that a reader found is that of the Gaussians, to the rounding of 32 bits by default."""
    for name in NAMES:
        np.testing.assert_allclose(
            values[name],
            getattr(expected, name).double().numpy(),
            rtol=1e-6,
            atol=tolerances.get(name, 3e-7),
            err_msg=name,
        )
