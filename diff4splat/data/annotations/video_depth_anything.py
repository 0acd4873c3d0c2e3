"""Video-Depth-Anything: relative disparity of a video, one scale and shift for all, or metric depth."""

import re
from pathlib import Path

import numpy as np
import torch

from diff4splat.data.annotations.annotation import Annotation
from diff4splat.data.annotations.arrays import checked, known_depth, npz_keys, one_size, read_exr, read_npz
from diff4splat.data.annotations.format import AnnotationFormat, AnnotationOptions
from diff4splat.data.readers.layout import numbered_frames

__all__ = ["VideoDepthAnything"]

_FRAME = re.compile(r"frame_([0-9]+)\.exr")


class VideoDepthAnything(AnnotationFormat):
    """`<video>_depths.npz` (`--save_npz`) or the folder `<video>_depths_exr` (`--save_exr`).

    The files do not say which model wrote them. The relative one, which is taken for granted, gives
    disparity: larger is nearer, 0 is far, without unit, affine to true disparity. The metric one
    (`--metric`, option `unit="metre"`) gives z-depth in metres. Frames are those of the video unless
    `--target_fps` or `--max_len` left some out; their longer side is at most 1280.
    """

    name = "video-depth-anything"
    title = "Video-Depth-Anything"
    licence = "Small: Apache-2.0; Large: CC-BY-NC-4.0"
    files = "`<video>_depths.npz`, or the folder `<video>_depths_exr`"
    places = ("{name}_depths.npz", "{name}_depths_exr")
    options = frozenset({"unit"})

    def fits(self, path: Path) -> bool:
        """An archive of `depths` alone, or a folder of `frame_00000.exr`."""
        if path.is_dir():
            return any(_FRAME.fullmatch(file.name) for file in path.iterdir())
        return npz_keys(path) == {"depths"}

    def load(self, path: Path, options: AnnotationOptions) -> Annotation:
        """Disparity or depth of every frame."""
        values = _exr_depths(path) if path.is_dir() else read_npz(path, ("depths",))["depths"]
        values = checked(path, "depths", values, (None, None, None))
        frames, height, width = values.shape
        is_metric = options.unit == "metre"
        if is_metric:
            depth, mask = known_depth(values)
        else:
            known = np.isfinite(values)
            depth = torch.from_numpy(np.where(known, values, 0).astype(np.float32))
            mask = torch.from_numpy(known)
        return Annotation(
            self.name,
            frames,
            height,
            width,
            depth=depth,
            depth_mask=mask,
            kind="depth" if is_metric else "disparity",
            unit="metre" if is_metric else "unknown",
        )


def _exr_depths(folder: Path) -> np.ndarray:
    files = numbered_frames(folder, _FRAME.pattern, "frame_00000.exr")
    if min(files) != 0:
        raise ValueError(f"{folder} must hold every frame from 0, begins with {min(files)}.")
    return one_size(list(files.values()), [read_exr(file, str(file)) for file in files.values()])
