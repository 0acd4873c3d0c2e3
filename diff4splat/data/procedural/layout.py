"""Random dynamic scenes from seeds: the parts put together."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from diff4splat.data.procedural.captions import SceneWords, write_caption
from diff4splat.data.procedural.choreography import draw_motion
from diff4splat.data.procedural.draws import Draws, seed_keys
from diff4splat.data.procedural.looks import CLOUDS, COLORS, Looks, draw_looks
from diff4splat.data.procedural.motion import RigidMotion
from diff4splat.data.procedural.photographs import load_photographs
from diff4splat.data.procedural.props import BEHIND, FRONT, MOTIONS, PARENTS, Props, draw_props
from diff4splat.data.procedural.scenes import ProceduralScenes
from diff4splat.data.procedural.shading import NUM_WORLD_TEXTURES, Surfaces
from diff4splat.data.procedural.textures import PATTERNS, hang_photographs, make_textures
from diff4splat.data.procedural.world import draw_enclosure, draw_lighting

__all__ = ["HELD_OUT_SEEDS", "sample_scenes"]

HELD_OUT_SEEDS = range(1 << 40, (1 << 40) + (1 << 20))
"""Seeds kept for evaluation; training draws its seeds below 2**40."""


def sample_scenes(
    seeds: Sequence[int],
    *,
    device: torch.device | str | None = None,
    texture_size: int = 64,
    num_objects: tuple[int, int] = (1, 5),
    static: bool = False,
    motion_scale: float = 1.0,
    photographs: bool | float = False,
) -> ProceduralScenes:
    """Random dynamic scenes; scene i depends on `seeds[i]` and the options, not on its batch.

    Args:
        seeds: Whole numbers in [0, 2**62). Training stays below 2**40; see `HELD_OUT_SEEDS`.
        device: Where the tensors go; the CPU when omitted.
        texture_size: Side of the textures in texels, a power of two of at least 8.
        num_objects: Fewest and most objects in front, at most three of which move;
            1 <= fewest <= most <= 5. There may be furniture, buildings and trees behind them besides.
        static: Whether to let everything stand still.
        motion_scale: Factor on the speed of all motion.
        photographs: Share of the scenes, in [0, 1], in which a third of the surfaces that captions do not
            speak of are painted with crops of the photographs that come with scikit-image (an extra: data;
            nothing is downloaded); True is all of them. Off, so that seeds mean the same everywhere;
            geometry, motion and captions do not depend on it.

    Returns:
        The scenes.

    Raises:
        TypeError: If a seed is not an integer.
        ValueError: If an argument is out of range.
        ModuleNotFoundError: If photographs are asked for and scikit-image is missing.
    """
    if texture_size < 8 or texture_size & (texture_size - 1):
        raise ValueError(f"texture_size must be a power of two of at least 8, got {texture_size}.")
    if not 1 <= num_objects[0] <= num_objects[1] <= FRONT:
        raise ValueError(f"num_objects must satisfy 1 <= fewest <= most <= {FRONT}, got {num_objects}.")
    if not (math.isfinite(motion_scale) and motion_scale >= 0):
        raise ValueError(f"motion_scale must be finite and at least 0, got {motion_scale}.")
    if not 0 <= photographs <= 1:
        raise ValueError(f"photographs must be a share in [0, 1], got {photographs}.")
    draws = Draws(seeds, stream=1)
    speed = 0.0 if static else float(motion_scale)
    enclosure = draw_enclosure(draws)
    props = draw_props(draws, enclosure, num_objects)
    motion = draw_motion(draws, enclosure, props, speed=speed)
    looks = draw_looks(draws, enclosure, props)
    lighting = draw_lighting(draws, enclosure)
    captions = _captions(props, motion, looks, enclosure.outdoors, draws.uniform(0.0, 1.0, 16), speed)

    travel = (motion.travel[:, :1] @ enclosure.level_from_world).squeeze(1)
    length = travel.norm(dim=-1, keepdim=True)
    number = torch.arange(FRONT + BEHIND)
    number = torch.cat([number, number[list(PARENTS)]]) + 1
    keys = seed_keys(seeds, stream=2)
    atlas = make_textures(keys if device is None else keys.to(device), looks.recipes, size=texture_size)
    if photographs:
        kept = (CLOUDS, NUM_WORLD_TEXTURES, NUM_WORLD_TEXTURES + 1)
        painted = Draws(seeds, stream=6).chance(float(photographs))
        hang_photographs(atlas, Draws(seeds, stream=5), load_photographs(), kept=kept, painted=painted)
    scenes = ProceduralScenes(
        level_from_world=enclosure.level_from_world,
        shape=props.shape,
        size=props.size,
        motion=motion,
        object_index=torch.where(props.moves, number, 0),
        surfaces=Surfaces(
            texels=atlas.texels,
            size=atlas.size,
            tiles_per_unit=looks.tiles_per_unit,
            shift=looks.shift,
            of_object=(NUM_WORLD_TEXTURES + torch.arange(len(number))).repeat(len(seeds), 1),
        ),
        lighting=lighting,
        main_direction=torch.where(length > 1e-3, travel / length.clamp_min(1e-6), 0.0),
        captions=captions,
    )
    return scenes if device is None else scenes.to(device)


def _captions(
    props: Props, motion: RigidMotion, looks: Looks, outdoors: Tensor, phrasing: Tensor, speed: float
) -> tuple[str, ...]:
    """Say what the first one or two objects of each scene are and do."""
    still = MOTIONS.index("still")
    spoken = torch.where(props.moves & (speed > 0), props.motion, still).tolist()
    pattern = looks.recipes.pattern[:, -props.size.shape[1] :].tolist()
    shape, regular, size = props.shape.tolist(), props.regular.tolist(), props.size.tolist()
    color = looks.color.tolist()
    captions = []
    for scene, (count, numbers) in enumerate(zip(props.count.tolist(), phrasing.tolist(), strict=True)):
        words = [
            SceneWords(
                shape=shape[scene][slot],
                regular=regular[scene][slot],
                proportions=tuple(size[scene][slot]),
                color=COLORS[color[scene][slot]][0],
                pattern=PATTERNS[pattern[scene][slot]],
                motion=MOTIONS[spoken[scene][slot]],
            )
            for slot in range(min(2, count))
        ]
        captions.append(write_caption(words, bool(outdoors[scene]), numbers))
    return tuple(captions)
