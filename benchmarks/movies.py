"""Time and memory of MoVieS from a video to a field, with random weights of the published size.

Run `python benchmarks/movies.py --device cuda --dtype bfloat16`, or with `--quick` to see whether it runs.
The first run is not counted. Memory is what torch's allocator held at most on a GPU, and what the
process grew by elsewhere.
"""

from pathlib import Path
from typing import Literal

import torch
import tyro
from measuring import Result, conclude, describe, machine, once, report, resident_bytes

from diff4splat.cameras import trajectory
from diff4splat.models.movies import MoVieS, MoVieSReconstructor

QUICK = {
    **{"dim": 16, "num_layers": 4, "num_heads": 2, "encoder_layers": 1, "encoder_heads": 2, "grid_size": 3},
    **{"kept_layers": (0, 1, 2, 3), "level_widths": (4, 8, 12, 8), "head_width": 8, "time_dim": 6},
}


def reconstructor(device: str, dtype: torch.dtype, quick: bool) -> MoVieSReconstructor:
    """Random weights; the heads stay in float32, as `from_pretrained` leaves them."""
    with torch.device(device):
        network = MoVieS(**(QUICK if quick else {})).eval()
    for part in (network.plucker_embed, network.plucker_ln, network.encoder, network.backbone):
        part.to(dtype)
    return MoVieSReconstructor(network, **({"size": 28, "num_views": 3} if quick else {})).eval()


def main(
    device: str = "cpu",
    dtype: Literal["float32", "bfloat16"] = "float32",
    num_frames: int = 49,
    height: int = 480,
    width: int = 832,
    num_times: int | None = None,
    repeats: int = 3,
    quick: bool = False,
    json: Path | None = None,
) -> list[Result]:
    """Measure, print, and write the results if a file is named.

    Args:
        device: Where the network runs.
        dtype: Floating type of encoder and Transformer.
        num_frames: Frames of the video.
        height: Height of the video, pixels.
        width: Width of the video, pixels.
        num_times: Target times; those of the frames when omitted.
        repeats: Runs, of which the fastest counts.
        quick: A small network and a small video, once.
        json: File for the results.
    """
    facts = machine()
    print(describe(facts))
    if quick:
        num_frames, height, width, repeats = 5, 30, 52, 1
    on_gpu = torch.device(device).type == "cuda"
    model = reconstructor(device, getattr(torch, dtype), quick)
    cameras = trajectory.spiral(num_frames, height=height, width=width).batch(None)
    video = torch.rand(1, num_frames, 3, height, width, generator=torch.Generator().manual_seed(0))
    times = None if num_times is None else torch.linspace(0, 1, num_times)

    @torch.no_grad()
    def run() -> None:
        model(video, cameras, times=times)
        if on_gpu:
            torch.cuda.synchronize()

    before = resident_bytes("VmRSS") if not on_gpu else 0
    run()
    seconds = min(once(run) for _ in range(repeats))
    peak = torch.cuda.max_memory_allocated() if on_gpu else resident_bytes("VmHWM") - before
    weights = sum(parameter.nbytes for parameter in model.parameters())
    what = f"{num_frames} frames of {height} x {width}"
    results = [
        Result("movies", f"{what}, video to field", seconds, "s"),
        Result("movies", f"{what}, peak memory", (peak if on_gpu else peak + weights) / 1e9, "GB"),
        Result("movies", "weights", weights / 1e9, "GB"),
    ]
    report(results)
    conclude(results, quick=quick, json=json, facts=facts)
    return results


if __name__ == "__main__":
    tyro.cli(main)
