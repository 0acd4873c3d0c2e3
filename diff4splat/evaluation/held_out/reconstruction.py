"""Part A of the protocol: with the true video given, how good is the scene (encode, reconstruct, render)?"""

from dataclasses import dataclass

import torch
from einops import repeat
from jaxtyping import Bool, Float
from torch import Tensor

from diff4splat.backbones import VideoBackbone
from diff4splat.evaluation.costs import Stopwatch
from diff4splat.evaluation.held_out.baselines import flat_depth_warp, nearest_frames
from diff4splat.evaluation.held_out.fields import first_frame_motion, render_scenes
from diff4splat.evaluation.held_out.measures import BASELINES
from diff4splat.evaluation.held_out.scenes import HeldOutScenes, pixel_motion
from diff4splat.evaluation.held_out.tracks import surface_tracks
from diff4splat.evaluation.metrics import (
    absolute_relative_error,
    depth_correlation,
    depth_delta1,
    end_point_error,
    psnr,
)
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.pipelines import Reconstructor
from diff4splat.rendering import Rendering

__all__ = ["ReconstructionResult", "evaluate_reconstruction"]

_FEWEST_PIXELS = 16
_OPAQUE = 0.9
_NEAR = 20.0
"""Depths below are neither sky nor horizon, scene units."""


@dataclass(frozen=True)
class ReconstructionResult:
    """What part A gives for a batch of scenes.

    Args:
        rows: One number per scene under each name; NaN where a scene does not have what is measured.
        novel: The field seen from the cameras beside the path.
        flat_warp: The input image warped to them.
    """

    rows: dict[str, Float[Tensor, " batch"]]
    novel: Rendering
    flat_warp: Float[Tensor, "batch view rgb=3 height width"]


@torch.no_grad()
def evaluate_reconstruction(
    backbone: VideoBackbone, ldrm: Reconstructor, scenes: HeldOutScenes
) -> ReconstructionResult:
    """Encode the true video, reconstruct, and compare image, depth, novel views and motion with the truth.

    Args:
        backbone: Its `encode` makes the latents.
        ldrm: Makes the field of latents, cameras and image.
        scenes: Scenes and truth.

    Returns:
        Numbers per scene, and pictures.

    Raises:
        ValueError: If the model makes values that are no field, NaN among them.
    """
    count, watch = len(scenes.seeds), Stopwatch(scenes.image.device)
    all_times = repeat(scenes.times, "f -> b f", b=count)
    with watch.part("encode"):
        latents = backbone.encode(scenes.frames.color)
    with watch.part("reconstruct"):
        field = ldrm(latents, scenes.cameras, image=scenes.image, times=scenes.times)
    field.validate()
    with watch.part("render"):
        path = render_scenes(field, scenes.cameras, all_times)
    rows = {
        "encode_seconds": torch.full((count,), watch.seconds["encode"] / count),
        "reconstruct_seconds": torch.full((count,), watch.seconds["reconstruct"] / count),
        "render_seconds": torch.full((count,), watch.seconds["render"] / count / len(scenes.times)),
    }
    novel = render_scenes(field, scenes.novel_cameras, scenes.novel_times)
    frozen = render_scenes(field, scenes.novel_cameras, torch.zeros_like(scenes.novel_times))

    rows["first_frame_psnr"] = psnr(path.color[:, 0], scenes.image)
    rows["later_frames_psnr"] = psnr(path.color[:, 1:], scenes.frames.color[:, 1:]).mean(1)
    rows |= _depth_rows(path, scenes.frames.depth)
    plane = scenes.frames.depth[:, 0].flatten(1).median(dim=1).values
    flat_warp = flat_depth_warp(scenes.image, scenes.cameras.select(0), scenes.novel_cameras, plane)
    views = {
        "": novel.color,
        "_nearest": nearest_frames(scenes.frames.color, scenes.times, scenes.novel_times),
        "_frozen": frozen.color,
        "_flat_warp": flat_warp,
        "_copy": scenes.image[:, None].expand_as(flat_warp),
    }
    truth = scenes.novel_frames.color
    rows |= _novel_rows(views, truth, _moving_in_novel_views(scenes))
    covered = novel.alpha[:, :, 0] > _OPAQUE
    gain = psnr(novel.color, truth, mask=covered) - psnr(flat_warp, truth, mask=covered)
    rows["covered_over_flat_warp"] = gain.nanmean(1)
    rows |= _motion_rows(field, path, scenes)
    return ReconstructionResult(
        rows=rows,
        novel=novel,
        flat_warp=flat_warp,
    )


