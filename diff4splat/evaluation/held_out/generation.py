"""Part B of the protocol: from one image, does the scene obey image, cameras and prompt?"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import repeat
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from diff4splat.backbones import VideoBackbone
from diff4splat.cameras import Cameras
from diff4splat.data import HELD_OUT_SEEDS, sample_cameras, sample_scenes
from diff4splat.diffusion import Guidance
from diff4splat.evaluation.costs import Stopwatch
from diff4splat.evaluation.held_out.fields import first_frame_motion, render_scenes
from diff4splat.evaluation.held_out.prompts import direction_prompts
from diff4splat.evaluation.held_out.scenes import SMALLEST_MOTION
from diff4splat.evaluation.metrics import psnr
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.pipelines import Reconstructor

__all__ = [
    "DIRECTIONS",
    "GenerationScenes",
    "agreement_rows",
    "evaluate_generation",
    "generation_scenes",
    "prompt_rows",
]

DIRECTIONS = {
    "forward": (0.0, 0.0, 1.0),
    "backward": (0.0, 0.0, -1.0),
    "upward": (0.0, -1.0, 0.0),
    "downward": (0.0, 1.0, 0.0),
    "left": (-1.0, 0.0, 0.0),
    "right": (1.0, 0.0, 0.0),
}
"""The straight camera paths that are told apart, in camera axes."""

_FEWEST_PIXELS = 16
_SMALLEST_COSINE = 0.5**0.5
"""Directions up to 45 degrees away are the one that was asked for."""


@dataclass(frozen=True)
class GenerationScenes:
    """A batch of scenes, the image and the path that a model is given, and the views that tell paths apart.

    Args:
        seeds: One per scene.
        image: First frame.
        captions: What happens, one sentence per scene.
        cameras: Commanded straight path.
        commanded: Which of `DIRECTIONS` it takes.
        ends: True views from the ends of all six paths, everything at rest.
        main_object: Pixels of the first frame that show the object the captions speak of.
    """

    seeds: tuple[int, ...]
    image: Float[Tensor, "batch rgb=3 height width"]
    captions: tuple[str, ...]
    cameras: Cameras
    commanded: Int64[Tensor, " batch"]
    ends: Float[Tensor, "batch direction=6 rgb=3 height width"]
    main_object: Bool[Tensor, "batch height width"]


def generation_scenes(
    seeds: Sequence[int],
    *,
    num_frames: int = 9,
    height: int = 128,
    width: int = 128,
    amplitude: float = 0.5,
    supersample: int = 2,
    device: torch.device | str | None = None,
) -> GenerationScenes:
    """Held-out scenes with a straight path each; the six directions take turns.

    Args:
        seeds: Of `diff4splat.data.HELD_OUT_SEEDS`.
        num_frames: Frames of the paths.
        height: Image rows.
        width: Image columns.
        amplitude: Length of the paths, scene units.
        supersample: Rays per pixel side.
        device: Where to render; the CPU when omitted.

    Returns:
        Scenes and truth.
    """
    scenes = sample_scenes(seeds, device=device)
    start = sample_cameras(seeds, 1, height=height, width=width, device=device)
    directions = torch.tensor(list(DIRECTIONS.values()), device=scenes.device)
    ends = repeat(torch.eye(4, device=scenes.device), "i j -> b n i j", b=len(seeds), n=6).clone()
    ends[..., :3, 3] = amplitude * directions
    end_cameras = Cameras(ends, start.intrinsics.expand(-1, 6, -1, -1), height, width)
    commanded = torch.tensor([(seed - HELD_OUT_SEEDS[0]) % 6 for seed in seeds], device=scenes.device)
    path = repeat(torch.eye(4, device=scenes.device), "i j -> b f i j", b=len(seeds), f=num_frames).clone()
    share = torch.linspace(0, 1, num_frames, device=scenes.device)[:, None]
    path[..., :3, 3] = amplitude * share * directions[commanded][:, None]
    first = scenes.render(start, torch.zeros(1, device=scenes.device), supersample=supersample)
    return GenerationScenes(
        seeds=tuple(seeds),
        image=first.color[:, 0],
        captions=scenes.captions,
        cameras=Cameras(path, start.intrinsics.expand(-1, num_frames, -1, -1), height, width),
        commanded=commanded,
        ends=scenes.render(end_cameras, torch.zeros(6, device=scenes.device), supersample=supersample).color,
        main_object=first.object_index[:, 0] == 1,
    )


@torch.no_grad()
def evaluate_generation(
    backbone: VideoBackbone,
    ldrm: Reconstructor,
    scenes: GenerationScenes,
    *,
    num_steps: int = 30,
    guidance: Guidance | None = None,
) -> dict[str, Float[Tensor, " batch"]]:
    """Generate each scene thrice: along its path, and at rest with two prompts and the same noise.

    The noise of a scene comes from its seed alone, so that results do not depend on the batch it is in.

    Args:
        backbone: Video model.
        ldrm: Makes the field of latents, cameras and image.
        scenes: Scenes and truth.
        num_steps: Sampling steps.
        guidance: Guidance schedule; the backbone's own when omitted.

    Returns:
        One number per scene under each name; NaN where a scene does not show its main object.

    Raises:
        ValueError: If the model makes values that are no field or no video, NaN among them.
    """
    count, device = len(scenes.seeds), scenes.image.device
    times = torch.linspace(0, 1, scenes.cameras.num_frames, device=device)
    watch = Stopwatch(device)

    def generate(cameras: Cameras, prompts: list[str]) -> Tensor:
        clips = []
        for index, seed in enumerate(scenes.seeds):
            one = slice(index, index + 1)
            noise = torch.Generator().manual_seed(seed)
            clips.append(
                backbone.generate(
                    scenes.image[one],
                    cameras.batch(one),
                    prompts[one],
                    num_steps=num_steps,
                    guidance=guidance,
                    generator=noise,
                )
            )
        return torch.cat(clips)

    def reconstruct(latents: Tensor, cameras: Cameras, times: Tensor) -> DeformableGaussianField:
        field = ldrm(latents, cameras, image=scenes.image, times=times)
        field.validate()
        return field

    with watch.part("generate"):
        latents = generate(scenes.cameras, list(scenes.captions))
    rows = {"generate_seconds": torch.full((count,), watch.seconds["generate"] / count)}
    field = reconstruct(latents, scenes.cameras, times)
    rendered = render_scenes(field, scenes.cameras, times.expand(count, -1)).color
    decoded = backbone.decode(latents)
    if not decoded.isfinite().all():
        raise ValueError(
            f"backbone.decode must give finite colours, got others for the seeds {scenes.seeds}."
        )
    decoded = decoded.clamp(0, 1)
    rows["generated_first_frame_psnr"] = psnr(rendered[:, 0], scenes.image)
    rows |= agreement_rows(rendered, decoded)
    end = scenes.cameras.select(-1)
    frozen = render_scenes(field, end, torch.zeros(count, 1, device=device)).color[:, 0]
    rows |= _following_rows("rendered", frozen, scenes)
    rows |= _following_rows("video", decoded[:, -1], scenes)

    at_rest = scenes.cameras.at_rest()
    prompts = [direction_prompts(caption) for caption in scenes.captions]
    fields = [
        reconstruct(generate(at_rest, [pair[side] for pair in prompts]), at_rest, times[[0, -1]])
        for side in (0, 1)
    ]
    start = scenes.cameras.select(0)
    left, right = (first_frame_motion(moved, start, times[-1:])[:, 0] for moved in fields)
    rows |= prompt_rows(left, right, scenes.main_object)
    return rows


def agreement_rows(
    rendered: Float[Tensor, "batch frame rgb=3 height width"],
    decoded: Float[Tensor, "batch frame rgb=3 height width"],
) -> dict[str, Float[Tensor, " batch"]]:
    """How closely the field, seen along the commanded path, shows what the decoded video shows.

    Args:
        rendered: The field from the cameras of the path at the times of its frames.
        decoded: The video of the same latents, values in [0, 1].

    Returns:
        PSNR per scene, mean over frames: of all frames, of the first alone, of the others.
    """
    scores = psnr(rendered, decoded)
    return {
        "agreement_psnr": scores.mean(1),
        "agreement_first_psnr": scores[:, 0],
        "agreement_later_psnr": scores[:, 1:].mean(1),
    }


def _following_rows(name: str, shown: Tensor, scenes: GenerationScenes) -> dict[str, Tensor]:
    """Whether an image looks more like the view from the commanded end than like those from the others."""
    scores = psnr(shown[:, None].expand_as(scenes.ends), scenes.ends)
    chosen = scores.gather(1, scenes.commanded[:, None])[:, 0]
    others = scores.scatter(1, scenes.commanded[:, None], -torch.inf).amax(1)
    return {
        f"{name}_follows_camera": (chosen > others).float(),
        f"{name}_camera_margin": chosen - others,
    }


def prompt_rows(
    left: Float[Tensor, "batch height width xyz=3"],
    right: Float[Tensor, "batch height width xyz=3"],
    main_object: Bool[Tensor, "batch height width"],
) -> dict[str, Float[Tensor, " batch"]]:
    """Where two prompts send the main object.

    Args:
        left: Displacement of what each pixel of the first frame shows, for "moves left"; scene units, axes of
            the first camera.
        right: The same for "moves right".
        main_object: Pixels that show the main object.

    Returns:
        Per scene, NaN with fewer than 16 pixels: `prompts_obeyed`, the share of the two prompts whose mean
        displacement is longer than 0.02 units and within 45 degrees of where the prompt sends the object;
        `both_prompts_obeyed`, whether both are; `prompt_difference`, the mean distance of their end points;
        `prompt_shift`, the mean of right minus left along +x; and `prompt_agrees`, whether that is positive.
    """
    pixels = main_object.flatten(1).sum(1)
    difference = right - left

    def mean(values: Tensor) -> Tensor:
        total = torch.where(main_object, values, torch.zeros_like(values)).flatten(1).sum(1)
        return torch.where(pixels >= _FEWEST_PIXELS, total / pixels, torch.nan)

    def follows(displacement: Tensor, sign: int) -> Tensor:
        x, y, z = (mean(part) for part in displacement.unbind(-1))
        length = (x**2 + y**2 + z**2).sqrt()
        return ((length > SMALLEST_MOTION) & (sign * x > _SMALLEST_COSINE * length)).float()

    shift = mean(difference[..., 0])
    obeyed = torch.where(shift.isnan(), shift, (follows(left, -1) + follows(right, 1)) / 2)
    return {
        "both_prompts_obeyed": torch.where(shift.isnan(), shift, (obeyed == 1).float()),
        "prompts_obeyed": obeyed,
        "prompt_difference": mean(difference.norm(dim=-1)),
        "prompt_shift": shift,
        "prompt_agrees": torch.where(shift.isnan(), shift, (shift > 0).float()),
    }
