"""Random scenes: rooms and landscapes, objects in view, motions that the first frame does not give away."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from diff4splat.data.procedural.captions import MOTIONS, SceneWords, write_caption
from diff4splat.data.procedural.draws import Draws, seed_keys
from diff4splat.data.procedural.motion import PROFILES, RigidMotion, axis_angle_matrix
from diff4splat.data.procedural.palettes import COLORS
from diff4splat.data.procedural.scenes import ProceduralScenes
from diff4splat.data.procedural.shading import NUM_WORLD_TEXTURES, Lighting, Surfaces
from diff4splat.data.procedural.textures import PATTERNS, TextureRecipes, make_textures

__all__ = ["HELD_OUT_SEEDS", "sample_scenes"]

HELD_OUT_SEEDS = range(1 << 40, (1 << 40) + (1 << 20))
"""Seeds kept for evaluation; training draws its seeds below 2**40."""

_MAX_MOVERS = 3
_NUM_BACKGROUND = 3
_MOTION_WEIGHTS = {
    "left": 0.18,
    "right": 0.18,
    "up": 0.11,
    "down": 0.11,
    "closer": 0.1,
    "away": 0.1,
    "spin": 0.1,
    "bounce": 0.05,
    "sway": 0.04,
    "still": 0.03,
}


def _matrix(axis: int, angle: Tensor) -> Tensor:
    direction = torch.zeros(*angle.shape, 3)
    direction[..., axis] = 1.0
    return axis_angle_matrix(direction, angle)


def sample_scenes(
    seeds: Sequence[int],
    *,
    device: torch.device | str | None = None,
    texture_size: int = 64,
    num_objects: tuple[int, int] = (1, 5),
    static: bool = False,
    motion_scale: float = 1.0,
) -> ProceduralScenes:
    """Random dynamic scenes; scene i depends on `seeds[i]` and the options only, not on the rest of the batch.

    Args:
        seeds: Whole numbers in [0, 2**62). Training stays below 2**40; see `HELD_OUT_SEEDS`.
        device: Where the tensors go; the CPU when omitted.
        texture_size: Side of the textures in texels, a power of two of at least 8.
        num_objects: Fewest and most objects in the foreground, at most three of which move; 1 <= fewest <= most <= 5.
        static: Whether to let everything stand still.
        motion_scale: Factor on the speed of all motion.

    Returns:
        The scenes.

    Raises:
        TypeError: If a seed is not an integer.
        ValueError: If an argument is out of range.
    """
    if texture_size < 8 or texture_size & (texture_size - 1):
        raise ValueError(f"texture_size must be a power of two of at least 8, got {texture_size}.")
    if not 1 <= num_objects[0] <= num_objects[1] <= 5:
        raise ValueError(f"num_objects must satisfy 1 <= fewest <= most <= 5, got {num_objects}.")
    if not (math.isfinite(motion_scale) and motion_scale >= 0):
        raise ValueError(f"motion_scale must be finite and at least 0, got {motion_scale}.")
    draws = Draws(seeds, stream=1)
    num_scenes, front = len(seeds), 5
    slots = front + _NUM_BACKGROUND

    # enclosure and view
    outdoors = draws.chance(0.45)
    camera_height = draws.uniform(0.8, 1.8)
    yaw = torch.deg2rad(draws.uniform(-30.0, 30.0))
    pitch = torch.atan(camera_height / draws.uniform(4.0, 12.0))
    roll = torch.deg2rad(draws.uniform(-2.5, 2.5))
    view = _matrix(1, yaw)
    level_from_world = view @ _matrix(0, -pitch) @ _matrix(2, roll)
    low = torch.stack(
        [
            -draws.uniform(2.2, 5.0),
            camera_height - draws.uniform(0.6, 1.6) - camera_height * 1.5,
            torch.full((num_scenes,), -2.5),
        ],
        dim=-1,
    )
    high = torch.stack([draws.uniform(2.2, 5.0), camera_height, draws.uniform(5.5, 11.0)], dim=-1)
    far = torch.tensor([200.0, 200.0, 200.0])
    low = torch.where(outdoors[:, None], -far, low)
    high = torch.where(
        outdoors[:, None],
        torch.stack([far[0].expand(num_scenes), camera_height, far[0].expand(num_scenes)], -1),
        high,
    )

    # objects: movers and clutter in front, buildings, trees and furniture behind; all resting or floating in view
    behind = torch.arange(slots) >= front
    count = num_objects[0] + (draws.uniform() * (num_objects[1] - num_objects[0] + 1)).long()
    present = (torch.arange(slots) < count[:, None]) | (behind & draws.chance(0.6, slots))
    movers = draws.choose([0.03, 0.42, 0.35, 0.2]).clamp_max(_MAX_MOVERS)
    movers = torch.minimum(movers, count)
    moves = torch.arange(slots) < movers[:, None]
    shape = draws.choose([0.36, 0.36, 0.28], slots)
    depth = torch.where(moves, draws.uniform(2.3, 4.8, slots), draws.uniform(3.0, 7.5, slots))
    depth = torch.where(
        behind,
        torch.where(outdoors[:, None], draws.uniform(7.0, 22.0, slots), draws.uniform(4.5, 9.0, slots)),
        depth,
    )
    extent = torch.where(moves, draws.uniform(0.14, 0.36, slots), draws.uniform(0.08, 0.26, slots))
    extent = (extent * 0.55 * depth).clamp(0.15, 2.6)
    proportions = draws.uniform(0.6, 1.3, slots, 3)
    regular = draws.chance(0.55, slots)
    proportions = torch.where(regular[..., None], proportions[..., :1], proportions)
    proportions[..., 2] = torch.where(shape == 2, proportions[..., 0], proportions[..., 2])
    proportions[..., 1] *= torch.where(behind & (shape != 0), draws.uniform(1.0, 2.6, slots), torch.ones(1))
    size = extent[..., None] * proportions * present[..., None]

    column = torch.remainder(torch.arange(slots) * 2 + draws.choose([1] * 5)[:, None], 5)
    tangent = (column + draws.uniform(0.0, 1.0, slots)) / 5 * 2 - 1
    tangent = tangent * torch.where(moves, 0.3, torch.where(behind, 0.75, 0.5))
    floating = draws.chance(0.45, slots) & moves
    motion = draws.choose([_MOTION_WEIGHTS[name] for name in MOTIONS], slots)
    is_motion = {name: (motion == index) & moves for index, name in enumerate(MOTIONS)}
    floating = floating | is_motion["down"] | (is_motion["up"] & draws.chance(0.6, slots))
    across = tangent * depth
    heading = torch.stack([across, torch.zeros_like(across), depth], dim=-1)
    center = heading @ view.transpose(-1, -2)
    floor = camera_height[:, None] - size[..., 1]
    air = depth * (draws.uniform(-0.26, 0.22, slots) + torch.tan(pitch)[:, None])
    ceiling = low[:, 1:2] + size[..., 1]
    air = torch.maximum(torch.minimum(air, floor - 0.25), torch.minimum(ceiling + 0.1, floor - 0.1))
    center[..., 1] = torch.where(floating, air, floor)
    margin = size.norm(dim=-1, keepdim=True)
    inside = torch.maximum(torch.minimum(center, high[:, None] - margin), low[:, None] + margin)
    center = torch.stack([inside[..., 0], center[..., 1], inside[..., 2]], dim=-1)
    turn = _matrix(1, draws.uniform(-math.pi, math.pi, slots))
    tumble = _matrix(0, draws.uniform(-1.0, 1.0, slots)) @ _matrix(2, draws.uniform(-1.0, 1.0, slots))
    rotation = torch.where((floating & draws.chance(0.6, slots))[..., None, None], turn @ tumble, turn)

    # motion, limited to stay in view and in the room
    speed = 0.0 if static else motion_scale
    wanted = draws.uniform(0.35, 1.5, slots) * speed
    seen = center @ view  # gravity-aligned, heading as camera 0
    reach_side = 0.55 * seen[..., 2]
    drop = (floor - center[..., 1]).clamp_min(0.05)
    rise = torch.minimum(
        center[..., 1] - ceiling, center[..., 1] + depth * (0.36 - torch.tan(pitch)[:, None])
    )
    towards = (seen[..., 2] - 1.3 - size.amax(-1)).clamp_min(0.1)
    limits = {
        "left": reach_side + seen[..., 0],
        "right": reach_side - seen[..., 0],
        "up": rise.clamp_min(0.2),
        "down": drop,
        "closer": towards,
        "away": torch.full_like(drop, 2.0),
    }
    side = torch.tensor([1.0, 0.0, 0.0])
    ground = torch.nn.functional.normalize(seen * torch.tensor([1.0, 0.0, 1.0]), dim=-1)
    tilt = draws.uniform(-0.25, 0.25, slots)[..., None] * torch.tensor([0.0, 0.0, 1.0])
    directions = {
        "left": -side + tilt,
        "right": side + tilt,
        "up": torch.tensor([0.0, -1.0, 0.0]).expand_as(seen),
        "down": torch.tensor([0.0, 1.0, 0.0]).expand_as(seen),
        "closer": -ground,
        "away": ground,
    }
    travel = torch.zeros_like(seen)
    for name, direction in directions.items():
        distance = torch.minimum(wanted, limits[name].clamp_min(0.05))
        direction = torch.nn.functional.normalize(direction, dim=-1)
        travel = torch.where(is_motion[name][..., None], direction * distance[..., None], travel)
    travel = travel @ view.transpose(-1, -2)
    target = center + travel
    kept = torch.maximum(torch.minimum(target, high[:, None] - margin), low[:, None] + margin)
    travel = torch.stack([kept[..., 0], target[..., 1], kept[..., 2]], dim=-1) - center
    cycles = 1.0 + draws.choose([1, 1], slots).float()
    amplitude = draws.uniform(0.2, 0.5, slots) * speed
    hop = torch.zeros_like(center)
    hop[..., 1] = -torch.where(is_motion["bounce"], torch.minimum(amplitude, rise.clamp_min(0.1)), 0.0)
    sway = torch.where(is_motion["sway"][..., None], view[:, None, :, 0] * amplitude[..., None], 0.0)
    spins = is_motion["spin"] | (draws.chance(0.3, slots) & moves & ~is_motion["still"])
    ball = (shape == 0) & regular
    free = floating | ball
    random_axis = torch.nn.functional.normalize(draws.uniform(-1.0, 1.0, slots, 3) + 1e-3, dim=-1)
    spin_axis = torch.where(free[..., None], random_axis, torch.tensor([0.0, 1.0, 0.0]))
    sign = torch.where(draws.chance(0.5, slots), 1.0, -1.0)
    spin_angle = draws.uniform(0.9, 2.8, slots) * sign * spins * speed
    rolls = ball & ~floating & (travel[..., [0, 2]].norm(dim=-1) > 1e-3)
    roll_axis = torch.nn.functional.normalize(
        torch.stack([-travel[..., 2], torch.zeros_like(drop), travel[..., 0]], dim=-1), dim=-1
    )
    spin_axis = torch.where(rolls[..., None], roll_axis, spin_axis)
    spin_angle = torch.where(rolls, travel.norm(dim=-1) / size[..., 0].clamp_min(0.05), spin_angle)
    profile = draws.choose([3, 1, 1, 1], slots)
    profile = torch.where(is_motion["down"], PROFILES.index("accelerate"), profile)
    object_index = torch.where(moves, torch.arange(1, slots + 1), 0)

    # looks
    tint = torch.tensor([color for _, color in COLORS])
    num_textures = NUM_WORLD_TEXTURES + slots
    hue = draws.choose([1] * len(COLORS), num_textures)
    other = draws.choose([1] * len(COLORS), num_textures)
    cast_color = draws.uniform(0.85, 1.15, num_textures, 3)
    first = (tint[hue] * cast_color).clamp(0.03, 0.97)
    shade_factor = torch.where(draws.chance(0.5, num_textures), draws.uniform(0.35, 0.7, num_textures), 1.5)
    second = torch.where(
        draws.chance(0.55, num_textures)[..., None], first * shade_factor[..., None], tint[other] * cast_color
    ).clamp(0.03, 0.97)
    second = torch.where(hue[..., None] == other[..., None], first * 0.5, second)
    neutral = draws.uniform(0.25, 0.85, num_textures, 1) * draws.uniform(0.85, 1.1, num_textures, 3)
    earth = torch.tensor([0.42, 0.36, 0.24]) * draws.uniform(0.6, 1.4, num_textures, 3)
    grass = torch.tensor([0.3, 0.4, 0.17]) * draws.uniform(0.6, 1.3, num_textures, 3)
    world = torch.arange(num_textures) < NUM_WORLD_TEXTURES
    muted = torch.lerp(first, neutral, 0.75)
    land = torch.where(draws.chance(0.5, num_textures)[..., None], earth, grass)
    base = torch.where((outdoors[:, None] & world)[..., None], land, muted)
    first = torch.where(world[:, None], base, first).clamp(0.03, 0.95)
    second = torch.where(world[:, None], first * draws.uniform(0.5, 0.9, num_textures, 1), second)
    sky = torch.arange(num_textures) == 2
    is_sky = (outdoors[:, None] & sky)[..., None]
    first = torch.where(is_sky, 0.02, first)
    second = torch.where(is_sky, draws.uniform(0.1, 0.9, num_textures, 1), second)
    weights = [1.0, 2, 2, 2, 1.5, 0.7, 1.5, 1.5, 1.5]
    pattern = draws.choose(weights, num_textures)
    world_pattern = draws.choose([1, 3, 1, 0.7, 1, 1, 1.5, 0.5, 0], num_textures)
    land_pattern = draws.choose([1, 3, 0.5, 0, 0, 0, 0, 1, 0], num_textures)
    pattern = torch.where(world, torch.where(outdoors[:, None], land_pattern, world_pattern), pattern)
    pattern = torch.where(is_sky[..., 0], PATTERNS.index("mottled"), pattern)
    recipes = TextureRecipes.draw(draws, pattern, torch.stack([first, second, second], dim=2))
    tiles_per_unit = torch.where(
        world, draws.uniform(0.25, 0.6, num_textures), draws.uniform(0.4, 0.9, num_textures)
    )
    tiles_per_unit[:, NUM_WORLD_TEXTURES:] /= size.amax(-1).clamp_min(0.15)
    tiles_per_unit[:, 2] = torch.where(outdoors, draws.uniform(0.05, 0.12), tiles_per_unit[:, 2])
    shift = draws.uniform(0.0, 1.0, num_textures, 2)

    # light
    azimuth, elevation = draws.uniform(-math.pi, math.pi), torch.deg2rad(draws.uniform(25.0, 70.0))
    sun = torch.stack(
        [
            torch.cos(elevation) * torch.sin(azimuth),
            -torch.sin(elevation),
            torch.cos(elevation) * torch.cos(azimuth),
        ],
        -1,
    )
    lamp = low + (high - low) * draws.uniform(0.2, 0.8, 3)
    lamp[:, 1] = low[:, 1] + 0.1
    warm = 1.0 + draws.uniform(-0.12, 0.12)[:, None] * torch.tensor([1.0, 0.1, -1.0])
    strength = draws.uniform(0.5, 0.95)
    ambient = draws.uniform(0.3, 0.6)
    horizon = torch.lerp(
        torch.tensor([0.72, 0.8, 0.88]),
        torch.tensor([0.95, 0.82, 0.66]),
        draws.uniform(0.0, 1.0)[:, None] ** 2,
    )
    zenith = torch.tensor([0.25, 0.45, 0.8]) * draws.uniform(0.6, 1.25)[:, None]
    cool = torch.where(outdoors[:, None], torch.lerp(torch.ones(3), zenith * 1.4, 0.3), 2.0 - warm)
    lighting = Lighting(
        room_low=low,
        room_high=high,
        dome_radius=torch.where(outdoors, draws.uniform(30.0, 45.0), 300.0),
        outdoors=outdoors,
        light_position=torch.where(outdoors[:, None], sun * 150.0, lamp),
        light_color=warm * strength[:, None],
        ambient_up=cool * ambient[:, None],
        ambient_down=cool * ambient[:, None] * draws.uniform(0.5, 0.85)[:, None],
        horizon_color=horizon,
        zenith_color=zenith,
        haze=torch.where(outdoors, draws.uniform(0.0, 1.0) ** 2 * 0.06, 0.0),
        exposure=draws.uniform(0.9, 1.2),
    )

    # words
    world_travel = (
        travel[:, 0] @ level_from_world.unsqueeze(1).squeeze(1)
        if False
        else torch.einsum("bi,bij->bj", travel[:, 0], level_from_world)
    )
    length = world_travel.norm(dim=-1, keepdim=True)
    main_direction = torch.where(length > 1e-3, world_travel / length.clamp_min(1e-6), 0.0)
    spoken = torch.where(spins & (motion == MOTIONS.index("still")), MOTIONS.index("spin"), motion)
    spoken = torch.where(moves & (speed > 0), spoken, MOTIONS.index("still"))
    phrasing = draws.uniform(0.0, 1.0, 16)
    captions = []
    for index in range(num_scenes):
        words = [
            SceneWords(
                shape=int(shape[index, slot]),
                regular=bool(regular[index, slot]),
                proportions=tuple(size[index, slot].tolist()),
                color=COLORS[int(hue[index, NUM_WORLD_TEXTURES + slot])][0],
                pattern=PATTERNS[int(pattern[index, NUM_WORLD_TEXTURES + slot])],
                motion=MOTIONS[int(spoken[index, slot])],
                large=bool(extent[index, slot] > 0.6),
            )
            for slot in range(min(2, int(count[index])))
        ]
        captions.append(write_caption(words, bool(outdoors[index]), phrasing[index].tolist()))

    keys = seed_keys(seeds, stream=2)
    if device is not None:
        keys = keys.to(device)
    atlas = make_textures(keys, recipes, size=texture_size)
    scenes = ProceduralScenes(
        level_from_world=level_from_world,
        shape=shape,
        size=size,
        motion=RigidMotion(
            center=center,
            rotation=rotation,
            travel=travel,
            profile=profile,
            hop=hop,
            sway=sway,
            cycles=cycles,
            spin_axis=spin_axis,
            spin_angle=spin_angle,
        ),
        object_index=object_index,
        surfaces=Surfaces(texels=atlas.texels, size=atlas.size, tiles_per_unit=tiles_per_unit, shift=shift),
        lighting=lighting,
        main_direction=main_direction,
        captions=tuple(captions),
    )
    return scenes if device is None else scenes.to(device)
