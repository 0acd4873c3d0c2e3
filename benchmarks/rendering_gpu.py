"""gsplat's CUDA kernels: their speed, the CPU backend against them, and golden files made by them.

Without a GPU it says so and measures nothing. It has never been run on one, but on a processor, with the
reference renderer in the place of gsplat.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from measuring import Result, describe, fastest, machine, report
from rendering_scenes import cameras, images, moving, scene, tensors
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.files import write_safetensors
from diff4splat.gaussians import Gaussians
from diff4splat.rendering import gsplat_backend, render

FRAME_MS = 1.5
IMAGE_GAP, GRADIENT_GAP = 1e-4, 1e-4
# In large scenes rounding decides for single pixels whether a Gaussian passes a hard threshold.
LARGE_SHARE, LARGE_GRADIENT_GAP = 1e-4, 5e-3
MODES = ("classic", "antialiased")
DEVICES = {"cpu": "cpu", "gsplat": "cuda", "reference": "cpu"}
NAMES = ("means", "quaternions", "scales", "opacities", "harmonics", "camera_to_world")


@dataclass(frozen=True)
class Gpu:
    """A moving frame on a GPU, and the CPU backend against gsplat's kernels."""

    count: int = 50_000
    """Gaussians of the frame and of the large comparison, scene c."""
    size: int = 512
    """Image side of both, pixels."""
    repeats: int = 100
    """Calls."""
    golden: Path | None = None
    """Folder for the small scene with its images and gradients, as test data."""
    against: Literal["gsplat", "reference"] = "gsplat"
    """"reference" takes the reference renderer for gsplat, on the CPU, to see whether this part runs."""

    def run(self) -> list[Result]:
        """Measure and print."""
        if self.against == "gsplat" and not torch.cuda.is_available():
            print("There is no CUDA device here: nothing is measured.")
            return []
        print("This part had never been run on a GPU when it was written: check it before you trust it.")
        results = report([self.frame()])
        for mode in MODES:
            ours, theirs = compare(small_scene(), cameras(64), mode, self.against)
            results += report(
                [
                    Result(
                        "gpu",
                        f"300 Gaussians, {mode}, image, largest gap",
                        image_gap(ours, theirs),
                        "",
                        IMAGE_GAP,
                    ),
                    Result(
                        "gpu",
                        f"300 Gaussians, {mode}, gradients, rel. L2",
                        gradient_gap(ours, theirs),
                        "",
                        GRADIENT_GAP,
                    ),
                ]
            )
            if self.golden:
                metadata = {"made_by": describe(machine()), "max_alpha": str(gsplat_backend.opacity_cap())}
                self.golden.mkdir(parents=True, exist_ok=True)
                write_safetensors(self.golden / f"{self.against}_{mode}.safetensors", theirs, metadata)
        ours, theirs = compare(scene("c", self.count), cameras(self.size), "classic", self.against)
        share = ((ours["color"] - theirs["color"]).abs().amax(-3) > IMAGE_GAP).float().mean().item()
        return results + report(
            [
                Result("gpu", f"scene c, share of pixels beyond {IMAGE_GAP:g}", share, "", LARGE_SHARE),
                Result(
                    "gpu", "scene c, gradients, rel. L2", gradient_gap(ours, theirs), "", LARGE_GRADIENT_GAP
                ),
            ]
        )

    def frame(self) -> Result:
        """Deformation and rendering of one time."""
        device = DEVICES[self.against]
        field, view = moving(scene("c", self.count)).to(device), cameras(self.size).to(device)
        time = field.times[7:8] + 0.01

        def call() -> None:
            field.render(view, time, backend=self.against)
            if device == "cuda":
                torch.cuda.synchronize()

        with torch.no_grad():
            fastest([call], 3)
            seconds = fastest([call], self.repeats)[0]
        return Result("gpu", f"moving frame, {self.size} x {self.size}", 1000 * seconds, "ms", FRAME_MS)


def small_scene() -> Gaussians:
    """A cloud of 300 with colours that depend on the direction: some behind the camera, opaque, or points."""
    cloud = scene("b", 300)
    generator = torch.Generator().manual_seed(3)
    means, scales, opacities = cloud.means.clone(), 12 * cloud.scales, cloud.opacities.clone()
    means[:7, 2] *= -1
    opacities[7:14] = 1
    scales[14:21] = 1e-9
    bands = 0.2 * torch.randn(300, 8, 3, generator=generator)
    return Gaussians(means, cloud.quaternions, scales, opacities, torch.cat([cloud.harmonics, bands], dim=-2))


def compare(
    gaussians: Gaussians, view: Cameras, mode: str, against: str = "gsplat"
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs, images, their weights and gradients: on the CPU, and by another; both with gsplat's cap."""
    both = []
    for backend in ("cpu", against):
        device = DEVICES[backend]
        inputs = [v.detach().to(device).requires_grad_() for v in (*tensors(gaussians), view.camera_to_world)]
        cameras_there = replace(view.to(device), camera_to_world=inputs[-1])
        cap = gsplat_backend.opacity_cap()
        seen = render(Gaussians(*inputs[:-1]), cameras_there, backend=backend, mode=mode, max_alpha=cap)
        outputs = dict(zip(("color", "alpha", "depth"), images(seen), strict=True))
        generator = torch.Generator().manual_seed(4)
        weights = {name: torch.randn(value.shape, generator=generator) for name, value in outputs.items()}
        slopes = torch.autograd.grad(
            list(outputs.values()), inputs, [weight.to(device) for weight in weights.values()]
        )
        found = {
            **dict(zip(NAMES, inputs, strict=True)),
            "intrinsics": view.intrinsics,
            **outputs,
            **{f"weight_{name}": weight for name, weight in weights.items()},
            **{f"grad_{name}": slope for name, slope in zip(NAMES, slopes, strict=True)},
        }
        both.append({name: value.detach().cpu().contiguous() for name, value in found.items()})
    return both[0], both[1]


def image_gap(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """Largest difference of colour, alpha and depth."""
    return max((ours[name] - theirs[name]).abs().max().item() for name in ("color", "alpha", "depth"))


def gradient_gap(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """Largest relative L2 difference of the gradients."""
    names = [f"grad_{name}" for name in NAMES]
    return max(((ours[name] - theirs[name]).norm() / theirs[name].norm()).item() for name in names)
