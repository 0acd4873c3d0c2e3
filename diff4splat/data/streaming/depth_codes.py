r"""Depth in 16 bits a pixel, with one relative error everywhere.

$$c = 1 + \operatorname{round}\left(\frac{\ln(z / z_0)}{s}\right), \qquad z' = z_0 e^{s (c - 1)}, \qquad
  \left|\frac{z'}{z} - 1\right| \le e^{s/2} - 1$$

with $z_0$ the smallest depth of the recording and $c = 0$ where depth is unknown. Float16 has an error of
$2^{-11} = 4.9 \cdot 10^{-4}$ up to 65504 and none beyond it; inverse depth in 16 bits has one that grows with
depth. A code is kept as its difference to the code on its left, high bytes apart from low ones: neighbours
are alike, and so the high bytes take next to no space.
"""

import math

import numpy as np
from jaxtyping import Bool, Float, UInt8

__all__ = ["DEPTH_ERROR", "depth_from_codes", "depth_step", "depth_to_codes"]

DEPTH_ERROR = 2.5e-4
"""Largest relative error of depth where nobody asks for another: half of that of float16."""

_NUM_CODES = 65535  # without that of unknown depth
_ROUNDING = 1.2e-7  # of the float32 that is given back


def depth_step(near: float, far: float, error: float) -> tuple[float, float]:
    """The step of the codes that keeps an error, and the error that it has.

    Args:
        near: Smallest depth, > 0.
        far: Largest depth, at least `near`.
        error: Largest relative error wanted, in (0, 1).

    Returns:
        Step in the logarithm of depth, and the bound of the error: larger than asked for only where the range
        of depths has no room for so many codes.
    """
    step = 2 * math.log1p(error)
    step = max(step, math.log(far / near) / (_NUM_CODES - 1))
    return step, math.expm1(step / 2) + _ROUNDING


def depth_to_codes(
    depth: Float[np.ndarray, "height width"],
    mask: Bool[np.ndarray, "height width"],
    *,
    near: float,
    step: float,
) -> UInt8[np.ndarray, "byte=2 height width"]:
    """Codes of a depth map.

    Args:
        depth: z-depth, at least `near` where known.
        mask: Where it is known.
        near: Depth of code 1.
        step: Step in the logarithm of depth, from `depth_step`.

    Returns:
        High and low bytes of the differences of codes along rows.
    """
    logarithm = np.log(np.where(mask, depth, near).astype(np.float64) / near)
    codes = np.where(mask, 1 + np.rint(logarithm / step), 0).astype(np.uint16)
    codes[:, 1:] -= codes[:, :-1].copy()  # modulo 65536
    return np.stack((codes >> 8, codes & 255)).astype(np.uint8)


def depth_from_codes(
    codes: UInt8[np.ndarray, "byte=2 height width"], *, near: float, step: float
) -> tuple[Float[np.ndarray, "height width"], Bool[np.ndarray, "height width"]]:
    """Depth map of codes.

    Args:
        codes: What `depth_to_codes` gave.
        near: Depth of code 1.
        step: Step in the logarithm of depth.

    Returns:
        z-depth in float32, 0 where unknown, and where it is known.
    """
    differences = codes[0].astype(np.uint16) << 8 | codes[1]
    whole = np.cumsum(differences, axis=1, dtype=np.uint16)
    depths = near * np.exp(np.minimum(step * np.arange(_NUM_CODES), 200))  # codes that none has may overflow
    table = np.concatenate(([0.0], depths)).clip(max=np.finfo(np.float32).max).astype(np.float32)
    return table[whole], whole > 0
