"""What a measurement ran on, for reports."""

import os
import platform
from pathlib import Path

import torch

__all__ = ["machine_facts"]


def machine_facts(device: torch.device | str = "cpu") -> dict[str, str | int]:
    """Hardware and versions that times depend on.

    Args:
        device: Where the work is done.

    Returns:
        JSON values; nothing that names a person or a network.
    """
    device = torch.device(device)
    facts: dict[str, str | int] = {"processor": _processor(), "threads": torch.get_num_threads()}
    facts["cores"] = os.cpu_count() or 0
    if device.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(device)
    return {**facts, "python": platform.python_version(), "torch": str(torch.__version__)}


def _processor() -> str:
    """Its name on Linux, elsewhere what Python says."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
