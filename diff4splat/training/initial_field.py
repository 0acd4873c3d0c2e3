"""A field to start per-scene optimisation from where no model has made one."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField, Gaussians, rgb_to_harmonics
from diff4splat.geometry import unproject_pixels

__all__ = ["check_frames", "random_field"]


def random_field(
    video: Float[Tensor, "frame rgb=3 height width"],
    cameras: Cameras,
    *,
    num_gaussians: int,
    num_times: int | None = None,
    near: float = 1.0,
    far: float = 10.0,
    opacity: float = 0.1,
    generator: torch.Generator | None = None,
) -> DeformableGaussianField:
    """Still field of Gaussians in the colours of a video, at random depths: the usual start from scratch.

    Each Gaussian lies on the ray of a random pixel of a random frame, at a depth whose logarithm is uniform
    between those of `near` and `far`. Its width is the distance that would divide the image evenly among all.

    Args:
        video: What the cameras saw, in [0, 1].
        cameras: One camera per frame.
        num_gaussians: How many, at least 1.
        num_times: Stored times of the field, equally spaced from 0 to 1; one per frame when omitted.
        near: Smallest z-depth, scene units, > 0.
        far: Largest z-depth, scene units, at least `near`.
        opacity: Opacity of all, between 0 and 1; 0.1 in 3D Gaussian splatting.
        generator: Source of pixels and depths, on the CPU; torch's own when omitted.

    Returns:
        Field with constant colours and identity deformation, in the type and on the device of `video`.

    Raises:
        ValueError: If shapes do not agree or a number is out of range.
        TypeError: If `video` is not floating point.

    Examples:
        >>> from diff4splat.cameras import trajectory
        >>> cameras = trajectory.static(3, height=8, width=8)
        >>> random_field(torch.rand(3, 3, 8, 8), cameras, num_gaussians=50).num_times
        3
    """
    check_frames("video", video, (cameras.num_frames, 3, cameras.height, cameras.width))
    num_times = cameras.num_frames if num_times is None else num_times
    for name, count in (("num_gaussians", num_gaussians), ("num_times", num_times)):
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}.")
    if not 0 < near <= far < float("inf"):
        raise ValueError(f"near and far must hold 0 < near <= far, finite, got {near} and {far}.")
    if not 0 < opacity < 1:
        raise ValueError(f"opacity must lie between 0 and 1, got {opacity}.")

    frame, row, column = (
        torch.randint(size, (num_gaussians,), generator=generator).to(video.device)
        for size in (cameras.num_frames, cameras.height, cameras.width)
    )
    share = torch.rand(num_gaussians, generator=generator).to(video)
    depth = near * (far / near) ** share
    pixels = torch.stack((column, row), dim=-1).to(video) + 0.5
    poses, lenses = (v.to(video)[frame] for v in (cameras.camera_to_world, cameras.intrinsics))
    points = unproject_pixels(pixels[:, None], depth[:, None], poses, lenses)[:, 0]
    spacing_px = (cameras.height * cameras.width / num_gaussians) ** 0.5
    widths = spacing_px * depth / lenses[:, 0, 0]
    turns = video.new_tensor([1.0, 0.0, 0.0, 0.0]).repeat(num_gaussians, 1)
    colors = rgb_to_harmonics(video[frame, :, row, column])
    gaussians = Gaussians(
        points,
        turns,
        widths[:, None].repeat(1, 3),
        video.new_full((num_gaussians,), opacity),
        rearrange(colors, "n c -> n 1 c"),
    )
    return DeformableGaussianField.from_gaussians(
        gaussians, torch.linspace(0, 1, num_times, device=video.device)
    )


def check_frames(name: str, value: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse what does not belong to the frames of some cameras.

    Args:
        name: What errors call it.
        value: Video or depth, frames on the first axis.
        shape: What the cameras ask for.

    Raises:
        ValueError: If the shape is another one, or there is no frame.
        TypeError: If the values are not floating point.
    """
    if tuple(value.shape) != shape or shape[0] == 0:
        raise ValueError(
            f"{name} must have shape {list(shape)} to match cameras, of at least one frame, "
            f"got {list(value.shape)}."
        )
    if not value.is_floating_point():
        raise TypeError(f"{name} must be floating point, got {value.dtype}.")
