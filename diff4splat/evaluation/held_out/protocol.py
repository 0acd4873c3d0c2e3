"""The protocol: a model on procedural scenes that training never saw, to one table."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from diff4splat.backbones import VideoBackbone
from diff4splat.diffusion import Guidance
from diff4splat.evaluation.costs import warm_up
from diff4splat.evaluation.held_out.generation import evaluate_generation, generation_scenes
from diff4splat.evaluation.held_out.measures import MEASURES
from diff4splat.evaluation.held_out.reconstruction import ReconstructionResult, evaluate_reconstruction
from diff4splat.evaluation.held_out.report import Report, make_report
from diff4splat.evaluation.held_out.scenes import HeldOutScenes, held_out_scenes, seed_batches
from diff4splat.pictures import contact_sheet, depth_map
from diff4splat.pipelines import Reconstructor
from diff4splat.rendering import require_backend

__all__ = ["HeldOutProtocol", "evaluate_held_out"]

_COLUMNS = ("truth", "rendered", "flat warp", "true depth", "depth")


@dataclass(frozen=True)
class HeldOutProtocol:
    """What is run; two models are compared by the same protocol.

    Args:
        num_scenes: Scenes, the first of `diff4splat.data.HELD_OUT_SEEDS`.
        first_scene: Number of the first one, to keep scenes for choosing a model apart from those for
            reporting it.
        num_frames: Frames of the commanded paths.
        height: Image rows.
        width: Image columns.
        num_novel: Views beside the path, per scene.
        supersample: Rays per pixel side of all true images.
        batch_size: Scenes at once.
        num_pictures: Scenes on the contact sheet.
        part: What to run: with the true video given, with the video generated from one image, or both.
        num_steps: Sampling steps of the video model.
        amplitude: Length of the straight paths that are commanded to the video model, scene units.
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
    part: Literal["both", "reconstruction", "generation"] = "both"
    num_steps: int = 30
    amplitude: float = 0.5


def evaluate_held_out(
    backbone: VideoBackbone,
    ldrm: Reconstructor,
    protocol: HeldOutProtocol | None = None,
    *,
    guidance: Guidance | None = None,
    callback: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Evaluate a model on held-out scenes.

    Args:
        backbone: Video model.
        ldrm: Makes the field of latents, cameras and image.
        protocol: What to run; the standard protocol when omitted.
        guidance: Guidance schedule of the video model; its own when omitted.
        callback: Called as `callback(stage, done, total)` with the scenes done.

    Returns:
        The report.

    Raises:
        ValueError: If the protocol asks for what the model cannot do, or for no scenes.
        RuntimeError: If the weights are on a GPU and gsplat cannot run there.

    Examples:
        >>> report = evaluate_held_out(pipe.backbone, pipe.ldrm)  # doctest: +SKIP
        >>> print(report.to_text())  # doctest: +SKIP
    """
    protocol = protocol or HeldOutProtocol()
    backbone.spec.check_frames(protocol.num_frames)
    backbone.spec.check_size(protocol.height, protocol.width)
    report = callback or (lambda stage, done, total: None)
    size = {"num_frames": protocol.num_frames, "height": protocol.height, "width": protocol.width}
    size |= {"supersample": protocol.supersample}
    device = _device_of(backbone, ldrm)
    require_backend(device)
    batches = list(seed_batches(protocol.num_scenes, protocol.batch_size, first_scene=protocol.first_scene))
    rows: dict[str, list[Tensor]] = {}
    pictures: list[list[Tensor]] = []

    def run(stage: str, evaluate: Callable[[list[int]], dict[str, Tensor]]) -> None:
        done = 0
        report(stage, done, protocol.num_scenes)
        for seeds in batches:
            for name, values in evaluate(seeds).items():
                rows.setdefault(name, []).append(values.float().cpu())
            done += len(seeds)
            report(stage, done, protocol.num_scenes)

    def reconstruct(seeds: list[int]) -> dict[str, Tensor]:
        truth = held_out_scenes(seeds, num_novel=protocol.num_novel, device=device, **size)
        result = evaluate_reconstruction(backbone, ldrm, truth)
        missing = protocol.num_pictures - len(pictures)
        if missing > 0:
            pictures.extend(_views(truth, result)[:missing])
        return result.rows

    def generate(seeds: list[int]) -> dict[str, Tensor]:
        given = generation_scenes(seeds, amplitude=protocol.amplitude, device=device, **size)
        return evaluate_generation(backbone, ldrm, given, num_steps=protocol.num_steps, guidance=guidance)

    if protocol.part != "generation":
        warm_up(device)
        run("true video", reconstruct)
    if protocol.part != "reconstruction":
        run("generated video", generate)
    seeds = [seed for batch in batches for seed in batch]
    picture = None
    if pictures:
        names = [f"scene {seed}" for seed in seeds[: len(pictures)]]
        picture = contact_sheet(pictures, row_labels=names, column_labels=_COLUMNS)
    return make_report(
        MEASURES,
        {name: torch.cat(values) for name, values in rows.items()},
        seeds=seeds,
        settings=asdict(protocol),
        picture=picture,
    )


def _views(scenes: HeldOutScenes, result: ReconstructionResult) -> list[list[Tensor]]:
    """The first view beside the path of each scene: pictures as `_COLUMNS` names them."""
    rows = []
    for index in range(len(scenes.seeds)):
        true_depth = scenes.novel_frames.depth[index, 0]
        near, far = float(true_depth.min()), float(true_depth.quantile(0.98))
        shown = [
            scenes.novel_frames.color[index, 0],
            result.novel.color[index, 0],
            result.flat_warp[index, 0],
            *(depth_map(d, near=near, far=far) for d in (true_depth, result.novel.depth[index, 0, 0])),
        ]
        rows.append([picture.clamp(0, 1).cpu() for picture in shown])
    return rows


def _device_of(*parts: object) -> torch.device:
    weights = (p.device for part in parts if isinstance(part, nn.Module) for p in part.parameters())
    return next(weights, torch.device("cpu"))
