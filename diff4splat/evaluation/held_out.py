"""The protocol: a model on procedural scenes that training never saw, to one table."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from diff4splat.assets import depth_to_color
from diff4splat.backbones import VideoBackbone
from diff4splat.evaluation.measures import MEASURES
from diff4splat.evaluation.reconstruction import ReconstructionResult, evaluate_reconstruction
from diff4splat.evaluation.report import Report, make_report
from diff4splat.evaluation.scenes import HeldOutScenes, held_out_scenes, seed_batches
from diff4splat.pipelines import Reconstructor

__all__ = ["HeldOutProtocol", "contact_sheet", "evaluate_held_out"]


@dataclass(frozen=True)
class HeldOutProtocol:
    """What is run; two models are compared by the same protocol.

    Args:
        num_scenes: Scenes, the first of `diff4splat.data.HELD_OUT_SEEDS`.
        first_scene: Number of the first one, to keep scenes for choosing a model apart from those for reporting it.
        num_frames: Frames of the commanded paths.
        height: Image rows.
        width: Image columns.
        num_novel: Views beside the path, per scene.
        supersample: Rays per pixel side of all true images.
        batch_size: Scenes at once.
        num_pictures: Scenes on the contact sheet.
    """

    num_scenes: int = 64
    first_scene: int = 0
    num_frames: int = 9
    height: int = 128
    width: int = 128
    num_novel: int = 4
    supersample: int = 2
    batch_size: int = 8
    num_pictures: int = 6


def evaluate_held_out(
    backbone: VideoBackbone,
    ldrm: Reconstructor,
    protocol: HeldOutProtocol | None = None,
    *,
    callback: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Evaluate a model on held-out scenes.

    Args:
        backbone: Video model.
        ldrm: Reconstructor; its field must begin with one Gaussian per pixel of the image, as `LDRM`'s does.
        protocol: What to run; the standard protocol when omitted.
        callback: Called as `callback(stage, done, total)` with the scenes done.

    Returns:
        The report.

    Raises:
        ValueError: If the protocol asks for what the model cannot do.

    Example:
        >>> report = evaluate_held_out(pipe.backbone, pipe.ldrm)  # doctest: +SKIP
        >>> print(report.to_text())  # doctest: +SKIP
    """
    protocol = protocol or HeldOutProtocol()
    backbone.spec.check_frames(protocol.num_frames)
    backbone.spec.check_size(protocol.height, protocol.width)
    report = callback or _no_progress
    device = _device_of(backbone, ldrm)
    rows: list[dict[str, Tensor]] = []
    pictures: list[Tensor] = []
    seeds: list[int] = []
    stage = "with the true video"
    for batch in seed_batches(protocol.num_scenes, protocol.batch_size, first_scene=protocol.first_scene):
        report(stage, len(seeds), protocol.num_scenes)
        truth = held_out_scenes(
            batch,
            num_frames=protocol.num_frames,
            height=protocol.height,
            width=protocol.width,
            num_novel=protocol.num_novel,
            supersample=protocol.supersample,
            device=device,
        )
        result = evaluate_reconstruction(backbone, ldrm, truth)
        rows.append(result.rows)
        missing = protocol.num_pictures - len(pictures)
        if missing > 0:
            pictures += contact_sheet(truth, result)[:missing]
        seeds += batch
    report(stage, protocol.num_scenes, protocol.num_scenes)
    merged = {name: torch.cat([row[name] for row in rows]).cpu() for name in rows[0]}
    return make_report(
        MEASURES,
        merged,
        seeds=seeds,
        settings=asdict(protocol),
        picture=torch.cat(pictures) if pictures else None,
    )


def contact_sheet(
    scenes: HeldOutScenes, result: ReconstructionResult
) -> list[UInt8[Tensor, "height strip rgb=3"]]:
    """One strip per scene: its first view beside the path as truth, ours and flat warp, then true and our depth.

    Args:
        scenes: Scenes and truth.
        result: What was made of them.

    Returns:
        Strips of five pictures side by side.
    """
    strips = []
    for index in range(len(scenes.seeds)):
        true_depth = scenes.novel_frames.depth[index, :1]
        low, high = float(true_depth.min()), float(true_depth.quantile(0.98))
        shown = [
            scenes.novel_frames.color[index, 0],
            result.novel.color[index, 0],
            result.flat_warp[index, 0],
            *(_depth_picture(depth, low, high) for depth in (true_depth, result.novel.depth[index, :1, 0])),
        ]
        strip = rearrange(torch.stack(shown), "n c h w -> h (n w) c")
        strips.append((strip.clamp(0, 1) * 255 + 0.5).to(torch.uint8).cpu())
    return strips


def _depth_picture(depth: Float[Tensor, "1 height width"], low: float, high: float) -> Tensor:
    return depth_to_color(depth, near=low, far=high)[0]


def _device_of(*parts: object) -> torch.device:
    weights = (p.device for part in parts if isinstance(part, nn.Module) for p in part.parameters())
    return next(weights, torch.device("cpu"))


def _no_progress(stage: str, done: int, total: int) -> None:
    """Progress nobody asked for."""