def _depth_rows(path: Rendering, truth: Tensor) -> dict[str, Tensor]:
    depth = path.depth[:, :, 0]
    seen = path.alpha[:, :, 0] > _OPAQUE
    return {
        "depth_pearson": depth_correlation(depth, truth).mean(1),
        "log_depth_pearson": depth_correlation(depth.clamp_min(0.1).log(), truth.log()).mean(1),
        "near_depth_pearson": depth_correlation(depth, truth, mask=truth < _NEAR).nanmean(1),
        "depth_abs_rel": absolute_relative_error(depth, truth, alignment="none").mean(1),
        "depth_delta1": depth_delta1(depth, truth, alignment="none").mean(1),
        "coverage": seen.float().mean((1, 2, 3)),
    }


def _novel_rows(views: dict[str, Tensor], truth: Tensor, moving: Tensor) -> dict[str, Tensor]:
    enough = moving.flatten(2).sum(-1) >= _FEWEST_PIXELS
    rows = {}
    for name, images in views.items():
        rows[f"novel_psnr{name}"] = psnr(images, truth).mean(1)
        on_movers = torch.where(enough, psnr(images, truth, mask=moving), torch.nan)
        rows[f"moving_psnr{name}"] = on_movers.nanmean(1)
    for region in ("novel", "moving"):
        for name in BASELINES:
            rows[f"{region}_over_{name}"] = rows[f"{region}_psnr"] - rows[f"{region}_psnr_{name}"]
        gains = torch.stack([rows[f"{region}_over_{name}"] for name in BASELINES])
        rows[f"{region}_over_best_of_scene"] = gains.amin(0)
    return rows


def _moving_in_novel_views(scenes: HeldOutScenes) -> Bool[Tensor, "batch view height width"]:
    masks = []
    for view in range(scenes.novel_times.shape[1]):
        _, moving = pixel_motion(
            scenes.scenes,
            scenes.novel_frames,
            scenes.novel_cameras,
            view,
            scenes.novel_times[:, view],
            scenes.times,
        )
        masks.append(moving)
    return torch.stack(masks, dim=1)


def _motion_rows(field: DeformableGaussianField, path: Rendering, scenes: HeldOutScenes) -> dict[str, Tensor]:
    later = scenes.times[1:]
    truth, moving = pixel_motion(
        scenes.scenes, scenes.frames, scenes.cameras, 0, torch.zeros_like(scenes.novel_times[:, 0]), later
    )
    predicted = first_frame_motion(field, scenes.cameras.select(0), later)
    mask = repeat(moving, "b h w -> b t h w", t=len(later))
    static = repeat(~moving & (scenes.frames.depth[:, 0] < _NEAR), "b h w -> b t h w", t=len(later))
    enough = moving.flatten(1).sum(-1) >= _FEWEST_PIXELS
    error = end_point_error(predicted, truth, mask=mask).mean(1)
    still = end_point_error(torch.zeros_like(truth), truth, mask=mask).mean(1)
    tracks = surface_tracks(path.depth[:, 0, 0], predicted, scenes.frames.depth, truth, scenes.cameras)
    return {
        **tracks.scores(),
        "motion_error": torch.where(enough, error, torch.nan),
        "zero_motion_error": torch.where(enough, still, torch.nan),
        "static_motion_error": end_point_error(predicted, truth, mask=static).mean(1),
    }
