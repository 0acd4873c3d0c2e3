"""Raw maps to physical values: depth, displacement, and the deformable field they make up."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField, Gaussians, rgb_to_harmonics
from diff4splat.geometry import (
    matrix_to_quaternion,
    project,
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_normalize,
    quaternion_rotate,
    unproject,
    unproject_pixels,
)
from diff4splat.models.convolutions import at_least_float32
from diff4splat.models.layout import GuidedSampler, Layout, pixel_layout

__all__ = ["assemble_field", "map_depth", "map_displacement", "map_rotation", "seen_before"]

_TYPICAL_DEPTH = 4.0
# Standard deviation of a fresh Gaussian in pixels: small enough to stay sharp under the renderer's own blur
# of sqrt(0.3) pixels, large enough to leave no holes.
_RELATIVE_SCALE = 0.35
_RENDER_BLUR = 0.3
_MAX_LOG_SCALE = 3.0


def map_depth(
    gaussian_map: Float[Tensor, "*batch channel=12 height width"],
) -> Float[Tensor, "*batch height width"]:
    r"""Z-depth of each pixel, $d = 4 e^{r}$ with $r$ the first channel, limited to [-5, 5].

    Args:
        gaussian_map: Raw Gaussian map.

    Returns:
        Depth in scene units, > 0.
    """
    return _TYPICAL_DEPTH * gaussian_map[..., 0, :, :].clamp(-5, 5).exp()


def map_displacement(
    deformation: Float[Tensor, "batch time map_frame channel=10 height width"],
    depth: Float[Tensor, "batch map_frame height width"],
    cameras: Cameras,
) -> Float[Tensor, "batch time map_frame height width xyz=3"]:
    r"""World displacement of each pixel's point, $\Delta\mu = R_k\,(d\, v)$.

    $v$ are the first three channels: displacement in units of depth along the axes of the frame's camera
    $R_k$, so that one image motion is one number wherever it happens.

    Args:
        deformation: Raw deformation maps.
        depth: Z-depth of the frames, scene units.
        cameras: Cameras of the frames that carry Gaussians.

    Returns:
        Displacement from a pixel's own time to the target times, scene units.
    """
    local = rearrange(deformation[:, :, :, :3], "b t f c h w -> b t f h w c") * depth[:, None, ..., None]
    rotation = cameras.camera_to_world[..., :3, :3].to(local.dtype)
    return torch.einsum("bfij,btfhwj->btfhwi", rotation, local)


def map_rotation(
    gaussian_map: Float[Tensor, "batch map_frame channel=12 height width"],
    deformation: Float[Tensor, "batch time map_frame channel2=10 height width"],
) -> Float[Tensor, "batch time map_frame xyz=3 height width"]:
    r"""Rotation of each pixel's Gaussian, $\sin(\theta / 2)\, n$ along the axes of the frame's camera.

    The head's quaternion $r$ turns a Gaussian in its own axes, $q \otimes r = (q \otimes r \otimes
    q^{-1}) \otimes q$: seen from outside it is a turn with the vector part of $r$ rotated by $q$.

    Args:
        gaussian_map: Raw Gaussian map, whose orientation $q$ is used.
        deformation: Raw deformation maps, whose quaternion $r$ is used.

    Returns:
        Vector part of the unit quaternion with a scalar part of at least 0, from a pixel's own time to the
        target times.
    """
    local = _unit_quaternions(gaussian_map[:, :, 7:11])[:, None]
    turn = _unit_quaternions(deformation[:, :, :, 3:7])
    turn = turn[..., 1:] * torch.where(turn[..., :1] < 0, -1.0, 1.0)
    return rearrange(quaternion_rotate(local, turn), "b t f h w i -> b t f i h w")


def assemble_field(
    gaussian_map: Float[Tensor, "batch map_frame channel=12 height width"],
    deformation: Float[Tensor, "batch time map_frame channel2=10 height width"],
    start: Float[Tensor, "batch one=1 map_frame channel2=10 height width"],
    *,
    cameras: Cameras,
    times: Float[Tensor, " time"],
    seen: Bool[Tensor, "batch map_frame height width"] | None = None,
    layout: Layout | None = None,
    image: Float[Tensor, "batch rgb=3 image_height image_width"] | None = None,
    origin: Float[Tensor, "batch 4 4"] | None = None,
) -> DeformableGaussianField:
    r"""Gaussians of all frames at time 0, and their deltas to the target times.

    $$\mu_0 = X_k + \Delta_k(0), \quad \Delta\mu_t = \Delta_k(t) - \Delta_k(0), \quad
      q_0 = q_k \otimes r_k(0), \quad \Delta q_t = r_k(0)^{-1} \otimes r_k(t)$$

    with $X_k, q_k$ where and how a pixel of frame k is seen, $\Delta_k, r_k$ its raw displacement and
    rotation; scales as means, in log space. Deformed by Eq. 7, these are at $X_k + \Delta_k(t)$, turned by
    $q_k \otimes r_k(t)$.

    A pixel of frame k is placed at its depth, which is where it is at its own time; its deformation to time 0
    is applied to give the canonical set, and subtracted from every delta. Of the raw channels $r$ of a pixel,

    $$d = 4 e^{r_0}, \quad c = r_{1:4} + \tfrac12, \quad
      s_i = p_i \sqrt{(0.35^2 + 0.3)\, a^2 - 0.3}\; e^{\mathrm{clamp}(r_{4+i}, \pm 3)}, \quad
      q \propto (1, 0, 0, 0) + r_{7:11}, \quad \alpha = \sigma(r_{11} + 3)$$

    with $r_0$ limited to [-5, 5]; $p$ = ($d / f_x$, $d / f_y$, their mean), the size of a pixel there; and
    $a$ the side in pixels of the block that the Gaussian stands for. So a raw zero is 0.35 pixels wide,
    and larger blocks are covered as a pixel is, the renderer's own blur of variance 0.3 included. With a
    layout colours are the layout's.

    Args:
        gaussian_map: Raw Gaussian map.
        deformation: Raw deformation from each pixel's own time to `times`.
        start: The same to time 0.
        cameras: Cameras of the frames that carry Gaussians, relative to the first.
        times: Target times, ascending.
        seen: Pixels of later frames to leave out, see `seen_before`; none when omitted.
        layout: Where the first frame's Gaussians stand on `image`, and their colours; needs `image`. The
            map's own pixels and colours when omitted.
        image: First frame; the maps are read along its edges.
        origin: Pose of the first camera in the world of the result; identity when omitted.

    Returns:
        Field with the Gaussians of frame 0 first, in the order of the layout, then rows before columns; those
        left out have opacity zero. Opacities of zero carry no gradient.

    Raises:
        ValueError: If there is a layout without an image.
    """
    if layout is not None and image is None:
        raise ValueError("image is needed with a layout, got None.")
    parts = []
    for index in range(gaussian_map.shape[1]):
        camera = cameras.select(slice(index, index + 1))
        maps = (gaussian_map[:, index], deformation[:, :, index], start[:, :, index])
        if index == 0 and layout is not None and image is not None:
            observed = _laid_out_gaussians(*maps, camera, layout, image)
        else:
            observed = _pixel_gaussians(*maps, camera)
            if index > 0 and seen is not None:
                hidden = seen[:, index].flatten(1)[..., None]
                observed["opacities"] = observed["opacities"].masked_fill(hidden, 0.0)
        parts.append(_from_time_zero(observed, origin))
    # Attribute by attribute, dropping the parts on the way: deltas of a long clip are most of the memory.
    whole = {name: torch.cat([part.pop(name) for part in parts], dim=-2) for name in list(parts[0])}
    canonical = Gaussians(
        means=whole["means"],
        quaternions=whole["quaternions"],
        scales=whole["scales"],
        opacities=whole["opacities"][..., 0],
        harmonics=rgb_to_harmonics(whole["colors"])[..., None, :],
    )
    return DeformableGaussianField(
        canonical=canonical,
        times=times,
        delta_means=whole["delta_means"],
        delta_quaternions=whole["delta_quaternions"],
        delta_scales=whole["delta_scales"],
    )


@torch.no_grad()
def seen_before(
    depth: Float[Tensor, "batch map_frame height width"],
    displacement: Float[Tensor, "batch target_frame=map_frame map_frame height width xyz=3"],
    cameras: Cameras,
    *,
    tolerance: float = 0.1,
) -> Bool[Tensor, "batch map_frame height width"]:
    r"""Pixels of later frames whose place an earlier frame already shows.

    $$\mathrm{seen} \iff 0 < z < (1 + \epsilon) \max_{3 \times 3} d_j(u, v)$$

    with $(u, v)$ and $z$ the place and depth at which frame j sees the point, $d_j$ = `depth` and $\epsilon$
    = `tolerance`; the farthest of 3 x 3 places, so that the rim of a foreground object does not claim the
    background.

    The point of a pixel of frame k is moved to the time of an earlier frame j and projected there. Where it
    falls into the image and not behind what frame j shows by more than `tolerance` of its depth, frame j
    knows that place: a Gaussian of frame k would only blur it. What was hidden from, or outside, every
    earlier frame is new and stays.

    Args:
        depth: Z-depth that each frame shows, scene units.
        displacement: World displacement of each pixel's point from its own time to the time of every frame.
        cameras: Cameras of the frames.
        tolerance: Relative depth difference that counts as the same surface.

    Returns:
        True where a pixel is redundant; always False in the first frame. Not differentiable.
    """
    rows, columns = depth.shape[-2:]
    seen = torch.zeros_like(depth, dtype=torch.bool)
    resized = cameras.resize(rows, columns)
    points = unproject(depth, resized.camera_to_world, resized.intrinsics)
    # The farthest depth nearby, so that the rim of a foreground object does not claim the background.
    reach = F.max_pool2d(depth, 3, stride=1, padding=1)
    for earlier in range(depth.shape[1] - 1):
        moved = points[:, earlier + 1 :] + displacement[:, earlier, earlier + 1 :]
        pixels, distance = project(
            moved.flatten(1, -2), resized.camera_to_world[:, earlier], resized.intrinsics[:, earlier]
        )
        inside = (pixels >= 0).all(-1) & (pixels[..., 0] < columns) & (pixels[..., 1] < rows) & (distance > 0)
        column = pixels[..., 0].nan_to_num().long().clamp(0, columns - 1)
        row = pixels[..., 1].nan_to_num().long().clamp(0, rows - 1)
        surface = torch.gather(reach[:, earlier].flatten(1), 1, row * columns + column)
        seen[:, earlier + 1 :] |= (inside & (distance < surface * (1 + tolerance))).view(moved.shape[:-1])
    return seen


def _pixel_gaussians(maps: Tensor, deformation: Tensor, start: Tensor, camera: Cameras) -> dict[str, Tensor]:
    """Attributes of one frame's Gaussians, one per place of its maps."""
    height, width = maps.shape[-2:]
    layout = pixel_layout(maps[:, 1:4] + 0.5)
    flat_maps, moved, moved_start = (values.flatten(-2) for values in (maps, deformation, start))
    return _gaussians_at(flat_maps, moved, moved_start, camera.resize(height, width), layout)


