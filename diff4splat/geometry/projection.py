"""Pinhole projection between pixels and world points.

Axes are OpenCV's (+x right, +y down, +z forward); intrinsics are in pixels; the centre of the top-left pixel
is (0.5, 0.5).
"""

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "pixel_grid",
    "pixel_rays",
    "unproject",
    "unproject_pixels",
    "project",
    "depth_to_distance",
    "distance_to_depth",
    "rigid_inverse",
]


def pixel_grid(
    height: int, width: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> Float[Tensor, "height width xy=2"]:
    """Pixel centres of an image: (0.5, 0.5) at the top left, (width - 0.5, height - 0.5) at the bottom right.

    Args:
        height: Rows.
        width: Columns.
        device: Where the grid is made.
        dtype: Floating type; torch's default when omitted.

    Returns:
        Coordinates (x, y) in pixels.

    Examples:
        >>> pixel_grid(1, 2).tolist()
        [[[0.5, 0.5], [1.5, 0.5]]]
    """
    dtype = torch.get_default_dtype() if dtype is None else dtype
    x = torch.arange(width, device=device, dtype=dtype) + 0.5
    y = torch.arange(height, device=device, dtype=dtype) + 0.5
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def pixel_rays(
    intrinsics: Float[Tensor, "*batch 3 3"], *, height: int, width: int
) -> Float[Tensor, "*batch height width xyz=3"]:
    r"""Camera-space points at z-depth one behind each pixel centre, $K^{-1} (u, v, 1)$.

    Args:
        intrinsics: Upper triangular pinhole matrices $K$ in pixels.
        height: Image rows.
        width: Image columns.

    Returns:
        Ray directions with $z = 1$; not unit length.
    """
    x, y = pixel_grid(height, width, device=intrinsics.device, dtype=intrinsics.dtype).unbind(dim=-1)
    scale = intrinsics[..., None, None]
    ray_y = (y - scale[..., 1, 2, :, :]) / scale[..., 1, 1, :, :]
    ray_x = (x - scale[..., 0, 2, :, :] - scale[..., 0, 1, :, :] * ray_y) / scale[..., 0, 0, :, :]
    return torch.stack((ray_x, ray_y, torch.ones_like(ray_x)), dim=-1)


def unproject(
    depth: Float[Tensor, "*batch height width"],
    camera_to_world: Float[Tensor, "*batch 4 4"],
    intrinsics: Float[Tensor, "*batch 3 3"],
) -> Float[Tensor, "*batch height width xyz=3"]:
    r"""World points seen at each pixel centre of a depth map.

    $$X = R \, (z K^{-1} (u, v, 1)^\top) + t$$

    with $z$ = `depth`, $[R\,|\,t]$ = `camera_to_world`, $K$ = `intrinsics`.

    Args:
        depth: z-depth (distance along the camera's +z axis, not along the ray) in scene units.
        camera_to_world: Rigid transforms, OpenCV camera axes.
        intrinsics: Pinhole matrices in pixels.

    Returns:
        Points in world coordinates and scene units.
    """
    rays = pixel_rays(intrinsics, height=depth.shape[-2], width=depth.shape[-1])
    points = einsum(camera_to_world[..., :3, :3], rays * depth[..., None], "... i j, ... h w j -> ... h w i")
    return points + rearrange(camera_to_world[..., :3, 3], "... i -> ... 1 1 i")


def unproject_pixels(
    pixels: Float[Tensor, "*batch point xy=2"],
    depth: Float[Tensor, "*batch point"],
    camera_to_world: Float[Tensor, "*batch 4 4"],
    intrinsics: Float[Tensor, "*batch 3 3"],
) -> Float[Tensor, "*batch point xyz=3"]:
    r"""World points at given z-depths behind given pixels; the inverse of `project`.

    $$X = R\,z\,K^{-1}(u, v, 1)^\top + t$$

    Args:
        pixels: Pixel coordinates (x, y).
        depth: z-depth of each, scene units.
        camera_to_world: Rigid transforms $[R\,|\,t]$, OpenCV camera axes.
        intrinsics: Upper triangular pinhole matrices $K$ in pixels.

    Returns:
        World coordinates in scene units.
    """
    scale = intrinsics[..., None, :, :]
    y = (pixels[..., 1] - scale[..., 1, 2]) / scale[..., 1, 1]
    x = (pixels[..., 0] - scale[..., 0, 2] - scale[..., 0, 1] * y) / scale[..., 0, 0]
    local = torch.stack((x, y, torch.ones_like(x)), dim=-1) * depth[..., None]
    rotated = einsum(camera_to_world[..., :3, :3], local, "... i j, ... n j -> ... n i")
    return rotated + camera_to_world[..., None, :3, 3]


def project(
    points: Float[Tensor, "*batch point xyz=3"],
    camera_to_world: Float[Tensor, "*batch 4 4"],
    intrinsics: Float[Tensor, "*batch 3 3"],
) -> tuple[Float[Tensor, "*batch point xy=2"], Float[Tensor, "*batch point"]]:
    r"""Pixel coordinates and z-depths of world points.

    $$z\,(u, v, 1)^\top = K R^\top (X - t)$$

    with $X$ = `points`, $[R\,|\,t]$ = `camera_to_world`, $K$ = `intrinsics`.

    Args:
        points: World coordinates in scene units.
        camera_to_world: Rigid transforms, OpenCV camera axes.
        intrinsics: Pinhole matrices in pixels.

    Returns:
        Pixel coordinates (x, y), and the z-depth, which is not positive for points that the camera cannot
        see: their pixels are mirrored, and not finite at depth zero.
    """
    offsets = points - camera_to_world[..., None, :3, 3]
    local = einsum(camera_to_world[..., :3, :3], offsets, "... j i, ... n j -> ... n i")
    depth = local[..., 2]
    pixels = einsum(intrinsics[..., :2, :], local, "... i j, ... n j -> ... n i") / depth[..., None]
    return pixels, depth


def depth_to_distance(
    depth: Float[Tensor, "*batch height width"], intrinsics: Float[Tensor, "*batch 3 3"]
) -> Float[Tensor, "*batch height width"]:
    """Distance along each pixel's ray from z-depth.

    Args:
        depth: z-depth in scene units.
        intrinsics: Pinhole matrices in pixels.

    Returns:
        Euclidean distance from the camera centre, never below the z-depth.
    """
    return depth * _ray_lengths(depth, intrinsics)


def distance_to_depth(
    distance: Float[Tensor, "*batch height width"], intrinsics: Float[Tensor, "*batch 3 3"]
) -> Float[Tensor, "*batch height width"]:
    """z-depth from the distance along each pixel's ray; the inverse of `depth_to_distance`.

    Args:
        distance: Euclidean distance from the camera centre in scene units.
        intrinsics: Pinhole matrices in pixels.

    Returns:
        z-depth in scene units.
    """
    return distance / _ray_lengths(distance, intrinsics)


def rigid_inverse(matrix: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch 4 4"]:
    r"""Inverse of rigid transforms, $[R\,|\,t]^{-1} = [R^\top\,|\,-R^\top t]$.

    Args:
        matrix: Rotation $R$ and translation $t$ in the upper rows, (0, 0, 0, 1) below.

    Returns:
        Transforms with the last row of `matrix`; gradients follow the formula.
    """
    rotation = matrix[..., :3, :3].mT
    upper_rows = torch.cat((rotation, -rotation @ matrix[..., :3, 3:]), dim=-1)
    return torch.cat((upper_rows, matrix[..., 3:, :]), dim=-2)


def _ray_lengths(image: Tensor, intrinsics: Tensor) -> Tensor:
    rays = pixel_rays(intrinsics, height=image.shape[-2], width=image.shape[-1])
    return torch.linalg.vector_norm(rays, dim=-1)
