"""How large a scene is, for units that are alike from scene to scene."""

import torch

from diff4splat.data.clips import KEY_STRIDE
from diff4splat.data.recordings import Recording
from diff4splat.geometry import unproject

__all__ = ["mean_distance"]


def mean_distance(recording: Recording) -> float:
    """Mean distance of all points that are seen in key frames from the first camera, in scene units.

    Args:
        recording: Frames with cameras and depth; every fourth is a key frame.

    Returns:
        The mean over pixels whose depth is known.

    Raises:
        ValueError: If there are no cameras, or no depth is known.
    """
    cameras, depth, known = recording.cameras, recording.depth, recording.depth_mask
    if cameras is None or depth is None or known is None or not known[::KEY_STRIDE].any():
        raise ValueError(f"{recording.name} must have cameras and known depth, got none.")
    poses, lenses = cameras.camera_to_world.double(), cameras.intrinsics.double()
    depth, known = depth[::KEY_STRIDE].double(), known[::KEY_STRIDE]
    points = unproject(torch.where(known, depth, 1), poses[::KEY_STRIDE], lenses[::KEY_STRIDE])
    return float((points - poses[0, :3, 3]).norm(dim=-1)[known].mean())
