"""UniDepth: metric depth of single frames with the field of view that it saw them with."""

from pathlib import Path

import numpy as np
import torch

from diff4splat.data.annotations.annotation import Annotation
from diff4splat.data.annotations.arrays import centred_lenses, known_depth
from diff4splat.data.annotations.format import AnnotationFormat, AnnotationOptions
from diff4splat.data.annotations.image_depth import first_keys, read_image_depths

__all__ = ["UniDepth"]


class UniDepth(AnnotationFormat):
    """A folder of an npz for each frame with `depth` and `fov`, as MegaSaM has it, or one npz of all.

    Depth is in metres; `fov` is the horizontal field of view in degrees, of frames whose longer side is 640.
    Frames are in the order of the numbers in their names.
    """

    name = "unidepth"
    title = "UniDepth"
    licence = "CC-BY-NC-4.0"
    files = "a folder of `<frame>.npz`, or one npz, with `depth` and `fov`"
    places = ("{name}", "{name}.npz")

    def fits(self, path: Path) -> bool:
        """Archives of `depth` and `fov`."""
        return first_keys(path) >= {"depth", "fov"}

    def load(self, path: Path, options: AnnotationOptions) -> Annotation:
        """Depth in metres, and a lens for each frame."""
        found = read_image_depths(path, ("fov",), (), {"fov": ()})
        frames, height, width = found.depth.shape
        angles = found.others["fov"].astype(np.float64)
        if not ((angles > 0) & (angles < 180)).all():
            raise ValueError(f"{path} must hold fov between 0 and 180 degrees, got others.")
        depth, mask = known_depth(found.depth)
        focal = width / 2 / np.tan(np.radians(angles) / 2)
        return Annotation(
            self.name,
            frames,
            height,
            width,
            depth=depth,
            depth_mask=mask,
            unit="metre",
            intrinsics=torch.from_numpy(centred_lenses(focal, height, width)).float(),
        )
