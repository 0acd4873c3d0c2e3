"""Procedural scenes as clips: everything that training needs, in compact types."""

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from diff4splat.data.clips import KEY_STRIDE
from diff4splat.data.procedural.layout import sample_scenes
from diff4splat.data.procedural.paths import sample_cameras
from diff4splat.data.procedural.scenes import ProceduralScenes

__all__ = ["GENERATOR_VERSION", "make_clips", "object_motion"]

GENERATOR_VERSION = 1
"""Raised when a seed gives another clip than before: clips kept on disk are not mixed with new ones."""


def make_clips(
    seeds: Sequence[int],
    *,
    num_frames: int = 9,
    height: int = 128,
    width: int = 128,
    static: bool = False,
    photographs: bool | float = False,
    still_camera: float = 0.3,
    supersample: int = 1,
) -> tuple[dict[str, Tensor], list[str]]:
    """Render clips of procedural scenes; clip i depends on `seeds[i]` and the options, not on its batch.

    Args:
        seeds: One scene per seed.
        num_frames: Pixel frames, 4k + 1 with k at least 1.
        height: Image rows.
        width: Image columns.
        static: Leave all objects at rest.
        photographs: Share of scenes with photographs on some surfaces, see `sample_scenes`; True is all.
        still_camera: Share of clips whose camera rests, so that all change is motion.
        supersample: Rays per pixel side.

    Returns:
        Tensors by name, the clips on the first axis, and the captions. The names are `video`,
        `camera_to_world`, `intrinsics`, `depth`, `object_index` and `object_motion`, as `check_clip`
        describes them.

    Raises:
        ValueError: If `num_frames` is not 4k + 1, a share is outside [0, 1], or a seed or size is out of
            range.
        ModuleNotFoundError: If photographs are asked for and scikit-image is missing.
    """
    if num_frames < 5 or num_frames % KEY_STRIDE != 1:
        raise ValueError(f"num_frames must be 4k + 1 with k at least 1, got {num_frames}.")
    if not 0 <= still_camera <= 1:
        raise ValueError(f"still_camera must be a share in [0, 1], got {still_camera}.")
    scenes = sample_scenes(seeds, static=static, photographs=photographs)
    cameras = sample_cameras(seeds, num_frames, height=height, width=width, static_probability=still_camera)
    times = torch.linspace(0, 1, num_frames)
    frames = scenes.render(cameras, times, supersample=supersample)
    clips = {
        "video": _to_bytes(frames.color),
        "depth": frames.depth[:, ::KEY_STRIDE].half(),
        "object_index": frames.object_index[:, ::KEY_STRIDE].to(torch.uint8),
        "object_motion": object_motion(scenes, times),
        "camera_to_world": cameras.camera_to_world.contiguous(),
        "intrinsics": cameras.intrinsics.contiguous(),
    }
    return clips, list(scenes.captions)


def object_motion(
    scenes: ProceduralScenes, times: Float[Tensor, " time"]
) -> Float[Tensor, "batch object time 3 4"]:
    """Rigid motion of every object from time 0 to other times, in world axes.

    Args:
        scenes: The scenes.
        times: In [0, 1].

    Returns:
        Upper rows of the transform that takes a point of the object at time 0 to where it is at each time;
        object 0 is the world, which rests.
    """
    poses = scenes.poses(times.expand(scenes.num_scenes, -1))
    motion = poses @ torch.linalg.inv(scenes.poses(torch.zeros(scenes.num_scenes, 1)))
    return rearrange(motion[..., :3, :], "b t o i j -> b o t i j").contiguous()


def _to_bytes(color: Tensor) -> Tensor:
    return (color.clamp(0, 1) * 255 + 0.5).to(torch.uint8)
