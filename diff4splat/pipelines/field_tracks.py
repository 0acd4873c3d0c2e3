"""Points of a scene followed through a clip: where they are, and in which frames they are seen."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from diff4splat.assets import PointTracks, surface_weights
from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.geometry import project, unproject_pixels
from diff4splat.pipelines.paths import render_path
from diff4splat.rendering import Rendering, seen_motion

__all__ = ["gaussian_tracks", "pixel_tracks", "visible_points"]

_LEAST_ALPHA = 0.5
_STEEPEST_DEG = 80.0  # steeper is a jump of depth, where a pixel shows two surfaces and belongs to neither


def pixel_tracks(
    field: DeformableGaussianField,
    cameras: Cameras,
    times: Float[Tensor, " frame"] | None = None,
    *,
    pixels: Float[Tensor, "point xy=2"] | None = None,
    stride: int = 8,
    query_frame: int = 0,
    tolerance: float = 0.03,
    callback: Callable[[int, int], None] | None = None,
) -> PointTracks:
    """Follow what some pixels of one frame show.

    A point starts where the ray of its pixel meets the rendered depth, and moves as the Gaussians that the
    pixel shows, see `diff4splat.rendering.seen_motion`.

    Args:
        field: One scene without batch axes.
        cameras: One camera per frame, in the frame of the field.
        times: Time of each frame, in [0, 1]; spread evenly over the clip when omitted.
        pixels: Coordinates in the query frame; the nearest pixel counts. When omitted the middles of squares
            of `stride` pixels, without those at jumps of depth and those covered by less than a half.
        stride: Distance of the points, pixels, where `pixels` is omitted.
        query_frame: Frame that the pixels are of.
        tolerance: For visibility, see `visible_points`.
        callback: Called with the number of frames finished and of all.

    Returns:
        Tracks through all frames, on the device of the field; not differentiable.

    Raises:
        ValueError: If an argument is out of range, or a pixel is outside of the picture or shows nothing.
    """
    film, moments = _film(field, cameras, times, query_frame, callback)
    depth, alpha = film.depth[query_frame, 0], film.alpha[query_frame, 0]
    camera = cameras.select(query_frame)
    if pixels is None:
        if stride < 1:
            raise ValueError(f"stride must be at least 1, got {stride}.")
        surface = torch.where(alpha >= _LEAST_ALPHA, depth, torch.zeros_like(depth))
        weights = surface_weights(surface, camera.intrinsics[0], max_angle_deg=_STEEPEST_DEG)
        rows, columns = (torch.arange(stride // 2, size, stride, device=field.device) for size in depth.shape)
        row, column = (v.reshape(-1) for v in torch.meshgrid(rows, columns, indexing="ij"))
        chosen = weights[row, column] > 0
        row, column = row[chosen], column[chosen]
        if not len(row):
            raise ValueError(f"frame {query_frame} must show a surface at some pixel, got none.")
    else:
        size = pixels.new_tensor([cameras.width, cameras.height])
        if not bool(((pixels >= 0) & (pixels < size)).all()):
            raise ValueError(f"pixels must lie inside of {cameras.width} x {cameras.height}, got others.")
        column, row = pixels.to(field.device).floor().long().unbind(dim=-1)
        shown = alpha[row, column] >= _LEAST_ALPHA
        if not bool(shown.all()):
            missed = pixels[int((~shown).nonzero()[0])].tolist()
            raise ValueError(f"pixels must show a surface of the scene, got nothing at {missed}.")
    centres = torch.stack((column, row), dim=-1).to(depth) + 0.5
    start = unproject_pixels(centres, depth[row, column], camera.camera_to_world[0], camera.intrinsics[0])
    with torch.no_grad():
        before = field.at(moments[query_frame])
        positions = torch.stack(
            [start + seen_motion(before, field.at(time), camera)[0][row, column] for time in moments]
        )
    visible = visible_points(positions, film, cameras, tolerance=tolerance)
    return PointTracks(positions, visible, cameras, moments, query_frame)


def gaussian_tracks(
    field: DeformableGaussianField,
    cameras: Cameras,
    times: Float[Tensor, " frame"] | None = None,
    *,
    gaussians: Int[Tensor, " point"] | slice,
    query_frame: int = 0,
    tolerance: float = 0.03,
    callback: Callable[[int, int], None] | None = None,
) -> PointTracks:
    """Follow the centres of some Gaussians.

    Args:
        field: One scene without batch axes.
        cameras: One camera per frame, in the frame of the field.
        times: Time of each frame, in [0, 1]; spread evenly over the clip when omitted.
        gaussians: Indices of the Gaussians, or a slice of them.
        query_frame: Frame whose pixels the file of the tracks names the points by.
        tolerance: For visibility, see `visible_points`.
        callback: Called with the number of frames finished and of all.

    Returns:
        Tracks through all frames, on the device of the field; not differentiable.

    Raises:
        ValueError: If an argument is out of range, or there are no such Gaussians.
    """
    chosen = field.select(gaussians)
    if not chosen.num_gaussians:
        raise ValueError("gaussians must name at least one Gaussian, got none.")
    film, moments = _film(field, cameras, times, query_frame, callback)
    with torch.no_grad():
        positions = torch.stack([chosen.at(time).means for time in moments])
    visible = visible_points(positions, film, cameras, tolerance=tolerance)
    return PointTracks(positions, visible, cameras, moments, query_frame)


def visible_points(
    positions: Float[Tensor, "frame point xyz=3"],
    film: Rendering,
    cameras: Cameras,
    *,
    tolerance: float = 0.03,
) -> Bool[Tensor, "frame point"]:
    """Whether points are seen in frames: inside the picture, and not behind what is rendered there.

    Args:
        positions: World coordinates, one place per frame.
        film: The frames, rendered at the times of the positions.
        cameras: The cameras of the frames.
        tolerance: Share of the depth by which a point may lie behind the rendered one, which is a mean.

    Returns:
        True where visible; where a pixel is covered by less than a half, nothing is.
    """
    pixels, depth = project(positions, cameras.camera_to_world, cameras.intrinsics)
    column, row = pixels.nan_to_num(-1, -1, -1).clamp(-1, 1 << 20).floor().long().unbind(-1)
    inside = (column >= 0) & (column < cameras.width) & (row >= 0) & (row < cameras.height) & (depth > 0)
    index = row.clamp(0, cameras.height - 1) * cameras.width + column.clamp(0, cameras.width - 1)
    surface, alpha = (v[:, 0].flatten(1).gather(1, index) for v in (film.depth, film.alpha))
    return inside & (alpha >= _LEAST_ALPHA) & (depth <= surface * (1 + tolerance))


def _film(
    field: DeformableGaussianField,
    cameras: Cameras,
    times: Tensor | None,
    query_frame: int,
    callback: Callable[[int, int], None] | None,
) -> tuple[Rendering, Tensor]:
    """The rendered clip and its times, once the arguments make sense."""
    if field.batch_shape or cameras.batch_shape:
        got = [*field.batch_shape], [*cameras.batch_shape]
        raise ValueError(f"field and cameras must have no batch axes, got {got[0]} and {got[1]}.")
    if not 0 <= query_frame < cameras.num_frames:
        raise ValueError(f"query_frame must be from 0 to {cameras.num_frames - 1}, got {query_frame}.")
    if times is None:
        times = torch.linspace(0, 1, cameras.num_frames, device=field.device, dtype=field.dtype)
    return render_path(field, cameras, times, callback=callback), times
