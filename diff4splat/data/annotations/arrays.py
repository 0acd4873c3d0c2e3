"""Arrays in the files of annotators: read without running code, checked, with the file named where wrong."""

import pickle
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.cameras.files.archives import open_npy, open_npz
from diff4splat.cameras.files.matrices import check_rigid
from diff4splat.files import natural_order

__all__ = [
    "cameras_of",
    "centred_lenses",
    "checked",
    "known_depth",
    "lenses_of",
    "npz_files",
    "npz_keys",
    "one_size",
    "read_exr",
    "read_npy",
    "read_npz",
    "read_tensors",
]


def npz_keys(file: Path) -> frozenset[str]:
    """Names of the arrays of an npz archive, none of which is read.

    Args:
        file: The archive.

    Returns:
        Names; none where the file does not end in .npz.

    Raises:
        ValueError: If it is no archive; names it.
    """
    if file.suffix.lower() != ".npz" or not file.is_file():
        return frozenset()
    try:
        with zipfile.ZipFile(file) as archive:
            return frozenset(name.removesuffix(".npy") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"{file} is not a readable npz: {error}") from error


def npz_files(path: Path) -> list[Path]:
    """An archive, or all archives of a folder by the numbers in their names; hidden files are left out.

    Args:
        path: File or folder.

    Returns:
        Files; none where there is none.
    """
    if path.is_file():
        return [path]
    found = [file for file in path.iterdir() if file.suffix.lower() == ".npz" and file.name[0] != "."]
    return sorted(found, key=lambda file: natural_order(file.name))


