"""Depth Pro: metric depth of single frames, and the focal length that it estimated."""

from pathlib import Path

import numpy as np
import torch

from diff4splat.data.annotations.annotation import Annotation
from diff4splat.data.annotations.arrays import centred_lenses, known_depth
from diff4splat.data.annotations.format import AnnotationFormat, AnnotationOptions
from diff4splat.data.annotations.image_depth import first_keys, read_image_depths

__all__ = ["DepthPro"]

_FAR = 9.99e3  # it puts what is farther than 10 km there


class DepthPro(AnnotationFormat):
    """A folder of an npz for each frame with `depth`, and perhaps `focallength_px`, or one npz of all.

    Depth is in metres, and not known where it reaches 10 km. The program of its authors writes depth alone;
    `focallength_px` is what its function returns beside it, in pixels of the frame.
    """

    name = "depth-pro"
    title = "Depth Pro"
    licence = "Apple's own, see its repository"
    files = "a folder of `<frame>.npz`, or one npz, with `depth` and perhaps `focallength_px`"
    places = ("{name}", "{name}.npz")

    def fits(self, path: Path) -> bool:
        """Archives of `depth`, and nothing but `focallength_px` beside it."""
        keys = first_keys(path)
        return "depth" in keys and keys <= {"depth", "focallength_px"}

    def load(self, path: Path, options: AnnotationOptions) -> Annotation:
        """Depth in metres, and a lens for each frame where there is one."""
        found = read_image_depths(path, (), ("focallength_px",), {"focallength_px": ()})
        frames, height, width = found.depth.shape
        depth, mask = known_depth(found.depth, below=_FAR)
        lenses = None
        if "focallength_px" in found.others:
            focal = found.others["focallength_px"].astype(np.float64)
            if not (np.isfinite(focal) & (focal > 0)).all():
                raise ValueError(f"{path} must hold focallength_px above 0, got others.")
            lenses = torch.from_numpy(centred_lenses(focal, height, width)).float()
        return Annotation(
            self.name,
            frames,
            height,
            width,
            depth=depth,
            depth_mask=mask,
            unit="metre",
            intrinsics=lenses,
        )
