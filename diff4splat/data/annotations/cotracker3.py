"""CoTracker3: points followed through a video, in pixels.

It counts pixels from the centre of the first one, which is 0.5 here. Its files are what its users save: an
npz, or `torch.save` of a dict or of the pair that the predictor returns.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diff4splat.data.annotations.annotation import Annotation
from diff4splat.data.annotations.arrays import checked, npz_keys, read_npz, read_tensors
from diff4splat.data.annotations.format import AnnotationFormat, AnnotationOptions

__all__ = ["CoTracker3"]

_NAMES = (("tracks", "visibility"), ("pred_tracks", "pred_visibility"))
_PICKLES = (".pth", ".pt")
_THRESHOLD = 0.9  # of the predictors


class CoTracker3(AnnotationFormat):
    """An npz, `.pth` or `.pt` of `tracks` and `visibility`, or `pred_tracks` and `pred_visibility`.

    Tracks are `[frame, point, 2]`, x before y, with or without a batch axis of 1 in front; visibility is
    `[frame, point]`, truth or a probability, which counts above 0.9 as in the predictors. The size of the
    frames is not in the file: `frame_size` has to be given. Points outside of them are not visible.
    """

    name = "cotracker3"
    title = "CoTracker3"
    licence = "CC-BY-NC-4.0"
    files = "an npz, `.pth` or `.pt` with `tracks` and `visibility`"
    places = ("{name}.npz", "{name}.pth", "{name}.pt", "{name}_tracks.npz", "{name}_tracks.pth")
    options = frozenset({"frame_size"})

    def fits(self, path: Path) -> bool:
        """An archive with both names, or a file of tensors."""
        return (path.is_file() and path.suffix.lower() in _PICKLES) or any(
            npz_keys(path) >= set(pair) for pair in _NAMES
        )

    def load(self, path: Path, options: AnnotationOptions) -> Annotation:
        """Pixels and visibility of every point in every frame."""
        if options.frame_size is None:
            raise ValueError(
                f"{path} does not say the size of frames: frame_size, their rows and columns, must be given."
            )
        height, width = options.frame_size
        tracks, visibility = _pair(path)
        if tracks.ndim == 4 and len(tracks) == 1:
            tracks = tracks[0]
        if visibility.ndim > 2 and len(visibility) == 1:
            visibility = visibility[0]
        if visibility.ndim == 3 and visibility.shape[-1] == 1:
            visibility = visibility[..., 0]
        tracks = checked(path, "tracks", tracks, (None, None, 2)).astype(np.float32)
        visibility = checked(path, "visibility", visibility, tracks.shape[:2])
        seen = visibility if visibility.dtype == bool else visibility > _THRESHOLD
        pixels = tracks + np.float32(0.5)
        inside = ((pixels >= 0) & (pixels < np.array([width, height]))).all(-1)
        visible = seen & inside
        return Annotation(
            self.name,
            len(tracks),
            height,
            width,
            track_pixels=torch.from_numpy(np.where(np.isfinite(pixels), pixels, 0)).transpose(0, 1),
            visible=torch.from_numpy(visible).transpose(0, 1),
            facts={"visible_outside_of_frames": int((seen & ~inside).sum())},
        )


def _pair(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Tracks and visibility as stored."""
    content: Any
    if path.suffix.lower() in _PICKLES:
        content = read_tensors(path)
    else:
        keys = npz_keys(path)
        names = next((pair for pair in _NAMES if keys >= set(pair)), _NAMES[0])
        content = read_npz(path, names)
    if isinstance(content, Mapping):
        content = next(
            ([content[name] for name in pair] for pair in _NAMES if set(pair) <= content.keys()), ()
        )
    if not isinstance(content, list | tuple) or len(content) != 2:
        raise ValueError(f"{path} must hold tracks and visibility, or just this pair, got others.")
    try:
        tracks, visibility = (
            values.float().numpy()
            if isinstance(values, torch.Tensor) and values.is_floating_point()
            else np.asarray(values)
            for values in content
        )
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path} must hold tracks and visibility as arrays: {error}") from error
    return tracks, visibility
