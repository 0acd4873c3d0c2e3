"""Photographs that scikit-image carries in its wheel, as texture material."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["load_photographs"]

# Without astronaut, chelsea, coffee and rocket: they are the examples that the model is shown on.
_FILES = (
    "brick.png",
    "camera.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "retina.jpg",
)


@cache
def load_photographs() -> tuple[Float[Tensor, "rgb=3 height width"], ...]:
    """The photographs found in the installed scikit-image, values in [0, 1].

    Returns:
        Eleven or fewer images, none of those in `examples/photos`; shared between calls: do
        not write to them.

    Raises:
        ModuleNotFoundError: If scikit-image is missing or carries none of them.
    """
    package = find_spec("skimage")
    folder = Path(package.origin).parent / "data" if package is not None and package.origin else None
    found = [folder / name for name in _FILES if (folder / name).is_file()] if folder else []
    if not found:
        raise ModuleNotFoundError("photographs=True needs scikit-image: pip install 'diff4splat[data]'")
    from skimage.io import imread

    images = []
    for path in found:
        pixels = torch.from_numpy(imread(path)).float() / 255
        pixels = pixels[..., None].expand(-1, -1, 3) if pixels.ndim == 2 else pixels[..., :3]
        images.append(pixels.movedim(-1, 0).contiguous())
    return tuple(images)
