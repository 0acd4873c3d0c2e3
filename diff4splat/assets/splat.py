"""Gaussians as a `.splat` file: 32 bytes each, for small viewers in a browser.

No header. Per Gaussian three 32-bit floats of the centre, three of the linear scales, colour and opacity as
RGBA of 8 bits, and the quaternion wxyz as 8 bits, 128 + 128 q. View-dependent colour is lost, and colours
outside [0, 1] are clamped. Axes are OpenCV, as in a PLY.
"""

import os
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from diff4splat.assets.ply import check_single, valid_gaussians
from diff4splat.files import atomic_path
from diff4splat.gaussians import Gaussians, harmonics_to_rgb, rgb_to_harmonics

__all__ = ["load_splat", "save_splat"]

RECORD = np.dtype([("mean", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("quaternion", "u1", 4)])
OTHER_STARTS = {b"ply": "a PLY", b"PK\x03\x04": "a zip", b"\x1f\x8b": "a gzip (.spz)", b"glTF": "a glTF"}


def save_splat(gaussians: Gaussians, path: str | os.PathLike[str]) -> None:
    """Write Gaussians as a `.splat` file, in their order.

    Centres and scales become 32-bit floats. What 8 bits cost: opacities and colours at most 1/510, each
    component of a quaternion 1/256 (1/128 at exactly 1) before it is normalised. Harmonics above degree 0
    have no place in the format. Some writers put the most visible Gaussians first; here index i stays index
    i, so that files of several moments correspond. The file is written whole or not at all.

    Args:
        gaussians: One set without batch axes; of a field, take `field.at(time)`.
        path: File to write, by habit ending in `.splat`.

    Raises:
        ValueError: If the Gaussians have batch axes or invalid values.
        FileNotFoundError: If the folder does not exist.
    """
    check_single(gaussians)
    gaussians = gaussians.detach().to("cpu", torch.float32)
    records = np.empty(gaussians.num_gaussians, RECORD)
    records["mean"] = gaussians.means.numpy()
    records["scale"] = gaussians.scales.clamp(min=torch.finfo(torch.float32).tiny).numpy()
    rgb = harmonics_to_rgb(gaussians.harmonics[:, 0])
    rgba = torch.cat((rgb, gaussians.opacities[:, None]), dim=-1)
    records["rgba"] = rgba.clamp(0, 1).mul(255).round().to(torch.uint8).numpy()
    unit = torch.nn.functional.normalize(gaussians.quaternions, dim=-1, eps=1e-30)
    records["quaternion"] = unit.mul(128).add(128).round().clamp(0, 255).to(torch.uint8).numpy()
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        records.tofile(file)


def load_splat(path: str | os.PathLike[str], *, invalid: Literal["refuse", "drop"] = "refuse") -> Gaussians:
    """Read Gaussians from a `.splat` file of any program.

    Args:
        path: File of 32 bytes per Gaussian.
        invalid: What to do with Gaussians that hold NaN or infinity, or a quaternion of length zero: refuse
            the file, or leave them out.

    Returns:
        Float32 Gaussians on the CPU, with harmonics of degree 0 and unit quaternions.

    Raises:
        ValueError: If the file is empty, truncated or of another kind, or holds Gaussians that are invalid.
        FileNotFoundError: If there is no such file.
    """
    if invalid not in ("refuse", "drop"):
        raise ValueError(f"invalid must be 'refuse' or 'drop', got {invalid!r}.")
    size = Path(path).stat().st_size
    with open(path, "rb") as file:
        start = file.read(8)
    for signature, kind in OTHER_STARTS.items():
        if start.startswith(signature):
            raise ValueError(f"{path} is not a .splat file, but {kind} file.")
    if not size or size % RECORD.itemsize:
        raise ValueError(
            f"{path} is truncated or no .splat file: {size} bytes are no multiple of {RECORD.itemsize}."
            if size
            else f"{path} is empty."
        )
    records = np.fromfile(path, RECORD)
    rgba = torch.from_numpy(records["rgba"].astype(np.float32)) / 255
    quaternions = (torch.from_numpy(records["quaternion"].astype(np.float32)) - 128) / 128
    lengths = quaternions.norm(dim=-1)
    if not 0.9 < float(lengths.median()) < 1.1:
        raise ValueError(f"{path} is not a .splat file: where quaternions should be, lengths are not 1.")
    scales = torch.from_numpy(records["scale"].copy())
    if bool((scales < 0).any()):
        raise ValueError(f"{path} is not a .splat file: {int((scales < 0).sum())} scales are negative.")
    gaussians = Gaussians(
        torch.from_numpy(records["mean"].copy()),
        quaternions,
        scales.clamp(min=torch.finfo(torch.float32).tiny),
        rgba[:, 3].contiguous(),
        rgb_to_harmonics(rgba[:, :3])[:, None],
    )
    return valid_gaussians(gaussians, path, invalid)
