"""Tileable textures of filtered noise and simple patterns, with their mip levels, in one table per batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float, Float32, Int32, Int64
from torch import Tensor

from diff4splat.data.procedural.draws import Draws, white_noise

__all__ = [
    "PATTERNS",
    "TextureAtlas",
    "TextureRecipes",
    "hang_photographs",
    "make_textures",
    "sample_texture",
]

PATTERNS = ("plain", "mottled", "marbled", "striped", "checked", "brick", "wooden", "patchy", "spotted")
_NUM_FIELDS = 4
_SMALLEST_LEVEL = 4


@dataclass(frozen=True)
class TextureRecipes:
    """What each texture of each scene looks like (kept on the CPU; small).

    Args:
        pattern: Index into `PATTERNS`.
        repeats: Periods of the pattern per tile, along u and v.
        warp: How far noise bends the pattern, in tiles.
        grain: Strength of the fine noise laid over it.
        colors: First and second colour in [0, 1].
        field: Which two of the scene's noise fields are used.
        slopes: Fall-off of the spectrum of each noise field (amplitude ~ frequency ** -slope).
    """

    pattern: Int64[Tensor, "batch texture"]
    repeats: Float[Tensor, "batch texture uv=2"]
    warp: Float[Tensor, "batch texture"]
    grain: Float[Tensor, "batch texture"]
    colors: Float[Tensor, "batch texture 2 rgb=3"]
    field: Int64[Tensor, "batch texture 2"]
    slopes: Float[Tensor, "batch field"]

    @staticmethod
    def draw(
        draws: Draws, pattern: Int64[Tensor, "batch texture"], colors: Float[Tensor, "batch texture 2 rgb=3"]
    ) -> "TextureRecipes":
        """Random recipes for given patterns and colours.

        Args:
            draws: Source of randomness.
            pattern: Index of each texture's pattern.
            colors: Two colours of each texture, in [0, 1].

        Returns:
            The recipes.
        """
        num_textures = pattern.shape[1]
        return TextureRecipes(
            pattern=pattern,
            repeats=1.0 + draws.choose([1, 2, 2, 1], num_textures, 2).float(),
            warp=draws.uniform(0.0, 0.05, num_textures) * draws.chance(0.6, num_textures),
            grain=draws.uniform(0.04, 0.22, num_textures),
            colors=colors,
            field=draws.choose([1] * _NUM_FIELDS, num_textures, 2),
            slopes=draws.uniform(0.8, 1.7, _NUM_FIELDS),
        )


@dataclass(frozen=True)
class TextureAtlas:
    """Texels of all mip levels of all textures.

    Args:
        texels: Colours in [0, 1]; the levels of one texture follow each other, finest first, each row by row.
        size: Side of the finest level, a power of two.
    """

    texels: Float[Tensor, "batch texture texel rgb=3"]
    size: int

    @property
    def num_levels(self) -> int:
        """Mip levels per texture."""
        return self.size.bit_length() - _SMALLEST_LEVEL.bit_length() + 1


def _noise_fields(keys: Tensor, slopes: Tensor, size: int) -> Tensor:
    """Periodic noise with a power-law spectrum, zero mean, unit variance: batch field height width."""
    num_scenes, num_fields = slopes.shape
    white = white_noise(keys, num_fields * size * size).reshape(num_scenes, num_fields, size, size) - 0.5
    spectrum = torch.fft.rfft2(white)
    frequency_v = torch.fft.fftfreq(size, 1.0 / size, device=keys.device)[:, None]
    frequency_u = torch.fft.rfftfreq(size, 1.0 / size, device=keys.device)[None, :]
    stretch = torch.ones(num_fields, 1, 1, device=keys.device)
    stretch[-1] = 6.0  # the last field is drawn out along u, like fibres
    frequency = torch.sqrt((frequency_u * stretch) ** 2 + frequency_v**2)
    amplitude = frequency.clamp_min(1.0) ** -slopes[:, :, None, None]
    noise = torch.fft.irfft2(spectrum * amplitude * (frequency > 0), s=(size, size))
    return noise / noise.std(dim=(-2, -1), keepdim=True).clamp_min(1e-6)


def _step(values: Tensor, softness: float) -> Tensor:
    """A smooth step from 0 to 1 around 0."""
    return torch.sigmoid(values / softness)


def _pattern(name: str, u: Tensor, v: Tensor, noise: Tensor, other: Tensor) -> Tensor:
    """Blend weight in [0, 1] between the first and the second colour; u and v count periods."""
    turn = 2 * torch.pi
    if name == "plain":
        return torch.sigmoid(0.4 * noise)
    if name == "mottled":
        return torch.sigmoid(1.6 * noise)
    if name == "marbled":
        return torch.sin(turn * (u + v) + 2.5 * noise).abs() ** 0.7
    if name == "striped":
        return _step(torch.sin(turn * u), 0.15)
    if name == "checked":
        return _step(torch.sin(turn * u) * torch.sin(turn * v), 0.08)
    if name == "brick":
        row = torch.floor(v * 2)
        along = u + 0.5 * torch.remainder(row, 2)
        gap_u = (torch.remainder(along, 1.0) - 0.5).abs() - 0.45
        gap_v = (torch.remainder(v * 2, 1.0) - 0.5).abs() - 0.42
        return _step(torch.maximum(gap_u, gap_v), 0.015)
    if name == "wooden":
        return 0.5 + 0.5 * torch.sin(turn * (v + 0.35 * noise) + 0.6 * other)
    if name == "patchy":
        return _step(noise + 0.25 * other, 0.12)
    radius = ((torch.remainder(u, 1.0) - 0.5) ** 2 + (torch.remainder(v, 1.0) - 0.5) ** 2).sqrt()
    return _step(0.3 + 0.03 * noise - radius, 0.03)


def make_textures(keys: Int64[Tensor, " batch"], recipes: TextureRecipes, *, size: int) -> TextureAtlas:
    """Textures after their recipes, on the device of `keys`.

    Args:
        keys: Noise stream of each scene, from `seed_keys`.
        recipes: One per texture.
        size: Side of a texture in texels, a power of two of at least 8.

    Returns:
        The atlas, tileable in u and v.
    """
    device = keys.device
    num_scenes, num_textures = recipes.pattern.shape
    fields = _noise_fields(keys, recipes.slopes.to(device), size).flatten(0, 1)
    scene = torch.arange(num_scenes)[:, None]
    first = (scene * _NUM_FIELDS + recipes.field[..., 0]).flatten()
    second = (scene * _NUM_FIELDS + recipes.field[..., 1]).flatten()
    first = torch.where(recipes.pattern.flatten() == PATTERNS.index("wooden"), first | 3, first)
    repeats = recipes.repeats.flatten(0, 1)[..., None, None].to(device)
    warp = recipes.warp.flatten()[:, None, None].to(device)
    axis = (torch.arange(size, device=device) + 0.5) / size

    blend = torch.empty(num_scenes * num_textures, size, size, device=device)
    for index, name in enumerate(PATTERNS):
        chosen = (recipes.pattern.flatten() == index).nonzero().flatten()
        if len(chosen) == 0:
            continue
        noise, other = fields[first[chosen].to(device)], fields[second[chosen].to(device)]
        chosen = chosen.to(device)
        u = (axis + warp[chosen] * other) * repeats[chosen, 0]
        v = (axis[:, None] + warp[chosen] * noise) * repeats[chosen, 1]
        blend[chosen] = _pattern(name, u, v, noise, other)

    colors = recipes.colors.flatten(0, 1)[..., None, None].to(device)
    grain = recipes.grain.flatten()[:, None, None].to(device) * fields[second.to(device)]
    image = torch.lerp(colors[:, 0], colors[:, 1], blend[:, None])
    image = (image * (1.0 + grain[:, None])).clamp_(0.02, 1.0)
    return TextureAtlas(texels=_mip_levels(image).unflatten(0, (num_scenes, num_textures)), size=size)


def _mip_levels(image: Tensor) -> Tensor:
    """Texels of all levels of images (number rgb size size): number texel rgb."""
    levels = [image]
    while levels[-1].shape[-1] > _SMALLEST_LEVEL:
        levels.append(functional.avg_pool2d(levels[-1], 2))
    return torch.cat([level.flatten(-2) for level in levels], dim=-1).transpose(-1, -2).contiguous()


def hang_photographs(
    atlas: TextureAtlas,
    draws: Draws,
    photographs: Sequence[Float[Tensor, "rgb=3 _ _"]],
    *,
    kept: Sequence[int],
    painted: Bool[Tensor, " batch"],
    share: float = 0.35,
) -> None:
    """Overwrite some textures with mirrored crops of photographs (mirrored, so that they tile).

    Args:
        atlas: Textures, changed in place.
        draws: Random numbers, one stream per scene.
        photographs: Images in [0, 1], at least 64 pixels on a side.
        kept: Textures to leave alone.
        painted: Scenes to do it in.
        share: Part of the textures of these scenes to overwrite.
    """
    num_scenes, num_textures = atlas.texels.shape[:2]
    chosen = draws.chance(share, num_textures)
    chosen[:, kept] = False
    chosen &= painted[:, None]
    which = draws.choose([1] * len(photographs), num_textures)
    extent, place = draws.uniform(0.35, 1.0, num_textures), draws.uniform(0.0, 1.0, num_textures, 2)
    half = atlas.size // 2
    axis = torch.linspace(-1.0, 1.0, half)
    scenes, textures = chosen.nonzero(as_tuple=True)
    for number, photograph in enumerate(photographs):
        here = (which[scenes, textures] == number).nonzero().flatten()
        if len(here) == 0:
            continue
        scene, texture = scenes[here], textures[here]
        shorter = min(photograph.shape[-2:])
        side = extent[scene, texture][:, None] * torch.tensor(
            [shorter / photograph.shape[2], shorter / photograph.shape[1]]
        )
        middle = (1 - side) * (2 * place[scene, texture] - 1)
        x = middle[:, 0, None] + side[:, 0, None] * axis
        y = middle[:, 1, None] + side[:, 1, None] * axis
        grid = torch.stack([x[:, None, :].expand(-1, half, -1), y[:, :, None].expand(-1, -1, half)], dim=-1)
        smaller = functional.interpolate(
            photograph[None], scale_factor=min(1.0, 1.6 * half / shorter), mode="bilinear", antialias=True
        )
        crops = functional.grid_sample(
            smaller.expand(len(here), -1, -1, -1), grid, align_corners=False, padding_mode="reflection"
        )
        crops = torch.cat([crops, crops.flip(-1)], dim=-1)
        crops = torch.cat([crops, crops.flip(-2)], dim=-2).clamp(0.02, 1.0)
        device = atlas.texels.device
        atlas.texels[scene.to(device), texture.to(device)] = _mip_levels(crops).to(device)


def sample_texture(
    atlas: TextureAtlas,
    texture: Int32[Tensor, "*ray"],
    u: Float32[Tensor, "*ray"],
    v: Float32[Tensor, "*ray"],
    footprint: Float32[Tensor, "*ray"],
) -> Float[Tensor, "*ray rgb=3"]:
    """Colours of textures, bilinear within the mip level that fits the footprint.

    Args:
        atlas: The textures.
        texture: Scene number x textures per scene + texture number.
        u: Position along the tile rows; one tile is one unit, endlessly repeated.
        v: Position down the tile columns.
        footprint: Width of a pixel on the surface, in tiles.

    Returns:
        Colours in [0, 1].
    """
    size = atlas.size
    last_level = atlas.num_levels - 1
    sizes = torch.tensor(
        [size >> index for index in range(last_level + 1)], device=u.device, dtype=torch.int32
    )
    starts = (sizes**2).cumsum(0, dtype=torch.int32) - sizes**2
    # A camera outside the room has hits behind it: their footprint is negative, their colour arbitrary.
    footprint = footprint.clamp_min(1e-6)
    level = torch.log2(footprint * size).round_().clamp_(0, last_level).to(torch.int32).flatten()
    side = sizes.index_select(0, level).view(u.shape)
    base = texture * atlas.texels.shape[2] + starts.index_select(0, level).view(u.shape)
    x, y = u * side - 0.5, v * side - 0.5
    left, top = torch.floor(x), torch.floor(y)
    weight_x, weight_y = x - left, y - top
    left, top = left.to(torch.int32), top.to(torch.int32)
    last = side - 1
    upper, lower = base + (top & last) * side, base + ((top + 1) & last) * side
    left, right = left & last, (left + 1) & last
    corners = torch.stack([upper + left, upper + right, lower + left, lower + right], dim=-1)
    share, above = 1 - weight_x, 1 - weight_y
    weights = torch.stack([share * above, weight_x * above, share * weight_y, weight_x * weight_y], dim=-1)
    colors = functional.embedding_bag(
        corners.flatten(0, -2),
        atlas.texels.flatten(0, 2),
        per_sample_weights=weights.flatten(0, -2),
        mode="sum",
    )
    return colors.view(*u.shape, 3)
