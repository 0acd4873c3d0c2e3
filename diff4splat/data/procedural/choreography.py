"""Random motions of the movers, limited to stay in the room and mostly in view."""

import torch
import torch.nn.functional as functional
from torch import Tensor

from diff4splat.data.procedural.draws import Draws
from diff4splat.data.procedural.motion import PROFILES, RigidMotion
from diff4splat.data.procedural.props import BEHIND, FRONT, PARENTS, Props
from diff4splat.data.procedural.world import Enclosure

__all__ = ["draw_motion"]


def draw_motion(draws: Draws, enclosure: Enclosure, props: Props, *, speed: float) -> RigidMotion:
    """Motions for all objects; tops get those of their parents.

    Args:
        draws: Random numbers.
        enclosure: The room.
        props: The objects.
        speed: Factor on all motion; zero holds everything still.

    Returns:
        Closed-form motions, level frame.
    """
    slots = FRONT + BEHIND
    center, size = props.center[:, :slots], props.size[:, :slots]
    seen = center @ enclosure.view  # along the heading of the first camera
    floor = enclosure.high[:, 1:2] - size[..., 1]
    ceiling = enclosure.low[:, 1:2] + size[..., 1]
    slope = torch.tan(enclosure.pitch)[:, None]
    headroom = torch.minimum(center[..., 1] - ceiling, center[..., 1] + seen[..., 2] * (0.36 - slope))

    def doing(name: str) -> Tensor:
        return props.doing(name)[:, :slots]

    # travel along one direction
    side, down = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])
    ahead = functional.normalize(seen * torch.tensor([1.0, 0.0, 1.0]), dim=-1)
    tilt = draws.uniform(-0.25, 0.25, slots)[..., None] * torch.tensor([0.0, 0.0, 1.0])
    reach = 0.55 * seen[..., 2]
    options = {
        "left": (-side + tilt, reach + seen[..., 0]),
        "right": (side + tilt, reach - seen[..., 0]),
        "up": (-down.expand_as(seen), headroom.clamp_min(0.2)),
        "down": (down.expand_as(seen), floor - center[..., 1]),
        "closer": (-ahead, seen[..., 2] - 1.3 - size.amax(-1)),
        "away": (ahead, torch.full_like(reach, 2.0)),
    }
    wanted = draws.uniform(0.35, 1.5, slots) * speed
    travel = torch.zeros_like(seen)
    for name, (direction, limit) in options.items():
        step = (
            functional.normalize(direction, dim=-1) * torch.minimum(wanted, limit.clamp_min(0.1))[..., None]
        )
        travel = torch.where(doing(name)[..., None], step, travel)
    travel = travel @ enclosure.view.transpose(-1, -2)
    margin = size.norm(dim=-1, keepdim=True)
    wall = torch.where(travel > 0, enclosure.high[:, None] - margin, enclosure.low[:, None] + margin)
    share = (wall - center) / torch.where(travel.abs() < 1e-6, 1e-6, travel)
    level = torch.tensor([True, False, True]) & (travel.abs() >= 1e-6)
    travel = travel * torch.where(level, share, 1.0).amin(-1, keepdim=True).clamp(0.1, 1.0)
    travel = torch.where(props.moves[:, :slots, None], travel, 0.0)

    # hops and swings in place
    amplitude = draws.uniform(0.2, 0.5, slots) * speed
    hop = (
        -down
        * torch.where(doing("bounce"), torch.minimum(amplitude, headroom.clamp_min(0.1)), 0.0)[..., None]
    )
    sway = enclosure.view[:, None, :, 0] * torch.where(doing("sway"), amplitude, 0.0)[..., None]

    # spin: balls on the floor roll, other things there turn about the vertical, floating ones about any axis
    length = travel.norm(dim=-1)
    ball = (props.shape == 0)[:, :slots] & props.regular[:, :slots]
    floating = props.floating[:, :slots]
    rolls = ball & ~floating & ~doing("up") & (length > 1e-3)
    spins = doing("spin") | (draws.chance(0.3, slots) & props.moves[:, :slots] & ~doing("still"))
    free = (floating | ball)[..., None]
    axis = functional.normalize(draws.uniform(-1.0, 1.0, slots, 3) + 1e-3, dim=-1)
    axis = torch.where(free, axis, down)
    roll_axis = torch.stack([-travel[..., 2], torch.zeros_like(length), travel[..., 0]], dim=-1)
    axis = torch.where(rolls[..., None], functional.normalize(roll_axis, dim=-1), axis)
    sign = torch.where(draws.chance(0.5, slots), 1.0, -1.0)
    angle = draws.uniform(0.9, 2.8, slots) * sign * spins * speed
    angle = torch.where(rolls, length / size[..., 0].clamp_min(0.05), angle)

    profile = draws.choose([3, 1, 1, 1], slots)
    profile = torch.where(doing("down"), PROFILES.index("accelerate"), profile)
    everything = torch.cat([torch.arange(slots), torch.tensor(PARENTS)])
    return RigidMotion(
        center=props.center,
        rotation=props.rotation,
        arm=props.arm,
        travel=travel[:, everything],
        profile=profile[:, everything],
        hop=hop[:, everything],
        sway=sway[:, everything],
        cycles=1.0 + draws.choose([1, 1], slots)[:, everything].float(),
        spin_axis=axis[:, everything],
        spin_angle=angle[:, everything],
    )
