"""4D Gaussian building blocks, and the Diff4Splat pipeline composed of nothing but them.

Importing this package loads no part of it: each public name below imports its folder at first use (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diff4splat.cameras import Cameras
    from diff4splat.gaussians import DeformableGaussianField, Gaussians
    from diff4splat.models import LDRM
    from diff4splat.pipelines import Diff4SplatPipeline
    from diff4splat.rendering.render import render

__all__ = [
    "LDRM",
    "Cameras",
    "DeformableGaussianField",
    "Diff4SplatPipeline",
    "Gaussians",
    "render",
]
__version__ = "0.1.0"

_HOMES = {
    "Cameras": "diff4splat.cameras",
    "DeformableGaussianField": "diff4splat.gaussians",
    "Diff4SplatPipeline": "diff4splat.pipelines",
    "Gaussians": "diff4splat.gaussians",
    "LDRM": "diff4splat.models",
    "render": "diff4splat.rendering.render",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
