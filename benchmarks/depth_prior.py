"""What the depth of the first frame is worth to the bundled model, on held-out scenes.

    python benchmarks/depth_prior.py             sixteen held-out scenes, two minutes
    python benchmarks/depth_prior.py --quick     two tiny scenes, to see whether it runs

The true video is given, so that the depth alone makes the difference: fields without it, with its true scale
alone, and with a depth map. "metric, 10 % off" is the true one times noise of log-deviation 0.1 that is
smooth over an eighth of the picture. Novel views are beside the path, at times between the frames.
"""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
import tyro
from measuring import TINY, command_line, describe, machine, write_json

from diff4splat import Diff4SplatPipeline
from diff4splat.cameras import Cameras
from diff4splat.evaluation.held_out.scenes import HELD_OUT_SEEDS, HeldOutScenes, held_out_scenes
from diff4splat.evaluation.metrics import absolute_relative_error, psnr
from diff4splat.evaluation.statistics import Estimate, mean_estimate
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.pipelines import DepthPrior, apply_depth, depth_ratio

Change = Callable[[DeformableGaussianField, torch.Tensor, Cameras], DeformableGaussianField]
MEASURES = ("novel views (dB)", "first frame (dB)", "depth AbsRel")


def scaled(field: DeformableGaussianField, depth: torch.Tensor, camera: Cameras) -> DeformableGaussianField:
    """The field in the unit of a depth map."""
    ratio = depth_ratio(DepthPrior(depth), field, camera)
    return field.transform(torch.diag(torch.tensor([ratio, ratio, ratio, 1.0])))


def metric(field: DeformableGaussianField, depth: torch.Tensor, camera: Cameras) -> DeformableGaussianField:
    """As the pipeline places a metric depth."""
    return apply_depth(scaled(field, depth, camera), DepthPrior(depth), camera)


def noisy(field: DeformableGaussianField, depth: torch.Tensor, camera: Cameras) -> DeformableGaussianField:
    """A metric depth that is a tenth off here and there."""
    noise = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    smooth = F.interpolate(noise, size=depth.shape, mode="bicubic")[0, 0]
    return metric(field, depth * (0.1 * smooth).exp(), camera)


def disparity(
    field: DeformableGaussianField, depth: torch.Tensor, camera: Cameras
) -> DeformableGaussianField:
    """As the pipeline places a disparity of unknown scale and shift."""
    return apply_depth(field, DepthPrior(3 / depth + 0.2, "disparity"), camera)


CHANGES: dict[str, Change] = {
    "no depth": lambda field, depth, camera: field,
    "disparity": disparity,
    "true scale alone": scaled,
    "metric, 10 % off": noisy,
    "metric": metric,
}


def judge(field: DeformableGaussianField, scene: HeldOutScenes) -> list[float]:
    """The measures of one scene."""
    cameras, novel = scene.cameras.batch(0), scene.novel_cameras.batch(0)
    path = field.render(cameras, scene.times)
    views = field.render(novel, scene.novel_times[0])
    return [
        float(psnr(views.color, scene.novel_frames.color[0]).mean()),
        float(psnr(path.color[0], scene.image[0])),
        float(absolute_relative_error(path.depth[:, 0], scene.frames.depth[0], alignment="none").mean()),
    ]


@torch.no_grad()
def main(num_scenes: int = 16, quick: bool = False, json: Path | None = None) -> dict[str, list[Estimate]]:
    """Measure and print.

    Args:
        num_scenes: Held-out scenes.
        quick: Two scenes of 64 x 64, to see whether it runs.
        json: Write the estimates to this file.

    Returns:
        Estimates of the measures by kind of depth.
    """
    num_scenes, size = (2, 64) if quick else (num_scenes, 128)
    pipe = Diff4SplatPipeline.from_pretrained("compact")
    rows: dict[str, list[list[float]]] = {name: [] for name in CHANGES}
    for seed in HELD_OUT_SEEDS[:num_scenes]:
        scene = held_out_scenes([seed], height=size, width=size)
        latents = pipe.backbone.encode(scene.frames.color)
        field = pipe.ldrm(latents, scene.cameras, image=scene.image, times=scene.times).batch(0)
        camera, depth = scene.cameras.batch(0).select(slice(0, 1)), scene.frames.depth[0, 0]
        for name, change in CHANGES.items():
            rows[name].append(judge(change(field, depth, camera), scene))
    values = {name: torch.tensor(row) for name, row in rows.items()}
    plain = values["no depth"]
    found = {
        name: [
            mean_estimate(column, generator=torch.Generator().manual_seed(0))
            for column in (row if name == "no depth" else row - plain).T
        ]
        for name, row in values.items()
    }
    print(f"$ {command_line()}\n{describe(machine())}\n")
    print(f"Mean over {num_scenes} held-out scenes; below the first row, the difference to it:\n")
    print("| depth of the first frame | " + " | ".join(MEASURES) + " |\n|---|---|---|---|")
    for name, estimates in found.items():
        cells = [_cell(estimate, name != "no depth", i == 2) for i, estimate in enumerate(estimates)]
        print(f"| {name} | " + " | ".join(cells) + " |")
    if quick:
        print(TINY)
    if json is not None:
        content = {name: [vars(estimate) for estimate in row] for name, row in found.items()}
        write_json(json, {"machine": machine(), "scenes": num_scenes, "estimates": content})
    return found


def _cell(estimate: Estimate, signed: bool, fine: bool) -> str:
    form = f"{'+' if signed else ''}.{3 if fine else 2}f"
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"


if __name__ == "__main__":
    tyro.cli(main)
