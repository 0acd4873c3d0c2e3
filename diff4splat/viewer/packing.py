"""A field as the compact bytes that the HTML player reads.

Everything is relative to the field at its first stored time. Gaussians that never leave that state by more
than half a step of the stored precision are written without motion; the others come first, so that no index
is needed. Numbers are stored as planes (all first bytes of a channel, then all second bytes), motion as
differences of consecutive times, and the whole is deflated: what is smooth or small shrinks.
"""

import zlib
from typing import Any

import numpy as np
import torch

from diff4splat.gaussians import DeformableGaussianField, Gaussians, deform_gaussians
from diff4splat.geometry import quaternion_conjugate, quaternion_multiply, quaternion_normalize

__all__ = ["pack_field"]

MIN_OPACITY = 1 / 255  # below, the renderer draws nothing
MAX_DEGREE = 3
LARGEST = 2**15 - 1


def pack_field(field: DeformableGaussianField) -> tuple[dict[str, Any], bytes]:
    """Description and raw-deflate bytes of a field, for the player.

    Means keep 32 bits. The rest gets 16: opacities, quaternions, log-scales and harmonics over the range that
    occurs; motion in steps of 2% of a small Gaussian's scale (displacement), 1/8192 (quaternion) and 1/1024
    (log-scale; in linear space, 1/8192 of a small scale), or coarser where the largest value needs it.
    Gaussians of opacity below 1/255 are left out, and so are harmonics above degree 3.

    Args:
        field: One field without batch axes.

    Returns:
        JSON values that say what the bytes are, and the bytes.

    Raises:
        ValueError: If the field has batch axes, invalid values, or no Gaussian that can be seen.
    """
    if field.batch_shape:
        raise ValueError(f"field must have no batch axes, got {field.batch_shape}; a player shows one scene.")
    field.validate()
    field = field.to("cpu", torch.float64).detach().prune(MIN_OPACITY)
    if not field.num_gaussians:
        raise ValueError("field must have Gaussians of opacity above 1/255, got none.")
    base, motion = _rebase(field)
    steps = _motion_steps(base, motion, field.scale_space)
    levels = np.concatenate([np.rint(part / step) for part, step in zip(motion, steps, strict=True)], axis=1)
    moving = (levels != 0).any(axis=(0, 1))
    order = np.concatenate([np.flatnonzero(moving), np.flatnonzero(~moving)])
    differences = np.diff(levels[:, :, moving], axis=0, prepend=0).transpose(
        1, 0, 2
    )  # channel, time, Gaussian

    degree = min(base.sh_degree, MAX_DEGREE)
    arrays, planes = [], []
    for name, values, bits in (
        ("means", base.means, 32),
        ("opacities", base.opacities[:, None], 16),
        ("quaternions", base.quaternions, 16),
        ("scales", base.scales.log(), 16),
        ("harmonics", base.harmonics[:, : (degree + 1) ** 2].clamp(-16, 16).flatten(1), 16),
    ):
        entry, plane = _pack_array(values.numpy()[order], bits)
        arrays.append({"name": name, **entry})
        planes.append(plane)
    planes.append(
        _byte_planes(differences.astype(np.int32).astype(np.uint16))
    )  # wraps, and so does the reader
    header = {
        "count": field.num_gaussians,
        "moving": int(moving.sum()),
        "times": field.times.tolist(),
        "scaleSpace": field.scale_space,
        "motionSteps": steps,
        "degree": degree,
        "arrays": arrays,
    }
    deflate = zlib.compressobj(level=6, wbits=-15)  # level 9 saves 1% and takes ten times as long
    return header, deflate.compress(b"".join(planes)) + deflate.flush()


def _rebase(field: DeformableGaussianField) -> tuple[Gaussians, list[np.ndarray]]:
    """Gaussians at the first stored time, and how they differ from it at the later ones.

    The three arrays [time - 1, channel, gaussian] are displacements, rotations about the Gaussian's own axes
    less the identity, and changes of scale. Rotations keep their sign from one time to the next, so that
    blending two neighbours turns the short way round.
    """
    first = _at_index(field, 0)
    undo = quaternion_conjugate(quaternion_normalize(field.delta_quaternions[0]))
    identity = undo.new_tensor([1.0, 0.0, 0.0, 0.0])
    previous = identity.expand_as(undo)
    motion = [np.zeros((field.num_times - 1, size, field.num_gaussians)) for size in (3, 4, 3)]
    for index in range(1, field.num_times):
        now = _at_index(field, index)
        turn = quaternion_multiply(undo, quaternion_normalize(field.delta_quaternions[index]))
        turn = torch.where((turn * previous).sum(-1, keepdim=True) < 0, -turn, turn)
        previous = turn
        stretch = now.scales / first.scales if field.scale_space == "log" else now.scales - first.scales
        motion[0][index - 1] = (now.means - first.means).T.numpy()
        motion[1][index - 1] = (turn - identity).T.numpy()
        motion[2][index - 1] = (stretch.log() if field.scale_space == "log" else stretch).T.numpy()
    return first, motion


def _at_index(field: DeformableGaussianField, index: int) -> Gaussians:
    """Gaussians at one stored time."""
    return deform_gaussians(
        field.canonical,
        field.delta_means[index],
        field.delta_quaternions[index],
        field.delta_scales[index],
        scale_space=field.scale_space,
    )


def _motion_steps(base: Gaussians, motion: list[np.ndarray], scale_space: str) -> list[float]:
    """Smallest stored change of displacement, quaternion and scale; 16 bits must reach the largest value."""
    small_scale = float(np.quantile(base.scales.amax(-1).numpy(), 0.1))
    wanted = (0.02 * small_scale, 1 / 8192, 1 / 1024 if scale_space == "log" else small_scale / 8192)
    return [
        max(step, float(np.abs(part).max(initial=0.0)) / LARGEST)
        for step, part in zip(wanted, motion, strict=True)
    ]


def _pack_array(values: np.ndarray, bits: int) -> tuple[dict[str, Any], bytes]:
    """Description and bytes of a value per Gaussian and channel: 32-bit floats, or 16 bits over the range."""
    columns = values.T
    if bits == 32:
        return {"channels": len(columns), "bits": 32}, _byte_planes(columns.astype("<f4").view("<u4"))
    low, high = columns.min(axis=1, keepdims=True), columns.max(axis=1, keepdims=True)
    step = (high - low) / (2**16 - 1)
    levels = np.rint((columns - low) / np.where(step > 0, step, 1.0)).astype(np.uint16)
    entry = {"channels": len(columns), "bits": 16, "minimum": low[:, 0].tolist(), "step": step[:, 0].tolist()}
    return entry, _byte_planes(levels)


def _byte_planes(words: np.ndarray) -> bytes:
    """Words [..., gaussian] as bytes [..., byte, gaussian], lowest byte first."""
    little = np.ascontiguousarray(words).astype(words.dtype.newbyteorder("<"), copy=False)
    split = little.view(np.uint8).reshape(*words.shape, words.dtype.itemsize)
    return np.moveaxis(split, -1, -2).tobytes()
