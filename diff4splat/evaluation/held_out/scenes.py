"""Held-out procedural scenes with everything that a reconstruction of them is compared with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.data import HELD_OUT_SEEDS, ProceduralFrames, ProceduralScenes, sample_cameras, sample_scenes
from diff4splat.data.novel_views import beside_path
from diff4splat.geometry import unproject

__all__ = ["SMALLEST_MOTION", "HeldOutScenes", "held_out_scenes", "pixel_motion", "seed_batches"]

SMALLEST_MOTION = 0.02
"""Displacement that counts as motion, scene units."""


@dataclass(frozen=True)
class HeldOutScenes:
    """A batch of scenes, what the cameras of a path see of them, and what cameras beside the path see.

    Args:
        seeds: One per scene.
        scenes: The scenes themselves.
        cameras: The path; the first camera is the identity.
        times: Times of the path's frames, from 0 to 1.
        frames: Seen along the path; frame 0 is the input image.
        novel_cameras: Cameras beside the path.
        novel_times: Their times, between those of the path's frames.
        novel_frames: What they see.
    """

    seeds: tuple[int, ...]
    scenes: ProceduralScenes
    cameras: Cameras
    times: Float[Tensor, " frame"]
    frames: ProceduralFrames
    novel_cameras: Cameras
    novel_times: Float[Tensor, "batch view"]
    novel_frames: ProceduralFrames

    @property
    def image(self) -> Float[Tensor, "batch rgb=3 height width"]:
        """The input images."""
        return self.frames.color[:, 0]


def seed_batches(num_scenes: int, batch_size: int, *, first_scene: int = 0) -> Iterator[list[int]]:
    """Seeds of held-out scenes, in batches.

    Args:
        num_scenes: Scenes in all, at least 1.
        batch_size: Most scenes per batch, at least 1.
        first_scene: Number of the first scene among the held-out ones.

    Yields:
        Seeds of one batch.

    Raises:
        ValueError: If a count is below 1, or there are not so many held-out scenes.
    """
    if num_scenes < 1:
        raise ValueError(f"num_scenes must be at least 1, got {num_scenes}.")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
    if first_scene < 0 or first_scene + num_scenes > len(HELD_OUT_SEEDS):
        raise ValueError(
            f"first_scene and num_scenes must stay within {len(HELD_OUT_SEEDS)} held-out scenes, "
            f"got {first_scene} and {num_scenes}."
        )
    for start in range(0, num_scenes, batch_size):
        stop = min(start + batch_size, num_scenes)
        yield list(HELD_OUT_SEEDS[first_scene + start : first_scene + stop])


def held_out_scenes(
    seeds: Sequence[int],
    *,
    num_frames: int = 9,
    height: int = 128,
    width: int = 128,
    num_novel: int = 4,
    supersample: int = 2,
    device: torch.device | str | None = None,
) -> HeldOutScenes:
    """Render scenes along their own random paths, and from cameras beside them at times between the frames.

    The times are random but unseen: each lies in the middle half of the gap between two frames of the path,
    so at least a quarter of a gap away from any of them. A scene depends on its seed alone, not on the others
    of the batch.

    Args:
        seeds: One scene per seed.
        num_frames: Frames of the path, at least 2.
        height: Image rows.
        width: Image columns.
        num_novel: Cameras beside the path, at least 1.
        supersample: Rays per pixel side that are averaged into the colours; 2 gives images as smooth as
            photographs made smaller.
        device: Where to render; the CPU when omitted.

    Returns:
        Scenes and truth.

    Raises:
        ValueError: If `num_novel` is below 1, or `num_frames` below 2.
    """
    if num_frames < 2:
        raise ValueError(f"num_frames must be at least 2, got {num_frames}.")
    if num_novel < 1:
        raise ValueError(f"num_novel must be at least 1, got {num_novel}.")
    scenes = sample_scenes(seeds, device=device)
    cameras = sample_cameras(seeds, num_frames, height=height, width=width, device=device)
    times = torch.linspace(0, 1, num_frames, device=scenes.device)
    poses, moments = [], []
    for index, seed in enumerate(seeds):
        generator = torch.Generator().manual_seed(seed)
        draws = torch.rand(1, num_novel, generator=generator)
        moment = _unseen_times(draws, num_frames).to(scenes.device)
        path = Cameras(
            cameras.camera_to_world[index : index + 1], cameras.intrinsics[index : index + 1], height, width
        )
        poses.append(beside_path(path, moment, generator=generator).camera_to_world)
        moments.append(moment)
    intrinsics = cameras.intrinsics[:, :1].expand(-1, num_novel, -1, -1)
    novel_cameras, novel_times = Cameras(torch.cat(poses), intrinsics, height, width), torch.cat(moments)
    return HeldOutScenes(
        seeds=tuple(seeds),
        scenes=scenes,
        cameras=cameras,
        times=times,
        frames=scenes.render(cameras, times, supersample=supersample),
        novel_cameras=novel_cameras,
        novel_times=novel_times,
        novel_frames=scenes.render(novel_cameras, novel_times, supersample=supersample),
    )


def pixel_motion(
    scenes: ProceduralScenes,
    frames: ProceduralFrames,
    cameras: Cameras,
    frame: int,
    frame_times: Float[Tensor, " batch"],
    times: Float[Tensor, " time"],
) -> tuple[Float[Tensor, "batch time height width xyz=3"], Bool[Tensor, "batch height width"]]:
    """Exact motion of the surface points that the pixels of one frame show.

    Args:
        scenes: The scenes.
        frames: Their rendered frames.
        cameras: Cameras of the frames.
        frame: Which frame.
        frame_times: Time of this frame in each scene.
        times: Times to follow the points to, in [0, 1].

    Returns:
        Displacement from time 0 to each of `times`, scene units, world axes; and the moving pixels, those of
        objects whose point is displaced by more than 0.02 at one of `times`.
    """
    depth, index = frames.depth[:, frame], frames.object_index[:, frame]
    height, width = depth.shape[-2:]
    points = unproject(depth, cameras.camera_to_world[:, frame], cameras.intrinsics[:, frame])
    start = torch.zeros_like(times[:1])
    moments = torch.cat((start, times)).expand(scenes.num_scenes, -1)
    paths = scenes.trajectories(
        rearrange(points, "b h w c -> b (h w) c"), rearrange(index, "b h w -> b (h w)"), frame_times, moments
    )
    paths = rearrange(paths, "b t (h w) c -> b t h w c", h=height, w=width)
    motion = paths[:, 1:] - paths[:, :1]
    return motion, (index > 0) & (motion.norm(dim=-1).amax(1) > SMALLEST_MOTION)


def _unseen_times(draws: Tensor, num_frames: int) -> Tensor:
    """Times spread evenly over the middle halves of the gaps between frames, from even draws in [0, 1)."""
    gaps = num_frames - 1
    position = draws * gaps
    gap = position.floor().clamp_max(gaps - 1)
    return (gap + 0.25 + 0.5 * (position - gap)) / gaps
