"""What PSNR, SSIM and LPIPS of frames cost beside the libraries that define them, and whether they agree.

    python benchmarks/image_metrics.py             eight frames of 480 x 720, a minute
    python benchmarks/image_metrics.py --quick     two tiny frames, to see whether it runs

Both sides take turns on the same float32 frames in one process. torchmetrics gives PSNR per frame, with the
images clamped, and SSIM, whose map is cropped by its border of five pixels; the package lpips gives LPIPS, of
drawn weights, as many frames at once as ours. Ours also looks at the range of the values, and computes SSIM
in float64.
"""

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import tyro
from measuring import Result, command_line, conclude, describe, fastest, machine, report

from diff4splat.evaluation import LpipsMetric, psnr, ssim

FRAMES_AT_ONCE = 4
GOAL = 0.8


def libraries() -> dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]:
    """One number per frame, as the libraries compute it."""
    import lpips
    from torchmetrics.functional.image import (
        peak_signal_noise_ratio,
        structural_similarity_index_measure,
    )

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torchvision, about how lpips calls it
        torch.manual_seed(0)
        network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()

    def similarity(image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        _, full = structural_similarity_index_measure(
            image, target, data_range=1.0, reduction="none", return_full_image=True
        )
        return full[..., 5:-5, 5:-5].mean((1, 2, 3))

    def distance(image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        pairs = zip(image.split(FRAMES_AT_ONCE), target.split(FRAMES_AT_ONCE), strict=True)
        return torch.cat([network(x, y, normalize=True).flatten() for x, y in pairs])

    def ratio(image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return peak_signal_noise_ratio(image, target, data_range=(0.0, 1.0), reduction="none", dim=(1, 2, 3))

    return {"PSNR": ratio, "SSIM": similarity, "LPIPS": distance}


@torch.no_grad()
def main(
    *,
    frames: int = 8,
    height: int = 480,
    width: int = 720,
    repeats: int = 5,
    quick: bool = False,
    json: Path | None = None,
) -> list[Result]:
    """Measure and print.

    Args:
        frames: Frames of the clip.
        height: Their rows.
        width: Their columns.
        repeats: Rounds, of which the fastest counts.
        quick: Two frames of 37 x 41, once.
        json: Write the results to this file.

    Returns:
        What was measured.
    """
    if quick:
        frames, height, width, repeats = 2, 37, 41, 1
    facts = machine()
    print(f"$ {command_line()}\n{describe(facts)}\n\n{frames} frames of {height} x {width}")
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(frames, 3, height, width, generator=generator)
    image = (target + 0.1 * torch.randn(target.shape, generator=generator)).clamp(0, 1)
    ours = {"PSNR": psnr, "SSIM": ssim, "LPIPS": LpipsMetric(seed=0, images_at_once=FRAMES_AT_ONCE)}
    results = []
    for name, library in libraries().items():
        sides = [partial(measure, image, target) for measure in (ours[name], library)]
        difference = float((sides[0]() - sides[1]()).abs().max())
        mine, theirs = fastest(sides, repeats)
        results += report(
            [
                Result(name, "frames per second", frames / mine, ""),
                Result(name, "throughput over that of the library", theirs / mine, "", GOAL, at_least=True),
                Result(name, "largest difference", difference, "", goal=1e-4),
            ]
        )
    conclude(results, quick=quick, json=json, facts=facts)
    return results


if __name__ == "__main__":
    tyro.cli(main)
