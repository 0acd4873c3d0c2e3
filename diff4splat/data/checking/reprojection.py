"""Depth of one frame carried into another: the test of poses, axes, lens and depth at once."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.data.checking.surface import pixel_corners, surface_depth
from diff4splat.data.recordings import Recording
from diff4splat.geometry import pixel_grid, project, rigid_inverse, unproject_pixels

__all__ = ["Reprojection", "View", "reproject", "view_from"]

_AGREE = 0.03  # largest over smallest of four neighbours that are on one surface, minus 1
_INLIER = 0.05
_NEAREST = 1e-6


@dataclass(frozen=True)
class Reprojection:
    r"""How well two frames agree on where things are.

    Args:
        first: Place of the frame whose depth is carried.
        second: Place of the frame that it is carried into.
        error: Median of $|z' / z - 1|$ with $z'$ the carried depth and $z$ that of the second frame; NaN
            where no pixel can be compared.
        inlier_share: Share of the compared pixels within 5 %.
        pixel_error: Median distance between a pixel and where it comes back to, pixels.
        color_error: Median absolute difference of colours, carried along, in [0, 1].
        color_error_unmoved: The same for the same pixels, left where they are.
        landed_share: Share of the static pixels of known depth that fall into the second frame.
        num_pixels: Pixels that were compared.
    """

    first: int
    second: int
    error: float
    inlier_share: float
    pixel_error: float
    color_error: float
    color_error_unmoved: float
    landed_share: float
    num_pixels: int


def reproject(recording: Recording, first: int, second: int, *, max_pixels: int = 400_000) -> Reprojection:
    r"""Depth of one frame carried into another, on what does not move, and compared with the depth there.

    A pixel $p$ of depth $z_i$ becomes

    $$z' (p', 1)^\top = K_j R_j^\top (R_i K_i^{-1} z_i (p, 1)^\top + t_i - t_j)$$

    and $z'$ is compared with the depth at $p'$, interpolated in $1/z$, which is exact on planes, and only
    where the four pixels around $p'$ are known, static and within 3 % of each other.

    Args:
        recording: With cameras and depth; pixels of its dynamic mask are left out.
        first: Place of the frame whose depth is carried.
        second: Place of the frame that it is carried into.
        max_pixels: Pixels that are carried at most, evenly spread.

    Returns:
        The agreement.

    Raises:
        ValueError: If there are no cameras or no depth.
    """
    cameras, depth, mask = recording.cameras, recording.depth, recording.depth_mask
    if cameras is None or depth is None or mask is None:
        raise ValueError("recording must have cameras and depth, got one without.")
    height, width = recording.height, recording.width
    stride = max(1, math.ceil(math.sqrt(height * width / max_pixels)))
    spread = slice(stride // 2, None, stride)
    z = depth[first, spread, spread]
    start = mask[first, spread, spread] & (z > 0)
    if recording.dynamic_mask is not None:
        start &= ~recording.dynamic_mask[first, spread, spread]
    rows, columns = start.nonzero().unbind(-1)
    pixels = torch.stack((columns, rows), dim=-1).double() * stride + stride // 2 + 0.5
    z = z[start].double()
    to_second, to_first = _relative(cameras, first, second)
    lens_i, lens_j = cameras.intrinsics.double()[[first, second]]
    carried, carried_z = _carry(pixels, z, to_second, lens_i, lens_j)
    landed = (carried_z > _NEAREST) & torch.isfinite(carried).all(-1)
    landed &= ((carried >= 0) & (carried < carried.new_tensor([width, height]))).all(-1)
    landed_share = float(landed.double().mean()) if len(landed) else 0.0
    pixels, carried, carried_z = pixels[landed], carried[landed], carried_z[landed]
    moving = None if recording.dynamic_mask is None else recording.dynamic_mask[second]
    found, usable = _depth_at(depth[second], mask[second], moving, carried)
    pixels, carried, carried_z, found = pixels[usable], carried[usable], carried_z[usable], found[usable]
    if len(found) == 0:
        nan = math.nan
        return Reprojection(first, second, nan, 0.0, nan, nan, nan, landed_share, 0)
    errors = (carried_z / found - 1).abs()
    back, _ = _carry(carried, found, to_first, lens_j, lens_i)
    here = _colors_at(recording.video[first], pixels)
    there = _colors_at(recording.video[second], carried)
    unmoved = _colors_at(recording.video[second], pixels)
    return Reprojection(
        first,
        second,
        error=float(errors.median()),
        inlier_share=float((errors <= _INLIER).double().mean()),
        pixel_error=float((back - pixels).norm(dim=-1).median()),
        color_error=float((here - there).abs().mean(-1).median()),
        color_error_unmoved=float((here - unmoved).abs().mean(-1).median()),
        landed_share=landed_share,
        num_pixels=len(found),
    )


@dataclass(frozen=True, eq=False)
class View:
    """One frame drawn from another, for people to compare.

    Args:
        numbers: Numbers of the frame that is drawn from, and of the one whose place is taken.
        source: The frame that is drawn from, sRGB in [0, 1].
        warped: It, as the camera of the other would see it; without meaning where not `seen`.
        seen: Where there is depth that falls into the source, and nothing moves.
        target: The other frame.
        depth: z-depth of the other frame.
        depth_mask: Where it is known.
        unit: What the depth counts, "m" or "units".
    """

    numbers: tuple[int, int]
    source: Float[Tensor, "rgb=3 height width"]
    warped: Float[Tensor, "rgb=3 height width"]
    seen: Bool[Tensor, "height width"]
    target: Float[Tensor, "rgb=3 height width"]
    depth: Float[Tensor, "height width"]
    depth_mask: Bool[Tensor, "height width"]
    unit: str = "units"


def view_from(recording: Recording, source: int, target: int) -> View:
    """One frame as the camera of another sees it, by the depth of that other frame.

    Args:
        recording: With cameras and depth.
        source: Place of the frame that colours are taken from.
        target: Place of the frame whose camera looks.

    Returns:
        The view, and what it is to be compared with. Pixels that fall outside are not seen; those that
        something hides are, with the colour of what hides them.

    Raises:
        ValueError: If there are no cameras or no depth.
    """
    cameras, depth, mask = recording.cameras, recording.depth, recording.depth_mask
    if cameras is None or depth is None or mask is None:
        raise ValueError("recording must have cameras and depth, got one without.")
    height, width = recording.height, recording.width
    pixels = pixel_grid(height, width, dtype=torch.float64).reshape(-1, 2)
    _, back = _relative(cameras, source, target)
    lens_i, lens_j = cameras.intrinsics.double()[[source, target]]
    places, z = _carry(pixels, depth[target].flatten().double(), back, lens_j, lens_i)
    seen = (z > _NEAREST) & ((places >= 0) & (places < places.new_tensor([width, height]))).all(-1)
    seen &= mask[target].flatten()
    if recording.dynamic_mask is not None:
        seen &= ~recording.dynamic_mask[target].flatten()
    colors = _colors_at(recording.video[source], places.nan_to_num().clamp(-1e6, 1e6))
    return View(
        numbers=(recording.numbers[source], recording.numbers[target]),
        source=recording.video[source].float() / 255,
        warped=colors.T.reshape(3, height, width).float(),
        seen=seen.reshape(height, width),
        target=recording.video[target].float() / 255,
        depth=depth[target],
        depth_mask=mask[target],
        unit="m" if recording.unit == "metre" else "units",
    )


def _relative(cameras: Cameras, first: int, second: int) -> tuple[Tensor, Tensor]:
    """From the axes of the first camera to those of the second, and back."""
    one, other = cameras.camera_to_world.double()[[first, second]]
    return rigid_inverse(other) @ one, rigid_inverse(one) @ other


def _carry(
    pixels: Tensor, z: Tensor, transform: Tensor, lens: Tensor, other_lens: Tensor
) -> tuple[Tensor, Tensor]:
    """Where pixels with depth are in another camera."""
    points = unproject_pixels(pixels, z, transform, lens)
    return project(points, torch.eye(4, dtype=points.dtype), other_lens)


def _depth_at(depth: Tensor, known: Tensor, moving: Tensor | None, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Depth between pixels, and where the pixels around are of one surface."""
    index, _, inside = pixel_corners(pixels, *depth.shape)
    found, good = surface_depth(depth, known, pixels, agree=_AGREE, edge=_AGREE)
    good &= inside
    if moving is not None:
        good &= ~moving.flatten()[index].any(-1)
    return found, good


def _colors_at(frame: Tensor, pixels: Tensor) -> Tensor:
    """Colours [point, 3] in [0, 1] between pixels."""
    index, weights, _ = pixel_corners(pixels, *frame.shape[-2:])
    return torch.einsum("cnk,nk->nc", frame.flatten(1)[:, index].double() / 255, weights)
