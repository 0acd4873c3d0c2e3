"""A depth map of the photograph, measured or estimated, sets the geometry and the size of a scene."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.geometry import fit_line, project
from diff4splat.pipelines.images import ImageSource, PreparedImage, centre_crop_box

if TYPE_CHECKING:
    import PIL.Image

__all__ = [
    "DepthKind",
    "DepthPrior",
    "align_depth",
    "apply_depth",
    "depth_in_crop",
    "depth_ratio",
    "estimate_depth",
    "first_view",
]

DepthKind = Literal["metric", "relative", "disparity"]
"""What the values of a depth map mean, see `DepthPrior`."""

_CELLS = (8, 16, 16)  # of the grid of corrections: log depth, rows, columns
_SPREADS = 4  # each carries corrections one cell further
_TRUST = 1e-3  # pixels' worth of weight of the median correction, which is all there is far from what is seen
_FRONT = 0.1  # how far in log depth from what is seen a Gaussian still is what is seen
_LEAST_ALPHA = 0.5
_FEWEST_PIXELS = 64
_ROUNDS = 50
_SMALL_RESIDUAL = 1e-4
_FARTHEST = 4.0  # of a disparity, in units of the farthest depth that was predicted
_TINY = 1e-6
_ESTIMATED_SIDE = 1024  # pixels; depth models read less
_OTHER_SHAPE = 0.02  # how far apart the ratios of sides may be


@dataclass(frozen=True, eq=False)
class DepthPrior:
    """Depth of a photograph, as a sensor or a model gives it.

    Args:
        depth: One value per pixel of the whole photograph, at any size. NaN, infinity and what is not above 0
            count as unknown, but 0 in a "disparity" as far away.
        kind: "metric": z-depth in metres; "relative": z-depth in an unknown unit; "disparity": inverse
            z-depth up to an unknown scale and shift, as MiDaS and the relative models of Depth Anything give
            it.

    Raises:
        TypeError: If `depth` is not floating point.
        ValueError: If `kind` is none of these, or fewer than 64 pixels are known.
    """

    depth: Float[Tensor, "height width"]
    kind: DepthKind = "metric"

    def __post_init__(self) -> None:
        if not self.depth.is_floating_point():
            raise TypeError(f"depth must be floating point, got {self.depth.dtype}.")
        if self.depth.ndim != 2:
            raise ValueError(f"depth must have shape [height, width], got {list(self.depth.shape)}.")
        if self.kind not in get_args(DepthKind):
            raise ValueError(f"kind must be one of {', '.join(get_args(DepthKind))}, got {self.kind!r}.")
        known = int(self.known.sum())
        if known < _FEWEST_PIXELS:
            raise ValueError(f"depth must be known at {_FEWEST_PIXELS} pixels or more, got {known}.")

    @property
    def known(self) -> Bool[Tensor, "height width"]:
        """Pixels whose depth is known."""
        return torch.isfinite(self.depth) & (self.depth >= 0 if self.kind == "disparity" else self.depth > 0)


def estimate_depth(
    image: ImageSource, estimate: Callable[["PIL.Image.Image"], tuple[Tensor, DepthKind]]
) -> DepthPrior:
    """Depth of a photograph by a depth model.

    Args:
        image: As for the pipeline.
        estimate: From an upright RGB picture to its depth and what the values mean, as
            `diff4splat.backbones.monocular_depth` makes it.

    Returns:
        Depth of the whole photograph.

    Raises:
        FileNotFoundError: If `image` is a path where nothing is.
        TypeError: If `image` is of another type.
        ValueError: If `image` is not readable as an image, or too few pixels of the depth are known.
    """
    from diff4splat.pipelines.decoding import decode_upright, opened, tensor_to_picture

    with opened(image) as (source, name):
        if isinstance(source, Tensor):
            picture = tensor_to_picture(source)
        else:
            aspect = source.width / source.height
            picture = decode_upright(
                source, name, is_file=source is not image, longest_side=_ESTIMATED_SIDE, aspect=aspect
            ).picture
        depth, kind = estimate(picture.convert("RGB"))
    return DepthPrior(depth, kind)


def align_depth(
    prior: DepthPrior,
    predicted: Float[Tensor, "height width"],
    *,
    mask: Bool[Tensor, "height width"] | None = None,
) -> Float[Tensor, "height width"]:
    r"""z-depth of a prior in the unit of a predicted depth map.

    A "metric" or "relative" prior $d$ is multiplied by the median of $p / d$, with $p$ = `predicted`. For a
    "disparity" $d$, $z = 1 / (a d + b)$ with the scale and shift that make $\sum p\,|1/p - a d - b|$ least,
    found by reweighted least squares; it ends at four times the farthest $p$, where a shift may have put the
    far end behind infinity.

    Args:
        prior: Depth of the same view, of the same size.
        predicted: z-depth, scene units.
        mask: Pixels where `predicted` counts; all when omitted.

    Returns:
        z-depth in the unit of `predicted`, NaN where unknown.

    Raises:
        ValueError: If the sizes differ, fewer than 64 pixels are known in both, or a disparity does not fall
            with the predicted depth.
    """
    given, target = _known_in_both(prior, predicted, mask)
    values = prior.depth.to(device=predicted.device, dtype=torch.float64)
    if prior.kind == "disparity":
        scale, shift = _fit_disparity(given, target)
        aligned = 1 / (scale * values + shift).clamp_min(1 / (_FARTHEST * target.amax()))
    else:
        aligned = values * (target / given).median()
    return torch.where(prior.known.to(aligned.device), aligned, torch.full_like(aligned, torch.nan)).to(
        predicted.dtype
    )


def depth_in_crop(prior: DepthPrior, photograph: PreparedImage) -> DepthPrior:
    """The part of a depth map that a prepared photograph shows, at the size of its detail copy.

    Args:
        prior: Depth of the whole upright photograph.
        photograph: The photograph after its crop.

    Returns:
        Depth of the crop; each pixel takes the nearest value, so that edges stay sharp.

    Raises:
        ValueError: If the depth map has another shape than the photograph, or nothing is known in the crop.
    """
    height, width = prior.depth.shape
    rows, columns = photograph.source_height, photograph.source_width
    if abs(height * columns / (width * rows) - 1) > _OTHER_SHAPE:
        raise ValueError(
            f"depth must have the shape of the photograph, {columns} x {rows} pixels, got {width} x {height}."
        )
    shape = photograph.detail.shape[-2:]
    top, left, rows, columns = centre_crop_box(height, width, aspect=shape[1] / shape[0])
    part = prior.depth[top : top + rows, left : left + columns]
    return replace(prior, depth=F.interpolate(part[None, None], size=shape, mode="nearest-exact")[0, 0])


def depth_ratio(prior: DepthPrior, field: DeformableGaussianField, camera: Cameras) -> float:
    """How much farther a depth map is than a scene: the median over what both show.

    Args:
        prior: Depth of one view, of kind "metric" or "relative".
        field: One scene without batch axes.
        camera: The camera of that view, one frame, of any size.

    Returns:
        The ratio, in units of the prior per scene unit, which are metres for a "metric" one.

    Raises:
        ValueError: If fewer than 64 pixels are known in both, or the prior is a disparity.
    """
    if prior.kind == "disparity":
        raise ValueError("prior must be a depth, whose size means something, got a disparity.")
    seen, visible = first_view(field, camera.resize(*prior.depth.shape))
    given, target = _known_in_both(prior, seen, visible)
    return 1 / float((target / given).median())


def apply_depth(
    field: DeformableGaussianField, prior: DepthPrior, camera: Cameras
) -> DeformableGaussianField:
    r"""A scene whose first view has a given depth map.

    A "metric" one is taken as it is, so the field must be in metres; others are aligned with what the field
    shows, see `align_depth`.

    Every Gaussian moves along its ray of the first camera, from z-depth $z$ to $z\,e^{c}$, and its size and
    motion grow as much:

    $$c = w \log\frac{d(p)}{z} + (1 - w)\, G(p, \log z), \qquad
      w = \exp\Big(-\frac{(\log z - \log s(p))^2}{2 \cdot 0.1^2}\Big)$$

    with $p$ its pixel, $d$ the depth map and $s$ the rendered depth at time 0: what is seen gets the depth of
    its pixel; what is hidden or outside the picture follows what is seen at like places and depths, by $G$, a
    coarse grid over rows, columns and log depth of the corrections $\log d/s$ (the bilateral grid of Chen et
    al. 2007).

    Args:
        field: One scene without batch axes.
        prior: Depth of the first view.
        camera: The camera of that view, one frame, of the size of `prior`, in the world of the field.

    Returns:
        The scene; opacities, colours and rotations are unchanged.

    Raises:
        ValueError: If the sizes differ, nothing that is seen has a known depth, or as for `align_depth`.
    """
    shape = tuple(prior.depth.shape)
    if (camera.height, camera.width) != shape or camera.num_frames != 1:
        raise ValueError(
            f"camera must be one frame of {list(shape)} pixels like depth, got {camera.num_frames} of "
            f"{[camera.height, camera.width]}."
        )
    seen, visible = first_view(field, camera)
    depth = prior.depth.to(seen) if prior.kind == "metric" else align_depth(prior, seen, mask=visible)
    known = torch.isfinite(depth) & (depth > 0) & visible
    if not bool(known.any()):
        raise ValueError("depth must be known where the scene is seen, got no such pixel.")
    log_seen = seen.clamp_min(_TINY).log()
    log_depth = torch.where(known, depth, torch.ones_like(depth)).log()
    near, far = log_seen[known].aminmax()
    span = (far - near).clamp_min(1e-3)
    height, width = shape

    pose = camera.camera_to_world[0]
    pixels, z = project(field.canonical.means, pose, camera.intrinsics[0])
    in_front = z > _TINY
    pixels = torch.where(in_front[:, None], pixels, torch.full_like(pixels, -1.0))
    log_z = z.clamp_min(_TINY).log()

    grid = _correction_grid(log_depth - log_seen, (log_seen - near) / span, known)
    size = pixels.new_tensor([width, height])
    place = torch.cat((pixels / size, ((log_z - near) / span)[:, None]), dim=1) * 2 - 1
    like_seen = F.grid_sample(
        grid[None, None], place.clamp(-1, 1)[None, None, None], padding_mode="border", align_corners=False
    )[0, 0, 0, 0]

    cell = pixels.floor().long()
    inside = in_front & (cell >= 0).all(1) & (cell < size).all(1)
    column, row = torch.where(inside[:, None], cell, torch.zeros_like(cell)).unbind(1)
    apart = log_z - log_seen[row, column]
    front = torch.where(inside & known[row, column], (-apart.square() / (2 * _FRONT**2)).exp(), 0.0)
    correction = front * (log_depth[row, column] - log_z) + (1 - front) * like_seen
    return _scaled_along_rays(field, pose[:3, 3], correction.exp()[:, None])


def first_view(
    field: DeformableGaussianField, camera: Cameras
) -> tuple[Float[Tensor, "height width"], Bool[Tensor, "height width"]]:
    """Rendered z-depth of one view at time 0, and where it shows more of the scene than not."""
    with torch.no_grad():
        view = field.render(camera, field.times.new_zeros(1))
    return view.depth[0, 0], (view.alpha[0, 0] > _LEAST_ALPHA) & (view.depth[0, 0] > _TINY)


def _known_in_both(prior: DepthPrior, predicted: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Values of a prior and of a predicted depth map where both are known, float64."""
    if prior.depth.shape != predicted.shape:
        raise ValueError(
            f"prior must have the size of predicted, {list(predicted.shape)}, got {list(prior.depth.shape)}."
        )
    both = prior.known.to(predicted.device) & torch.isfinite(predicted) & (predicted > 0)
    if mask is not None:
        both = both & mask
    count = int(both.sum())
    if count < _FEWEST_PIXELS:
        raise ValueError(
            f"prior and predicted must both be known at {_FEWEST_PIXELS} pixels or more, got {count}."
        )
    return prior.depth.to(device=predicted.device, dtype=torch.float64)[both], predicted[both].double()


