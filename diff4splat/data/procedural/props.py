"""Things in a scene: movers and clutter in front, furniture and trees behind, and tops that sit on them."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from diff4splat.data.procedural.draws import Draws
from diff4splat.data.procedural.raycast import SHAPES
from diff4splat.data.procedural.world import Enclosure, turn_about

__all__ = ["BEHIND", "FRONT", "MOTIONS", "PARENTS", "Props", "draw_props"]

FRONT, BEHIND = 5, 3
PARENTS = (0, 1, 2, 5, 6, 7)
"""The object that each of the further slots sits on."""

MOTIONS = ("left", "right", "up", "down", "closer", "away", "spin", "bounce", "sway", "still")
_MOTION_WEIGHTS = (0.18, 0.18, 0.11, 0.11, 0.1, 0.1, 0.1, 0.05, 0.04, 0.03)


@dataclass(frozen=True)
class Props:
    """Objects at time 0, level frame; the last slots hold tops, which share the poses of their `PARENTS`.

    Args:
        count: Objects in front.
        moves: Which objects may move (the first ones).
        motion: What they do, index into `MOTIONS`.
        floating: Which do not stand on the floor.
        shape: Index into `SHAPES`.
        size: Half extents; zero for an empty slot.
        regular: Whether all sides are equal.
        tree: Whether an object is the trunk of a tree.
        center: Centres of the objects, and of the parents of the tops.
        rotation: Object-to-frame rotations.
        arm: From that centre to the object's own, along the object's axes.
    """

    count: Int64[Tensor, " batch"]
    moves: Bool[Tensor, "batch object"]
    motion: Int64[Tensor, "batch object"]
    floating: Bool[Tensor, "batch object"]
    shape: Int64[Tensor, "batch object"]
    size: Float[Tensor, "batch object xyz=3"]
    regular: Bool[Tensor, "batch object"]
    tree: Bool[Tensor, "batch object"]
    center: Float[Tensor, "batch object xyz=3"]
    rotation: Float[Tensor, "batch object 3 3"]
    arm: Float[Tensor, "batch object xyz=3"]

    def doing(self, name: str) -> Bool[Tensor, "batch object"]:
        """Which objects perform a motion.

        Args:
            name: One of the motions of objects.

        Returns:
            True where an object performs it.
        """
        return (self.motion == MOTIONS.index(name)) & self.moves


def draw_props(draws: Draws, enclosure: Enclosure, num_objects: tuple[int, int]) -> Props:
    """Random objects in view of the first camera.

    What can be seen of an object at time 0 does not depend on where it is about to go.

    Args:
        draws: Random numbers.
        enclosure: The room.
        num_objects: Fewest and most objects in front.

    Returns:
        The objects.
    """
    slots = FRONT + BEHIND
    outdoors = enclosure.outdoors[:, None]
    number = torch.arange(slots)
    behind = number >= FRONT
    count = num_objects[0] + (draws.uniform() * (num_objects[1] - num_objects[0] + 1)).long()
    present = (number < count[:, None]) | (behind & draws.chance(0.65, slots))
    moves = number < torch.minimum(draws.choose([0.03, 0.42, 0.35, 0.2]), count)[:, None]
    motion = draws.choose(_MOTION_WEIGHTS, slots)
    must_float = moves & (motion == MOTIONS.index("down"))
    floating = must_float | (moves & draws.chance(0.45, slots))

    # shapes and sizes
    shape = draws.choose([0.34, 0.38, 0.28], slots)
    tree = behind & outdoors & draws.chance(0.45, slots)
    shape = torch.where(tree, SHAPES.index("cylinder"), shape)
    aside = draws.chance(0.25, slots)
    depth = torch.where(aside, draws.uniform(2.6, 4.5, slots), draws.uniform(4.6, 8.0, slots))
    depth = torch.where(moves, draws.uniform(2.3, 4.6, slots), depth)
    yonder = torch.where(outdoors, draws.uniform(7.0, 20.0, slots), draws.uniform(4.5, 9.0, slots))
    depth = torch.where(behind, yonder, depth)
    extent = torch.where(moves, draws.uniform(0.15, 0.36, slots), draws.uniform(0.08, 0.24, slots))
    extent = (extent * 0.55 * depth).clamp(0.15, 2.6)
    regular = draws.chance(0.55, slots) & ~tree
    proportions = draws.uniform(0.6, 1.3, slots, 3)
    proportions = torch.where(regular[..., None], proportions[..., :1], proportions)
    proportions[..., 2] = torch.where(shape == 2, proportions[..., 0], proportions[..., 2])
    tall = draws.uniform(1.0, 2.6, slots)
    proportions[..., 1] *= torch.where(behind & (shape != 0), tall, 1.0)
    proportions = torch.where(tree[..., None], torch.tensor([0.22, 1.2, 0.22]), proportions)
    size = extent[..., None] * proportions * present[..., None]

    # places: spread over the image, on the floor or in the air, inside the room
    column = torch.remainder(number * 2 + draws.choose([1] * 5)[:, None], 5)
    tangent = (column + draws.uniform(0.0, 1.0, slots)) / 5 * 2 - 1
    tangent = tangent * torch.where(moves, 0.3, torch.where(behind, 0.75, 0.55))
    tangent = torch.where(aside & ~behind & ~moves, 0.45 * torch.sign(tangent) + 0.2 * tangent, tangent)
    center = torch.stack([tangent * depth, torch.zeros_like(depth), depth], dim=-1)
    center = center @ enclosure.view.transpose(-1, -2)
    floor = enclosure.high[:, 1:2] - size[..., 1]
    ceiling = enclosure.low[:, 1:2] + size[..., 1]
    air = depth * (draws.uniform(-0.26, 0.22, slots) + torch.tan(enclosure.pitch)[:, None])
    air = torch.maximum(torch.minimum(air, floor - 0.25), torch.minimum(ceiling + 0.1, floor - 0.1))
    center[..., 1] = torch.where(floating, air, floor)
    margin = size.norm(dim=-1, keepdim=True)
    inside = center.clamp(enclosure.low[:, None] + margin, enclosure.high[:, None] - margin)
    center = torch.stack([inside[..., 0], center[..., 1], inside[..., 2]], dim=-1)
    turn = turn_about(1, draws.uniform(-math.pi, math.pi, slots))
    tumble = turn_about(0, draws.uniform(-1.0, 1.0, slots)) @ turn_about(2, draws.uniform(-1.0, 1.0, slots))
    rotation = torch.where((floating & draws.chance(0.6, slots))[..., None, None], turn @ tumble, turn)

    # pictures on the far wall
    hangs = behind & ~outdoors & draws.chance(0.5, slots)
    frame = torch.stack(
        [draws.uniform(0.4, 1.1, slots), draws.uniform(0.3, 0.7, slots), torch.full_like(depth, 0.03)], dim=-1
    )
    height = torch.maximum(
        enclosure.high[:, 1:2] - draws.uniform(1.3, 2.0, slots), enclosure.low[:, 1:2] + 0.8
    )
    wall = torch.stack(
        [
            center[..., 0].clamp(enclosure.low[:, :1] + 1.2, enclosure.high[:, :1] - 1.2),
            height,
            (enclosure.high[:, 2:] - 0.03).expand_as(height),
        ],
        dim=-1,
    )
    size = torch.where(hangs[..., None], frame * present[..., None], size)
    center = torch.where(hangs[..., None], wall, center)
    rotation = torch.where(hangs[..., None, None], torch.eye(3), rotation)
    shape = torch.where(hangs, SHAPES.index("box"), shape)

    # tops: crowns on trees, something smaller on other objects
    parents = torch.tensor(PARENTS)
    tops = len(PARENTS)
    crown = tree[:, parents]
    rolls = (shape == 0)[:, parents] & ~floating[:, parents]
    topped = (crown | draws.chance(0.4, tops)) & ~hangs[:, parents] & ~rolls
    base = size[:, parents]
    round_base = (shape[:, parents] == 2)[..., None]
    small = base * torch.where(
        round_base, draws.uniform(0.45, 0.95, tops, 1), draws.uniform(0.45, 0.95, tops, 3)
    )
    leaves = base[..., 1:2] * draws.uniform(0.6, 0.95, tops, 3)
    top_size = torch.where(crown[..., None], leaves, small) * topped[..., None]
    top_shape = torch.where(crown, SHAPES.index("ellipsoid"), draws.choose([0.4, 0.35, 0.25], tops))
    top_size[..., 2] = torch.where(top_shape == 2, top_size[..., 0], top_size[..., 2])
    arm = torch.zeros(len(count), slots + tops, 3)
    sink = torch.where(top_shape == 0, 0.85, 1.0)
    arm[:, slots:, 1] = -(base[..., 1] + sink * top_size[..., 1])
    everything = torch.cat([number, parents])
    return Props(
        count=count,
        moves=moves[:, everything],
        motion=motion[:, everything],
        floating=floating[:, everything],
        shape=torch.cat([shape, top_shape], dim=1),
        size=torch.cat([size, top_size], dim=1),
        regular=regular[:, everything],
        tree=tree[:, everything],
        center=center[:, everything],
        rotation=rotation[:, everything],
        arm=arm,
    )
