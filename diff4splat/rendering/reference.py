"""Slow, plain torch rasterizer: the oracle of the fast backends, and the fallback where numba is missing.

Any floating dtype, any device, differentiable by autograd alone. Every formula is written once, over dense
tensors; nothing is binned or approximated. The semantics are those of `gsplat.rasterization` (EWA splatting
of 3D Gaussians with 2D dilation).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = [
    "ALPHA_THRESHOLD",
    "CUTOFF_SIGMAS",
    "LARGEST",
    "LARGEST_PX",
    "MAX_ALPHA",
    "MIN_QUATERNION_LENGTH",
    "TRANSMITTANCE_STOP",
    "ProjectedGaussians",
    "check_values",
    "composite",
    "inspect",
    "project_gaussians",
    "rasterize",
]

ALPHA_THRESHOLD = 1.0 / 255.0
"""Contributions below this opacity are skipped."""
MAX_ALPHA = 0.999
"""No Gaussian covers a pixel more than this, by default; the value of gsplat 1.5 (1.6 has 0.99)."""
TRANSMITTANCE_STOP = 1e-4
"""A pixel is finished, without the Gaussian that would do it, once its transmittance would fall to this."""
CUTOFF_SIGMAS = 3.33
"""Half-width of the footprint in standard deviations: just outside the threshold of an opaque Gaussian."""

LARGEST = 1e18
"""Colours beyond this are refused, and depths are out of range: products with them would leave float32."""
LARGEST_PX = 1e9
"""Footprints centred farther away than this, or thinner than its inverse, are not visible, pixels: squares
of such lengths leave float32."""
MIN_QUATERNION_LENGTH = 1e-8
"""Shorter quaternions have no direction, and count as zero."""


class ProjectedGaussians(NamedTuple):
    """Gaussians as one camera sees them; entries with `visible` false carry no meaning.

    Args:
        means: Centres on the image, pixels, corner of the image at (0, 0).
        conics: Upper triangle (xx, xy, yy) of the inverse dilated 2D covariance, 1 / pixels squared.
        depths: z in the camera frame.
        opacities: Opacities, scaled down by the dilation in antialiased mode.
        radii: Half-widths of the footprint along x and y, whole pixels.
        visible: Gaussians that can touch the image.
        indices: Places of the Gaussians in the set.
    """

    means: Float[Tensor, "gaussian xy=2"]
    conics: Float[Tensor, "gaussian conic=3"]
    depths: Float[Tensor, " gaussian"]
    opacities: Float[Tensor, " gaussian"]
    radii: Float[Tensor, "gaussian xy=2"]
    visible: Bool[Tensor, " gaussian"]
    indices: Int[Tensor, " gaussian"]


def rasterize(
    means: Float[Tensor, "gaussian xyz=3"],
    quaternions: Float[Tensor, "gaussian wxyz=4"],
    scales: Float[Tensor, "gaussian xyz=3"],
    opacities: Float[Tensor, " gaussian"],
    colors: Float[Tensor, "#frame gaussian rgb=3"],
    world_to_camera: Float[Tensor, "frame 4 4"],
    intrinsics: Float[Tensor, "frame 3 3"],
    *,
    height: int,
    width: int,
    near: float,
    far: float,
    eps2d: float,
    radius_clip: float,
    mode: Literal["classic", "antialiased"],
    max_alpha: float = MAX_ALPHA,
    block_px: int | None = None,
) -> tuple[
    Float[Tensor, "frame rgb=3 height width"],
    Float[Tensor, "frame 1 height width"],
    Float[Tensor, "frame 1 height width"],
]:
    """Colour, alpha and accumulated depth of one set of Gaussians from several cameras, over black.

    Args:
        means: Centres, world units.
        quaternions: Rotations, wxyz, any nonzero length.
        scales: Standard deviations along the axes, world units.
        opacities: In [0, 1].
        colors: Colours, negative values count as 0; one set per camera, or one for all.
        world_to_camera: Rigid transforms into OpenCV camera frames.
        intrinsics: Pixels, no skew.
        height: Image height, pixels.
        width: Image width, pixels.
        near: Gaussians with smaller z are dropped.
        far: Gaussians with larger z are dropped.
        eps2d: Added to both variances of the 2D covariance, pixels squared.
        radius_clip: Gaussians whose footprint is no wider than this on both axes are dropped, pixels.
        mode: "antialiased" lowers opacities so that the dilation adds no energy.
        max_alpha: Largest opacity of one Gaussian at a pixel.
        block_px: Work through square blocks of this size with the Gaussians that reach each; the same image
            with far less work and memory. One dense pass when omitted.

    Returns:
        Colour, alpha and depth times alpha.

    Raises:
        ValueError: As `check_values`.
    """
    options = {"near": near, "far": far, "eps2d": eps2d, "radius_clip": radius_clip, "mode": mode}
    check_values(means, quaternions, scales, opacities, colors)
    gaussians = means, quaternions, scales, opacities, colors.clamp_min(0.0)
    paint = partial(composite, max_alpha=max_alpha)
    painted = _painted(paint, *gaussians, world_to_camera, intrinsics, height, width, block_px, options)
    return painted[:, :3], painted[:, 3:4], painted[:, 4:5]


def inspect(
    means: Float[Tensor, "gaussian xyz=3"],
    quaternions: Float[Tensor, "gaussian wxyz=4"],
    scales: Float[Tensor, "gaussian xyz=3"],
    opacities: Float[Tensor, " gaussian"],
    world_to_camera: Float[Tensor, "frame 4 4"],
    intrinsics: Float[Tensor, "frame 3 3"],
    *,
    height: int,
    width: int,
    near: float,
    far: float,
    eps2d: float,
    radius_clip: float,
    mode: Literal["classic", "antialiased"],
    max_alpha: float = MAX_ALPHA,
    block_px: int | None = None,
) -> tuple[Int[Tensor, "frame 1 height width"], Int[Tensor, "frame 1 height width"]]:
    """How many Gaussians contribute to a pixel, and which has the largest weight there.

    Args:
        means: As for `rasterize`.
        quaternions: As for `rasterize`.
        scales: As for `rasterize`.
        opacities: As for `rasterize`.
        world_to_camera: As for `rasterize`.
        intrinsics: As for `rasterize`.
        height: As for `rasterize`.
        width: As for `rasterize`.
        near: As for `rasterize`.
        far: As for `rasterize`.
        eps2d: As for `rasterize`.
        radius_clip: As for `rasterize`.
        mode: As for `rasterize`.
        max_alpha: As for `rasterize`.
        block_px: As for `rasterize`.

    Returns:
        Number, and index in the set, int32: the nearest of equals, -1 where there is none.
    """

    def paint(
        gaussians: ProjectedGaussians, _: Tensor, pixels: Float[Tensor, "pixel xy=2"]
    ) -> Float[Tensor, "pixel number_strongest=2"]:
        index, weights = _weights(gaussians, pixels, max_alpha)
        number = (weights > 0).sum(dim=0)
        if len(index) == 0:
            return torch.stack([number, torch.full_like(number, -1)], dim=-1).double()
        strongest = gaussians.indices[index][weights.argmax(dim=0)]
        return torch.stack([number, torch.where(number > 0, strongest, -1)], dim=-1).double()

    options = {"near": near, "far": far, "eps2d": eps2d, "radius_clip": radius_clip, "mode": mode}
    gaussians = means, quaternions, scales, opacities, torch.zeros_like(means)[None]
    with torch.no_grad():
        both = _painted(paint, *gaussians, world_to_camera, intrinsics, height, width, block_px, options)
    return both[:, :1].int(), both[:, 1:2].int()


def _painted(
    paint: Callable[[ProjectedGaussians, Tensor, Tensor], Tensor],
    means: Tensor,
    quaternions: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    world_to_camera: Tensor,
    intrinsics: Tensor,
    height: int,
    width: int,
    block_px: int | None,
    options: dict[str, Any],
) -> Float[Tensor, "frame channel height width"]:
    """Images whose pixels a function fills in, given the Gaussians that may reach them, and their colours."""
    block = max(height, width) if block_px is None else block_px
    images = []
    for frame in range(world_to_camera.shape[0]):
        frame_colors = colors[min(frame, colors.shape[0] - 1)]
        project: Callable[..., ProjectedGaussians] = partial(
            project_gaussians,
            world_to_camera=world_to_camera[frame],
            intrinsics=intrinsics[frame],
            height=height,
            width=width,
            **options,
        )
        # twice, because a zero gradient becomes NaN on its way back through what overflowed
        with torch.no_grad():
            index = project(means, quaternions, scales, opacities).visible.nonzero().squeeze(-1)
        selected = project(means[index], quaternions[index], scales[index], opacities[index])
        everything = selected._replace(indices=index), frame_colors[index]
        strips = []
        for top in range(0, height, block):
            # strips, then blocks: selecting a few out of many has a gradient as large as the many
            bottom = min(top + block, height)
            strip = (
                everything if block_px is None else _overlapping(*everything, axis=1, start=top, end=bottom)
            )
            blocks = []
            for left in range(0, width, block):
                right = min(left + block, width)
                near_by = strip if block_px is None else _overlapping(*strip, axis=0, start=left, end=right)
                values = paint(*near_by, _pixel_centers(top, bottom, left, right, like=means))
                blocks.append(values.T.unflatten(-1, (bottom - top, right - left)))
            strips.append(torch.cat(blocks, dim=-1))
        images.append(torch.cat(strips, dim=-2))
    return torch.stack(images) if images else means.new_zeros(0, 5, height, width)


def project_gaussians(
    means: Float[Tensor, "gaussian xyz=3"],
    quaternions: Float[Tensor, "gaussian wxyz=4"],
    scales: Float[Tensor, "gaussian xyz=3"],
    opacities: Float[Tensor, " gaussian"],
    world_to_camera: Float[Tensor, "4 4"],
    intrinsics: Float[Tensor, "3 3"],
    *,
    height: int,
    width: int,
    near: float,
    far: float,
    eps2d: float,
    radius_clip: float,
    mode: Literal["classic", "antialiased"],
) -> ProjectedGaussians:
    r"""Footprints of 3D Gaussians on the image plane of one camera.

    $$\Sigma' = J W \Sigma W^\top J^\top + \epsilon I, \qquad \Sigma = R S S^\top R^\top$$

    with $W$ the rotation of `world_to_camera`, $J$ the Jacobian of the pinhole projection at the centre,
    where the projected centre is clamped to the image widened by 15 % of its size on each side, and
    $\epsilon$ = `eps2d`. Source: Zwicker et al., EWA Splatting, Eq. 29 and 31; Kerbl et al., 3D Gaussian
    Splatting, Eq. 5.

    Args:
        means: Centres, world units.
        quaternions: Rotations, wxyz, any nonzero length.
        scales: Standard deviations along the axes, world units.
        opacities: In [0, 1].
        world_to_camera: Rigid transform into the OpenCV camera frame.
        intrinsics: Pixels, no skew.
        height: Image height, pixels.
        width: Image width, pixels.
        near: Gaussians with smaller z are not visible.
        far: Gaussians with larger z are not visible.
        eps2d: Added to both variances of the 2D covariance, pixels squared.
        radius_clip: Gaussians whose footprint is no wider than this on both axes are not visible, pixels.
        mode: "antialiased" multiplies opacities by the square root of the ratio of the determinants before
            and after dilation.

    Returns:
        One entry per Gaussian.
    """
    rotation, translation = world_to_camera[:3, :3], world_to_camera[:3, 3]
    centers = means @ rotation.T + translation
    depths = centers[:, 2]
    in_range = (depths >= near) & (depths <= far)
    z = torch.where(in_range, depths, torch.ones_like(depths))
    fx, fy, cx, cy = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
    x, y = fx * (centers[:, 0] / z), fy * (centers[:, 1] / z)
    pixel = torch.stack([x + cx, y + cy], dim=-1)
    clamped_x = torch.minimum(torch.maximum(x, -(cx + 0.15 * width)), 1.15 * width - cx)
    clamped_y = torch.minimum(torch.maximum(y, -(cy + 0.15 * height)), 1.15 * height - cy)
    zero = torch.zeros_like(z)
    jacobian = torch.stack(
        [
            torch.stack([fx / z, zero, -clamped_x / z], dim=-1),
            torch.stack([zero, fy / z, -clamped_y / z], dim=-1),
        ],
        dim=-2,
    )
    half = jacobian @ rotation @ (_rotation_matrices(quaternions) * scales[:, None, :])
    covariance = half @ half.transpose(-1, -2)

    xx, xy, yy = covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
    # as sums of squares: the differences xx yy - xy^2 cancel for needles
    determinant_before = torch.linalg.cross(half[:, 0], half[:, 1]).square().sum(dim=-1)
    determinant = determinant_before + eps2d * (xx + yy + eps2d)
    xx, yy = xx + eps2d, yy + eps2d
    has_area = (determinant > 0) & determinant.isfinite()
    safe = torch.where(has_area, determinant, torch.ones_like(determinant))
    conics = torch.stack([yy / safe, -xy / safe, xx / safe], dim=-1)
    if mode == "antialiased":
        ratio = determinant_before / safe
        shrinks = ratio > 0
        root = torch.sqrt(torch.where(shrinks, ratio, torch.ones_like(ratio)))
        opacities = opacities * torch.where(shrinks, root, torch.zeros_like(root))

    with torch.no_grad():
        reach = torch.sqrt(2 * torch.log(torch.clamp(opacities / ALPHA_THRESHOLD, min=1.0))).clamp(
            max=CUTOFF_SIGMAS
        )
        radii = torch.ceil(reach[:, None] * torch.stack([xx, yy], dim=-1).clamp(min=0).sqrt())
        size = torch.tensor([width, height], device=means.device, dtype=means.dtype)
        on_image = ((pixel + radii > 0) & (pixel - radii < size)).all(dim=-1)
        large = (radii > radius_clip).any(dim=-1)
        resolved = (pixel.abs() <= LARGEST_PX).all(dim=-1) & (conics.abs() <= LARGEST_PX**2).all(dim=-1)
        visible = in_range & has_area & large & on_image & resolved & (opacities >= ALPHA_THRESHOLD)
        indices = torch.arange(len(means), device=means.device)
    return ProjectedGaussians(pixel, conics, depths, opacities, radii, visible, indices)


def composite(
    gaussians: ProjectedGaussians,
    colors: Float[Tensor, "gaussian rgb=3"],
    pixels: Float[Tensor, "pixel xy=2"],
    *,
    max_alpha: float = MAX_ALPHA,
) -> Float[Tensor, "pixel rgb_alpha_depth=5"]:
    r"""Front-to-back alpha compositing of projected Gaussians at given pixel positions.

    $$C = \sum_i c_i \alpha_i T_i, \qquad T_i = \prod_{j<i} (1 - \alpha_j), \qquad
      \alpha_i = \min(\alpha_{max},\; o_i \, e^{-\frac12 d^\top \Sigma'^{-1} d})$$

    over Gaussians sorted by depth, with $\alpha_{max}$ = `max_alpha`. An $\alpha_i$ under 1/255 counts as
    zero; all terms from the first with $T_i (1 - \alpha_i) \le 10^{-4}$ on are dropped.
    Source: Kerbl et al., 3D Gaussian Splatting, Eq. 3.

    Args:
        gaussians: Footprints; invisible ones are skipped.
        colors: Colours of the Gaussians.
        pixels: Positions at which to evaluate, pixels; centres lie at +0.5.
        max_alpha: Largest opacity of one Gaussian at a pixel; at the cap its opacity has no gradient.

    Returns:
        Red, green, blue, alpha and depth times alpha of each pixel.
    """
    index, weights = _weights(gaussians, pixels, max_alpha)
    depths = gaussians.depths[index]
    values = torch.cat([colors[index], torch.ones_like(depths)[:, None], depths[:, None]], dim=-1)
    return weights.T @ values


def _weights(
    gaussians: ProjectedGaussians, pixels: Float[Tensor, "pixel xy=2"], max_alpha: float
) -> tuple[Int[Tensor, " selected"], Float[Tensor, "selected pixel"]]:
    """Visible Gaussians by depth, and alpha times transmittance of each at each pixel."""
    index = gaussians.visible.nonzero().squeeze(-1)
    index = index[torch.argsort(gaussians.depths[index], stable=True)]
    offset = pixels[None] - gaussians.means[index, None]
    xx, xy, yy = gaussians.conics[index, :, None].unbind(dim=1)
    power = 0.5 * (xx * offset[..., 0] ** 2 + yy * offset[..., 1] ** 2) + xy * offset[..., 0] * offset[..., 1]
    alpha = torch.clamp(gaussians.opacities[index, None] * torch.exp(-power), max=max_alpha)
    alpha = torch.where((alpha >= ALPHA_THRESHOLD) & (power >= 0), alpha, torch.zeros_like(alpha))
    after = torch.cumprod(1 - alpha, dim=0)
    before = torch.cat([torch.ones_like(after[:1]), after[:-1]]) if len(index) else after
    return index, torch.where(after > TRANSMITTANCE_STOP, alpha * before, torch.zeros_like(alpha))


def check_values(
    means: Float[Tensor, "gaussian xyz=3"],
    quaternions: Float[Tensor, "gaussian wxyz=4"],
    scales: Float[Tensor, "gaussian xyz=3"],
    opacities: Float[Tensor, " gaussian"],
    colors: Float[Tensor, "frame gaussian rgb=3"],
) -> None:
    """Refuse values that are no Gaussians.

    Args:
        means: Centres.
        quaternions: Rotations.
        scales: Standard deviations.
        opacities: Opacities.
        colors: Colours, as computed from `harmonics`, which is the name used in the message.

    Raises:
        ValueError: If a value is not finite, a colour exceeds `LARGEST`, or a quaternion is shorter than
            `MIN_QUATERNION_LENGTH`.
    """
    named = {"means": means, "quaternions": quaternions, "scales": scales, "opacities": opacities}
    for name, value in {**named, "harmonics": colors}.items():
        bad = int((~torch.isfinite(value)).sum())
        if bad:
            raise ValueError(f"{name} must be finite, got {bad} values that are NaN or infinite.")
    if (colors.abs() > LARGEST).any():
        raise ValueError(f"harmonics must give colours of at most {LARGEST:g}, got {colors.abs().max():.3g}.")
    shortest = quaternions.detach().double().norm(dim=-1).amin() if quaternions.numel() else math.inf
    if shortest < MIN_QUATERNION_LENGTH:
        raise ValueError(
            f"quaternions must not have length zero (below {MIN_QUATERNION_LENGTH}), got {shortest:.3g}."
        )


def _select(
    gaussians: ProjectedGaussians, colors: Float[Tensor, "gaussian rgb=3"], mask: Bool[Tensor, " gaussian"]
) -> tuple[ProjectedGaussians, Float[Tensor, "selected rgb=3"]]:
    index = mask.nonzero().squeeze(-1)
    return ProjectedGaussians(*(v[index] for v in gaussians)), colors[index]


def _overlapping(
    gaussians: ProjectedGaussians, colors: Float[Tensor, "gaussian rgb=3"], *, axis: int, start: int, end: int
) -> tuple[ProjectedGaussians, Float[Tensor, "selected rgb=3"]]:
    """Gaussians whose footprint meets an interval of the x (0) or y (1) axis of the image."""
    center, radius = gaussians.means[:, axis], gaussians.radii[:, axis]
    return _select(gaussians, colors, (center + radius > start) & (center - radius < end))


def _pixel_centers(
    top: int, bottom: int, left: int, right: int, *, like: Tensor
) -> Float[Tensor, "pixel xy=2"]:
    y = torch.arange(top, bottom, device=like.device, dtype=like.dtype) + 0.5
    x = torch.arange(left, right, device=like.device, dtype=like.dtype) + 0.5
    return torch.cartesian_prod(y, x).flip(-1).reshape(-1, 2)


def _rotation_matrices(quaternions: Float[Tensor, "gaussian wxyz=4"]) -> Float[Tensor, "gaussian 3 3"]:
    """Rotation matrices of quaternions of any nonzero length."""
    largest = quaternions.detach().abs().amax(dim=-1, keepdim=True)  # its square may leave float32
    quaternions = quaternions / largest
    w, x, y, z = (quaternions / quaternions.norm(dim=-1, keepdim=True)).unbind(dim=-1)
    entries = [
        1 - 2 * (y * y + z * z),
        2 * (x * y - w * z),
        2 * (x * z + w * y),
        2 * (x * y + w * z),
        1 - 2 * (x * x + z * z),
        2 * (y * z - w * x),
        2 * (x * z - w * y),
        2 * (y * z + w * x),
        1 - 2 * (x * x + y * y),
    ]
    return torch.stack(entries, dim=-1).reshape(-1, 3, 3)
