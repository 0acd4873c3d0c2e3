"""Colours of ray hits: textures, one light with shadows, sky, haze and exposure."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from einops import rearrange
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from diff4splat.data.procedural.raycast import (
    Bundles,
    ObjectHits,
    Placement,
    enclosure_hits,
    object_hits,
    surface_points,
)
from diff4splat.data.procedural.textures import TextureAtlas, sample_texture

__all__ = ["Hits", "Lighting", "Surfaces", "cast", "shade"]

NUM_WORLD_TEXTURES = 3  # floor, walls, ceiling or clouds; the objects' follow


@dataclass(frozen=True)
class Surfaces:
    """Textures of a batch of scenes: floor, walls, ceiling (or clouds), then one per object.

    Args:
        texels: See `TextureAtlas`.
        size: See `TextureAtlas`.
        tiles_per_unit: Texture tiles per scene unit.
        shift: Offset of the texture in tiles.
        of_object: Texture of each object.
    """

    texels: Float[Tensor, "batch texture texel rgb=3"]
    size: int
    tiles_per_unit: Float[Tensor, "batch texture"]
    shift: Float[Tensor, "batch texture uv=2"]
    of_object: Int64[Tensor, "batch object"]

    def map(self, function: Callable[[Tensor], Tensor]) -> "Surfaces":
        """Apply one function to every tensor.

        Args:
            function: Applied to each tensor.

        Returns:
            The surfaces of what it gives.
        """
        return Surfaces(
            texels=function(self.texels),
            size=self.size,
            tiles_per_unit=function(self.tiles_per_unit),
            shift=function(self.shift),
            of_object=function(self.of_object),
        )


@dataclass(frozen=True)
class Lighting:
    """Enclosure, light and air of a batch of scenes, level frame.

    Args:
        room_low: Lower corner of the room; far away where there is no wall.
        room_high: Upper corner; its y is the floor.
        dome_radius: Distance of the sky.
        light_position: Where the light is; far away for the sun.
        light_color: Colour and strength of the direct light.
        ambient_up: Light from above.
        ambient_down: Light from below.
        horizon_color: Sky at the horizon, and colour of the haze.
        zenith_color: Sky above.
        haze: Extinction per scene unit.
        exposure: Factor on all colours.
    """

    room_low: Float[Tensor, "batch xyz=3"]
    room_high: Float[Tensor, "batch xyz=3"]
    dome_radius: Float[Tensor, " batch"]
    light_position: Float[Tensor, "batch xyz=3"]
    light_color: Float[Tensor, "batch rgb=3"]
    ambient_up: Float[Tensor, "batch rgb=3"]
    ambient_down: Float[Tensor, "batch rgb=3"]
    horizon_color: Float[Tensor, "batch rgb=3"]
    zenith_color: Float[Tensor, "batch rgb=3"]
    haze: Float[Tensor, " batch"]
    exposure: Float[Tensor, " batch"]

    def map(self, function: Callable[[Tensor], Tensor]) -> "Lighting":
        """Apply one function to every tensor.

        Args:
            function: Applied to each tensor.

        Returns:
            The lighting of what it gives.
        """
        return Lighting(**{field.name: function(getattr(self, field.name)) for field in fields(self)})


@dataclass(frozen=True)
class Hits:
    """First hit of every ray.

    Args:
        depth: Ray parameter.
        slot: Object that was hit, -1 for the enclosure.
        face: Face of the enclosure behind, see `enclosure_hits`.
        winners: The object hits that are first.
    """

    depth: Float[Tensor, "bundle ray"]
    slot: Int64[Tensor, "bundle ray"]
    face: Int64[Tensor, "bundle ray"]
    winners: ObjectHits


def _flat(objects: Placement) -> Placement:
    return Placement(
        shape=objects.shape.flatten(0, 1),
        size=objects.size.flatten(0, 1),
        rotation=objects.rotation.flatten(0, 1),
        center=objects.center.flatten(0, 1),
    )


def cast(bundles: Bundles, objects: Placement, lighting: Lighting) -> Hits:
    """First hits of rays in scenes.

    Args:
        bundles: Rays in the level frame, batch and frame flattened.
        objects: Objects with leading axes batch and frame.
        lighting: The enclosures.

    Returns:
        The hits.
    """
    num_frames, num_objects = objects.shape.shape[1:]
    depth, face = enclosure_hits(
        bundles,
        lighting.room_low.repeat_interleave(num_frames, 0),
        lighting.room_high.repeat_interleave(num_frames, 0),
        lighting.dome_radius.repeat_interleave(num_frames, 0),
    )
    hits = object_hits(bundles, _flat(objects))
    shape = depth.shape
    depth = depth.flatten().scatter_reduce(0, hits.ray, hits.distance, "amin")
    winners = hits.select((hits.distance <= depth.index_select(0, hits.ray)).nonzero().squeeze(-1))
    slot = torch.full(depth.shape, -1, dtype=torch.int64, device=depth.device)
    slot[winners.ray] = winners.pair % num_objects
    return Hits(depth=depth.view(shape), slot=slot.view(shape), face=face, winners=winners)


def shade(
    hits: Hits,
    bundles: Bundles,
    objects: Placement,
    surfaces: Surfaces,
    lighting: Lighting,
    pixel_size: Float[Tensor, "batch frame"],
) -> Float[Tensor, "bundle rgb=3 ray"]:
    """Colours of first hits.

    Args:
        hits: From `cast`.
        bundles: The same rays.
        objects: The same objects, leading axes batch and frame.
        surfaces: Textures.
        lighting: Light, sky and air.
        pixel_size: Width of a pixel at depth one.

    Returns:
        Colours in [0, 1].
    """
    num_frames = pixel_size.shape[1]
    lighting = lighting.map(lambda tensor: tensor.repeat_interleave(num_frames, 0))
    points = bundles.origin[..., None] + hits.depth[:, None] * bundles.directions
    footprint = hits.depth * pixel_size.flatten()[:, None]
    slant = bundles.directions.square().sum(1).rsqrt()
    from_light = points - lighting.light_position[..., None]
    light_distance = from_light.square().sum(1).sqrt()

    spots = _enclosure_spots(hits, bundles, points, from_light, surfaces, lighting)
    _put_object_spots(spots, hits.winners, bundles, points, from_light, objects, surfaces)
    facing = (spots.facing * slant).clamp_min(0.05).sqrt()
    footprint = footprint * spots.tiles / facing
    atlas = TextureAtlas(texels=surfaces.texels, size=surfaces.size)
    albedo = sample_texture(atlas, spots.texture, spots.u, spots.v, footprint)
    color = rearrange(albedo, "b r c -> b c r").contiguous()

    lit = (spots.lambert / light_distance).clamp_min_(0.0)
    lit *= _unshadowed(from_light, lighting.light_position, _flat(objects), hits.slot)
    exposure = lighting.exposure[:, None]
    ambient, contrast = lighting.ambient_down, lighting.ambient_up - lighting.ambient_down
    light = torch.addcmul(
        (ambient * exposure)[..., None], spots.up[:, None], (contrast * exposure)[..., None]
    )
    light = torch.addcmul(light, lit[:, None], (lighting.light_color * exposure)[..., None])
    color *= light

    haze_color = lighting.horizon_color * exposure
    murk = -torch.expm1(-lighting.haze[:, None] * hits.depth)
    color = torch.lerp(color, haze_color[..., None].expand_as(color), murk[:, None])
    _put_sky(color, hits, points, albedo, lighting)
    return color.clamp_(0.0, 1.0)


@dataclass(frozen=True)
class _Spots:
    r"""What the shading needs to know of each hit point; the unit normal $n$ points to the viewer's side.

    Args:
        texture: Scene number x textures per scene + texture number.
        u: Texture coordinate, tiles.
        v: Texture coordinate, tiles.
        tiles: Tiles per scene unit.
        facing: $|n \cdot d|$ with the ray direction $d$ as given.
        lambert: $-n \cdot l$ with $l$ from the light to the point.
        up: 1 where the surface faces up, 0 where it faces down.
    """

    texture: Int32[Tensor, "bundle ray"]
    u: Float[Tensor, "bundle ray"]
    v: Float[Tensor, "bundle ray"]
    tiles: Float[Tensor, "bundle ray"]
    facing: Float[Tensor, "bundle ray"]
    lambert: Float[Tensor, "bundle ray"]
    up: Float[Tensor, "bundle ray"]


def _enclosure_spots(
    hits: Hits, bundles: Bundles, points: Tensor, from_light: Tensor, surfaces: Surfaces, lighting: Lighting
) -> _Spots:
    """Floor, walls, ceiling and sky, mapped by their plane."""
    num_textures = surfaces.texels.shape[1]
    num_frames = len(points) // len(surfaces.texels)
    x, y, z = points.unbind(1)
    face = hits.face
    axis = face.clamp_max(2)[:, None]
    level = (face & 1) == 1  # floor, ceiling and sky are mapped from above
    # 0 and 2 wall, 1 floor, 3 sky, 4 ceiling
    kind = face + 3 * ((face == 1) & (bundles.directions[:, 1] < 0))
    which = torch.tensor([1, 0, 1, 2, 2], device=face.device)
    first = torch.arange(len(surfaces.texels), device=face.device) * num_textures
    texture = (first[:, None] + which).to(torch.int32).repeat_interleave(num_frames, 0).gather(1, kind)
    tiles = surfaces.tiles_per_unit[:, which].repeat_interleave(num_frames, 0).gather(1, kind)
    radius = 0.25 * lighting.dome_radius[:, None]
    tiles = torch.where(face == 3, tiles / (1.0 - y / radius).clamp_min_(0.2), tiles)  # clouds lie in a plane
    up = torch.tensor([0.5, 1.0, 0.5, 0.0, 0.0], device=face.device, dtype=x.dtype)
    shift = surfaces.shift[:, 0].repeat_interleave(num_frames, 0)[..., None]
    return _Spots(
        texture=texture,
        u=torch.addcmul(shift[:, 0], torch.where(face == 0, z, x), tiles),
        v=torch.addcmul(shift[:, 1], torch.where(level, z, y), tiles),
        tiles=tiles,
        facing=bundles.directions.gather(1, axis).squeeze(1).abs_(),
        lambert=from_light.gather(1, axis).squeeze(1).abs_(),
        up=up[kind],
    )


def _put_object_spots(
    spots: _Spots,
    won: ObjectHits,
    bundles: Bundles,
    points: Tensor,
    from_light: Tensor,
    objects: Placement,
    surfaces: Surfaces,
) -> None:
    """Overwrite the spots where an object is first: round sides are wrapped, faces mapped by their plane."""
    num_frames = objects.shape.shape[1]
    num_rays = spots.u.shape[1]
    flat, ray = _flat(objects), won.ray
    start = ray + 2 * num_rays * torch.div(ray, num_rays, rounding_mode="floor")
    index = torch.cat([start, start + num_rays, start + 2 * num_rays])

    def at_hits(values: Tensor) -> Tensor:
        return values.flatten().index_select(0, index).view(3, -1)

    position, normal, side = surface_points(won, at_hits(points), flat)
    size = flat.size.flatten(0, 1).T.contiguous().index_select(1, won.pair)
    local = position * size
    scene = torch.arange(len(surfaces.texels), device=ray.device)[:, None] * surfaces.texels.shape[1]
    texture = (
        (scene + surfaces.of_object).repeat_interleave(num_frames, 0).flatten().index_select(0, won.pair)
    )
    tiles = surfaces.tiles_per_unit.flatten().index_select(0, texture)
    shift = surfaces.shift.flatten(0, 1).T.contiguous().index_select(1, texture)

    wraps = (2 * torch.pi * torch.maximum(size[0], size[2]) * tiles).round_().clamp_min_(1.0)
    around = torch.atan2(position[0], position[2]) / (2 * torch.pi) * wraps
    width, height, length = position.abs()
    across_x = (width >= height) & (width >= length)
    across_y = (height >= length) & ~across_x & ~side
    u = torch.where(side, around, torch.where(across_x, local[2], local[0]) * tiles)
    v = torch.where(across_y, local[2], local[1]) * tiles

    ray = won.ray
    spots.texture.view(-1)[ray] = texture.to(torch.int32)
    spots.u.view(-1)[ray] = u + shift[0]
    spots.v.view(-1)[ray] = v + shift[1]
    spots.tiles.view(-1)[ray] = tiles
    spots.facing.view(-1)[ray] = (normal * at_hits(bundles.directions)).sum(0).abs_()
    spots.lambert.view(-1)[ray] = -(normal * at_hits(from_light)).sum(0)
    spots.up.view(-1)[ray] = 0.5 - 0.5 * normal[1]


def _unshadowed(from_light: Tensor, light: Tensor, objects: Placement, slot: Tensor) -> Tensor:
    """Zero where an object other than the point's own stands between the light and the point, else one."""
    hits = object_hits(Bundles(origin=light, directions=from_light), objects, far=0.999)
    other = (hits.pair % objects.shape.shape[-1]) != slot.flatten().index_select(0, hits.ray)
    clear = torch.ones_like(from_light[:, 0])
    clear.view(-1)[hits.ray.index_select(0, other.nonzero().squeeze(-1))] = 0.0
    return clear


def _put_sky(color: Tensor, hits: Hits, points: Tensor, albedo: Tensor, lighting: Lighting) -> None:
    """Overwrite the colours of rays that reach the sky: a gradient, with clouds from the third texture."""
    sky = ((hits.face == 3) & (hits.slot < 0)).flatten().nonzero().squeeze(-1)
    num_rays = hits.face.shape[1]
    bundle = torch.div(sky, num_rays, rounding_mode="floor")
    start = sky + 2 * num_rays * bundle
    height = (-points.flatten()[start + num_rays] / lighting.dome_radius[bundle]).clamp(0.0, 1.0).sqrt_()
    clouds = albedo[..., 0].flatten()[sky] * (2.0 * height).clamp_max_(1.0)
    blue = torch.lerp(lighting.horizon_color[bundle], lighting.zenith_color[bundle], height[:, None])
    shown = torch.lerp(blue, torch.full_like(blue, 0.95), clouds[:, None]) * lighting.exposure[bundle, None]
    for channel in range(3):
        color.view(-1)[start + channel * num_rays] = shown[:, channel]
