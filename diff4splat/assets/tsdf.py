"""Depth maps of many views fused into one signed distance, kept in blocks around the surface only."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from diff4splat.assets.depth_weights import surface_weights
from diff4splat.cameras import Cameras
from diff4splat.geometry import rigid_inverse, unproject

__all__ = ["BLOCK", "DistanceVolume", "fuse_depth"]

BLOCK = 8
"""Voxels along each side of a block."""

_MAX_VOXELS = 1 << 25
_KEY_BITS = 20
_CHUNK = 1024  # blocks that are fused at once
_PIXELS = 2.0  # of the default voxel
_VOXELS = 4.0  # of the default truncation
_BEHIND = 2.0  # truncations along a ray, at most, that a view tells of what is behind its surface
_ALL_ANGLES, _LEAST_COSINE = 89.9, 0.1


@dataclass(frozen=True, eq=False)
class DistanceVolume:
    """Signed distance to a surface, in front of it positive, known in blocks of 8 x 8 x 8 voxels around it.

    Voxel (i, j, k) of the block (x, y, z) stands at (8x + i, 8y + j, 8z + k) times `voxel_size`, world
    coordinates.

    Args:
        blocks: Places of the blocks, sorted.
        distance: Mean signed distance over `truncation`, in [-1, 1]; 1 where nothing was seen.
        weight: Sum of the weights of the pixels that saw a voxel; 0 where none did.
        color: Mean sRGB, in [0, 1], of the pixels that saw a surface near a voxel; 0 where none did.
        voxel_size: Distance of neighbouring voxels, scene units.
        truncation: Distance that 1 stands for, scene units.
    """

    blocks: Int[Tensor, "block xyz=3"]
    distance: Float[Tensor, "block x=8 y=8 z=8"]
    weight: Float[Tensor, "block x=8 y=8 z=8"]
    color: Float[Tensor, "block x=8 y=8 z=8 rgb=3"]
    voxel_size: float
    truncation: float

    @property
    def num_voxels(self) -> int:
        """Number of voxels that are stored."""
        return self.distance.numel()


def fuse_depth(
    depth: Float[Tensor, "frame height width"],
    color: Float[Tensor, "frame rgb=3 height width"],
    cameras: Cameras,
    *,
    weights: Float[Tensor, "frame height width"] | None = None,
    voxel_size: int | float | None = None,
    truncation: int | float | None = None,
    max_voxels: int = _MAX_VOXELS,
) -> DistanceVolume:
    r"""Weighted mean over the views of how far in front of its surface each voxel lies.

    $$D(x) = \frac{\sum_f w_f \min(1, d_f(x) / \tau)}{\sum_f w_f}, \qquad
      d_f(x) = c_f \, \bigl(z_f(\pi_f(x)) - z\bigr) \frac{\lVert x - o_f \rVert}{z}$$

    over the views $f$ that see $x$ (at z-depth $z$, pixel $\pi_f(x)$, from $o_f$) no deeper than
    $\tau$ = `truncation` behind their surface, with $z_f$ = `depth`, $w_f$ = `weights` and $c_f$ the cosine
    of `surface_weights`, at least 0.1, there: the distance along the ray becomes that to the surface. Depth
    is read between pixels where it is smooth, and of the nearest pixel where it is not. Views that look
    through a voxel at something behind it count, too: that is what takes floating specks away.
    Source: Curless and Levoy, A Volumetric Method for Building Complex Models from Range Images, 1996.

    Only blocks of voxels within `truncation` of some depth pixel are made; each takes 12 kB, and twice that
    while they are filled. Where pixels lie farther apart than a block (8 voxels), surfaces get holes.

    Args:
        depth: z-depth, scene units; what is not finite or not above 0 counts as unknown.
        color: sRGB in [0, 1].
        cameras: One camera per map, of its size, without batch axes.
        weights: Trust in each pixel, >= 0, 0 to leave it out; `surface_weights` of `depth` when omitted.
        voxel_size: Scene units; twice the median width of a pixel on its surface when omitted.
        truncation: Scene units, at least two voxels; four voxels when omitted.
        max_voxels: Most voxels to make, a bound on memory: 24 bytes each.

    Returns:
        The volume, float32 on the device of `depth`; not differentiable.

    Raises:
        ValueError: If shapes differ, no pixel is known, a size or a weight is negative or not finite, or the
            surface needs more voxels than `max_voxels`.
    """
    frames, height, width = depth.shape
    if cameras.batch_shape or (cameras.num_frames, cameras.height, cameras.width) != (frames, height, width):
        got = [*cameras.batch_shape, cameras.num_frames, cameras.height, cameras.width]
        raise ValueError(f"cameras must be one per map and of its size, {list(depth.shape)}, got {got}.")
    cameras.validate()
    if weights is not None and not bool((torch.isfinite(weights) & (weights >= 0)).all()):
        raise ValueError("weights must be finite and >= 0, got others.")
    depth, color = depth.detach().float(), color.detach().float()
    known = torch.isfinite(depth) & (depth > 0)
    intrinsics = cameras.intrinsics.to(depth)
    if weights is None:
        weights = surface_weights(depth, intrinsics)
    trust = known * weights.detach().float()
    if not bool((trust > 0).any()):
        raise ValueError("depth must be known (finite, above 0, of a weight above 0) somewhere, got nothing.")
    cosines = surface_weights(depth, intrinsics, max_angle_deg=_ALL_ANGLES).clamp_min(_LEAST_COSINE)
    depth = torch.where(trust > 0, depth, torch.zeros_like(depth))
    cameras = cameras.to(device=depth.device, dtype=torch.float32)

    if voxel_size is None:
        pixels = (depth / cameras.intrinsics[:, 0, 0, None, None])[trust > 0]
        voxel_size = _PIXELS * float(pixels.median())
    if not 0 < voxel_size < math.inf:
        raise ValueError(f"voxel_size must be a positive number, got {voxel_size}.")
    truncation = _VOXELS * voxel_size if truncation is None else truncation
    if not 2 * voxel_size <= truncation < math.inf:
        raise ValueError(f"truncation must be at least 2 voxels of {voxel_size:.4g}, got {truncation:.4g}.")
    blocks = _blocks_near(depth, cameras, float(voxel_size), float(truncation), max_voxels)
    maps = torch.stack((depth, trust, cosines), dim=1)
    return _fused(maps, color, cameras, blocks, float(voxel_size), float(truncation))


def _blocks_near(
    depth: Tensor, cameras: Cameras, voxel_size: float, truncation: float, max_voxels: int
) -> Tensor:
    """Blocks that come within `truncation` of a depth pixel along its ray, sorted."""
    side = BLOCK * voxel_size
    steps = torch.linspace(-1, 1, 2 * math.ceil(2 * truncation / side) + 1, device=depth.device)
    half = 1 << (_KEY_BITS - 1)
    keys = torch.zeros(0, dtype=torch.int64, device=depth.device)
    for index in range(len(depth)):
        camera = cameras.camera_to_world[index], cameras.intrinsics[index]
        points = unproject(depth[index], *camera)[depth[index] > 0]
        rays = torch.nn.functional.normalize(points - camera[0][:3, 3], dim=-1)
        for step in steps:
            places = ((points + step * truncation * rays) / side).floor()
            if not bool((places.abs() < half - 1).all()):
                reach = float(points.abs().max())
                raise ValueError(f"voxel_size {voxel_size:.4g} is too small for a scene of size {reach:.4g}.")
            index_xyz = places.long() + half
            found = (index_xyz[:, 0] << 2 * _KEY_BITS) + (index_xyz[:, 1] << _KEY_BITS) + index_xyz[:, 2]
            keys = torch.cat((keys, found.unique())).unique()
        if len(keys) * BLOCK**3 > max_voxels:
            share = len(keys) * BLOCK**3 / max_voxels * len(depth) / (index + 1)
            raise ValueError(
                f"voxel_size {voxel_size:.4g} needs more than max_voxels={max_voxels} voxels; "
                f"one of {voxel_size * 1.1 * math.sqrt(max(share, 1)):.2g} or more should do."
            )
    mask = (1 << _KEY_BITS) - 1
    return torch.stack([(keys >> shift & mask) - half for shift in (2 * _KEY_BITS, _KEY_BITS, 0)], dim=-1)


def _fused(
    maps: Tensor, color: Tensor, cameras: Cameras, blocks: Tensor, voxel_size: float, truncation: float
) -> DistanceVolume:
    """Blocks filled from maps of depth, trust and cosine."""
    count = len(blocks)
    steps = torch.arange(BLOCK, device=maps.device)
    inside = rearrange(
        torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij")), "c x y z -> (x y z) c"
    )
    distance = maps.new_ones(count, BLOCK**3)
    weight = maps.new_zeros(count, BLOCK**3)
    shades = maps.new_zeros(count, BLOCK**3, 3)
    views = [_View(maps[i], color[i], cameras.select(slice(i, i + 1)), truncation) for i in range(len(maps))]
    radius = math.sqrt(3) * BLOCK / 2 * voxel_size
    for first in range(0, count, _CHUNK):
        part = slice(first, min(first + _CHUNK, count))
        corners = blocks[part, None, :] * BLOCK
        points = (corners + inside) * voxel_size
        centres = (corners[:, 0] + (BLOCK - 1) / 2) * voxel_size
        total, weight_sum = points.new_zeros(points.shape[:2]), points.new_zeros(points.shape[:2])
        color_sum, near_sum = torch.zeros_like(points), points.new_zeros(points.shape[:2])
        for view in views:
            seen = view.may_see(centres, radius)
            if not bool(seen.any()):
                continue
            values, trusts, colors = view.look_at(rearrange(points[seen], "b v c -> (b v) c"))
            values, trusts = (rearrange(v, "(b v) -> b v", v=BLOCK**3) for v in (values, trusts))
            near = trusts * (values.abs() < 1)
            total[seen] += trusts * values
            weight_sum[seen] += trusts
            color_sum[seen] += near[..., None] * rearrange(colors, "(b v) c -> b v c", v=BLOCK**3)
            near_sum[seen] += near
        distance[part] = torch.where(
            weight_sum > 0, total / weight_sum.clamp_min(1e-20), torch.ones_like(total)
        )
        weight[part] = weight_sum
        shades[part] = color_sum / near_sum.clamp_min(1e-20)[..., None]
    sides = {"x": BLOCK, "y": BLOCK, "z": BLOCK}
    return DistanceVolume(
        blocks,
        rearrange(distance, "b (x y z) -> b x y z", **sides),
        rearrange(weight, "b (x y z) -> b x y z", **sides),
        rearrange(shades, "b (x y z) c -> b x y z c", **sides),
        voxel_size,
        truncation,
    )


class _View:
    """One depth map, ready to be asked about points."""

    def __init__(self, maps: Tensor, color: Tensor, camera: Cameras, truncation: float) -> None:
        depth = maps[0]
        low = -F.max_pool2d(-depth[None], 3, stride=1, padding=1)[0]
        high = F.max_pool2d(depth[None], 3, stride=1, padding=1)[0]
        smooth = (low > 0) & (high - low < truncation)
        self._nearest = torch.cat((maps, smooth.float()[None]))[None]
        self._between = torch.cat((depth[None], color))[None]
        self._world_to_camera = rigid_inverse(camera.camera_to_world[0])
        self._intrinsics = camera.intrinsics[0]
        self._size = depth.new_tensor([depth.shape[1], depth.shape[0]])
        self._truncation = truncation

    def may_see(self, centres: Tensor, radius: float) -> Tensor:
        """Which balls of one radius may come into view."""
        local = self._to_camera(centres)
        near = local[:, 2].clamp_min(radius)  # of a ball around the camera the margin covers the image
        pixels = local @ self._intrinsics[:2].T / near[:, None]
        margin = 2 * radius * self._intrinsics[0, 0].clamp_min(float(self._intrinsics[1, 1])) / near
        inside = (pixels > -margin[:, None]) & (pixels < self._size + margin[:, None])
        return (local[:, 2] > -radius) & (inside.all(dim=-1) | (local[:, 2] < 4 * radius))

    def look_at(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Signed distance over the truncation, up to 1; its weight, 0 where nothing is known; and colour."""
        local = self._to_camera(points)
        z = local[:, 2]
        front = z > 1e-6
        safe = torch.where(front, z, torch.ones_like(z))
        pixels = local @ self._intrinsics[:2].T / safe[:, None]
        grid = (2 * pixels / self._size - 1).clamp(-4, 4)[None, None]
        nearest = F.grid_sample(self._nearest, grid, mode="nearest", align_corners=False)[0, :, 0]
        between = F.grid_sample(
            self._between, grid, mode="bilinear", padding_mode="border", align_corners=False
        )[0, :, 0]
        surface = torch.where(nearest[3] > 0.5, between[0], nearest[0])
        distance = (surface - z) * torch.linalg.vector_norm(local, dim=-1) / safe
        signed = nearest[2] * distance / self._truncation
        inside = ((pixels >= 0) & (pixels < self._size)).all(dim=-1)
        known = front & inside & (nearest[0] > 0) & (signed >= -1)
        known &= distance >= -_BEHIND * self._truncation
        return signed.clamp(-1, 1), torch.where(known, nearest[1], torch.zeros_like(z)), between[1:].T

    def _to_camera(self, points: Tensor) -> Tensor:
        return points @ self._world_to_camera[:3, :3].T + self._world_to_camera[:3, 3]
