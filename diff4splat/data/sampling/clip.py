"""From a recording to the clip that training reads."""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from diff4splat.data.clips import KEY_STRIDE
from diff4splat.data.curation.static_tracks import static_tracks
from diff4splat.data.recordings import Recording
from diff4splat.data.sampling.draws import draw_some

__all__ = ["ClipMotion", "to_clip"]

ClipMotion = Literal["tracks", "dense", "none"]
"""How a clip tells motion: along tracks, at every pixel (of what rests), or not at all."""


def to_clip(
    recording: Recording,
    *,
    motion: ClipMotion = "tracks",
    num_tracks: int = 1024,
    generator: torch.Generator | None = None,
) -> tuple[dict[str, Tensor], str]:
    """The tensors that training reads, of all frames of a recording; see `check_clip`.

    Motion comes in one of three forms, and clips that share a batch must have the same:

    - "tracks": `tracks` and `visible`, `num_tracks` rows whatever the recording is. They are drawn from the
      tracks of the recording that are visible in a key frame. Where there are none, but depth, and it is
      static or has a dynamic mask, they are points that rest, see `static_tracks`. Rows are filled up with
      tracks that are never visible; positions are NaN where they are not visible.
    - "dense": `object_index` and `object_motion` of a static recording: all of it is the world, which rests.
    - "none": neither, for losses that do not look at motion.

    Depth is that of key frames, 0 where it is unknown; the key is left out where the recording has none.

    Args:
        recording: 4k + 1 frames with k at least 1, and their cameras.
        motion: Form of the motion.
        num_tracks: Rows of `tracks`, at least 1.
        generator: Which tracks are drawn; evenly spread ones when omitted.

    Returns:
        The clip in the coordinates of its first camera, float32, and its caption.

    Raises:
        ValueError: If the frames are not 4k + 1, there are no cameras or they are not finite, the motion
            cannot be told in that form, or an option is out of range; names the recording.
    """
    if motion not in ("tracks", "dense", "none"):
        raise ValueError(f"motion must be tracks, dense or none, got {motion!r}.")
    if num_tracks < 1:
        raise ValueError(f"num_tracks must be at least 1, got {num_tracks}.")
    name, frames, cameras = recording.name, recording.num_frames, recording.cameras
    if frames < KEY_STRIDE + 1 or frames % KEY_STRIDE != 1:
        raise ValueError(f"{name} must have 4k + 1 frames with k at least 1, got {frames}.")
    if cameras is None:
        raise ValueError(f"{name} must have cameras, got none.")
    try:
        cameras.validate()
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    # in double precision: the world may be large, and its origin far away
    cameras = cameras.to(dtype=torch.float64)
    recording = replace(recording, cameras=cameras).relative_to_first()
    clip = {
        "video": recording.video,
        "camera_to_world": cameras.relative_to().camera_to_world.float(),
        "intrinsics": cameras.intrinsics.float(),
    }
    if recording.depth is not None and recording.depth_mask is not None:
        depth = torch.where(recording.depth_mask, recording.depth, 0)
        clip["depth"] = depth[::KEY_STRIDE].float()
    if motion == "dense":
        clip |= _world_at_rest(recording)
    elif motion == "tracks":
        clip |= _tracks(recording, num_tracks, generator)
    return {key: value.contiguous() for key, value in clip.items()}, recording.caption


def _world_at_rest(recording: Recording) -> dict[str, Tensor]:
    if not recording.static:
        raise ValueError(f"{recording.name} must be static for motion='dense', got one in which things move.")
    key_frames = recording.num_frames // KEY_STRIDE + 1
    index = torch.zeros(key_frames, recording.height, recording.width, dtype=torch.uint8)
    return {"object_index": index, "object_motion": torch.eye(3, 4).repeat(1, recording.num_frames, 1, 1)}


def _tracks(recording: Recording, num_tracks: int, generator: torch.Generator | None) -> dict[str, Tensor]:
    """The wanted number of tracks, NaN where they are not visible."""
    tracks, visible = recording.tracks, recording.visible
    rests = recording.depth is not None and (recording.static or recording.dynamic_mask is not None)
    if tracks is None and not rests:
        raise ValueError(
            f"{recording.name} must have tracks, or depth with a dynamic mask or in a static scene, for "
            "motion='tracks', got none of them."
        )
    if tracks is None or visible is None or (rests and not visible[:, ::KEY_STRIDE].any()):
        keys = range(0, recording.num_frames, KEY_STRIDE)
        tracks, visible = static_tracks(recording, num_tracks, generator=generator, sources=keys)
    seen = visible[:, ::KEY_STRIDE].any(1).nonzero()[:, 0]
    if not len(seen):
        raise ValueError(f"{recording.name} must have tracks that are visible in a key frame, got none.")
    chosen = seen[draw_some(len(seen), num_tracks, generator)]
    filled = torch.full((num_tracks, recording.num_frames, 3), torch.nan)
    shown = torch.zeros(num_tracks, recording.num_frames, dtype=torch.bool)
    shown[: len(chosen)] = visible[chosen]
    filled[: len(chosen)] = torch.where(visible[chosen, :, None], tracks[chosen].float(), torch.nan)
    return {"tracks": filled, "visible": shown}
