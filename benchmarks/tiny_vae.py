"""Time and memory of the tiny video autoencoder over those of Wan's own, both with random weights.

Run `python benchmarks/tiny_vae.py`; needs diffusers. The two take turns, so that their ratio holds on a
shared machine. Memory is that of tensors at the peak, beyond weights and inputs; on a GPU, what torch
allocates.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from measuring import Result, conclude, describe, fastest, machine, report, say

from diff4splat.backbones import TinyVideoVAE
from diff4splat.models.cost import LiveBytes

# The tiny autoencoder for a model, and what the model's own differs in from `AutoencoderKLWan()`.
WAN: dict[str, tuple[str, dict[str, Any]]] = {
    "wan2.1": ("taew2_1", {}),
    "wan2.2-ti2v-5b": (
        "taew2_2",
        {
            "base_dim": 160,
            "decoder_base_dim": 256,
            "z_dim": 48,
            "in_channels": 12,
            "out_channels": 12,
            "patch_size": 2,
            "is_residual": True,
            "scale_factor_spatial": 16,
            "latents_mean": [0.0] * 48,
            "latents_std": [1.0] * 48,
        },
    ),
}


def peak_bytes(function: Callable[[], Any], device: str) -> int:
    """Memory of a call at its peak."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with LiveBytes() as live:
        function()
    return live.peak


def waited(function: Callable[[], Any], device: str) -> Callable[[], Any]:
    """The call and the wait for its end."""

    def call() -> None:
        function()
        if device == "cuda":
            torch.cuda.synchronize()

    return call


@torch.no_grad()
def main(
    model: Literal["wan2.1", "wan2.2-ti2v-5b"] = "wan2.1",
    num_frames: int = 17,
    height: int = 128,
    width: int = 192,
    repeats: int = 3,
    chunk_size: int = 1,
    quick: bool = False,
    json: Path | None = None,
) -> list[Result]:
    """Print times, memory and their ratios.

    Args:
        model: Whose autoencoder.
        num_frames: Frames of the clip, 4k + 1.
        height: Rows of the clip.
        width: Columns of the clip.
        repeats: Calls per timing.
        chunk_size: Latent frames that the tiny one computes at a time; 0 for all at once.
        quick: A tiny clip, to see that it runs.
        json: File for the results.
    """
    from diffusers import AutoencoderKLWan

    if quick:
        num_frames, height, width, repeats = 5, 32, 32, 1
    facts = machine()
    print(describe(facts))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    name, options = WAN[model]
    torch.manual_seed(0)
    tiny = TinyVideoVAE.for_model(name).to(device, dtype).eval()
    full = AutoencoderKLWan(**options).to(device, dtype).eval()
    size = f"{num_frames} frames of {height} x {width}, {device}, {str(dtype).removeprefix('torch.')}"
    millions = [sum(p.numel() for p in module.parameters()) / 1e6 for module in (tiny, full)]
    say(f"{name} ({millions[0]:.1f} million weights) over {model} ({millions[1]:.0f} million), {size}")
    video = torch.rand(1, num_frames, 3, height, width, device=device, dtype=dtype)
    shape = tiny.spec.latent_shape(num_frames, height, width)
    latents = torch.randn(1, *shape, device=device, dtype=dtype)
    wan_video, wan_latents = (2 * video - 1).transpose(1, 2), latents.transpose(1, 2)
    piece = chunk_size or None
    jobs = {
        "decode": (lambda: tiny.decode(latents, chunk_size=piece), lambda: full.decode(wan_latents).sample),
        "encode": (
            lambda: tiny.encode(video, chunk_size=piece),
            lambda: full.encode(wan_video).latent_dist.mode(),
        ),
    }
    results = []
    for job, calls in jobs.items():
        bytes_ = [peak_bytes(call, device) for call in calls]  # a first call, too, which is not timed
        seconds = fastest([waited(call, device) for call in calls], repeats)
        results += report(
            [
                Result(job, f"{who}, time", 1000 * time, "ms")
                for who, time in zip(("tiny", "full"), seconds, strict=True)
            ]
            + [
                Result(job, f"{who}, memory", count / 1e6, "MB")
                for who, count in zip(("tiny", "full"), bytes_, strict=True)
            ]
            + [
                Result(job, "time, full over tiny", seconds[1] / seconds[0], "x"),
                Result(job, "memory, full over tiny", bytes_[1] / bytes_[0], "x"),
            ]
        )
    conclude(results, quick=quick, json=json, facts=facts)
    return results


if __name__ == "__main__":
    tyro.cli(main)
