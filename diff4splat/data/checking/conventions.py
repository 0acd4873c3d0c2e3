"""The usual mistakes: recordings as they would be if poses, lens or depth were meant in another way."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import torch
from torch import Tensor

from diff4splat.data.recordings import Recording
from diff4splat.geometry import distance_to_depth, rigid_inverse

__all__ = ["CONVENTIONS"]

_OPENGL = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
_PYTORCH3D = torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0]))
_FORWARD_RIGHT_DOWN = torch.tensor([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])

# A reader that turned the axes of world-to-camera matrices, taking them for camera-to-world, is found as the
# second kind: the two differ by a turn of the world only.


def _poses(change: Callable[[Tensor], Tensor]) -> Callable[[Recording], Recording]:
    def apply(recording: Recording) -> Recording:
        if recording.cameras is None:
            return recording
        poses = change(recording.cameras.camera_to_world.double())
        return replace(
            recording,
            cameras=replace(
                recording.cameras, camera_to_world=poses, intrinsics=recording.cameras.intrinsics.double()
            ),
        )

    return apply


def _axes(matrix: Tensor) -> Callable[[Recording], Recording]:
    return _poses(lambda poses: poses @ matrix.to(poses))


def _transposed(poses: Tensor) -> Tensor:
    changed = poses.clone()
    changed[:, :3, :3] = poses[:, :3, :3].mT
    return changed


def _lens(change: Callable[[Tensor], Tensor]) -> Callable[[Recording], Recording]:
    def apply(recording: Recording) -> Recording:
        if recording.cameras is None:
            return recording
        return replace(
            recording,
            cameras=replace(
                recording.cameras,
                camera_to_world=recording.cameras.camera_to_world.double(),
                intrinsics=change(recording.cameras.intrinsics.double()),
            ),
        )

    return apply


def _centre_moved(by: float) -> Callable[[Recording], Recording]:
    offset = torch.zeros(3, 3)
    offset[:2, 2] = by
    return _lens(lambda lenses: lenses + offset.to(lenses))


def _lens_scaled(factor: int | float) -> Callable[[Recording], Recording]:
    return _lens(lambda lenses: lenses * torch.tensor([factor, factor, 1.0])[:, None].to(lenses))


def _depth_scaled(factor: int | float) -> Callable[[Recording], Recording]:
    return lambda recording: replace(
        recording, depth=None if recording.depth is None else recording.depth * factor
    )


def _along_the_ray(recording: Recording) -> Recording:
    if recording.depth is None or recording.cameras is None:
        return recording
    depth = distance_to_depth(recording.depth, recording.cameras.intrinsics.to(recording.depth))
    return replace(recording, depth=depth)


def _other_frames(step: int) -> Callable[[Recording], Recording]:
    """Poses of the frames whose numbers are `step` further; not finite where there are none."""

    def apply(recording: Recording) -> Recording:
        if recording.cameras is None:
            return recording
        poses = recording.cameras.camera_to_world
        place = {number: index for index, number in enumerate(recording.numbers)}
        taken = torch.full_like(poses, torch.nan)
        for index, number in enumerate(recording.numbers):
            if number + step in place:
                taken[index] = poses[place[number + step]]
        return replace(recording, cameras=replace(recording.cameras, camera_to_world=taken))

    return apply


CONVENTIONS: Mapping[str, Callable[[Recording], Recording]] = MappingProxyType(
    {
        "the poses were world-to-camera": _poses(rigid_inverse),
        "the camera axes were OpenGL's (y up, z backward)": _axes(_OPENGL),
        "the camera axes were PyTorch3D's (x left, y up)": _axes(_PYTORCH3D),
        "the camera axes were forward, right, down": _axes(_FORWARD_RIGHT_DOWN),
        "the poses were world-to-camera in OpenGL's axes": _poses(
            lambda poses: rigid_inverse(poses) @ _OPENGL.to(poses)
        ),
        "the poses were world-to-camera in PyTorch3D's axes": _poses(
            lambda poses: rigid_inverse(poses) @ _PYTORCH3D.to(poses)
        ),
        "the poses were world-to-camera in axes forward, right, down": _poses(
            lambda poses: rigid_inverse(poses) @ _FORWARD_RIGHT_DOWN.to(poses)
        ),
        "the rotations were transposed": _poses(_transposed),
        "the depth were the distance along the ray": _along_the_ray,
        **{
            f"the depth had to be divided by {factor}": _depth_scaled(1 / factor)
            for factor in (10, 100, 1000)
        },
        **{
            f"the depth had to be multiplied by {factor}": _depth_scaled(factor) for factor in (10, 100, 1000)
        },
        "the centre of the lens had to move by +0.5 pixels": _centre_moved(0.5),
        "the centre of the lens had to move by -0.5 pixels": _centre_moved(-0.5),
        "the lens were that of images of half the size": _lens_scaled(2.0),
        "the lens were that of images of twice the size": _lens_scaled(0.5),
        "the poses were those of one frame later": _other_frames(1),
        "the poses were those of one frame earlier": _other_frames(-1),
    }
)
"""Recordings as they would be, by the words after "as if"."""