def _fit_disparity(given: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and shift from disparity to inverse depth, by least absolute relative residuals."""
    inverse, weight = 1 / target, target.square()
    for _ in range(_ROUNDS):
        scale, shift = fit_line(given, inverse, weights=weight)
        residual = target * (scale * given + shift - inverse).abs()
        weight = target.square() / residual.clamp_min(_SMALL_RESIDUAL)
    if not bool(scale > 0):
        raise ValueError(
            "a disparity must be larger where the scene is nearer, got the opposite; a depth is of kind "
            "'relative' or 'metric'."
        )
    return scale, shift


def _correction_grid(change: Tensor, position: Tensor, known: Tensor) -> Float[Tensor, "layer row column"]:
    """Mean change of the known pixels around each cell; `position` is 0 at the nearest, 1 at the farthest."""
    layers, rows, columns = _CELLS
    height, width = change.shape
    layer = (position * layers).long().clamp(0, layers - 1)
    row = torch.arange(height, device=change.device)[:, None] * rows // height
    column = torch.arange(width, device=change.device) * columns // width
    cell = ((layer * rows + row) * columns + column)[known]
    values = torch.stack((change[known], torch.ones_like(change[known])))
    sums = change.new_zeros(2, layers * rows * columns).index_add(1, cell, values)
    spread = rearrange(sums, "s (l r c) -> s 1 l r c", l=layers, r=rows)
    total = spread
    for _ in range(_SPREADS):
        spread = F.avg_pool3d(F.pad(spread, (1,) * 6, mode="replicate"), 3, stride=1)
        total = total + spread
    weighted, weight = total[:, 0]
    return (weighted + _TRUST * change[known].median()) / (weight + _TRUST)


def _scaled_along_rays(
    field: DeformableGaussianField, origin: Tensor, ratio: Float[Tensor, "gaussian 1"]
) -> DeformableGaussianField:
    canonical = field.canonical
    means = origin + (canonical.means - origin) * ratio
    linear = field.scale_space == "linear"
    return replace(
        field,
        canonical=replace(canonical, means=means, scales=canonical.scales * ratio),
        delta_means=field.delta_means * ratio,
        delta_scales=field.delta_scales * ratio if linear else field.delta_scales,
    )
