"""What the machine has: memory that is free, and how fast it multiplies matrices."""

import time
from pathlib import Path

import torch

__all__ = ["available_memory", "matrix_rate"]


def available_memory(device: torch.device | str) -> int | None:
    """Bytes that a process can still get on a device.

    Args:
        device: A GPU of CUDA, or the CPU.

    Returns:
        Bytes; on the CPU no more than the container may use. None where there is no way to know.
    """
    device = torch.device(device)
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type != "cpu":
        return None
    limits = [limit for limit in (_system_memory(), _container_memory()) if limit is not None]
    return min(limits) if limits else None


def matrix_rate(device: torch.device | str, dtype: torch.dtype) -> float:
    """Operations per second in matrix products, measured in a fraction of a second.

    Args:
        device: Where to measure.
        dtype: Floating-point type.

    Returns:
        Operations per second, a multiplication and an addition counted as two.
    """
    device = torch.device(device)
    size, repeats = (4096, 20) if device.type == "cuda" else (768, 4)
    a = torch.ones(size, size, device=device, dtype=dtype)
    with torch.no_grad():
        a @ a  # what is set up at the first product does not count
        _wait(device)
        start = time.perf_counter()
        for _ in range(repeats):
            a @ a
        _wait(device)
    return repeats * 2 * size**3 / (time.perf_counter() - start)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _system_memory() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def _container_memory() -> int | None:
    """Memory that the control group of this process may still take; None without a limit."""
    home = Path("/sys/fs/cgroup")
    for limit, used, statistics in (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    ):
        try:
            most, now = ((home / name).read_text(encoding="ascii").strip() for name in (limit, used))
            lines = (home / statistics).read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        if most.isdigit() and int(most) < 2**60:
            # Pages of files count as used, but are given back when memory is wanted.
            cached = next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
            return max(int(most) - int(now) + cached, 0)
    return None
