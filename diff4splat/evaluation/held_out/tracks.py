"""Tracks of the surface points that the first frame shows, true and predicted, in the axes of each camera."""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.evaluation.metrics import average_points_within_distance, track_end_point_error
from diff4splat.geometry import project, unproject

__all__ = ["SurfaceTracks", "surface_tracks"]

_SAME_SURFACE = 0.02
"""Relative difference of depth up to which a pixel shows the tracked point."""


@dataclass(frozen=True)
class SurfaceTracks:
    """What the pixels of frame 0 do in later frames.

    Args:
        points: Predicted, in the axes of the camera of each frame, scene units.
        target: The truth.
        visible: Where the truth can be seen.
        intrinsics: Lens of the first camera.
    """

    points: Float[Tensor, "batch track frame xyz=3"]
    target: Float[Tensor, "batch track frame xyz=3"]
    visible: Bool[Tensor, "batch track frame"]
    intrinsics: Float[Tensor, "batch 3 3"]

    def scores(self) -> dict[str, Float[Tensor, " batch"]]:
        """APD and EPE3D, both after the one factor per scene that brings the median distance to the truth.

        Returns:
            `track_apd` in [0, 1] and `track_epe3d` in scene units; NaN where no point is visible.
        """
        points, target, visible = self.points.double(), self.target.double(), self.visible
        lenses = self.intrinsics.double()
        return {
            "track_apd": average_points_within_distance(
                points, target, visible=visible, intrinsics=lenses, scaling="median"
            ),
            "track_epe3d": track_end_point_error(points, target, visible=visible, scaling="median"),
        }


def surface_tracks(
    depth: Float[Tensor, "batch height width"],
    displacement: Float[Tensor, "batch time height width xyz=3"],
    true_depth: Float[Tensor, "batch frame height width"],
    true_displacement: Float[Tensor, "batch time height width xyz=3"],
    cameras: Cameras,
) -> SurfaceTracks:
    """Tracks that depth of frame 0 and the motion of its pixels give.

    A point counts as visible in a frame where it falls into the image and the true depth there differs from
    its own by less than 2 %.

    Args:
        depth: Predicted z-depth of frame 0, scene units.
        displacement: Predicted displacement of its pixels to each later frame, scene units, world axes.
        true_depth: True z-depth of all frames.
        true_displacement: True displacement.
        cameras: Cameras of all frames.

    Returns:
        One track per pixel, over the later frames.
    """
    start = (cameras.camera_to_world[:, 0], cameras.intrinsics[:, 0])
    poses, lenses = cameras.camera_to_world[:, 1:], cameras.intrinsics[:, 1:]

    def followed(first: Tensor, moved: Tensor) -> Tensor:
        return rearrange(unproject(first, *start)[:, None] + moved, "b t h w c -> b t (h w) c")

    def in_camera_axes(world: Tensor) -> Tensor:
        local = (world - poses[:, :, None, :3, 3]) @ poses[..., :3, :3]
        return rearrange(local, "b t n c -> b n t c")

    target = followed(true_depth[:, 0], true_displacement)
    pixels, distance = project(target, poses, lenses)
    return SurfaceTracks(
        in_camera_axes(followed(depth, displacement)),
        in_camera_axes(target),
        rearrange(_shown(pixels, distance, true_depth[:, 1:]), "b t n -> b n t"),
        start[1],
    )


def _shown(
    pixels: Float[Tensor, "batch time track xy=2"],
    distance: Float[Tensor, "batch time track"],
    depth: Float[Tensor, "batch time height width"],
) -> Bool[Tensor, "batch time track"]:
    """Whether points are in the image, and what the image shows there."""
    height, width = depth.shape[-2:]
    column, row = pixels.floor().unbind(-1)
    inside = (distance > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = torch.where(inside, row * width + column, torch.zeros_like(row)).long()
    there = rearrange(depth, "b t h w -> b t (h w)").gather(-1, place)
    return inside & ((distance - there).abs() < _SAME_SURFACE * there)
