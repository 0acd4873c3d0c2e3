"""Points that two images share: by descriptors, and whether they agree with the cameras."""

import torch
from einops import einsum
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from diff4splat.geometry import rigid_inverse

__all__ = ["epipolar_distances", "epipolar_inliers", "mutual_nearest_neighbours"]

_BLOCK_NUMBERS = 2**21  # distances that are held at once: 16 MiB
_AT_REST = 1e-6  # length of the way between two cameras, by their distance from the origin


def mutual_nearest_neighbours(
    first: Float[Tensor, "first feature"],
    second: Float[Tensor, "second second_feature"],
    *,
    ratio: float | None = None,
) -> Int64[Tensor, "match pair=2"]:
    r"""Pairs of descriptors of which each is the other's nearest.

    $$M = \{(i, j) : j = \arg\min_k \lVert a_i - b_k \rVert,\; i = \arg\min_k \lVert a_k - b_j \rVert\}$$

    with $a$ = `first` and $b$ = `second`; every descriptor is in one pair at most. With `ratio` $r$, also
    $\lVert a_i - b_j \rVert < r \, \lVert a_i - b_k \rVert$ for every other $k$ (Lowe 2004, Sec. 7.1).
    Distances are computed in float64, block by block, so 20,000 by 20,000 need no table of them all.

    Args:
        first: Descriptors of the points of one image.
        second: Those of the other; for descriptors of length 1 the order is that of their products, too.
        ratio: Largest accepted ratio of the distances to the nearest and the second nearest, in (0, 1]; no
            such test when omitted. With one descriptor in `second` there is no second nearest, and the pair
            is kept.

    Returns:
        Indices into `first` and `second`, ascending in the first.

    Raises:
        ValueError: If the lengths or types of the descriptors differ, one is not finite, or `ratio` is out of
            range.
    """
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"second must have descriptors of length {first.shape[1]} as first, got {second.shape[1]}."
        )
    if first.dtype != second.dtype:
        raise ValueError(f"second must be of the type of first, {first.dtype}, got {second.dtype}.")
    if ratio is not None and not 0 < ratio <= 1:
        raise ValueError(f"ratio must lie in (0, 1], got {ratio}.")
    for name, descriptors in (("first", first), ("second", second)):
        if not torch.isfinite(descriptors).all():
            raise ValueError(f"{name} must be finite, got NaN or infinity.")
    if not len(first) or not len(second):
        return torch.empty((0, 2), dtype=torch.int64, device=first.device)
    forth, back, squares = _nearest(first, second)
    index = torch.arange(len(first), device=first.device)
    kept = back[forth] == index
    if ratio is not None:
        kept &= squares[:, 0] < ratio**2 * squares[:, 1]
    return torch.stack((index, forth), dim=-1)[kept]


def epipolar_distances(
    first: Float[Tensor, "match xy=2"],
    second: Float[Tensor, "match xy=2"],
    first_to_second: Float[Tensor, "4 4"],
    intrinsics: Float[Tensor, "image=2 3 3"],
) -> Float[Tensor, " match"]:
    r"""How far matches are from what two cameras allow, pixels (Sampson's distance).

    $$d = \frac{\lvert \tilde y^\top F \tilde x \rvert}
      {\sqrt{(F \tilde x)_1^2 + (F \tilde x)_2^2 + (F^\top \tilde y)_1^2 + (F^\top \tilde y)_2^2}}, \qquad
      F = K_2^{-\top} [t]_\times R \, K_1^{-1}$$

    with $x$ = `first`, $y$ = `second`, $\tilde x = (x, 1)$, and $R, t$ of `first_to_second`: to first order
    the least shift of both points together that puts them on each other's epipolar lines. Motion along the
    lines is not seen. Where the two cameras stand at one place there are no such lines; then $d = \lVert y -
    \pi(K_2 R K_1^{-1} \tilde x) \rVert / \sqrt 2$ with $\pi(a, b, c) = (a, b) / c$, the distance from where
    the turn takes the point, shared by both. Source: Hartley and Zisserman 2004, Sec. 11.4.3 and 13.6.

    Args:
        first: Points of the first image, pixels.
        second: The points of the second image that they were matched to, pixels.
        first_to_second: Rigid transform from the axes of the first camera to those of the second, any unit.
        intrinsics: The two lenses, pixels.

    Returns:
        Distances in float64, >= 0; infinity for a point that the turn takes behind the second camera.

    Raises:
        ValueError: If the points are not pairs of x and y, or there are not two lenses.
    """
    if first.shape != second.shape or first.ndim != 2 or first.shape[1] != 2:
        raise ValueError(
            f"first and second must be as many x and y, got shapes {tuple(first.shape)} and "
            f"{tuple(second.shape)}."
        )
    if intrinsics.shape != (2, 3, 3):
        raise ValueError(f"intrinsics must be two lenses, (2, 3, 3), got shape {tuple(intrinsics.shape)}.")
    points = [torch.nn.functional.pad(xy.double(), (0, 1), value=1.0) for xy in (first, second)]
    rotation, way = first_to_second[:3, :3].double(), first_to_second[:3, 3].double()
    inverses = torch.linalg.inv(intrinsics.double())
    if not way.any():
        turned = points[0] @ (intrinsics[1].double() @ rotation @ inverses[0]).T
        distances = (turned[:, :2] / turned[:, 2:] - points[1][:, :2]).norm(dim=-1) / 2**0.5
        return torch.where(turned[:, 2] > 0, distances, torch.full_like(distances, torch.inf))
    essential = torch.linalg.cross(way.expand(3, 3), rotation.T).T  # each column of the rotation
    fundamental = inverses[1].T @ essential @ inverses[0]
    lines = points[0] @ fundamental.T, points[1] @ fundamental
    products = einsum(points[1], lines[0], "match component, match component -> match").abs()
    slopes = torch.cat((lines[0][:, :2], lines[1][:, :2]), dim=-1).norm(dim=-1)
    return torch.where(products > 0, products / slopes, torch.zeros_like(products))


