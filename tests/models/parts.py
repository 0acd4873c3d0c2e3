"""Small models and camera paths for the tests."""

import json
import math
import tempfile
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from slopes import check_slope
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.geometry import quaternion_to_matrix
from diff4splat.models import LDRM

NARROW = {
    "embed_dim": 7,
    "dim": 24,
    "num_layers": 3,
    "num_heads": 4,
    "num_key_value_heads": 2,
    "head_width": 11,
    "pixel_width": 5,
    "motion_width": 6,
}


def small_ldrm(*, fresh: bool = False, seed: int = 0, **options) -> LDRM:
    """Narrow model in float64; what starts at zero gets values unless `fresh`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        ldrm = LDRM(**{"latent_channels": 3, **NARROW, **options}).double().eval()
        if not fresh:
            stir(ldrm)
    return ldrm


def stir(module: nn.Module, size: float = 0.1) -> None:
    """Move every parameter, so that nothing is zero by its start alone."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += size * torch.randn_like(parameter)


def weights_of(module: nn.Module) -> dict[str, np.ndarray]:
    """Parameters and buffers by name, for the loops in tests/reference."""
    return {name: value.double().numpy() for name, value in module.state_dict().items()}


def field_values(field: DeformableGaussianField) -> dict[str, Tensor]:
    """What a field holds, `batch gaussian ...`, named as in the loops of tests/reference."""
    canonical = field.canonical
    return {
        "means": canonical.means,
        "quaternions": canonical.quaternions,
        "scales": canonical.scales,
        "opacities": canonical.opacities,
        "colors": 0.5 + canonical.harmonics[..., 0, :] / math.sqrt(4 * math.pi),
        "delta_means": field.delta_means.movedim(-3, -2),
        "delta_quaternions": field.delta_quaternions.movedim(-3, -2),
        "delta_scales": field.delta_scales.movedim(-3, -2),
    }


def rigid(*shape: int, seed: int = 0, size: float = 0.2) -> Tensor:
    """Rigid transforms near the identity, float64."""
    generator = torch.Generator().manual_seed(seed)
    turns = torch.randn(*shape, 4, generator=generator, dtype=torch.float64) * size
    turns[..., 0] += 1
    transform = torch.eye(4, dtype=torch.float64).expand(*shape, 4, 4).clone()
    transform[..., :3, :3] = quaternion_to_matrix(turns)
    transform[..., :3, 3] = torch.randn(*shape, 3, generator=generator, dtype=torch.float64) * size
    return transform


def path(batch: int, frames: int, height: int, width: int, *, seed: int = 0) -> Cameras:
    """A shaky path; the first camera is not the identity."""
    intrinsics = torch.tensor(
        [[0.9 * width, 0.0, 0.47 * width], [0.0, 0.95 * width, 0.52 * height], [0.0, 0.0, 1.0]],
        dtype=torch.float64,
    )
    return Cameras(
        rigid(batch, frames, seed=seed, size=0.05), intrinsics.expand(batch, frames, 3, 3), height, width
    )


def latents(batch: int, frames: int, channels: int, height: int, width: int, *, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, frames, channels, height, width, generator=generator, dtype=torch.float64)


def token_grids(
    count: int, *, frames: int = 2, height: int = 3, width: int = 5, dim: int = 7
) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(2, frames, height, width, dim, generator=generator, dtype=torch.float64)
        for _ in range(count)
    ]


def check_values_and_slope(results, by_loop, leaves: list[torch.Tensor]) -> None:
    """Outputs of one sample are those of the loop, and their gradient is the loop's slope."""
    check_slope(results, by_loop, leaves, atol=1e-11, rel=1e-7)


def peak_bytes(call: Callable[[], Any]) -> int:
    """Most bytes that torch's allocator holds for what a call makes, kernels' own buffers included.

    A count of allocations, so it is the same in every run, whatever else the machine does.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = call()
    del result  # it counts as held until here
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    changes = [(event["ts"], event["args"]["Bytes"]) for event in events if event["name"] == "[memory]"]
    return max(accumulate(change for _, change in sorted(changes)))
