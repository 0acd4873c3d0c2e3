"""Choice of Gaussians that are no part of any surface."""

from jaxtyping import Bool
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.editing.arguments import Moment, check_number, check_single
from diff4splat.editing.clusters import small_clusters
from diff4splat.editing.isolation import isolated_gaussians
from diff4splat.editing.near_cameras import gaussians_near_cameras
from diff4splat.editing.needles import needles
from diff4splat.gaussians import DeformableGaussianField

__all__ = ["floaters"]


def floaters(
    field: DeformableGaussianField,
    *,
    min_opacity: float = 0.005,
    num_neighbors: int = 8,
    ratio: float = 4.0,
    min_size: int = 8,
    reach: float = 6.0,
    time: Moment = None,
    cameras: Cameras | None = None,
    distance: float = 0.1,
) -> Bool[Tensor, " gaussian"]:
    """Which Gaussians look like debris: alone, in small groups, spikes, too faint, or before the lens.

    The union of `isolated_gaussians`, `small_clusters`, `needles`, those below `min_opacity` and, where
    `cameras` are given, `gaussians_near_cameras`. Those below `min_opacity` are no one's neighbours.
    `field.select(~mask)` is the field without them.

    Args:
        field: One field without batch axes.
        min_opacity: Smallest opacity that can be seen, at least 0.
        num_neighbors: Neighbours of each Gaussian that count; all others where there are fewer.
        ratio: See `isolated_gaussians`.
        min_size: See `small_clusters`.
        reach: See `small_clusters`.
        time: When: None for the canonical Gaussians, a time in [0, 1], or "any" or "all" of the stored times.
        cameras: Path, equally spaced in time from 0 to 1, that nothing may hang before.
        distance: Nearest that a Gaussian may come to a camera of the path, scene units.

    Returns:
        Mask over the Gaussians. Not differentiable.

    Raises:
        ValueError: If the field has batch axes or centres that are not finite, or a number is NaN or out of
            range.
    """
    check_single("floaters", field)
    check_number("min_opacity", min_opacity, least=0)
    seen = field.canonical.opacities.detach() >= min_opacity
    part = field.select(seen)
    found = needles(part, time=time) if part.num_gaussians else seen[seen]
    count = min(num_neighbors, part.num_gaussians - 1)
    if count > 0:
        found |= isolated_gaussians(part, num_neighbors=count, ratio=ratio, time=time)
        found |= small_clusters(part, min_size=min_size, num_neighbors=count, reach=reach, time=time)
    if cameras is not None:
        found |= gaussians_near_cameras(part, cameras, distance)
    mask = ~seen
    mask[seen] = found
    return mask