def epipolar_inliers(
    first: Float[Tensor, "match xy=2"],
    second: Float[Tensor, "match xy=2"],
    camera_to_world: Float[Tensor, "image=2 4 4"],
    intrinsics: Float[Tensor, "image=2 3 3"],
    *,
    threshold_px: float,
) -> Bool[Tensor, " match"]:
    """Matches that agree with two cameras, those whose `epipolar_distances` is at most a threshold.

    Cameras closer to each other than a millionth of their distance from the origin stand at one place.

    Args:
        first: Points of the first image, pixels, centres of pixels at +0.5.
        second: The points of the second image that they were matched to.
        camera_to_world: The two poses, OpenCV axes.
        intrinsics: The two lenses, pixels.
        threshold_px: Largest accepted distance, pixels.

    Returns:
        Whether each match agrees; nothing can be said about points that move along epipolar lines.

    Raises:
        ValueError: If `threshold_px` is not positive, a point or pose is not finite, points are not pairs of
            x and y, or there are not two cameras.
    """
    if not 0 < threshold_px < float("inf"):
        raise ValueError(f"threshold_px must be a positive number, got {threshold_px}.")
    if camera_to_world.shape != (2, 4, 4):
        raise ValueError(f"camera_to_world must be two poses, (2, 4, 4), got {tuple(camera_to_world.shape)}.")
    for name, values in (("first", first), ("second", second), ("camera_to_world", camera_to_world)):
        if not torch.isfinite(values).all():
            raise ValueError(f"{name} must be finite, got NaN or infinity.")
    poses = camera_to_world.double()
    first_to_second = rigid_inverse(poses[1]) @ poses[0]
    if first_to_second[:3, 3].norm() <= _AT_REST * (1e-12 + poses[:, :3, 3].norm(dim=-1).max()):
        first_to_second[:3, 3] = 0
    return epipolar_distances(first, second, first_to_second, intrinsics) <= threshold_px


def _nearest(
    first: Float[Tensor, "first feature"], second: Float[Tensor, "second feature"]
) -> tuple[Int64[Tensor, " first"], Int64[Tensor, " second"], Float[Tensor, "first nearest=2"]]:
    """Nearest of each in the other set, and squared distances of the first to their two nearest.

    The second nearest is infinitely far where there is none.
    """
    keys = second.double()
    lengths = keys.square().sum(-1)
    forth, squares = [], []
    back = torch.zeros(len(second), dtype=torch.int64, device=first.device)
    least = torch.full_like(lengths, torch.inf)
    start = 0
    for part in first.split(max(1, _BLOCK_NUMBERS // len(second))):
        queries = part.double()
        # float64, because the difference of large squares would lose near neighbours in float32
        table = torch.addmm(lengths, queries, keys.T, alpha=-2).add_(queries.square().sum(-1, keepdim=True))
        below, row = table.clamp_min_(0).min(0)
        back = torch.where(below < least, row + start, back)
        least = torch.minimum(below, least)
        best, index = table.min(-1)
        rest = table.scatter_(-1, index[:, None], torch.inf).amin(-1)
        forth.append(index)
        squares.append(torch.stack((best, rest), dim=-1))
        start += len(part)
    return torch.cat(forth), back, torch.cat(squares)
