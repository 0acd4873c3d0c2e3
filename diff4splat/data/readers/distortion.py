"""How much a lens bends an image, where a reader keeps its pinhole part only."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

__all__ = ["largest_shift"]


def largest_shift(
    distortion: Mapping[str, float], intrinsics: Float[Tensor, "3 3"], height: int, width: int
) -> float:
    r"""How far the distortion of a lens moves a point of the image's border, at most.

    With $r^2 = x^2 + y^2$ for a pinhole's normalised coordinates, the lens of OpenCV sees $x$ at
    $x (1 + k_1 r^2 + k_2 r^4 + k_3 r^6) + 2 p_1 x y + p_2 (r^2 + 2 x^2)$, and $y$ likewise with $p_1$ and
    $p_2$ exchanged.

    Args:
        distortion: `k1`, `k2`, `k3`, `p1`, `p2`, or `k` for `k1`; those left out are zero.
        intrinsics: Of the image, pixels.
        height: Image rows.
        width: Image columns.

    Returns:
        Distance, pixels, at the corners and the middles of the sides.
    """
    if not distortion:
        return 0.0
    k1, k2, k3, p1, p2 = (distortion.get(name, 0.0) for name in ("k1", "k2", "k3", "p1", "p2"))
    k1 += distortion.get("k", 0.0)
    (focal_x, _, centre_x), (_, focal_y, centre_y), _ = intrinsics.tolist()
    largest = 0.0
    for column in (0.0, width / 2, float(width)):
        for row in (0.0, height / 2, float(height)):
            x, y = (column - centre_x) / focal_x, (row - centre_y) / focal_y
            r2 = x * x + y * y
            radial = k1 * r2 + k2 * r2**2 + k3 * r2**3
            shift_x = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
            shift_y = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
            largest = max(largest, ((focal_x * shift_x) ** 2 + (focal_y * shift_y) ** 2) ** 0.5)
    return round(largest, 3)
