"""A moment of a scene as a mesh: rendered from many sides, fused, and cut out."""

from collections.abc import Callable

import torch

from diff4splat.assets import Mesh, fuse_depth, surface_weights, volume_to_mesh
from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.pipelines.paths import focus_depth, render_path, sway_cameras

__all__ = ["field_mesh", "mesh_cameras"]

_STEEPEST_DEG = 86.0  # surfaces of a model are rough: at 80 degrees a tenth of their pixels is lost
_TRUNCATION = 6.0  # voxels; views of a model do not agree to four of them
_SPECK = 5e-4  # of the faces: pieces that are smaller are left out


def mesh_cameras(field: DeformableGaussianField, path: Cameras, *, num_views: int = 32) -> Cameras:
    """Views to fuse a scene from: half along the commanded path, half swaying around its start.

    Args:
        field: One scene without batch axes.
        path: The commanded path, two or more frames.
        num_views: Number of views, at least 4.

    Returns:
        Cameras of the size of `path`.

    Raises:
        ValueError: If `num_views` is below 4, or the path has batch axes or fewer than two frames.
    """
    if num_views < 4:
        raise ValueError(f"num_views must be at least 4, got {num_views}.")
    if path.batch_shape or path.num_frames < 2:
        got = [*path.batch_shape, path.num_frames]
        raise ValueError(f"path must be one path of two or more frames, got shape {got}.")
    along = path.interpolate(torch.linspace(0, 1, num_views - num_views // 2))
    sway = sway_cameras(path, focus_depth=focus_depth(field, path), num_frames=num_views // 2)
    return Cameras(
        torch.cat((along.camera_to_world, path.camera_to_world[:1] @ sway.camera_to_world)),
        torch.cat((along.intrinsics, sway.intrinsics)),
        height=path.height,
        width=path.width,
    )


def field_mesh(
    field: DeformableGaussianField,
    time: float | int,
    cameras: Cameras,
    *,
    resolution: int = 256,
    min_alpha: float = 0.9,
    callback: Callable[[int, int], None] | None = None,
) -> Mesh:
    r"""Coloured triangles of what some cameras see of a scene at one time.

    Colour and depth are rendered from every camera, weighted by `surface_weights`, fused by `fuse_depth` and
    cut out by `volume_to_mesh`. A rendered depth is the mean over the Gaussians that a pixel shows, by their
    weights in its colour, so it lies on a surface only where these are close together: pixels that are not
    well covered, seen at a grazing angle, or at jumps of depth are left out. What no camera sees has no
    triangles: of a scene made from one photograph the mesh is a relief that is open behind.

    Args:
        field: One scene without batch axes.
        time: In [0, 1].
        cameras: Views to fuse, in the frame of the field; see `mesh_cameras`. Their image size is changed.
        resolution: Voxels across the longer side of the picture at the median depth that is seen, and
            pixels of the pictures that are rendered: there a pixel is as wide as a voxel.
        min_alpha: Pixels covered less than this are left out.
        callback: Called with the number of views rendered and of all.

    Returns:
        Float32 mesh on the CPU, in the coordinates of the field.

    Raises:
        ValueError: If an argument is out of range, nothing is seen, or the scene needs too many voxels.
        ModuleNotFoundError: If scikit-image is missing.
    """
    if not 8 <= resolution <= 4096:
        raise ValueError(f"resolution must be from 8 to 4096, got {resolution}.")
    if not 0 < min_alpha < 1:
        raise ValueError(f"min_alpha must lie between 0 and 1, got {min_alpha}.")
    if cameras.batch_shape or field.batch_shape:
        got = [*field.batch_shape], [*cameras.batch_shape]
        raise ValueError(f"field and cameras must have no batch axes, got {got[0]} and {got[1]}.")
    longest = max(cameras.height, cameras.width)
    scale = resolution / longest
    size = max(1, round(cameras.height * scale)), max(1, round(cameras.width * scale))
    views = cameras.resize(*size).to(device=field.device, dtype=field.dtype)
    times = torch.full((views.num_frames,), float(time), device=field.device, dtype=field.times.dtype)
    film = render_path(field, views, times, callback=callback)
    depth = torch.where(film.alpha >= min_alpha, film.depth, torch.zeros_like(film.depth))[:, 0]
    weights = surface_weights(depth, views.intrinsics, max_angle_deg=_STEEPEST_DEG) * film.alpha[:, 0]
    if not bool((weights > 0).any()):
        raise ValueError("cameras must see a surface of the field, got none.")
    focal = float(views.intrinsics[:, 0, 0].median())
    voxel_size = _median(depth[weights > 0]) / focal
    color, truncation = film.straight_color.clamp(0, 1), _TRUNCATION * voxel_size
    volume = fuse_depth(depth, color, views, weights=weights, voxel_size=voxel_size, truncation=truncation)
    return volume_to_mesh(volume, min_share=_SPECK)


def _median(values: torch.Tensor) -> float:
    """Median of at most a million evenly spaced values."""
    return float(values[:: max(1, values.numel() // 1_000_000)].median())
