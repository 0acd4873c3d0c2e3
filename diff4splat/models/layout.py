"""Where the Gaussians of a frame stand on its pixels: one each, or larger ones where little happens."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor

from diff4splat.geometry import pixel_grid

__all__ = ["GuidedSampler", "Layout", "adaptive_layout", "pixel_layout"]


@dataclass(frozen=True, eq=False)
class Layout:
    """Square blocks of pixels that cover an image, a Gaussian for each.

    Args:
        pixels: Centres of the blocks in pixels, the centre of the first pixel is (0.5, 0.5). Float32 or
            wider: half precision cannot count the pixels of an image.
        sizes: Sides of the blocks in pixels.
        colors: Mean colours of the blocks.
    """

    pixels: Float[Tensor, "batch gaussian xy=2"]
    sizes: Float[Tensor, "batch gaussian"]
    colors: Float[Tensor, "batch gaussian rgb=3"]


def pixel_layout(image: Float[Tensor, "batch rgb=3 height width"]) -> Layout:
    """One block per pixel, rows before columns.

    Args:
        image: Colours of the pixels.

    Returns:
        The layout.
    """
    batch, _, height, width = image.shape
    wide = torch.promote_types(image.dtype, torch.float32)
    centres = rearrange(pixel_grid(height, width, device=image.device, dtype=wide), "h w c -> (h w) c")
    return Layout(
        pixels=repeat(centres, "n c -> b n c", b=batch),
        sizes=torch.ones(batch, height * width, device=image.device, dtype=wide),
        colors=rearrange(image, "b c h w -> b (h w) c"),
    )


def adaptive_layout(
    image: Float[Tensor, "one=1 rgb=3 height width"], *, max_gaussians: int, max_size: int | None = None
) -> Layout:
    r"""The quadtree of blocks that keeps most of an image within a budget.

    Blocks of side $2^l$ are merged from their four quarters bottom-up where that costs less,

    $$J_0 = \lambda, \qquad J_l = \min\Big(\sum_{q=1}^{4} J_{l-1, q},\; \mathrm{SSE}_l + \lambda\Big)$$

    with SSE the squared error of one mean colour for the block; $\lambda$ is bisected until the number of
    blocks meets the budget. This is the optimal pruning of the tree for its number of leaves
    (Chou, Lookabaugh & Gray 1989).

    Args:
        image: One image, values in [0, 1]. Rows and columns that no whole block covers stay pixels.
        max_gaussians: Most blocks to use, if `max_size` allows.
        max_size: Side of the largest block, a power of two; when omitted 4, or as much more as the budget
            needs, up to 64.

    Returns:
        Blocks from large to small, rows before columns within a size. The choice has no gradient, the colours
        do. More than `max_gaussians` blocks when even the coarsest layout has more.

    Raises:
        ValueError: If `max_gaussians` is below 1 or `max_size` is not a power of two.
    """
    if max_gaussians < 1:
        raise ValueError(f"max_gaussians must be at least 1, got {max_gaussians}.")
    height, width = image.shape[-2:]
    if max_size is None:
        max_size = 4
        while max_size < 64 and height * width > max_gaussians * max_size**2:
            max_size *= 2
    if max_size < 1 or max_size & (max_size - 1):
        raise ValueError(f"max_size must be a power of two, got {max_size}.")
    border = (0, -width % max_size, 0, -height % max_size)
    padded = F.pad(image.detach().to(torch.promote_types(image.dtype, torch.float32)), border)
    inside = F.pad(torch.ones_like(padded[:, :1, :height, :width]), border)[0, 0]
    errors, levels = [], int(math.log2(max_size))
    for level in range(1, levels + 1):
        side = 2**level
        mean, mean_square = F.avg_pool2d(padded, side), F.avg_pool2d(padded.square(), side)
        error = (mean_square - mean.square()).clamp_min(0).sum(1)[0] * side**2
        whole = -F.max_pool2d(-inside[None, None], side)[0, 0]
        errors.append(torch.where(whole > 0, error, torch.full_like(error, torch.inf)))
    low, high = 1e-9, 1e3
    merged = _prune_tree(errors, inside, high)[0]
    for _ in range(24):
        middle = math.sqrt(low * high)
        candidate, count = _prune_tree(errors, inside, middle)
        if count > max_gaussians:
            low = middle
        else:
            high, merged = middle, candidate
    parts = []
    covered = torch.zeros_like(merged[-1]) if merged else inside == 0
    for level in range(levels, 0, -1):
        chosen = merged[level - 1] & ~covered
        parts.append((chosen.nonzero(), 2**level))
        covered = (covered | chosen).repeat_interleave(2, 0).repeat_interleave(2, 1)
    parts.append(((~covered & (inside > 0)).nonzero(), 1))
    whole_image = F.pad(image, border)  # so that a block may be larger than a side of the image
    colors = [
        F.avg_pool2d(whole_image, side)[0, :, places[:, 0], places[:, 1]].T
        if side > 1
        else image[0, :, places[:, 0], places[:, 1]].T
        for places, side in parts
    ]
    return Layout(
        pixels=torch.cat([(places.flip(-1) + 0.5) * side for places, side in parts])[None].to(padded.dtype),
        sizes=torch.cat([padded.new_full((len(places),), float(side)) for places, side in parts])[None],
        colors=torch.cat(colors)[None],
    )


def _prune_tree(errors: list[Tensor], inside: Tensor, price: float) -> tuple[list[Tensor], int]:
    """Which blocks of each level are merged at a price per block, and how many blocks that leaves."""
    cost, count = price * inside, inside.clone()
    merged = []
    for error in errors:
        split_cost, split_count = (4 * F.avg_pool2d(v[None, None], 2)[0, 0] for v in (cost, count))
        chosen = error + price <= split_cost
        cost = torch.where(chosen, error + price, split_cost)
        count = torch.where(chosen, torch.ones_like(split_count), split_count)
        merged.append(chosen)
    return merged, int(count.sum().round())


class GuidedSampler:
    r"""Reads coarse maps at fine positions without blurring them across the edges of an image.

    $$v(p) = \frac{\sum_i w_i v_i}{\sum_i w_i}, \qquad
      w_i = b_i(p)\, \Big(\epsilon + \exp\big(-\lVert c(p) - c_i \rVert^2 / 2\sigma^2\big)\Big)$$

    over the four places around $p$, with bilinear weights $b_i$, colours $c$ and $\epsilon = 10^{-3}$, which
    leaves plain bilinear reading where no place looks like $p$: a pixel takes the value of the side of the
    edge that it looks like. Source: Kopf et al. 2007 (joint bilateral upsampling).

    Args:
        positions: Where to read, in [0, 1] over the map, x before y.
        colors: Colours at these positions.
        map_colors: Colours of the places of the map.
        sigma: Colour difference that counts as another side.
    """

    def __init__(
        self,
        positions: Float[Tensor, "batch gaussian xy=2"],
        colors: Float[Tensor, "batch gaussian rgb=3"],
        map_colors: Float[Tensor, "batch rgb=3 height width"],
        *,
        sigma: float = 0.08,
    ) -> None:
        height, width = map_colors.shape[-2:]
        scale = torch.tensor([width, height], device=positions.device, dtype=positions.dtype)
        place = positions * scale - 0.5
        corner = place.floor()
        fraction = place - corner
        flat_colors = map_colors.detach().flatten(-2)
        indices: list[Int[Tensor, "batch gaussian"]] = []
        weights = []
        for down in (0, 1):
            for right in (0, 1):
                column = (corner[..., 0] + right).clamp(0, width - 1).long()
                row = (corner[..., 1] + down).clamp(0, height - 1).long()
                index = row * width + column
                across = fraction[..., 0] if right else 1 - fraction[..., 0]
                along = fraction[..., 1] if down else 1 - fraction[..., 1]
                seen = torch.gather(flat_colors, 2, repeat(index, "b n -> b c n", c=3))
                distance = (rearrange(seen, "b c n -> b n c") - colors.detach()).square().sum(-1)
                indices.append(index)
                weights.append(across * along * (1e-3 + torch.exp(-distance / (2 * sigma**2))))
        self.indices, near = torch.stack(indices, dim=-1), torch.stack(weights, dim=-1)
        self.weights = near / near.sum(-1, keepdim=True)

    def __call__(
        self, maps: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch channel gaussian"]:
        """Values of maps at the positions; differentiable in the maps.

        Args:
            maps: Any maps on the grid of `map_colors`; receive gradients.

        Returns:
            The values, one per position.
        """
        batch, _, height, width = maps.shape
        dtype = torch.promote_types(maps.dtype, self.weights.dtype)
        first = height * width * torch.arange(batch, device=maps.device)[:, None, None]
        # All channels of a place lie side by side, and are read and summed in one pass.
        values = F.embedding_bag(
            rearrange(self.indices + first, "b n near -> (b n) near"),
            rearrange(maps, "b c h w -> (b h w) c").to(dtype),
            per_sample_weights=rearrange(self.weights, "b n near -> (b n) near").to(dtype),
            mode="sum",
        )
        return rearrange(values, "(b n) c -> b c n", b=batch).contiguous()  # as maps are, channel by channel
