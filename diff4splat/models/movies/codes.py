"""What MoVieS reads beside pixels, as numbers: cameras, times and places in the image."""

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.geometry import matrix_to_quaternion, rigid_inverse

__all__ = ["camera_code", "patch_angles", "place_code", "time_code"]

_BASE = 100.0  # of all positions: the ratio between the fastest and the slowest turn comes near it


def camera_code(cameras: Cameras) -> Float[Tensor, "*batch frame code=9"]:
    r"""Nine numbers per camera: $(t, q_x, q_y, q_z, q_w, \alpha_h, \alpha_w)$ of world-to-camera.

    $$\alpha_h = 2 \arctan\frac{1}{2 f_h}, \qquad f_h = \frac{f_y}{\mathrm{height}}$$

    and likewise for the width. Translation and quaternion are those of world-to-camera, the quaternion with
    the real part last and not negative: the only place where the library writes xyzw. Source: Lin et al.
    2026 (MoVieS), the pose token, in the form of Wang et al. 2025 (VGGT), Sec. 3.1.

    Args:
        cameras: Cameras in any world, usually that of the first one.

    Returns:
        Translation in scene units, quaternion, vertical and horizontal field of view in radians. The
        principal point does not enter.
    """
    inverse = rigid_inverse(cameras.camera_to_world)
    wxyz = matrix_to_quaternion(inverse[..., :3, :3])
    views = [
        2 * torch.atan(0.5 * size / cameras.intrinsics[..., axis, axis])
        for axis, size in ((1, cameras.height), (0, cameras.width))
    ]
    return torch.cat((inverse[..., :3, 3], wxyz.roll(-1, dims=-1), torch.stack(views, dim=-1)), dim=-1)


def time_code(times: Float[Tensor, " *batch"], dim: int) -> Float[Tensor, "*batch dim"]:
    r"""Sines, then cosines, of a time at doubling frequencies, $\sin(2^k t), \cos(2^k t)$.

    for $k = 0 \dots$ `dim` / 2 - 1. There is no factor of pi: the slowest wave does not end within the clip.
    Source: Lin et al. 2026 (MoVieS), the time token.

    Args:
        times: Times in [0, 1].
        dim: Length of a code; even.

    Returns:
        Codes in [-1, 1], at least float32: bfloat16 could not tell frames apart at the high frequencies.
    """
    times = times.to(torch.promote_types(times.dtype, torch.float32))
    angles = times[..., None] * 2.0 ** torch.arange(dim // 2, device=times.device, dtype=times.dtype)
    return torch.cat((angles.sin(), angles.cos()), dim=-1)


def patch_angles(
    rows: int, columns: int, *, num_special: int, head_dim: int, device: torch.device | None = None
) -> Float[Tensor, "axis=2 token quarter"]:
    r"""Rotary angles of the tokens of a frame, $p\,100^{-i/m}$ for the row and for the column $p$.

    with $m$ = `head_dim` / 4 angles $i$ per axis. Patches are counted from 1; position 0 is that of the
    special tokens, which stand before them. Source: Heo et al. 2024 (axial rotary positions), as VGGT uses
    them.

    Args:
        rows: Patch rows.
        columns: Patch columns.
        num_special: Special tokens.
        head_dim: Channels of one attention head; a multiple of 4.
        device: Where to make the angles.

    Returns:
        Angles in radians, by row and by column, float32.
    """
    row = repeat(torch.arange(1, rows + 1, device=device), "r -> (r c)", c=columns)
    column = repeat(torch.arange(1, columns + 1, device=device), "c -> (r c)", r=rows)
    places = F.pad(torch.stack((row, column)), (num_special, 0)).float()
    quarter = head_dim // 4
    return places[..., None] * _BASE ** -(torch.arange(quarter, device=device) / quarter)


def place_code(
    channels: int, height: int, width: int, *, aspect: float, like: Tensor
) -> Float[Tensor, "channel height width"]:
    r"""Sines and cosines of where a pixel is, $\sin(u\,100^{-i/m}), \cos(u\,100^{-i/m})$, then those of v.

    with $m$ = `channels` / 4 frequencies. $(u, v)$ are pixel centres, measured from the middle of the image
    in half diagonals, so that they tell the aspect ratio. Source: Wang et al. 2025 (VGGT), the heads.

    Args:
        channels: Length of a code; a multiple of 4.
        height: Rows of the grid that covers the image.
        width: Columns of that grid.
        aspect: Width of the image over its height.
        like: Tensor whose type and device the result has.

    Returns:
        Codes in [-1, 1].
    """
    diagonal = (aspect**2 + 1) ** 0.5
    quarter = channels // 4
    rates = _BASE ** -(torch.arange(quarter, device=like.device) / quarter)
    waves = []
    for size, reach in ((width, aspect / diagonal), (height, 1 / diagonal)):
        angles = (2 * torch.arange(size, device=like.device) + 1 - size)[:, None] * (reach / size) * rates
        waves.append(rearrange(torch.cat((angles.sin(), angles.cos()), dim=-1), "n c -> c n"))
    across = repeat(waves[0], "c w -> c h w", h=height)
    down = repeat(waves[1], "c h -> c h w", w=width)
    return torch.cat((across, down)).to(like.dtype)
