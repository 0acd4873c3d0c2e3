"""ViPE: cameras, metric depth and masks of a video, each in an archive of its own.

Poses take the camera to the world with OpenCV axes; lenses are fx fy cx cy in pixels; depth is a zip of EXR
pictures of half floats, masks a zip of PNG pictures of numbers of instances. Rows say which frame they are.
"""

import io
import re
import zipfile
from pathlib import Path

import numpy as np
import torch

from diff4splat.cameras.files.archives import DAMAGED
from diff4splat.data.annotations.annotation import Annotation
from diff4splat.data.annotations.arrays import (
    cameras_of,
    checked,
    known_depth,
    lenses_of,
    npz_files,
    npz_keys,
    one_size,
    read_exr,
    read_npz,
)
from diff4splat.data.annotations.format import AnnotationFormat, AnnotationOptions

__all__ = ["ViPE"]

_NAME = re.compile(r"([0-9]+)\.(exr|png)")


class ViPE(AnnotationFormat):
    """`pose/<video>.npz` with `intrinsics/<video>.npz`, `depth/<video>.zip` and `mask/<video>.zip` beside it.

    The path is that of the poses, or the folder above where there is one video only; the others are found
    from it, and masks may be missing. Frames that one of them lacks are left out of all. Lenses other than
    pinholes (`intrinsics/<video>_camera.txt`) are refused. Masks show things of kinds that can move, such
    as persons, whether or not they do: all of them count as moving.
    """

    name = "vipe"
    title = "ViPE"
    licence = "Apache-2.0"
    files = "`pose/<video>.npz` with `intrinsics/`, `depth/` and `mask/` beside `pose/`"
    places = ("pose/{name}.npz", "{name}/pose/{name}.npz")

    def fits(self, path: Path) -> bool:
        """An archive of `data` and `inds` in a folder called pose, or a folder with that one."""
        if path.is_dir():
            return any((path / "pose").glob("*.npz"))
        return path.absolute().parent.name == "pose" and npz_keys(path) >= {"data", "inds"}

    def load(self, path: Path, options: AnnotationOptions) -> Annotation:
        """Cameras and depth in metres, and masks, of the frames that have all of them."""
        if path.is_dir():
            found = npz_files(path / "pose") if (path / "pose").is_dir() else []
            if len(found) != 1:
                raise ValueError(
                    f"{path} must hold the pose of one video, got {len(found)}: name one of them."
                )
            path = found[0]
        top, name = path.absolute().parent.parent, path.stem
        poses = _rows(path, (4, 4))
        lens_file, depth_file = top / "intrinsics" / f"{name}.npz", top / "depth" / f"{name}.zip"
        mask_file = top / "mask" / f"{name}.zip"
        if not (lens_file.is_file() and depth_file.is_file()):
            missing = lens_file if depth_file.is_file() else depth_file
            raise FileNotFoundError(f"{path} needs {missing}, which says the size of frames or their lens.")
        _check_pinhole(top / "intrinsics" / f"{name}_camera.txt")
        lenses = _rows(lens_file, (4,))
        depths = _pictures(depth_file)
        masks = _pictures(mask_file) if mask_file.is_file() else None
        numbers = sorted(
            poses.keys() & lenses.keys() & depths.keys() & (depths if masks is None else masks).keys()
        )
        if not numbers:
            raise ValueError(f"{path} must share frames with {lens_file.parent.parent}, got none of them.")
        shown = [f"{depth_file}: frame {number}" for number in numbers]
        values = one_size(
            shown, [read_exr(depths[number], at) for number, at in zip(numbers, shown, strict=True)]
        )
        height, width = values.shape[1:]
        depth, mask = known_depth(values)
        moving = None
        if masks is not None:
            instances = [_instances(mask_file, number, masks[number], (height, width)) for number in numbers]
            moving = torch.from_numpy(np.stack(instances))
        return Annotation(
            self.name,
            len(numbers),
            height,
            width,
            numbers=tuple(numbers),
            depth=depth,
            depth_mask=mask,
            unit="metre",
            cameras=cameras_of(
                path,
                np.stack([poses[number] for number in numbers]),
                lenses_of(np.stack([lenses[number] for number in numbers])),
                height,
                width,
            ),
            moving=moving,
            facts={
                "phrases": _phrases(top / "mask" / f"{name}.txt"),
                "frames_left_out": len(poses.keys() | depths.keys()) - len(numbers),
            },
        )


def _rows(file: Path, shape: tuple[int, ...]) -> dict[int, np.ndarray]:
    """Rows by the frame that they are of."""
    found = read_npz(file, ("data", "inds"))
    indices = checked(file, "inds", found["inds"], (None,))
    data = checked(file, "data", found["data"], (len(indices), *shape))
    if indices.dtype.kind not in "iu" or len(set(indices.tolist())) < len(indices) or indices.min() < 0:
        raise ValueError(f"{file} must hold inds that are numbers of frames, each once, got others.")
    return dict(zip(indices.tolist(), data.astype(np.float64), strict=True))


def _pictures(file: Path) -> dict[int, bytes]:
    """Content of a zip by the number in each name."""
    found: dict[int, bytes] = {}
    try:
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                match = _NAME.fullmatch(name)
                if match:
                    found[int(match[1])] = archive.read(name)
    except (OSError, *DAMAGED) as error:
        raise ValueError(f"{file} is not a readable zip: {error}") from error
    if not found:
        raise ValueError(f"{file} must hold pictures such as 00000.exr or 00000.png, got none.")
    return found


def _instances(file: Path, number: int, content: bytes, size: tuple[int, int]) -> np.ndarray:
    """Whether each pixel is of an instance."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as picture:
            pixels = np.array(picture)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{file}: frame {number} is not a readable picture: {error}") from error
    if pixels.shape != size:
        raise ValueError(
            f"{file}: frame {number} must have the size of depth, {list(size)}, got {list(pixels.shape)}."
        )
    return pixels != 0


def _check_pinhole(file: Path) -> None:
    kinds = (
        {line.partition(":")[2].strip() for line in file.read_text().splitlines() if line.strip()}
        if (file.is_file())
        else set()
    )
    others = sorted(kinds - {"PINHOLE"})
    if others:
        raise ValueError(f"{file} must name pinhole lenses, got {', '.join(others)}.")


def _phrases(file: Path) -> dict[str, str]:
    """What each instance is called."""
    if not file.is_file():
        return {}
    pairs = (line.partition(":") for line in file.read_text(errors="replace").splitlines())
    return {number.strip(): phrase.strip() for number, separator, phrase in pairs if separator}
