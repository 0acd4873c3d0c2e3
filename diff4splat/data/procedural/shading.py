"""Colours of ray hits: textures, one light with shadows, sky, haze and exposure."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from diff4splat.data.procedural.raycast import Bundles, ObjectHits, Placement, enclosure_hits, object_hits
from diff4splat.data.procedural.textures import TextureAtlas, sample_texture

if TYPE_CHECKING:
    from diff4splat.data.procedural.scenes import ProceduralScenes

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
    """

    texels: Float[Tensor, "batch texture texel rgb=3"]
    size: int
    tiles_per_unit: Float[Tensor, "batch texture"]
    shift: Float[Tensor, "batch texture uv=2"]

    def map(self, function) -> "Surfaces":
        """Apply one function to every tensor."""
        return Surfaces(
            texels=function(self.texels),
            size=self.size,
            tiles_per_unit=function(self.tiles_per_unit),
            shift=function(self.shift),
        )


@dataclass(frozen=True)
class Lighting:
    """Enclosure, light and air of a batch of scenes, level frame.

    Args:
        room_low: Lower corner of the room; far away where there is no wall.
        room_high: Upper corner; its y is the floor.
        dome_radius: Distance of the sky.
        outdoors: Whether there is a sky.
        light_position: Where the light is; far away for the sun.
        light_color: Colour and strength of the direct light.
        ambient_up: Light from above.
        ambient_down: Light from below.
        horizon_color: Sky at the horizon, and colour of the haze.
        zenith_color: Sky above.
        haze: Extinction per scene unit.
        exposure: Factor on all colours.
        vignette: Darkening towards the image corners.
    """

    room_low: Float[Tensor, "batch xyz=3"]
    room_high: Float[Tensor, "batch xyz=3"]
    dome_radius: Float[Tensor, " batch"]
    outdoors: Bool[Tensor, " batch"]
    light_position: Float[Tensor, "batch xyz=3"]
    light_color: Float[Tensor, "batch rgb=3"]
    ambient_up: Float[Tensor, "batch rgb=3"]
    ambient_down: Float[Tensor, "batch rgb=3"]
    horizon_color: Float[Tensor, "batch rgb=3"]
    zenith_color: Float[Tensor, "batch rgb=3"]
    haze: Float[Tensor, " batch"]
    exposure: Float[Tensor, " batch"]
    vignette: Float[Tensor, " batch"]

    def map(self, function) -> "Lighting":
        """Apply one function to every tensor."""
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
    winners = hits.select((hits.distance <= depth[hits.ray]).nonzero().squeeze(-1))
    slot = torch.full(depth.shape, -1, dtype=torch.int64, device=depth.device)
    slot[winners.ray] = winners.pair % num_objects
    return Hits(depth=depth.view(shape), slot=slot.view(shape), face=face, winners=winners)


