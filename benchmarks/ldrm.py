"""Costs of the reconstruction model: operations, memory predicted and measured, share of the machine's speed.

Run `python benchmarks/ldrm.py`. The machine's speed is that of a product of two 2048 x 2048 matrices (8192 on
a GPU) of the same type with the same threads, measured before and after; the fastest of several calls counts
on both sides. Other programs on the machine lower both, not always alike.
"""

import multiprocessing
import os
import platform
import time
from collections.abc import Callable
from typing import Any

import torch
import tyro
from measuring import resident_bytes

from diff4splat.cameras import trajectory
from diff4splat.models import LDRM, count_flops, estimate_memory
from diff4splat.models.cost import LiveBytes

# Name, frames and image side of what is run here; each larger than the one before.
SIZES = (("compact", 9, 128), ("compact", 25, 256), ("paper", 25, 256))
NETWORK = ("tokens", "blocks", "gaussian_head")


def model(name: str) -> LDRM:
    """A fresh model of a size."""
    return {"compact": LDRM.compact, "base": LDRM.base, "paper": LDRM.paper}[name]().eval()


def clip(
    ldrm: LDRM, num_frames: int, side: int, device: str = "cpu"
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Random latents, a camera path, and a photograph of the clip's size, as `LDRM` takes them."""
    generator = torch.Generator().manual_seed(0)
    frames = (num_frames - 1) // ldrm.temporal_stride + 1
    latents = torch.randn(
        1, frames, ldrm.latent_channels, *(2 * [side // ldrm.spatial_stride]), generator=generator
    )
    cameras = trajectory.spiral(num_frames, height=side, width=side).batch(None)
    image = torch.rand(1, 3, side, side, generator=generator)
    return (latents.to(device), cameras.to(device=device)), {"image": image.to(device)}


def seconds(function: Callable[[], Any], repeats: int, device: str = "cpu") -> float:
    """Shortest wall time of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)


def matmul_rate(side: int, dtype: torch.dtype, device: str = "cpu") -> float:
    """Floating-point operations per second of a matrix product."""
    matrix = torch.randn(side, side, dtype=dtype, device=device)
    return 2 * side**3 / seconds(lambda: matrix @ matrix, 7, device)


def resident_peak(name: str, num_frames: int, side: int, threads: int) -> int:
    """Most resident bytes of a forward pass less those before it, in a process of its own (Linux)."""
    torch.set_num_threads(threads)
    ldrm = model(name)
    with torch.no_grad():
        arguments, options = clip(ldrm, 9, 32)
        ldrm(*arguments, **options)  # libraries load, threads start
        arguments, options = clip(ldrm, num_frames, side)
        before = resident_bytes("VmRSS")
        ldrm(*arguments, **options)
    return resident_bytes("VmHWM") - before


def print_prediction(name: str, num_frames: int, side: int) -> None:
    """Parameters, operations and memory of a clip, without running it."""
    with torch.device("meta"):
        ldrm = model(name)
    size: dict[str, Any] = {"num_frames": num_frames, "height": side, "width": side}
    size["image_size"] = (side, side)
    flops = count_flops(ldrm, **size)
    print(f"\nLDRM.{name}(), {num_frames} frames of {side} x {side}, predicted on the meta device")
    print(f"  parameters  {sum(p.numel() for p in ldrm.parameters()) / 1e6:10.1f} million")
    print(f"  operations  {sum(flops.values()) / 1e12:10.2f} TFLOP: ", end="")
    print(", ".join(f"{part} {count / 1e12:.2f}" for part, count in flops.items()))
    for dtype in (torch.float32, torch.bfloat16):
        memory = estimate_memory(ldrm.to(dtype), **size)
        print(
            f"  peak memory {memory.peak / 1e9:10.1f} GB, weights in {str(dtype).removeprefix('torch.')}: "
            f"{memory.parameters / 1e9:.1f} weights, {memory.result / 1e9:.1f} field"
        )


def in_fresh_process(returning: bool, *arguments: Any) -> int:
    """`resident_peak` in a new process whose C library keeps freed memory, its default, or returns it."""
    if returning:
        os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"
    try:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.apply(resident_peak, arguments)
    finally:
        os.environ.pop("MALLOC_MMAP_THRESHOLD_", None)


def print_memory(threads: int) -> None:
    """Predicted against measured peak."""
    print("\npeak memory of a forward pass beyond weights and inputs: predicted; resident in a new process")
    print("whose C library returns freed memory at once (MALLOC_MMAP_THRESHOLD_=65536); resident by default")
    print(f"  {'model':<9}{'clip':<16}{'predicted MB':>13}{'resident MB':>13}{'ratio':>7}{'by default':>12}")
    for name, num_frames, side in SIZES:
        with torch.device("meta"):
            ldrm = model(name)
        memory = estimate_memory(
            ldrm, num_frames=num_frames, height=side, width=side, image_size=(side, side)
        )
        predicted = memory.peak - memory.parameters - memory.inputs
        measured, by_default = (
            in_fresh_process(returning, name, num_frames, side, threads) for returning in (True, False)
        )
        print(
            f"  {name:<9}{f'{num_frames} x {side} x {side}':<16}{predicted / 1e6:>13.0f}"
            f"{measured / 1e6:>13.0f}{predicted / measured:>7.2f}{by_default / 1e6:>12.0f}",
            flush=True,
        )


def print_speed(name: str, num_frames: int, side: int, repeats: int, device: str, dtype: torch.dtype) -> None:
    """Share of the matrix product's rate, of the network up to the maps and of the whole forward pass."""
    ldrm = model(name).to(device, dtype)
    arguments, options = clip(ldrm, num_frames, side, device)
    flops = count_flops(ldrm, num_frames=num_frames, height=side, width=side, image_size=(side, side))
    matrix_side = 2048 if device == "cpu" else 8192
    with torch.no_grad():
        rate = matmul_rate(matrix_side, dtype, device)
        times = {"network": seconds(lambda: ldrm.encode(*arguments, **options), repeats, device)}
        times["latents to field"] = seconds(lambda: ldrm(*arguments, **options), repeats, device)
        rate = max(rate, matmul_rate(matrix_side, dtype, device))
    print(f"\nLDRM.{name}(), {num_frames} frames of {side} x {side}, {device}, {dtype}")
    print(f"  {'matrix product':<18}{rate / 1e9:>35.0f} GFLOP/s")
    for what, count in (
        ("network", sum(flops[part] for part in NETWORK)),
        ("latents to field", sum(flops.values())),
    ):
        reached = count / times[what]
        print(
            f"  {what:<18}{times[what]:>8.2f} s {count / 1e9:>9.0f} GFLOP {reached / 1e9:>7.0f} GFLOP/s, "
            f"{reached / rate:.0%} of the matrix product"
        )


def print_deformation(repeats: int) -> None:
    """Time and memory per target time."""
    ldrm = model("compact")
    arguments, options = clip(ldrm, 25, 256)
    print("\ndeformation of LDRM.compact(), 25 frames of 256 x 256, from features that are there")
    print(f"  {'times':>5}{'seconds per time':>18}{'working MB':>12}{'result MB':>11}")
    with torch.no_grad():
        features = ldrm.encode(*arguments, **options)
        for num_times in (4, 8, 16, 32, 64):
            times = torch.linspace(0, 1, num_times)[None]
            duration = seconds(lambda times=times: ldrm.deform(features, times), repeats)
            with LiveBytes() as live:
                result = ldrm.deform(features, times)
            print(
                f"  {num_times:>5}{duration / num_times:>18.4f}{(live.peak - result.nbytes) / 1e6:>12.1f}"
                f"{result.nbytes / 1e6:>11.1f}",
                flush=True,
            )


def main(
    names: tuple[str, ...] = ("compact", "base"),
    num_frames: int = 17,
    side: int = 256,
    repeats: int = 3,
    threads: int = 0,
) -> None:
    """Print the tables.

    Args:
        names: Sizes of the model that are timed: compact, base or paper.
        num_frames: Frames of the clip that is timed.
        side: Height and width of the clip that is timed, pixels.
        repeats: Calls per timing.
        threads: Threads of torch; torch's own default for 0.
    """
    if threads:
        torch.set_num_threads(threads)
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print_prediction("paper", 49, 512)
    print_memory(torch.get_num_threads())
    for name in names:
        print_speed(name, num_frames, side, repeats, "cpu", torch.float32)
    print_deformation(repeats)
    if torch.cuda.is_available():
        print_speed("paper", 49, 512, repeats, "cuda", torch.bfloat16)
        print(f"  peak memory {torch.cuda.max_memory_allocated() / 1e9:.1f} GB")


if __name__ == "__main__":
    tyro.cli(main)
