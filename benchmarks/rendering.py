"""Time of `render` on the CPU, against the plain torch rasterizer that takes over where numba is missing.

Run `python benchmarks/rendering.py`. Three scenes of 50,000 Gaussians: "a" is four depth maps with large
footprints (heavy), "b" a random cloud, "c" one depth map with a Gaussian per pixel (typical). The fastest of
`--repeats` calls counts; other programs on the machine only ever add to a time.
"""

import platform
import time
from collections.abc import Callable
from typing import Any

import torch
import tyro

from diff4splat.cameras import Cameras
from diff4splat.gaussians import Gaussians, rgb_to_harmonics
from diff4splat.rendering import cpu_backend, reference, render

OPTIONS: dict[str, Any] = {"near": 0.01, "far": 1e10, "eps2d": 0.3, "radius_clip": 0.0, "mode": "classic"}


def unprojected(
    side: int, sigma: float, stretch: float, generator: torch.Generator
) -> tuple[torch.Tensor, ...]:
    """Means and scales of a smooth depth map seen from the origin with a focal length of one image side."""
    centers = (torch.arange(side) + 0.5) / side
    y, x = torch.meshgrid(centers, centers, indexing="ij")
    z = 3 + torch.sin(7 * x) + 0.6 * torch.cos(9 * y + 3 * x)
    means = torch.stack([(x - 0.5) * z, (y - 0.5) * z, z], dim=-1).reshape(-1, 3)
    sigmas = sigma * (1 + 0.5 * torch.rand(len(means), 1, generator=generator))
    return means, means[:, 2:] / side * sigmas * torch.exp(
        stretch * torch.randn(means.shape, generator=generator)
    )


def scene(name: str) -> Gaussians:
    """About 50,000 Gaussians in front of a camera at the origin."""
    generator = torch.Generator().manual_seed(0)
    if name == "a":
        parts = [unprojected(112, 1.0, 0.2, generator) for _ in range(4)]
        means = torch.cat(
            [(1 + 0.05 * i) * m + torch.tensor([0.05 * i, 0, 0]) for i, (m, _) in enumerate(parts)]
        )
        scales, lowest = torch.cat([s for _, s in parts]), 0.3
    elif name == "b":
        z = 2 + 4 * torch.rand(50_000, 1, generator=generator)
        means = torch.cat([(torch.rand(50_000, 2, generator=generator) - 0.5) * z, z], dim=-1)
        scales, lowest = z / 512 * (1 + 2 * torch.rand(50_000, 3, generator=generator)), 0.1
    else:
        (means, scales), lowest = unprojected(224, 0.5, 0.2, generator), 0.3
    count = len(means)
    return Gaussians(
        means,
        torch.randn(count, 4, generator=generator),
        scales,
        lowest + (0.95 - lowest) * torch.rand(count, generator=generator),
        rgb_to_harmonics(torch.rand(count, 1, 3, generator=generator)),
    )


def milliseconds(function: Callable[[], Any], repeats: int) -> float:
    """Shortest wall time of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def measure(name: str, size: int, repeats: int, compare: bool) -> str:
    """One row of the table."""
    gaussians = scene(name)
    fields = (
        gaussians.means,
        gaussians.quaternions,
        gaussians.scales,
        gaussians.opacities,
        gaussians.harmonics,
    )
    for field in fields:
        field.requires_grad_()
    pose = torch.eye(4)[None].requires_grad_()
    intrinsics = torch.tensor([[[size, 0, size / 2], [0, size, size / 2], [0, 0, 1]]], dtype=torch.float32)
    cameras = Cameras(pose, intrinsics, size, size)
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(1, channels, size, size, generator=generator) for channels in (3, 1, 1)]

    def forward() -> list[torch.Tensor]:
        rendering = render(gaussians, cameras, backend="cpu")
        return [rendering.color, rendering.alpha, rendering.depth]

    def plain_torch() -> list[torch.Tensor]:
        colors = gaussians.harmonics[None, :, 0] * 0.28209479177387814 + 0.5
        inputs = (*fields[:4], colors, pose, intrinsics)
        return list(reference.rasterize(*inputs, height=size, width=size, block_px=16, **OPTIONS))

    def without_gradient(function: Callable[[], Any]) -> Callable[[], Any]:
        return torch.no_grad()(function)

    def with_backward(function: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: torch.autograd.backward(function(), weights)

    with_backward(forward)()
    times = [milliseconds(wrap(forward), repeats) for wrap in (without_gradient, with_backward)]
    row = f"{name}  {size:4d}  {times[0]:10.1f}  {times[1]:12.1f}"
    if compare:
        slow = [milliseconds(wrap(plain_torch), 1) for wrap in (without_gradient, with_backward)]
        row += f"  {slow[0]:10.0f}  {slow[1]:12.0f}  {slow[0] / times[0]:8.0f}x  {slow[1] / times[1]:8.0f}x"
    return row


def main(
    scenes: str = "abc",
    sizes: tuple[int, ...] = (256, 512),
    repeats: int = 20,
    threads: int = 0,
    compare: bool = True,
) -> None:
    """Print the table.

    Args:
        scenes: Letters of the scenes.
        sizes: Image sides, pixels.
        repeats: Calls per entry.
        threads: Threads of torch, which the kernels follow; torch's own default for 0.
        compare: Also time the plain torch path, once.
    """
    if threads:
        torch.set_num_threads(threads)
    processor = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            processor = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    works = cpu_backend.available()
    engine = "numba" if works else "no numba"
    print(f"{processor}, {torch.get_num_threads()} threads, torch {torch.__version__}, {engine}")
    print("milliseconds, 50,000 Gaussians; right: plain torch, and how many times as long it takes")
    header = "     size     forward  with backward"
    print(header + ("     forward  with backward  forward  with backward" if compare else ""))
    for name in scenes:
        for size in sizes:
            print(measure(name, size, repeats, compare), flush=True)


if __name__ == "__main__":
    tyro.cli(main)