def shade(
    hits: Hits,
    bundles: Bundles,
    objects: Placement,
    scenes: "ProceduralScenes",
    pixel_size: Float[Tensor, "batch frame"],
) -> Float[Tensor, "bundle ray rgb=3"]:
    """Colours of first hits.

    Args:
        hits: From `cast`.
        bundles: The same rays.
        objects: The same objects.
        scenes: Surfaces and lighting.
        pixel_size: Width of a pixel at depth one.

    Returns:
        Colours in [0, 1].
    """
    surfaces, lighting = scenes.surfaces, scenes.lighting
    num_scenes, num_frames, num_objects = objects.shape.shape
    num_bundles, num_rays = hits.depth.shape
    num_textures = surfaces.texels.shape[1]

    def per_bundle(values: Tensor) -> Tensor:
        return values.repeat_interleave(num_frames, 0)

    def per_ray(values: Tensor) -> Tensor:
        return values.repeat_interleave(num_frames, 0)[:, None]

    depth, face = hits.depth, hits.face
    position = bundles.origin[..., None] + depth[:, None] * bundles.directions
    x, y, z = position.unbind(1)
    toward_x, toward_y, toward_z = bundles.directions.unbind(1)

    # the enclosure: texture by face, planar coordinates
    on_sky = face == 3
    across_x, across_y = face == 0, face == 1
    texture = torch.where(across_y, torch.where(toward_y > 0, 0, 2), 1).to(torch.int32)
    texture = torch.where(on_sky, 2, texture).to(torch.int32)
    lift = (0.25 - y / per_ray(lighting.dome_radius)).clamp_min(0.05)
    stretch = torch.where(on_sky, 8.0 / (lift * per_ray(lighting.dome_radius)), 1.0)
    u = torch.where(across_x, z, x) * stretch
    v = torch.where(across_y | on_sky, z, y) * stretch
    normal = torch.zeros_like(position)
    normal.scatter_(1, face.clamp_max(2)[:, None], 1.0)
    normal = -torch.sign(bundles.directions) * normal

    scene_texture = torch.arange(num_scenes, device=depth.device, dtype=torch.int32)[:, None] * num_textures
    texture = texture + scene_texture.repeat_interleave(num_frames, 0)

    # the objects: overwrite where an object is first
    won = hits.winners
    flat_objects = _flat(objects)
    sizes = flat_objects.size.flatten(0, 1)[won.pair].T
    to_unit = flat_objects.to_unit().flatten(0, 1)[won.pair]
    object_normal = (to_unit.permute(1, 2, 0) * won.normal[:, None]).sum(0)
    object_normal = object_normal * object_normal.square().sum(0).rsqrt()
    local = won.position * sizes
    scene = torch.div(won.pair, num_objects * num_frames, rounding_mode="floor")
    object_texture = scene * num_textures + NUM_WORLD_TEXTURES + won.pair % num_objects
    tiles = surfaces.tiles_per_unit.flatten()[object_texture]
    girth = 2 * torch.pi * torch.maximum(sizes[0], sizes[2])
    wraps = (girth * tiles).round().clamp_min(1.0)
    around = torch.atan2(won.position[0], won.position[2]) / (2 * torch.pi) * wraps / tiles
    face_x, face_y = won.normal[0].abs() > 0.5, won.normal[1].abs() > 0.5
    side = won.on_side > 0.5
    object_u = torch.where(side, around, torch.where(face_x, local[2], local[0]))
    object_v = torch.where(face_y & ~side, local[2], local[1])
    texture.view(-1)[won.ray] = object_texture.to(torch.int32)
    u.view(-1)[won.ray] = object_u
    v.view(-1)[won.ray] = object_v
    normal.transpose(0, 1).reshape(3, -1)
    normal = normal.transpose(0, 1).contiguous()
    normal.view(3, -1)[:, won.ray] = object_normal

    # texture lookup, band-limited by the footprint of a pixel
    on_sky = on_sky & (hits.slot < 0)
    facing = (normal * bundles.directions.transpose(0, 1)).sum(0).abs()
    slant = (facing * bundles.directions.square().sum(1).rsqrt()).clamp_min(0.05).sqrt()
    tiles = surfaces.tiles_per_unit.flatten()[texture]
    footprint = depth * pixel_size.flatten()[:, None] * tiles / slant
    footprint = torch.where(on_sky, footprint * stretch, footprint)
    shift = surfaces.shift.flatten(0, 1)[texture]
    atlas = TextureAtlas(texels=surfaces.texels, size=surfaces.size)
    albedo = sample_texture(atlas, texture, u * tiles + shift[..., 0], v * tiles + shift[..., 1], footprint)

    # light: ambient from above and below, one lamp or sun with shadows
    light = per_bundle(lighting.light_position)
    from_light = position - light[..., None]
    distance = from_light.square().sum(1).sqrt()
    lambert = (-(normal * from_light.transpose(0, 1)).sum(0) / distance).clamp_min(0.0)
    lit = lambert * (1.0 - _shadow(from_light, light, flat_objects, hits.slot, num_objects))
    up = (0.5 - 0.5 * normal[1])[..., None]
    ambient = torch.lerp(per_ray(lighting.ambient_down), per_ray(lighting.ambient_up), up)
    color = albedo * (ambient + lit[..., None] * per_ray(lighting.light_color))

    # sky and haze
    height = (-y / per_ray(lighting.dome_radius)).clamp(0.0, 1.0).sqrt()[..., None]
    sky = torch.lerp(per_ray(lighting.horizon_color), per_ray(lighting.zenith_color), height)
    clouds = albedo[..., :1] * (2.0 * height).clamp_max(1.0)
    color = torch.where(on_sky[..., None], torch.lerp(sky, torch.full_like(sky, 0.95), clouds), color)
    clear = torch.exp(-per_ray(lighting.haze) * depth)
    clear = torch.where(on_sky, 1.0, clear)[..., None]
    color = torch.lerp(per_ray(lighting.horizon_color), color, clear)
    return (color * per_ray(lighting.exposure)[..., None]).clamp(0.0, 1.0)


def _shadow(from_light: Tensor, light: Tensor, objects: Placement, slot: Tensor, num_objects: int) -> Tensor:
    """One where an object other than the point's own stands between the light and the point, else zero."""
    hits = object_hits(Bundles(origin=light, directions=from_light), objects)
    other = (hits.pair % num_objects) != slot.flatten()[hits.ray]
    shadow = torch.zeros(slot.numel(), device=slot.device, dtype=from_light.dtype)
    shadow[hits.ray[(other & (hits.distance < 0.999)).nonzero().squeeze(-1)]] = 1.0
    return shadow.view(slot.shape)
