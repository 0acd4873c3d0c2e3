"""Colours and patterns: muted rooms and land, vivid objects, green crowns on brown trunks, clouds."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from diff4splat.data.procedural.draws import Draws
from diff4splat.data.procedural.props import BEHIND, FRONT, Props
from diff4splat.data.procedural.shading import NUM_WORLD_TEXTURES
from diff4splat.data.procedural.textures import PATTERNS, TextureRecipes
from diff4splat.data.procedural.world import Enclosure

__all__ = ["CLOUDS", "COLORS", "Looks", "draw_looks"]

COLORS = (
    ("red", (0.78, 0.16, 0.13)),
    ("orange", (0.9, 0.48, 0.12)),
    ("yellow", (0.9, 0.78, 0.2)),
    ("green", (0.2, 0.55, 0.22)),
    ("teal", (0.12, 0.55, 0.55)),
    ("blue", (0.16, 0.3, 0.75)),
    ("purple", (0.5, 0.24, 0.62)),
    ("pink", (0.9, 0.55, 0.66)),
    ("brown", (0.45, 0.29, 0.17)),
    ("white", (0.9, 0.89, 0.86)),
    ("grey", (0.5, 0.5, 0.5)),
    ("black", (0.1, 0.1, 0.11)),
)
"""What a caption calls a colour is what the object is painted with."""

CLOUDS = 2
"""The texture that paints the clouds, or the ceiling."""


@dataclass(frozen=True)
class Looks:
    """What the surfaces are made of: the world's textures first, then one per object.

    Args:
        recipes: The textures.
        color: Name of the main colour of each object, index into `COLORS`.
        tiles_per_unit: Texture tiles per scene unit.
        shift: Offset of the texture in tiles.
    """

    recipes: TextureRecipes
    color: Int64[Tensor, "batch object"]
    tiles_per_unit: Float[Tensor, "batch texture"]
    shift: Float[Tensor, "batch texture uv=2"]


def draw_looks(draws: Draws, enclosure: Enclosure, props: Props) -> Looks:
    """Random looks of a scene.

    Args:
        draws: Random numbers.
        enclosure: The room or the land.
        props: The objects.

    Returns:
        The looks.
    """
    num_objects = props.size.shape[1]
    num = NUM_WORLD_TEXTURES + num_objects
    outdoors = enclosure.outdoors[:, None]
    world = torch.arange(num) < NUM_WORLD_TEXTURES
    clouds = outdoors & (torch.arange(num) == CLOUDS)
    trunk = torch.zeros(len(outdoors), num, dtype=torch.bool)
    trunk[:, NUM_WORLD_TEXTURES : NUM_WORLD_TEXTURES + FRONT + BEHIND] = props.tree[:, : FRONT + BEHIND]
    crown = torch.zeros_like(trunk)
    crown[:, NUM_WORLD_TEXTURES + FRONT + BEHIND :] = props.tree[:, FRONT + BEHIND :]

    # first colour: named for objects, muted for rooms, earth and grass for land
    names = [name for name, _ in COLORS]
    color = draws.choose([1] * len(COLORS), num)
    color = torch.where(trunk, names.index("brown"), torch.where(crown, names.index("green"), color))
    tint = torch.tensor([value for _, value in COLORS])
    cast = draws.uniform(0.85, 1.15, num, 3)
    first = tint[color] * cast
    neutral = draws.uniform(0.3, 0.9, num, 1) * draws.uniform(0.85, 1.1, num, 3)
    earth = torch.tensor([0.42, 0.36, 0.24]) * draws.uniform(0.6, 1.4, num, 1) * cast
    grass = torch.tensor([0.3, 0.4, 0.17]) * draws.uniform(0.6, 1.3, num, 1) * cast
    land = torch.where(draws.chance(0.5, num)[..., None], earth, grass)
    room = torch.lerp(first, neutral, draws.uniform(0.55, 0.95, num, 1))
    first = torch.where(world[:, None], torch.where(outdoors[..., None], land, room), first)
    first = torch.where((crown | trunk)[..., None], 0.7 * first, first).clamp(0.03, 0.95)

    # second colour: a shade of the first, or another one
    other = torch.remainder(color + 1 + draws.choose([1] * (len(COLORS) - 1), num), len(COLORS))
    darker, lighter = draws.uniform(0.35, 0.75, num, 1) * first, 0.4 + 0.6 * first
    shade = torch.where(draws.chance(0.6, num)[..., None], darker, lighter)
    keeps = draws.chance(0.55, num) | world | crown | trunk
    second = torch.where(keeps[..., None], shade, tint[other] * cast)
    second = torch.where(world[:, None], first * draws.uniform(0.55, 0.95, num, 1), second)
    first = torch.where(clouds[..., None], 0.02, first)
    second = torch.where(clouds[..., None], draws.uniform(0.1, 0.9, num, 1), second).clamp(0.02, 0.95)

    # plain, mottled, marbled, striped, checked, brick, wooden, patchy, spotted
    pattern = draws.choose([1.5, 2, 1.5, 2, 1.5, 0.7, 1.5, 1.5, 1.5], num)
    of_room = draws.choose([2.5, 2, 0.7, 0.7, 1, 1, 2, 0.4, 0.2], num)
    of_land = draws.choose([1, 3, 0.5, 0, 0, 0, 0, 1, 0], num)
    pattern = torch.where(world, torch.where(outdoors, of_land, of_room), pattern)
    pattern = torch.where(clouds | crown, PATTERNS.index("mottled"), pattern)
    pattern = torch.where(trunk, PATTERNS.index("wooden"), pattern)

    tiles = torch.where(world, draws.uniform(0.25, 0.6, num), draws.uniform(0.4, 0.9, num))
    tiles[:, NUM_WORLD_TEXTURES:] /= props.size.amax(-1).clamp_min(0.15)
    tiles = torch.where(clouds, draws.uniform(0.05, 0.12, num), tiles)
    return Looks(
        recipes=TextureRecipes.draw(draws, pattern, torch.stack([first, second], dim=2)),
        color=color[:, NUM_WORLD_TEXTURES:],
        tiles_per_unit=tiles,
        shift=draws.uniform(0.0, 1.0, num, 2),
    )
