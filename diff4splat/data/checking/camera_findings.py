"""Whether cameras are cameras: rotations that rotate, lenses that exist."""

import math

import torch

from diff4splat.cameras import Cameras
from diff4splat.data.checking.finding import Finding

__all__ = ["camera_findings"]

_RIGID = 0.02  # |R^T R - I| of rotations that were kept in 16 bits
_ANGLES = (5.0, 150.0)  # field of view, degrees
_CENTRE = 0.25  # share of the size by which a lens may be off the middle
_OBLONG = 0.05


def camera_findings(cameras: Cameras) -> list[Finding]:
    """What can be said of cameras without their pictures.

    Args:
        cameras: One path, without batch axes.

    Returns:
        Findings on finite values, rotation, handedness, field of view, centre and shape of pixels; only the
        first where values are not finite.
    """
    poses, lenses = cameras.camera_to_world.double(), cameras.intrinsics.double()
    sound = (torch.isfinite(poses).flatten(1).all(1)) & (torch.isfinite(lenses).flatten(1).all(1))
    wrong = int((~sound).sum())
    finite = Finding(
        "cameras finite",
        "fails" if wrong else "holds",
        f"{wrong} of {len(poses)} cameras hold NaN or infinity" if wrong else "all numbers are",
        float(wrong),
        "0",
        "cameras",
    )
    if wrong:
        return [finite]
    rotations = poses[:, :3, :3]
    bent = float((rotations.mT @ rotations - torch.eye(3).double()).abs().max())
    determinant = float(torch.linalg.det(rotations).min())
    scale = float(torch.linalg.vector_norm(rotations, dim=1).mean())
    rotation = Finding(
        "rotation orthonormal",
        "holds" if bent <= _RIGID else "fails",
        "rows and columns are of length 1 and at right angles"
        if bent <= _RIGID
        else f"columns have a mean length of {scale:.3g}"
        + ("; the rotation is scaled" if abs(scale - 1) > _RIGID else "; they are not at right angles"),
        bent,
        f"at most {_RIGID:g}",
    )
    handed = Finding(
        "rotation determinant",
        "holds" if determinant > 0 else "fails",
        "right-handed" if determinant > 0 else "a reflection: one axis points the wrong way",
        determinant,
        "+1",
    )
    return [finite, rotation, handed, *_lens_findings(cameras)]


def _lens_findings(cameras: Cameras) -> list[Finding]:
    lenses = cameras.intrinsics.double()
    across, down = lenses[:, 0, 0], lenses[:, 1, 1]
    if bool((torch.minimum(across, down) <= 0).any()):
        least = float(torch.minimum(across, down).min())
        return [Finding("focal length", "fails", "must be positive", least, "above 0", "px")]
    angles = torch.rad2deg(2 * torch.atan(0.5 * cameras.width / across))
    inside = bool((angles >= _ANGLES[0]).all() and (angles <= _ANGLES[1]).all())
    odd = angles.max() if float(angles.max()) > _ANGLES[1] else angles.min()
    off_x = lenses[:, 0, 2] / cameras.width - 0.5
    off_y = lenses[:, 1, 2] / cameras.height - 0.5
    off = float(torch.maximum(off_x.abs(), off_y.abs()).max())
    ratio = float((across / down)[(across / down).log().abs().argmax()])
    square = abs(math.log(ratio)) <= math.log1p(_OBLONG)
    return [
        Finding(
            "field of view",
            "holds" if inside else "fails",
            "of a lens that exists" if inside else "intrinsics of another image size, or in other units",
            float(odd),
            f"{_ANGLES[0]:g} to {_ANGLES[1]:g}",
            "degrees",
        ),
        Finding(
            "centre of the lens",
            "holds" if off <= _CENTRE else "fails",
            "near the middle of the image" if off <= _CENTRE else "intrinsics of another image size or crop",
            100 * off,
            f"at most {100 * _CENTRE:g}",
            "% off the middle",
        ),
        Finding(
            "pixels square",
            "holds" if square else "fails",
            "focal lengths across and down agree" if square else "width and height may be mixed up",
            ratio,
            f"1, within {100 * _OBLONG:g} %",
        ),
    ]
