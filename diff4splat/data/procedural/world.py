"""Rooms and landscapes: where the first camera stands, what encloses it, and how it is lit."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.data.procedural.draws import Draws
from diff4splat.data.procedural.motion import axis_angle_matrix
from diff4splat.data.procedural.shading import Lighting

__all__ = ["Enclosure", "draw_enclosure", "draw_lighting", "turn_about"]

_FAR = 200.0


@dataclass(frozen=True)
class Enclosure:
    """The room or open ground around the first camera, level frame (origin at the camera, +y down).

    Args:
        outdoors: Whether there is a sky.
        low: Lower corner of the room.
        high: Upper corner; its y is the height of the camera above the floor.
        view: Rotation to the level frame from the heading of the camera (its axes without pitch and roll).
        pitch: Angle by which the camera looks down, radians.
        level_from_world: Rotation to the level frame from the first camera.
    """

    outdoors: Bool[Tensor, " batch"]
    low: Float[Tensor, "batch xyz=3"]
    high: Float[Tensor, "batch xyz=3"]
    view: Float[Tensor, "batch 3 3"]
    pitch: Float[Tensor, " batch"]
    level_from_world: Float[Tensor, "batch 3 3"]


def turn_about(axis: int, angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation about one of the frame's axes (0, 1, 2), radians.

    Args:
        axis: 0, 1 or 2.
        angle: Radians.

    Returns:
        Rotation matrices.
    """
    direction = torch.zeros(*angle.shape, 3)
    direction[..., axis] = 1.0
    return axis_angle_matrix(direction, angle)


def draw_enclosure(draws: Draws) -> Enclosure:
    """A random room, or open ground under a sky, and how the camera stands in it.

    Args:
        draws: Source of randomness.

    Returns:
        One enclosure per scene.
    """
    outdoors = draws.chance(0.45)
    camera_height = draws.uniform(0.8, 1.8)
    ceiling = -draws.uniform(0.7, 2.0)
    view = turn_about(1, torch.deg2rad(draws.uniform(-30.0, 30.0)))
    pitch = torch.atan(
        camera_height / draws.uniform(4.0, 12.0)
    )  # the middle row meets the floor that far away
    roll = torch.deg2rad(draws.uniform(-2.5, 2.5))
    low = torch.stack([-draws.uniform(2.2, 5.0), ceiling, torch.full_like(ceiling, -2.5)], dim=-1)
    high = torch.stack([draws.uniform(2.2, 5.0), camera_height, draws.uniform(5.5, 11.0)], dim=-1)
    floor = torch.tensor([False, True, False])
    return Enclosure(
        outdoors=outdoors,
        low=torch.where(outdoors[:, None], -_FAR, low),
        high=torch.where(outdoors[:, None] & ~floor, _FAR, high),
        view=view,
        pitch=pitch,
        level_from_world=view @ turn_about(0, -pitch) @ turn_about(2, roll),
    )


def draw_lighting(draws: Draws, enclosure: Enclosure) -> Lighting:
    """The sun and a sky for open ground, a lamp under the ceiling for rooms.

    Args:
        draws: Source of randomness.
        enclosure: What is lit.

    Returns:
        One lighting per scene.
    """
    outdoors = enclosure.outdoors
    azimuth, elevation = draws.uniform(-math.pi, math.pi), torch.deg2rad(draws.uniform(25.0, 70.0))
    level = torch.cos(elevation)
    sun = torch.stack([level * torch.sin(azimuth), -torch.sin(elevation), level * torch.cos(azimuth)], dim=-1)
    lamp = torch.lerp(enclosure.low, enclosure.high, draws.uniform(0.2, 0.8, 3))
    lamp[:, 1] = enclosure.low[:, 1] + 0.1
    warm = 1.0 + draws.uniform(-0.12, 0.12)[:, None] * torch.tensor([1.0, 0.1, -1.0])
    strength = draws.uniform(0.5, 0.95)[:, None]
    ambient = draws.uniform(0.35, 0.65)[:, None]
    day, dusk = torch.tensor([0.72, 0.8, 0.88]), torch.tensor([0.95, 0.82, 0.66])
    zenith = torch.tensor([0.25, 0.45, 0.8]) * draws.uniform(0.6, 1.25)[:, None]
    cool = torch.where(outdoors[:, None], torch.lerp(torch.ones(3), zenith * 1.4, 0.3), 2.0 - warm)
    return Lighting(
        room_low=enclosure.low,
        room_high=enclosure.high,
        dome_radius=torch.where(outdoors, draws.uniform(30.0, 45.0), 300.0),
        light_position=torch.where(outdoors[:, None], sun * 150.0, lamp),
        light_color=warm * strength,
        ambient_up=cool * ambient,
        ambient_down=cool * ambient * draws.uniform(0.5, 0.85)[:, None],
        horizon_color=torch.lerp(day, dusk, draws.uniform()[:, None] ** 2),
        zenith_color=zenith,
        haze=torch.where(outdoors, draws.uniform() ** 2 * 0.06, 0.0),
        exposure=draws.uniform(0.9, 1.25),
    )
