"""Points that are followed in the image, brought into the world by depth and cameras."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.data.checking.surface import surface_depth
from diff4splat.geometry import rigid_inverse, unproject_pixels

__all__ = ["lift_tracks"]


def lift_tracks(
    pixels: Float[Tensor, "track frame xy=2"],
    visible: Bool[Tensor, "track frame"],
    depth: Float[Tensor, "frame height width"],
    depth_mask: Bool[Tensor, "frame height width"],
    cameras: Cameras,
    *,
    agree: float = 0.03,
    edge: float = 0.1,
    max_jump: float | None = 0.1,
    window: int = 2,
) -> tuple[Float[Tensor, "track frame xyz=3"], Bool[Tensor, "track frame"]]:
    r"""World positions of points that a tracker follows in the image.

    $$X_t = R_t \, z_t(p_t) \, K_t^{-1} (p_t, 1)^\top + c_t$$

    with $p_t$ = `pixels`, $R_t, c_t, K_t$ of `cameras` and $z_t(p)$ the depth between pixels: interpolated
    where the four pixels around agree, the nearest one's where they differ a little. A point is given up in
    a frame where it lies outside of the image, next to unknown depth or on an edge of depth, and where its
    depth is off the median of itself and its neighbours in time. These are carried into the camera of the
    frame first, so that a camera that drives forward gives up nothing.

    Args:
        pixels: Where the points are, (x, y), centres of pixels at +0.5; any value where they are not visible.
        visible: Where the tracker sees them.
        depth: z-depth, scene units.
        depth_mask: Where it is known; leave out the sky and what else has no depth that can be trusted.
        cameras: One per frame, without batch axes.
        agree: Relative difference of four neighbours up to which depth is interpolated.
        edge: The same beyond which there is an edge; no less than `agree`.
        max_jump: Largest $\lvert z / \mathrm{median} - 1 \rvert$; None keeps everything.
        window: Frames before and after whose median it is; it takes at least two of them.

    Returns:
        Positions, NaN where there is none and never the origin instead, in the type of the poses; and where
        there is one.

    Raises:
        ValueError: If shapes do not agree or an option is out of its range.
    """
    _check(pixels, visible, depth, depth_mask, cameras)
    if not 0 <= agree <= edge:
        raise ValueError(f"agree and edge must satisfy 0 <= agree <= edge, got {agree} and {edge}.")
    if max_jump is not None and not max_jump > 0:
        raise ValueError(f"max_jump must be above 0, got {max_jump}.")
    if window < 1:
        raise ValueError(f"window must be at least 1, got {window}.")
    poses, lenses = cameras.camera_to_world.double(), cameras.intrinsics.double()
    size = pixels.new_tensor([cameras.width, cameras.height])
    inside = (pixels >= 0).all(-1) & (pixels < size).all(-1)  # false for NaN
    found = visible & inside
    places = torch.where(found[..., None], pixels, 0.5).double()
    z = torch.full(pixels.shape[:2], torch.nan, dtype=torch.float64)
    for frame in range(cameras.num_frames):
        z[:, frame], good = surface_depth(
            depth[frame], depth_mask[frame], places[:, frame], agree=agree, edge=edge
        )
        found[:, frame] &= good
    positions = unproject_pixels(places.transpose(0, 1), z.T, poses, lenses).transpose(0, 1)
    positions = torch.where(found[..., None], positions, torch.nan)
    if max_jump is not None:
        found = found & ~_jumps(positions, z, poses, max_jump, window)
        positions = torch.where(found[..., None], positions, torch.nan)
    return positions.to(cameras.dtype), found


def _jumps(positions: Tensor, z: Tensor, poses: Tensor, max_jump: float, window: int) -> Tensor:
    """Whether the depth of a point is off that of its neighbours in time, seen from the same camera."""
    jumps = torch.zeros(z.shape, dtype=torch.bool)
    frames = z.shape[1]
    for frame in range(frames):
        places = list(range(max(0, frame - window), min(frames, frame + window + 1)))
        view = rigid_inverse(poses[frame])
        seen = positions[:, places] @ view[2, :3] + view[2, 3]
        count = torch.isfinite(seen).sum(1)
        ordered = seen.nan_to_num(nan=torch.inf).sort(1).values  # torch.nanmedian takes the lower of two
        low, high = (
            ordered.gather(1, index.clamp_min(0)[:, None])[:, 0] for index in ((count - 1) // 2, count // 2)
        )
        off = (z[:, frame] / ((low + high) / 2) - 1).abs() > max_jump
        jumps[:, frame] = off & (count >= 3)
    return jumps


def _check(pixels: Tensor, visible: Tensor, depth: Tensor, depth_mask: Tensor, cameras: Cameras) -> None:
    expected = (cameras.num_frames, cameras.height, cameras.width)
    if cameras.batch_shape:
        raise ValueError(f"cameras must have no batch axes, got {list(cameras.batch_shape)}.")
    for name, value in (("depth", depth), ("depth_mask", depth_mask)):
        if tuple(value.shape) != expected:
            raise ValueError(f"{name} must have shape {list(expected)}, got {list(value.shape)}.")
    if pixels.shape[1] != cameras.num_frames or visible.shape != pixels.shape[:2]:
        raise ValueError(
            f"pixels and visible must have {cameras.num_frames} frames, got {list(pixels.shape)} and "
            f"{list(visible.shape)}."
        )
