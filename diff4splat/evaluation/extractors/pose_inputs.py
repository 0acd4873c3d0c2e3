"""What pose estimators have in common: what they are given, larger frames, and a path that was not found."""

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional

from diff4splat.cameras import Cameras
from diff4splat.evaluation.extractors.protocols import EstimatedPath
from diff4splat.geometry import rigid_inverse

__all__ = ["check_clip", "enlarged", "path_of"]


def check_clip(
    frames: UInt8[Tensor, "frame rgb=3 height width"],
    intrinsics: Float[Tensor, "3 3"],
    mask: Bool[Tensor, "maskframe maskheight maskwidth"] | None,
) -> None:
    """Refuse what is no clip with a lens.

    Args:
        frames: RGB.
        intrinsics: The lens, pixels.
        mask: Pixels that may be used; None for all.

    Raises:
        ValueError: If there is no frame, the lens is not finite, has no positive focal length or is skewed,
            or the mask is not as large as the frames.
    """
    if not frames.numel():
        raise ValueError(f"frames must not be empty, got shape {list(frames.shape)}.")
    lens = intrinsics.detach().cpu().double()
    if not torch.isfinite(lens).all() or min(lens[0, 0], lens[1, 1]) <= 0:
        raise ValueError(f"intrinsics must be finite with focal lengths above 0, got {lens.tolist()}.")
    if abs(lens[0, 1]) > 1e-6 * lens[0, 0]:
        raise ValueError(f"intrinsics must have no skew, got {float(lens[0, 1]):g} pixels.")
    expected = (len(frames), *frames.shape[-2:])
    if mask is not None and tuple(mask.shape) != expected:
        raise ValueError(f"mask must have the shape {list(expected)} of frames, got {list(mask.shape)}.")


def enlarged(
    frames: UInt8[Tensor, "frame rgb=3 height width"], factor: int
) -> UInt8[Tensor, "frame rgb=3 tall wide"]:
    """Frames as many times as large, bicubic: small pictures have more points of interest then.

    Args:
        frames: RGB.
        factor: Factor on both sides, at least 1.

    Returns:
        RGB on the CPU.
    """
    if factor == 1:
        return frames.cpu()
    larger = functional.interpolate(frames.cpu().float(), scale_factor=factor, mode="bicubic")
    return larger.round().clamp(0, 255).byte()


def path_of(
    frames: UInt8[Tensor, "frame rgb=3 height width"],
    intrinsics: Float[Tensor, "3 3"],
    poses: dict[int, Float[Tensor, "4 4"]],
    note: str,
) -> EstimatedPath:
    """A path with poses for some of the frames, the first of which becomes the identity.

    Args:
        frames: RGB of the clip.
        intrinsics: The lens, pixels.
        poses: Camera to world by number of frame.
        note: Why frames are missing, in words; it is dropped if none is.

    Returns:
        The path in float64 on the CPU.
    """
    matrices = torch.eye(4, dtype=torch.float64).repeat(len(frames), 1, 1)
    registered = torch.zeros(len(frames), dtype=torch.bool)
    for index, pose in poses.items():
        matrices[index], registered[index] = pose, True
    if poses:
        matrices[registered] = rigid_inverse(matrices[min(poses)]) @ matrices[registered]
        matrices[min(poses)] = torch.eye(4, dtype=torch.float64)
    lens = intrinsics.detach().cpu().double().expand(len(frames), 3, 3)
    height, width = frames.shape[-2:]
    return EstimatedPath(Cameras(matrices, lens, height, width), registered, "" if registered.all() else note)
