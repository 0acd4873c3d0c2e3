"""MegaSaM: cameras and depth of a moving scene, near to metres by a factor that it does not write down.

Poses of `poses.npy` take the world to the camera (tx ty tz qx qy qz qw), those of archives the camera to the
world. Frames are resized to about the area of 384 x 512 and cut at the bottom and right to multiples of 8;
the principal point stays that of the frame before it was cut, which is how much was cut. Motion is a weight
of residuals at an eighth of the size: high where nothing moves.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diff4splat.cameras.files.matrices import quaternions_to_matrices, rigid_inverses
from diff4splat.data.annotations.annotation import Annotation
from diff4splat.data.annotations.arrays import (
    cameras_of,
    checked,
    known_depth,
    lenses_of,
    npz_keys,
    read_npy,
    read_npz,
)
from diff4splat.data.annotations.format import AnnotationFormat, AnnotationOptions

__all__ = ["MegaSaM"]

_NEEDED = ("disps.npy", "intrinsics.npy", "poses.npy")
_ARCHIVE = ("depths", "intrinsic", "cam_c2w")
_LIMIT = 1000  # frames that *_droid.npz holds at most
_PRIOR = (5e-3, 9.9e3)  # what is nearer than 0.01 is set to 0, what is farther than 1e4 put there
_FINAL = (1.005e-3, 99.9)  # clipped to 1e-3 and 1e2, in float16
_MULTIPLE = 8  # of the sides of frames; one value of motion is for so many pixels


class MegaSaM(AnnotationFormat):
    """`reconstructions/<scene>/`, `outputs/<scene>_droid.npz` or `outputs_cvd/<scene>_sgd_cvd_hr.npz`.

    | file | depth | motion |
    |---|---|---|
    | `<scene>_sgd_cvd_hr.npz` | the final one, not known where clipped to 0.001 or 100 | none |
    | `reconstructions/<scene>/` | the aligned prior of a mono model, not optimised | `motion_prob.npy` |
    | `<scene>_droid.npz` | the same prior; the first 1000 frames only | none |

    Depth and places of cameras are metric times a factor: the 98th percentile, over all frames, of the metric
    disparity that was fed in, halved. MegaSaM does not save it. With the option `depth_factor` both are
    divided by it and the unit is the metre; without, the unit is not known, though near to metres.

    Motion: a pixel is taken to move where its weight is below the least of its frame by 40 % of the range,
    and nowhere in a frame whose threshold comes within 0.1 of its largest weight.
    """

    name = "megasam"
    title = "MegaSaM"
    licence = "Apache-2.0"
    files = (
        "`outputs_cvd/<scene>_sgd_cvd_hr.npz`, `outputs/<scene>_droid.npz`, the folder "
        "`reconstructions/<scene>`"
    )
    places = (
        "outputs_cvd/{name}_sgd_cvd_hr.npz",
        "{name}_sgd_cvd_hr.npz",
        "outputs/{name}_droid.npz",
        "{name}_droid.npz",
        "reconstructions/{name}",
        "{name}",
    )
    options = frozenset({"depth_factor"})

    def fits(self, path: Path) -> bool:
        """A folder with `poses.npy` and its companions, or an archive with `cam_c2w`."""
        if path.is_dir():
            return all((path / name).is_file() for name in _NEEDED)
        return npz_keys(path) >= set(_ARCHIVE)

    def load(self, path: Path, options: AnnotationOptions) -> Annotation:
        """Depth and cameras in one unit; motion where the folder has it."""
        return self._folder(path, options) if path.is_dir() else self._archive(path, options)

    def _folder(self, path: Path, options: AnnotationOptions) -> Annotation:
        disparity = checked(path / "disps.npy", "disps", read_npy(path / "disps.npy"), (None, None, None))
        frames, height, width = disparity.shape
        rows = checked(path / "poses.npy", "poses", read_npy(path / "poses.npy"), (frames, 7))
        lenses = checked(path / "intrinsics.npy", "intrinsics", read_npy(path / "intrinsics.npy"), (None, 4))
        with np.errstate(divide="ignore", invalid="ignore"):
            values = 1 / disparity.astype(np.float64)
        moving = confidence = None
        file = path / "motion_prob.npy"
        if file.is_file():
            weights = checked(
                file, "motion_prob", read_npy(file), (frames, height // _MULTIPLE, width // _MULTIPLE)
            )
            moving, confidence = _motion(file, weights, height, width)
        place = path / "poses.npy"
        to_world = _camera_to_world(place, rows)
        annotation = self._annotation(
            place, values, _PRIOR, to_world, _one_lens(lenses, frames), options, "the prior"
        )
        return replace(annotation, moving=moving, static_confidence=confidence)

    def _archive(self, path: Path, options: AnnotationOptions) -> Annotation:
        found = read_npz(path, _ARCHIVE)
        values = checked(path, "depths", found["depths"], (None, None, None))
        to_world = checked(path, "cam_c2w", found["cam_c2w"], (len(values), 4, 4))
        lens = checked(path, "intrinsic", found["intrinsic"], (3, 3))
        is_final = values.dtype == np.float16  # the prior is written in float32
        return self._annotation(
            path,
            values,
            _FINAL if is_final else _PRIOR,
            to_world,
            np.tile(lens, (len(values), 1, 1)),
            options,
            "the final one" if is_final else "the prior",
        )

    def _annotation(
        self,
        file: Path,
        values: np.ndarray,
        limits: tuple[float, float],
        camera_to_world: np.ndarray,
        lenses: np.ndarray,
        options: AnnotationOptions,
        which: str,
    ) -> Annotation:
        frames, height, width = values.shape
        depth, mask = known_depth(values, above=limits[0], below=limits[1])
        cameras = cameras_of(file, camera_to_world, lenses, height, width)
        factor = options.depth_factor
        if factor is not None:
            depth, cameras = depth / factor, cameras.scale(1 / factor)
        facts: dict[str, Any] = {"depth": which, "depth_factor": factor}
        if frames == _LIMIT and file.name.endswith("_droid.npz"):
            facts["perhaps_cut"] = f"the archive ends after {_LIMIT} frames, however many there were"
        return Annotation(
            self.name,
            frames,
            height,
            width,
            depth=depth,
            depth_mask=mask,
            unit="unknown" if factor is None else "metre",
            cameras=cameras,
            covers=_covered(file, lenses, height, width),
            facts=facts,
        )


def _camera_to_world(file: Path, rows: np.ndarray) -> np.ndarray:
    """Inverses of rows tx ty tz qx qy qz qw."""
    rows = rows.astype(np.float64)
    if not np.isfinite(rows).all():
        frame = int((~np.isfinite(rows)).any(1).argmax())
        raise ValueError(f"{file} must hold finite poses, got others in frame {frame}.")
    try:
        return rigid_inverses(quaternions_to_matrices(rows[:, [6, 3, 4, 5]], rows[:, :3]))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _one_lens(rows: np.ndarray, frames: int) -> np.ndarray:
    """The first lens for all frames, as its authors take it: rows after it are of key frames, if of any."""
    return lenses_of(np.tile(rows[:1], (frames, 1)))


def _covered(file: Path, lenses: np.ndarray, height: int, width: int) -> tuple[float, float]:
    """Part of rows and columns that was kept, from the principal point in the middle of what there was."""
    parts = []
    for side, centre, name in ((height, lenses[0, 1, 2], "height"), (width, lenses[0, 0, 2], "width")):
        full = round(float(2 * centre)) if np.isfinite(centre) else 0
        if not side <= full < side + _MULTIPLE:
            raise ValueError(
                f"{file} must have its principal point in the middle of frames of which less than "
                f"{_MULTIPLE} pixels were cut, got {centre:.6g} for a {name} of {side}."
            )
        parts.append(side / full)
    return parts[0], parts[1]


def _motion(file: Path, weights: np.ndarray, height: int, width: int) -> tuple[Tensor, Tensor]:
    """What moves, and how sure it is that a pixel does not, at full size."""
    weights = weights.astype(np.float32)
    if not (np.isfinite(weights).all() and weights.min() >= 0 and weights.max() <= 1):
        raise ValueError(f"{file} must hold weights from 0 to 1, got others.")
    least, largest = weights.min((1, 2), keepdims=True), weights.max((1, 2), keepdims=True)
    threshold = least + 0.4 * (largest - least)
    moving = (weights < threshold) & (threshold <= largest - 0.1)
    full = (values.repeat(_MULTIPLE, 1).repeat(_MULTIPLE, 2) for values in (moving, weights))
    mask, confidence = (torch.from_numpy(values) for values in full)
    return mask, confidence
