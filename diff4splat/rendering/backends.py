"""Which rasterizer draws what, and whether it can."""

from typing import Literal

import torch

from diff4splat.rendering import gsplat_backend

__all__ = ["Backend", "choose_backend", "require_backend"]

Backend = Literal["auto", "cpu", "gsplat", "reference"]


def choose_backend(backend: Backend, device: torch.device) -> Literal["cpu", "gsplat", "reference"]:
    """The rasterizer that a choice of the user stands for.

    Args:
        backend: As for `render`.
        device: Where the tensors are.

    Returns:
        "gsplat" on CUDA devices, "cpu" on the CPU and "reference" elsewhere, for "auto"; else `backend`.

    Raises:
        ValueError: If `backend` cannot draw tensors on `device`.
    """
    if backend == "auto":
        return {"cuda": "gsplat", "cpu": "cpu"}.get(device.type, "reference")  # type: ignore[return-value]
    if backend != "reference" and device.type != {"cpu": "cpu", "gsplat": "cuda"}[backend]:
        raise ValueError(
            f"backend={backend!r} cannot render tensors on {device}; use backend='auto' or move them."
        )
    return backend


def require_backend(device: torch.device | str) -> None:
    """Make sure, before long work, that its results can be rendered on a device.

    On CUDA devices this loads gsplat, and builds it where that was not done yet, which takes minutes once per
    machine. Elsewhere there is nothing to do: the rest always works.

    Args:
        device: Where rendering will happen.

    Raises:
        RuntimeError: If gsplat is missing or cannot be built; the message says how to cure it.

    Examples:
        >>> require_backend("cpu")
    """
    if choose_backend("auto", torch.device(device)) == "gsplat":
        gsplat_backend.require()
