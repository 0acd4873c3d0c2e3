"""The points of a COLMAP model, and where they are seen: anchors of scale, and a first cloud."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from diff4splat.cameras.files.colmap import Bytes, find_model, read_images
from diff4splat.data.readers.text import read_text

__all__ = ["SparsePoints", "load_sparse_points"]

_SEEN = np.dtype([("pixel", "<f8", 2), ("id", "<i8")])


@dataclass(frozen=True, eq=False)
class SparsePoints:
    """Points that were triangulated, and each place where an image sees one.

    Args:
        positions: In the world of the cameras, in its unit.
        colors: sRGB.
        errors_px: Mean distance between where a point is seen and where it projects, pixels.
        frames: Number of the camera of each observation, in the order of `load_cameras`.
        points: Number of the point that it sees.
        pixels: Where, x before y, in the full image, pixel centres at +0.5.
    """

    positions: Float[Tensor, "point xyz=3"]
    colors: UInt8[Tensor, "point rgb=3"]
    errors_px: Float[Tensor, " point"]
    frames: Int64[Tensor, " observation"]
    points: Int64[Tensor, " observation"]
    pixels: Float[Tensor, "observation xy=2"]


def load_sparse_points(path: str | Path) -> SparsePoints:
    """Points of a COLMAP model, text or binary.

    Args:
        path: As for `load_cameras`: the folder of the model, of a project that has one, or a file of it.

    Returns:
        Points in the order of their ids; observations image by image, in the order of `load_cameras`.

    Raises:
        ValueError: If a file is damaged, or an image sees a point that is not there; names the file.
        FileNotFoundError: If there is no model, or it has no points3D.
    """
    images_file = find_model(Path(path))
    file = images_file.with_name(f"points3D{images_file.suffix}")
    if not file.is_file():
        raise FileNotFoundError(f"no such file: {file}")
    try:
        ids, values, colors = _binary(file) if file.suffix == ".bin" else _text(file)
        order = np.argsort(ids, kind="stable")
        ids, values, colors = ids[order], values[order], colors[order]
        if (np.diff(ids) == 0).any():
            raise ValueError(
                f"{file.name} must hold each point once, got {ids[:-1][np.diff(ids) == 0][0]} twice."
            )
        if not np.isfinite(values).all():
            raise ValueError(f"{file.name} must hold finite numbers, got NaN or infinity.")
        seen = [_seen(image.name, image.points) for image in read_images(images_file)]
        frames = np.repeat(np.arange(len(seen)), [len(rows) for rows in seen])
        rows = np.concatenate(seen) if seen else np.zeros(0, _SEEN)
        points = np.searchsorted(ids, rows["id"])
        known = points < len(ids)
        known[known] = ids[points[known]] == rows["id"][known]
        if not known.all():
            lost = rows["id"][~known][0]
            raise ValueError(
                f"{images_file.name} must see points of {file.name}, got {lost}, which it lacks."
            )
    except FileNotFoundError:
        raise
    except (ValueError, OSError, OverflowError) as error:  # such as a folder in its place, or an id of 2^64
        raise ValueError(f"{file.parent}: {error}") from error
    return SparsePoints(
        torch.from_numpy(values[:, :3]).float(),
        torch.from_numpy(colors),
        torch.from_numpy(values[:, 3]).float(),
        torch.from_numpy(frames),
        torch.from_numpy(points),
        torch.from_numpy(rows["pixel"].copy()).float(),
    )


def _binary(file: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids, places with errors, and colours."""
    content = Bytes(file)
    ids: list[int] = []
    values: list[tuple[float, ...]] = []
    colors: list[tuple[int, ...]] = []
    for _ in range(content.take("<Q")[0]):
        key, x, y, z, red, green, blue, error, length = content.take("<Q3d3BdQ")
        ids.append(key)
        values.append((x, y, z, error))
        colors.append((red, green, blue))
        content.skip(8 * length)  # where it is seen, which the images say too
    return _arrays(ids, values, colors)


def _text(file: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ids: list[int] = []
    values: list[tuple[float, ...]] = []
    colors: list[tuple[int, ...]] = []
    for index, line in enumerate(read_text(file).splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            ids.append(int(words[0]))
            values.append((*map(float, words[1:4]), float(words[7])))
            colors.append(tuple(int(word) for word in words[4:7]))
            if not all(0 <= level <= 255 for level in colors[-1]):
                raise ValueError
        except (ValueError, IndexError):
            raise ValueError(
                f"{file.name} line {index} must be an id, a place, a colour and an error, got {line[:60]!r}."
            ) from None
    return _arrays(ids, values, colors)


def _arrays(
    ids: list[int], values: list[tuple[float, ...]], colors: list[tuple[int, ...]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.array(ids, np.int64),
        np.array(values, np.float64).reshape(-1, 4),
        np.array(colors, np.uint8).reshape(-1, 3),
    )


def _seen(name: str, points: bytes | str) -> np.ndarray:
    """Where an image sees points that were triangulated; the others have the id -1."""
    if isinstance(points, bytes):
        rows = np.frombuffer(points, _SEEN)
    else:
        words = points.split()
        rows = np.zeros(len(words) // 3, _SEEN)
        try:
            rows["pixel"] = np.array([words[0::3], words[1::3]], np.float64).T
            rows["id"] = np.array(words[2::3], np.int64)
        except ValueError:
            raise ValueError(f"points of image {name} must be triples of x, y and an id.") from None
    return rows[rows["id"] >= 0]
