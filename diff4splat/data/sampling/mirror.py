"""A recording as a mirror shows it."""

from dataclasses import replace
from typing import Any

from diff4splat.data.recordings import Recording

__all__ = ["mirrored"]


def mirrored(recording: Recording) -> Recording:
    """The same frames with left and right exchanged, and the world that such frames would have been taken of.

    Pixel x becomes width - x, and x of the world and of every camera becomes -x, so that cameras, depth and
    tracks agree as before and rotations stay rotations. Captions are kept: one that says left or right
    becomes wrong, as does writing in the pictures.

    Args:
        recording: Any.

    Returns:
        The mirrored recording, whose mirror is the recording again.
    """
    kept: dict[str, Any] = {
        name: getattr(recording, name).flip(-1)
        for name in ("video", "depth", "depth_mask", "dynamic_mask")
        if getattr(recording, name) is not None
    }
    if recording.cameras is not None:
        cameras = recording.cameras
        poses, lenses = cameras.camera_to_world, cameras.intrinsics.clone()
        sign = poses.new_tensor([-1.0, 1.0, 1.0, 1.0])
        lenses[..., 0, 2] = cameras.width - lenses[..., 0, 2]
        lenses[..., 0, 1] *= -1  # of slanted axes
        kept["cameras"] = replace(cameras, camera_to_world=sign[:, None] * poses * sign, intrinsics=lenses)
    if recording.tracks is not None:
        kept["tracks"] = recording.tracks * recording.tracks.new_tensor([-1.0, 1.0, 1.0])
    if recording.track_pixels is not None:
        pixels = recording.track_pixels.clone()
        pixels[..., 0] = recording.width - pixels[..., 0]
        kept["track_pixels"] = pixels
    return replace(recording, **kept)
