"""First hits of rays: the room or the ground and sky around them, and the objects in it, all in closed form.

Every object is the unit cube, the unit ball or the unit cylinder under an affine map, so one test serves all:
the ray is inside three slabs and inside one quadric whose axes may be switched off. Only rays that pass an
object's bounding sphere are tested (a list of ray-object pairs), which leaves a few per cent of all pairs.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

__all__ = ["SHAPES", "Bundles", "ObjectHits", "Placement", "enclosure_hits", "object_hits", "surface_points"]

SHAPES = ("ellipsoid", "box", "cylinder")
_QUADRIC_AXES = ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 1.0))


@dataclass(frozen=True)
class Placement:
    """Objects where they are at one time; a size of zero marks an empty slot.

    Args:
        shape: Index into `SHAPES`.
        size: Half extents along the object's own axes.
        rotation: Object-to-frame rotations.
        center: Centres.
    """

    shape: Int64[Tensor, "*bundle object"]
    size: Float[Tensor, "*bundle object xyz=3"]
    rotation: Float[Tensor, "*bundle object 3 3"]
    center: Float[Tensor, "*bundle object xyz=3"]

    def to_unit(self) -> Float[Tensor, "*bundle object 3 3"]:
        """Maps from the frame to the space where the object is the unit shape.

        Returns:
            Matrices; offsets from the centre are multiplied by them.
        """
        return self.rotation.transpose(-1, -2) / self.size.clamp_min(1e-6)[..., None]

    def bounding_radius(self) -> Float[Tensor, "*bundle object"]:
        """Radius of a sphere around the centre that holds the object.

        Returns:
            Radii in scene units.
        """
        x, y, z = (self.size**2).unbind(-1)
        squares = torch.stack([self.size.amax(-1) ** 2, x + y + z, torch.maximum(x, z) + y], dim=-1)
        return squares.gather(-1, self.shape[..., None]).squeeze(-1).sqrt()


@dataclass(frozen=True)
class Bundles:
    """Rays that start at one point per bundle: a pinhole camera, or a light.

    Args:
        origin: Start of all rays of the bundle.
        directions: Ray directions, not unit: a hit at parameter t lies at origin + t * direction.
    """

    origin: Float[Tensor, "bundle xyz=3"]
    directions: Float[Tensor, "bundle xyz=3 ray"]


@dataclass(frozen=True)
class ObjectHits:
    """Ray-object pairs that meet, as a list.

    Args:
        ray: Index of the ray among all bundles, flattened.
        pair: Index of bundle x object, flattened.
        distance: Ray parameter t of the entry point.
    """

    ray: Int64[Tensor, " hit"]
    pair: Int64[Tensor, " hit"]
    distance: Float[Tensor, " hit"]

    def select(self, index: Int64[Tensor, " chosen"]) -> "ObjectHits":
        """The chosen entries.

        Args:
            index: Which hits, in the order wanted.

        Returns:
            These hits.
        """
        return ObjectHits(
            ray=self.ray.index_select(0, index),
            pair=self.pair.index_select(0, index),
            distance=self.distance.index_select(0, index),
        )


def object_hits(
    bundles: Bundles, objects: Placement, *, near: float = 1e-3, far: float = math.inf
) -> ObjectHits:
    """All entries of rays into objects, before sorting out which is first.

    Args:
        bundles: Rays.
        objects: One set per bundle, in the frame of the rays.
        near: Smallest ray parameter that counts.
        far: Largest ray parameter that counts.

    Returns:
        The hits; a ray may occur once per object.
    """
    num_rays, num_objects = bundles.directions.shape[-1], objects.shape.shape[-1]
    to_unit = objects.to_unit()
    offset = objects.center - bundles.origin[:, None]
    radius = objects.bounding_radius()
    reach = (offset.square().sum(-1) - radius**2 * 1.0001).clamp_min(0.0).sqrt()
    reach = torch.where(radius > 1e-3, reach, torch.inf)
    unit = bundles.directions * bundles.directions.square().sum(-2, keepdim=True).rsqrt()
    near_object = (offset @ unit) >= reach[..., None]
    flat = near_object.flatten().nonzero().squeeze(-1)
    pair = torch.div(flat, num_rays, rounding_mode="floor")
    ray = flat - pair * num_rays
    ray = ray + torch.div(pair, num_objects, rounding_mode="floor") * num_rays

    axes = torch.tensor(_QUADRIC_AXES, device=to_unit.device, dtype=to_unit.dtype)[objects.shape]
    start = -(to_unit @ offset[..., None]).squeeze(-1)
    table = torch.cat([to_unit.flatten(-2), start, axes], dim=-1).flatten(0, 1).T.contiguous()
    rows = table.index_select(1, pair)
    world = bundles.directions.transpose(0, 1).flatten(1).index_select(1, ray)
    heading = (rows[:9].unflatten(0, (3, 3)) * world).sum(1)
    start, axes = rows[9:12], rows[12:15]

    heading = torch.where(heading.abs() < 1e-9, 1e-9, heading)
    inverse = heading.reciprocal()
    middle, half = start * inverse, inverse.abs()
    slab_near, slab_far = (-middle - half).amax(0), (half - middle).amin(0)
    masked = heading * axes
    square = (masked * heading).sum(0).add_(1e-12)
    closest = (masked * start).sum(0).div_(square)
    room = 1.0 - (axes * (start - closest * heading).square_()).sum(0)
    chord = (room.clamp_min(0.0) / square).sqrt_()
    distance = torch.maximum(slab_near, -closest - chord)
    leave = torch.minimum(slab_far, chord - closest).clamp_max_(far)
    hit = (room >= 0) & (distance <= leave) & (distance > near)
    return ObjectHits(ray=ray, pair=pair, distance=distance).select(hit.nonzero().squeeze(-1))


def surface_points(
    hits: ObjectHits, points: Float[Tensor, "xyz=3 hit"], objects: Placement
) -> tuple[Float[Tensor, "xyz=3 hit"], Float[Tensor, "xyz=3 hit"], Bool[Tensor, " hit"]]:
    """Where hits are on their objects.

    Args:
        hits: One entry per point.
        points: Hit points in the frame of the objects.
        objects: The objects, one axis of bundles.

    Returns:
        Position in the object's unit space; outward unit normal in the frame; whether the point lies on a
        curved side.
    """
    kinds = torch.tensor(_QUADRIC_AXES, device=points.device, dtype=points.dtype)[objects.shape]
    table = (
        torch.cat([objects.to_unit().flatten(-2), objects.center, kinds], dim=-1).flatten(0, 1).T.contiguous()
    )
    rows = table.index_select(1, hits.pair)
    to_unit, axes = rows[:9].unflatten(0, (3, 3)), rows[12:15]
    position = (to_unit * (points - rows[9:12])).sum(1)
    size = position.abs()
    radius = (axes * position.square()).sum(0).sqrt()
    flat = size * (1.0 - axes)
    across = flat.amax(0)
    on_side = radius >= across
    normal = torch.where(on_side, axes * position, torch.sign(position) * (flat == across))
    normal = (to_unit * normal[:, None]).sum(0)
    return position, normal * normal.square().sum(0).rsqrt(), on_side


def enclosure_hits(
    bundles: Bundles,
    low: Float[Tensor, "bundle xyz=3"],
    high: Float[Tensor, "bundle xyz=3"],
    dome_radius: Float[Tensor, " bundle"],
) -> tuple[Float[Tensor, "bundle ray"], Int64[Tensor, "bundle ray"]]:
    """Where rays leave the room: the inside of a box, cut by a sphere (the sky) around the frame's origin.

    Args:
        bundles: Rays that start inside.
        low: Lower corner of the box.
        high: Upper corner of the box.
        dome_radius: Radius of the sphere.

    Returns:
        Ray parameter of the hit, and what was hit, 0, 1, 2 for a face across x, y, z and 3 for the sphere.
    """
    directions = bundles.directions
    safe = torch.where(directions.abs() < 1e-9, 1e-9, directions)
    ahead, behind = (high - bundles.origin)[..., None], (low - bundles.origin)[..., None]
    distance, axis = (torch.where(safe > 0, ahead, behind) / safe).min(1)
    square = directions.square().sum(1)
    along = (bundles.origin[:, None] @ directions).squeeze(1) / square
    rest = (dome_radius**2 - bundles.origin.square().sum(-1))[:, None] / square
    dome = (along**2 + rest).clamp_min(0.0).sqrt() - along
    return torch.minimum(distance, dome), torch.where(dome < distance, 3, axis)
