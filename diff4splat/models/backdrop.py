"""What stands behind a scene: a coarse, blurred backdrop, so that unseen places are not holes."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.gaussians import (
    DeformableGaussianField,
    Gaussians,
    concatenate_gaussians,
    rgb_to_harmonics,
)
from diff4splat.geometry import matrix_to_quaternion, unproject_pixels
from diff4splat.models.layout import pixel_layout

__all__ = ["append_static", "backdrop_gaussians"]

_RELATIVE_SCALE = 0.65
_OPACITY = 0.97


def backdrop_gaussians(
    image: Float[Tensor, "batch rgb=3 height width"],
    depth: Float[Tensor, "batch map_height map_width"],
    cameras: Cameras,
    *,
    cells: int = 32,
    margin: float = 0.5,
    behind: float = 1.15,
) -> Gaussians:
    r"""Large static Gaussians behind and around what the first camera sees.

    $$z = b \max_{\mathrm{near}} d, \qquad c = \frac{B * (d^4 c)}{B * d^4}, \qquad s = 0.65\, z / f$$

    with $d$, $c$ the depth and colours of the image averaged over half-cells and continued outwards from the
    border, $b$ = `behind`, the farthest depth within two half-cells, $B$ a blur by three box filters
    of five half-cells, $f$ the smaller focal length in cells, and opacity 0.97. So they lie
    behind the farthest surface nearby and carry the colours of the far parts of the neighbourhood. A view
    that uncovers a place no frame shows meets a blurred guess instead of nothing.

    Args:
        image: First frame, values in [0, 1].
        depth: Its z-depth at any resolution, scene units.
        cameras: Its camera, one frame.
        cells: Gaussians per side of the image.
        margin: How far the backdrop reaches beyond each border, as a share of the image; rounded to whole
            cells, of which there are `cells` + 2 round(`cells` `margin`) per side in all.
        behind: Its depth over the farthest depth nearby, above 1.

    Returns:
        Gaussians at time 0, rows before columns. Without gradient to `image` and `depth`.

    Raises:
        ValueError: If `cells` is below 1.
    """
    if cells < 1:
        raise ValueError(f"cells must be at least 1, got {cells}.")
    with torch.no_grad():
        near = F.interpolate(depth[:, None], size=(2 * cells, 2 * cells), mode="area")
        colors = F.interpolate(image, size=(2 * cells, 2 * cells), mode="area")
        border = round(cells * margin)
        pad = 2 * border
        near, colors = (F.pad(v, (pad, pad, pad, pad), mode="replicate") for v in (near, colors))
        # Far parts speak for what is hidden: a foreground object tells nothing of what is behind it.
        weight = near.square().square()
        blurred = _blur(torch.cat((colors * weight, weight), dim=1))
        colors = F.avg_pool2d(blurred[:, :3] / blurred[:, 3:].clamp_min(1e-12), 2)
        far = behind * F.max_pool2d(F.max_pool2d(near, 5, stride=1, padding=2), 2)
        layout = pixel_layout(colors.clamp(0, 1))
        camera = cameras.resize(cells, cells)
        pose, intrinsics = camera.camera_to_world[:, 0], camera.intrinsics[:, 0]
        distance = rearrange(far, "b 1 h w -> b (h w)")
        focal = torch.minimum(intrinsics[:, 0, 0], intrinsics[:, 1, 1])
        scales = _RELATIVE_SCALE * distance / focal[:, None]
        facing = matrix_to_quaternion(pose[:, :3, :3]).to(scales.dtype)
        count = distance.shape[1]
        return Gaussians(
            means=unproject_pixels(layout.pixels - border, distance, pose, intrinsics),
            quaternions=facing[:, None].repeat(1, count, 1),
            scales=scales[..., None].repeat(1, 1, 3),
            opacities=torch.full_like(scales, _OPACITY),
            harmonics=rgb_to_harmonics(layout.colors)[..., None, :],
        )


def append_static(field: DeformableGaussianField, gaussians: Gaussians) -> DeformableGaussianField:
    """A field with further Gaussians that never move, after its own.

    Args:
        field: Field, any batch axes.
        gaussians: Gaussians with the same batch axes.

    Returns:
        The larger field; the new Gaussians have identity deltas.
    """
    shape = (*field.delta_means.shape[:-2], gaussians.num_gaussians)
    still = field.delta_means.new_zeros(*shape, 3)
    identity = torch.cat((torch.ones_like(still[..., :1]), still), dim=-1)
    return replace(
        field,
        canonical=concatenate_gaussians([field.canonical, gaussians]),
        delta_means=torch.cat((field.delta_means, still), dim=-2),
        delta_quaternions=torch.cat((field.delta_quaternions, identity), dim=-2),
        delta_scales=torch.cat((field.delta_scales, still), dim=-2),
    )


def _blur(maps: Tensor) -> Tensor:
    """Three box filters one after another: close to a Gaussian of about two and a half places."""
    for _ in range(3):
        maps = F.avg_pool2d(F.pad(maps, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
    return maps
