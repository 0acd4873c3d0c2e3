"""A field as the compact bytes that the HTML player reads.

Everything is relative to the field at its first stored time. Numbers are rounded to steps that nobody sees,
stored as planes (all first bytes of a channel, then all second bytes) and deflated: what is smooth or small
shrinks. Gaussians that move come first, so that the others need no motion and no index.
"""

import zlib
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt16
from torch import Tensor

from diff4splat.gaussians import DeformableGaussianField, deform_gaussians
from diff4splat.geometry import quaternion_to_rotation_vector
from diff4splat.viewer.packed_motion import entropy_bytes, pack_motion

__all__ = ["pack_field"]

MIN_OPACITY = 1 / 255  # below, the renderer draws nothing
MAX_DEGREE = 3
FREE_BYTES = 17_000_000  # that a scene may cost before its motion is made coarser: 23 MB of text
BYTES_PER_TIME = 6.8  # that a Gaussian of a larger scene may cost per stored time
LARGEST_WORD = 2**16 - 1


def pack_field(field: DeformableGaussianField) -> tuple[dict[str, Any], bytes]:
    """Description and raw-deflate bytes of a field, for the player.

    Means keep 32 bits, from the origin that the description names. Other numbers are rounded to steps: 1/1024
    of opacity, 1/512 radian of rotation, 1/256 of a log-scale and of harmonics; in motion 1/64 of the
    Gaussian's own size, 1/256 radian and 1/128 of a log-scale. Steps are wider where 16 bits would not reach
    the largest value. Where the bytes would exceed 17 MB, and 6.8 per Gaussian and stored time, the steps of
    motion grow by one factor until they fit or a number of motion has 3.5 bits on average. Gaussians of
    opacity below 1/255 are left out, and so are harmonics above degree 3.

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
    field = field.detach().to("cpu")
    if (field.canonical.opacities < MIN_OPACITY).any():
        field = field.prune(MIN_OPACITY)
    if not field.num_gaussians:
        raise ValueError("field must have Gaussians of opacity above 1/255, got none.")
    first = deform_gaussians(
        field.canonical.to(dtype=torch.float64),
        *(deltas[0].double() for deltas in (field.delta_means, field.delta_quaternions, field.delta_scales)),
        scale_space=field.scale_space,
    )
    origin = first.means.mean(0)
    degree = min(first.sh_degree, MAX_DEGREE)
    still = [
        _round("opacities", first.opacities[:, None], 1 / 1024),
        _round("rotations", quaternion_to_rotation_vector(first.quaternions), 1 / 512),
        _round("scales", first.scales.log(), 1 / 256),
        _round("harmonics", first.harmonics[:, : (degree + 1) ** 2].clamp(-16, 16).flatten(1), 1 / 256),
    ]
    spent = 12 * field.num_gaussians + sum(entropy_bytes(words) for _, words in still)
    allowed = max(FREE_BYTES, BYTES_PER_TIME * field.num_gaussians * field.num_times)
    motion = pack_motion(field, first, max_bytes=allowed - spent)
    order, moving = motion.order, len(motion.log_steps)
    reach, reach_words = _round("logSteps", torch.from_numpy(motion.log_steps)[:, None], 1 / 8)
    header = {
        "count": field.num_gaussians,
        "moving": moving,
        "origin": origin.tolist(),
        "times": field.times.tolist(),
        "degree": degree,
        "scaleSpace": field.scale_space,
        "rotationStep": motion.rotation_step,
        "stretchStep": motion.stretch_step,
        "prediction": motion.prediction,
        "arrays": [{"name": "means", "channels": 3, "bits": 32}, *(entry for entry, _ in still), reach],
    }
    planes = [
        _byte_planes((first.means - origin).float().numpy().T[:, order].view(np.uint32)),
        *(_byte_planes(words[:, order]) for _, words in still),
        _byte_planes(reach_words),
        _byte_planes(motion.residuals),
    ]
    return header, _deflate(b"".join(planes))


def _round(
    name: str, values: Float[Tensor, "gaussian channel"], step: float
) -> tuple[dict[str, Any], UInt16[np.ndarray, "channel gaussian"]]:
    """Description, and 16-bit steps above each channel's smallest value, wider where they do not reach."""
    columns = values.T.numpy()
    low = columns.min(axis=1, initial=np.inf if columns.size else 0.0)
    if columns.size:
        step = max(step, float((columns - low[:, None]).max()) / LARGEST_WORD)
    words = np.rint((columns - low[:, None]) / step).astype(np.uint16)
    return {"name": name, "channels": len(columns), "bits": 16, "minimum": low.tolist(), "step": step}, words


def _byte_planes(words: np.ndarray) -> bytes:
    """Words [..., gaussian] as bytes [..., byte, gaussian], lowest byte first."""
    little = np.ascontiguousarray(words).astype(words.dtype.newbyteorder("<"), copy=False)
    split = little.view(np.uint8).reshape(*words.shape, words.dtype.itemsize)
    return np.moveaxis(split, -1, -2).tobytes()


def _deflate(data: bytes) -> bytes:
    """Raw deflate by runs and histograms: what is left after prediction has no words that repeat."""
    stream = zlib.compressobj(wbits=-15, memLevel=9, strategy=zlib.Z_RLE)
    return stream.compress(data) + stream.flush()
