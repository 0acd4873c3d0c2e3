"""MoGe: depth of single frames, with a mask and a lens that is divided by the size of the image."""

import json
import math
from pathlib import Path

import numpy as np
import torch

from diff4splat.data.annotations.annotation import Annotation
from diff4splat.data.annotations.arrays import known_depth, one_size, read_exr
from diff4splat.data.annotations.format import AnnotationFormat, AnnotationOptions
from diff4splat.data.annotations.image_depth import first_keys, read_image_depths
from diff4splat.data.readers.maps import read_mask
from diff4splat.files import natural_order

__all__ = ["MoGe"]


class MoGe(AnnotationFormat):
    """A folder of an npz for each frame, or one npz of all, or what `moge infer --maps` writes.

    An npz holds `depth`, `intrinsics`, perhaps `mask`; the program writes a folder for each frame with
    `depth.exr`, `mask.png` and `fov.json`, whose angles are rounded to 0.01 degrees. Depth that is not known
    is infinite. Intrinsics are divided by the size of the image: the first row by its width, the second by
    its height.

    MoGe-2 is metric, MoGe-1 has a scale of its own in every frame, and the files do not say which of them
    wrote them: with the option `unit="metre"` depth is in metres, else its unit is not known and differs
    from frame to frame.
    """

    name = "moge"
    title = "MoGe"
    licence = "MIT"
    files = (
        "a folder of `<frame>.npz` or one npz with `depth` and `intrinsics`; a folder of `<frame>/depth.exr`"
    )
    places = ("{name}", "{name}.npz")
    options = frozenset({"unit"})

    def fits(self, path: Path) -> bool:
        """Archives of `depth` and `intrinsics`, or folders with `depth.exr`."""
        return bool(_frame_folders(path)) or first_keys(path) >= {"depth", "intrinsics"}

    def load(self, path: Path, options: AnnotationOptions) -> Annotation:
        """Depth, and a lens for each frame."""
        folders = _frame_folders(path)
        mask: np.ndarray | None
        if folders:
            values, mask, lenses = _read_folders(folders)
        else:
            found = read_image_depths(path, ("intrinsics",), ("mask",), {"intrinsics": (3, 3), "mask": None})
            values, lenses = found.depth, found.others["intrinsics"].astype(np.float64)
            mask = found.others["mask"] != 0 if "mask" in found.others else None
        frames, height, width = values.shape
        if not np.isfinite(lenses).all() or (np.abs(lenses[:, :2]) > 20).any():
            raise ValueError(f"{path} must hold intrinsics divided by the size of the image, got others.")
        depth, known = known_depth(values, mask=mask)
        pixels = np.array([[width], [height], [1.0]]) * lenses
        return Annotation(
            self.name,
            frames,
            height,
            width,
            depth=depth,
            depth_mask=known,
            unit=options.unit or "unknown",
            one_scale=options.unit == "metre",
            intrinsics=torch.from_numpy(pixels).float(),
        )


def _frame_folders(path: Path) -> list[Path]:
    """Folders of frames, in the order of the numbers in their names."""
    if not path.is_dir():
        return []
    if (path / "depth.exr").is_file():
        return [path]
    found = [place for place in path.iterdir() if (place / "depth.exr").is_file()]
    return sorted(found, key=lambda place: natural_order(place.name))


def _read_folders(folders: list[Path]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth, masks and normalised lenses."""
    files = [folder / "depth.exr" for folder in folders]
    values = one_size(files, [read_exr(file, str(file)) for file in files])
    size = (values.shape[1], values.shape[2])
    masks = [
        read_mask(folder / "mask.png", size) if (folder / "mask.png").is_file() else np.ones(size, bool)
        for folder in folders
    ]
    return values, np.stack(masks), np.stack([_lens(folder / "fov.json") for folder in folders])


def _lens(file: Path) -> np.ndarray:
    """A centred lens, divided by the size of the image, from two angles."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        angles = [float(content[name]) for name in ("fov_x", "fov_y")]
    except FileNotFoundError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} must hold fov_x and fov_y in degrees: {error}") from error
    if not all(0 < angle < 180 for angle in angles):
        raise ValueError(f"{file} must hold angles between 0 and 180 degrees, got {angles}.")
    focal = [0.5 / math.tan(math.radians(angle) / 2) for angle in angles]
    return np.array([[focal[0], 0, 0.5], [0, focal[1], 0.5], [0, 0, 1]])
