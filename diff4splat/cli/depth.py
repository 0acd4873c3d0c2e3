"""The depth of a photograph, from a file or a model, as commands are given it."""

from pathlib import Path
from typing import TYPE_CHECKING

from diff4splat.cli.errors import naming

if TYPE_CHECKING:
    import torch

    from diff4splat.pipelines import DepthKind, DepthPrior

__all__ = ["load_depth_prior"]

_FILES = (".npy", ".npz", ".png", ".tif", ".tiff", ".exr", ".pfm")


def load_depth_prior(
    given: str, kind: "DepthKind | None", photo: Path, device: "torch.device"
) -> "DepthPrior":
    """Depth of a photograph by what `--depth` and `--depth-kind` say.

    Args:
        given: A file, or the name of a depth model.
        kind: What the values of a file mean; metric when omitted.
        photo: The photograph, which a model looks at.
        device: Where a model runs.

    Returns:
        The depth.

    Raises:
        ValueError: If a kind is given for a model, or a file or a model is of no use.
        FileNotFoundError: If there is no such file or model.
    """
    path = Path(given)
    if path.is_file() or path.suffix.lower() in _FILES:
        from diff4splat.assets import load_depth
        from diff4splat.pipelines import DepthPrior

        with naming("--depth cannot be read", path):
            values = load_depth(path, kind="disparity" if kind == "disparity" else "depth")
            return DepthPrior(values, kind or "metric")
    if kind is not None:
        raise ValueError(f"--depth-kind is for files, got the model {given}, which says it itself.")
    from diff4splat.backbones import monocular_depth
    from diff4splat.pipelines import estimate_depth

    return estimate_depth(photo, monocular_depth(given, device=device))