def _laid_out_gaussians(
    maps: Tensor, deformation: Tensor, start: Tensor, camera: Cameras, layout: Layout, image: Tensor
) -> dict[str, Tensor]:
    """Attributes of Gaussians laid out on an image of any size; the maps are read along its edges."""
    height, width = image.shape[-2:]
    positions = layout.pixels / layout.pixels.new_tensor([width, height])
    wide = image.detach().to(layout.pixels.dtype)
    coarse = F.interpolate(wide, size=maps.shape[-2:], mode="bilinear", antialias=True, align_corners=False)
    sample = GuidedSampler(positions, layout.colors, coarse)
    batch = maps.shape[0]
    moved, moved_start = (
        rearrange(sample(rearrange(v, "b t c h w -> b (t c) h w")), "b (t c) n -> b t c n", b=batch, c=10)
        for v in (deformation, start)
    )
    return _gaussians_at(sample(maps), moved, moved_start, camera.resize(height, width), layout)


def _gaussians_at(
    maps: Tensor, deformation: Tensor, start: Tensor, camera: Cameras, layout: Layout
) -> dict[str, Tensor]:
    """Attributes at their own time, and raw deformations, from raw values `batch ... channel gaussian`."""
    depth = map_depth(maps[..., None])[..., 0]
    pose, intrinsics = camera.camera_to_world[:, 0], camera.intrinsics[:, 0]
    # A block of s pixels is covered as a pixel is, the renderer's own blur of sqrt(0.3) pixels included.
    covered = (_RELATIVE_SCALE**2 + _RENDER_BLUR * (1 - layout.sizes**-2)).sqrt() * layout.sizes
    across, down = (depth / intrinsics[:, axis, axis, None] * covered for axis in (0, 1))
    footprint = torch.stack((across, down, (across + down) / 2), dim=1)
    stretch = maps[:, 4:7].clamp(-_MAX_LOG_SCALE, _MAX_LOG_SCALE).exp()
    local = _unit_quaternions(maps[:, 7:11, :, None])[:, :, 0]
    facing = matrix_to_quaternion(pose[:, :3, :3]).to(local.dtype)
    result = {
        "means": unproject_pixels(layout.pixels, depth, pose, intrinsics),
        "quaternions": quaternion_multiply(facing[:, None].expand_as(local), local),
        "scales": rearrange(footprint * stretch, "b c n -> b n c"),
        "opacities": torch.sigmoid(maps[:, 11] + 3.0)[..., None],
        "colors": layout.colors,
    }
    for name, raw in (("delta", deformation), ("start", start)):
        moved = map_displacement(raw[:, :, None, :, :, None], depth[:, None, :, None], camera)
        result[f"{name}_means"] = rearrange(moved, "b t 1 n 1 c -> b t n c")
        result[f"{name}_quaternions"] = _unit_quaternions(raw[:, :, 3:7, :, None])[..., 0, :]
        result[f"{name}_scales"] = rearrange(raw[:, :, 7:10], "b t c n -> b t n c")
    return result