def read_npz(file: Path, needed: Sequence[str], others: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Arrays of an archive.

    Args:
        file: The archive.
        needed: Names that it must hold.
        others: Names that it may hold.

    Returns:
        Arrays by name.

    Raises:
        ValueError: If it is damaged, or lacks one that is needed; names the file.
        FileNotFoundError: If there is none.
    """
    if not file.is_file():
        raise FileNotFoundError(f"no such file: {file}")
    try:
        found = open_npz(file, {*needed, *others})
    except ValueError as error:
        raise ValueError(f"{file} is not a readable npz: {error}") from error
    lacking = [name for name in needed if name not in found]
    if lacking:
        keys = ", ".join(sorted(npz_keys(file))) or "nothing"
        raise ValueError(f"{file} must hold {', '.join(needed)}, lacks {lacking[0]}, got {keys}.")
    return found


def read_npy(file: Path) -> np.ndarray:
    """The array of an npy file.

    Args:
        file: The file.

    Returns:
        Its array.

    Raises:
        ValueError: If it is damaged; names the file.
        FileNotFoundError: If there is none.
    """
    if not file.is_file():
        raise FileNotFoundError(f"no such file: {file}")
    try:
        return open_npy(file)
    except ValueError as error:
        raise ValueError(f"{file} is not a readable npy: {error}") from error


def read_tensors(file: Path) -> Any:
    """What `torch.save` wrote, of tensors, lists and dicts of them, and nothing that runs code.

    Args:
        file: The file.

    Returns:
        Its content, on the CPU.

    Raises:
        ValueError: If it is damaged or holds other things; names the file.
        FileNotFoundError: If there is none.
    """
    if not file.is_file():
        raise FileNotFoundError(f"no such file: {file}")
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{file} must hold tensors and nothing else, or is damaged: not loaded.") from error
    except (OSError, EOFError, RuntimeError, TypeError, AttributeError, ValueError, KeyError) as error:
        raise ValueError(f"{file} is not a readable file of tensors: {error}") from error


def read_exr(file: Path | bytes, name: str) -> np.ndarray:
    """The one channel of a picture of depth.

    Args:
        file: The picture, or its bytes.
        name: How messages call it.

    Returns:
        Array `[height, width]`, float16 or float32.

    Raises:
        ValueError: If it is damaged, or has not one channel; names it.
        ModuleNotFoundError: If OpenEXR is missing; the message says how to install it.
    """
    try:
        import OpenEXR
    except ImportError as error:
        raise ModuleNotFoundError(
            'EXR depth needs OpenEXR: pip install "diff4splat[data]", or pip install OpenEXR.', name="OpenEXR"
        ) from error
    if isinstance(file, bytes):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "depth.exr"
            place.write_bytes(file)
            return read_exr(place, name)
    try:
        with OpenEXR.File(str(file.absolute()), separate_channels=True) as content:
            channels = {key: np.array(channel.pixels) for key, channel in content.channels().items()}
    except (RuntimeError, ValueError, OSError, TypeError, KeyError) as error:
        raise ValueError(f"{name} is not a readable EXR picture: {error}") from error
    if len(channels) != 1:
        raise ValueError(
            f"{name} must hold one channel of depth, got {', '.join(sorted(channels)) or 'none'}."
        )
    return channels.popitem()[1]


def checked(file: Path, name: str, values: Any, shape: Sequence[int | None]) -> np.ndarray:
    """Numbers of a wanted shape.

    Args:
        file: Where they are from, for the message.
        name: How the file calls them.
        values: An array.
        shape: Sizes wanted; None for any above 0.

    Returns:
        The array, of whatever type of numbers it is.

    Raises:
        ValueError: If it holds other things than real numbers, or has another shape.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{file} must hold numbers as {name}, got values of type {array.dtype}.")
    fits = array.ndim == len(shape) and all(
        found > 0 and (wanted is None or found == wanted)
        for found, wanted in zip(array.shape, shape, strict=True)
    )
    if not fits:
        words = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{file} must hold {name} of shape [{words}], got {list(array.shape)}.")
    return array


def one_size(files: Sequence[Path | str], maps: Sequence[np.ndarray]) -> np.ndarray:
    """Maps of one size, stacked.

    Args:
        files: Where each is from, for the message.
        maps: Arrays `[height, width]`.

    Returns:
        Array `[frame, height, width]`.

    Raises:
        ValueError: If one has another size than the first; names it.
    """
    for file, values in zip(files, maps, strict=True):
        if values.shape != maps[0].shape:
            raise ValueError(
                f"{file} must have the size of the first frame, {list(maps[0].shape)}, got "
                f"{list(values.shape)}."
            )
    return np.stack(maps)


def known_depth(
    values: np.ndarray, *, above: float = 0.0, below: float = float("inf"), mask: np.ndarray | None = None
) -> tuple[Tensor, Tensor]:
    """Depth in float32, 0 where it is not known, and where it is known.

    Args:
        values: Array `[frame, height, width]` of any floating type.
        above: What known values are larger than.
        below: What known values are smaller than.
        mask: Where they may be known; everywhere when omitted.

    Returns:
        Values and mask.
    """
    depth = values.astype(np.float32)
    known = (depth > above) & (depth < below)  # neither NaN nor infinite
    if mask is not None:
        known &= mask
    return torch.from_numpy(np.where(known, depth, np.float32(0))), torch.from_numpy(known)


def lenses_of(rows: np.ndarray) -> np.ndarray:
    """Pinhole matrices from rows of fx, fy, cx, cy.

    Args:
        rows: Array `[frame, 4]`.

    Returns:
        Array `[frame, 3, 3]`, in the unit of the rows.
    """
    lenses = np.tile(np.eye(3), (len(rows), 1, 1))
    lenses[:, [0, 1, 0, 1], [0, 1, 2, 2]] = rows
    return lenses


def centred_lenses(focal: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pinhole matrices with square pixels and the centre in the middle of the image.

    Args:
        focal: Array `[frame]`, pixels.
        height: Image rows.
        width: Image columns.

    Returns:
        Array `[frame, 3, 3]`, pixels.
    """
    centre = np.broadcast_to([width / 2, height / 2], (len(focal), 2))
    return lenses_of(np.concatenate((np.stack((focal, focal), 1), centre), 1))


def cameras_of(
    file: Path, camera_to_world: np.ndarray, lenses: np.ndarray, height: int, width: int
) -> Cameras:
    """Cameras of a file, refused where they are none.

    Args:
        file: Where they are from, for the message.
        camera_to_world: Array `[frame, 4, 4]`, OpenCV axes.
        lenses: Array `[frame, 3, 3]`, pixels.
        height: Image rows.
        width: Image columns.

    Returns:
        Cameras in float32.

    Raises:
        ValueError: If a matrix is not finite or not rigid, or a lens is none; names the file.
    """
    try:
        check_rigid("camera-to-world matrices", np.asarray(camera_to_world, np.float64))
        cameras = Cameras(
            torch.from_numpy(np.asarray(camera_to_world, np.float32)),
            torch.from_numpy(np.asarray(lenses, np.float32)),
            height,
            width,
        )
        cameras.validate()
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    return cameras
