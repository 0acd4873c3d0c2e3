"""What tests of several edits ask: are fields one, do they look the same, is the input as it was."""

from dataclasses import fields, replace

import torch
from gaussians.parts import FIELDS, normal, random_field

from diff4splat.cameras import Cameras, field_of_view_to_intrinsics
from diff4splat.gaussians import DeformableGaussianField

DELTAS = ("delta_means", "delta_quaternions", "delta_scales")
MOMENTS = (0.0, 0.1, 0.17, 0.25, 0.28, 0.5, 0.7, 0.83, 0.9, 1.0)


def tensors(field: DeformableGaussianField) -> dict[str, torch.Tensor]:
    own = {name: getattr(field, name) for name in ("times", *DELTAS)}
    return {**{name: getattr(field.canonical, name) for name in FIELDS}, **own}


def assert_same_bits(one: DeformableGaussianField, other: DeformableGaussianField) -> None:
    for name, values in tensors(one).items():
        assert torch.equal(values, tensors(other)[name]), name
    assert one.scale_space == other.scale_space


def assert_same_at(one, other, *, atol=1e-10) -> None:
    """Two sets of Gaussians are one; signs of quaternions do not count."""
    for item in fields(one):
        if item.name != "quaternions":
            torch.testing.assert_close(
                getattr(one, item.name), getattr(other, item.name), atol=atol, rtol=atol
            )
    torch.testing.assert_close(one.covariances(), other.covariances(), atol=atol, rtol=10 * atol)


def copied(field: DeformableGaussianField) -> DeformableGaussianField:
    parts = {name: values.detach().clone() for name, values in tensors(field).items()}
    canonical = type(field.canonical)(*(parts[name] for name in FIELDS))
    return replace(field, canonical=canonical, times=parts["times"], **{name: parts[name] for name in DELTAS})


def scene(count=41, *, dtype=torch.float64, seed=0, **options) -> DeformableGaussianField:
    """Small Gaussians before the camera that move a little."""
    field = random_field(count=count, dtype=dtype, **options)
    means = normal(count, 3, seed=20 + seed, dtype=dtype) + torch.tensor([0.0, 0.0, 5.0], dtype=dtype)
    canonical = replace(field.canonical, means=means, scales=0.1 * field.canonical.scales)
    return replace(field, canonical=canonical, delta_means=0.3 * field.delta_means)


def cameras(frames=3, *, height=23, width=31, dtype=torch.float32) -> Cameras:
    poses = torch.eye(4, dtype=dtype).repeat(frames, 1, 1)
    poses[:, 0, 3] = torch.linspace(-0.3, 0.4, frames)
    lens = field_of_view_to_intrinsics(60.0, height=height, width=width).to(dtype)
    return Cameras(poses, lens.expand(frames, 3, 3), height=height, width=width)


def assert_same_pictures(one, other, path=None, *, atol=1e-5) -> None:
    """Two fields of float32 render alike, at stored times and between."""
    path = cameras() if path is None else path
    times = torch.tensor([0.1, 0.45, 0.9])[: path.num_frames]
    first, second = one.render(path, times), other.render(path, times)
    torch.testing.assert_close(first.color, second.color, atol=atol, rtol=0)
    assert first.alpha.mean() > 0.05, "an empty picture shows nothing"