def _from_time_zero(observed: dict[str, Tensor], origin: Tensor | None) -> dict[str, Tensor]:
    """One frame's Gaussians at time 0 and their deltas from there, in the world that `origin` leads to."""
    start_rotation = observed["start_quaternions"][:, 0]
    means = observed["means"] + observed["start_means"][:, 0]
    quaternions = quaternion_multiply(observed["quaternions"], start_rotation)
    delta_means = observed["delta_means"] - observed["start_means"]
    if origin is not None:
        rotation = matrix_to_quaternion(origin[:, :3, :3]).to(means.dtype)[:, None].expand_as(quaternions)
        means = quaternion_rotate(rotation, means) + origin[:, None, :3, 3]
        quaternions = quaternion_multiply(rotation, quaternions)
        delta_means = torch.einsum("bij,btnj->btni", origin[:, :3, :3].to(delta_means.dtype), delta_means)
    back = quaternion_conjugate(start_rotation)[:, None].expand_as(observed["delta_quaternions"])
    return {
        "means": means,
        "quaternions": quaternion_normalize(quaternions),
        "scales": observed["scales"] * observed["start_scales"][:, 0].exp(),
        "opacities": observed["opacities"],
        "colors": observed["colors"],
        "delta_means": delta_means,
        "delta_quaternions": quaternion_multiply(back, observed["delta_quaternions"]),
        "delta_scales": observed["delta_scales"] - observed["start_scales"],
    }


def _unit_quaternions(
    offset: Float[Tensor, "*batch wxyz=4 height width"],
) -> Float[Tensor, "*batch height width wxyz=4"]:
    """Unit quaternions from raw offsets to the identity; the normalisation of Appendix C.2."""
    offset = rearrange(at_least_float32(offset), "... c h w -> ... h w c")
    return quaternion_normalize(offset + offset.new_tensor([1.0, 0.0, 0.0, 0.0]))
