"""A COLMAP project: pictures, and a sparse model with their cameras and points.

Poses take the world to the camera, with OpenCV axes; pixel centres are at +0.5; the unit is unknown.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from diff4splat.cameras.files import load_cameras
from diff4splat.cameras.files.colmap import Bytes, find_model, read_distortions, read_images
from diff4splat.data.readers.distortion import largest_shift
from diff4splat.data.readers.pictures import IMAGE_FOLDERS, check_shape, picture_size
from diff4splat.data.readers.reader import DatasetReader, read_pictures
from diff4splat.data.readers.sparse_points import SparsePoints, load_sparse_points
from diff4splat.data.readers.text import read_text
from diff4splat.data.recordings import Recording, RecordingInfo

__all__ = ["Colmap"]

_POINT_BYTES = 51  # of a point that no image sees
_WITHIN = ("sparse", "colmap", "model", "undistorted")  # folders of a project that hold a model


class Colmap(DatasetReader):
    """A COLMAP project: `images` and a model in `sparse/0`, text or binary; each model is a recording.

    Pictures are looked for under the names of the model in `images`, `images_2`, `images_4`, `images_8`,
    `input` or the folder itself, beside the model or in the project's folder; the first that has some is
    read. They may be the model's images made smaller, in the same proportion. They are sorted by name, with
    numbers by value; images without a picture are left out.

    Lenses are taken as pinholes; `facts["distortion"]` keeps what was dropped, and `facts["distortion_px"]`
    says how far it moves a pixel at most. Fisheyes are refused. `load_sparse_points` reads the points, whose
    `frames` count as `numbers` do.

    Args:
        folder: See `DatasetReader`.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no model.
    """

    key = "colmap"
    title = "a COLMAP project"
    licence = "unknown"
    precedence = 1

    @classmethod
    def find(cls, folder: Path) -> list[str]:
        """Folders with `cameras` and `images`, both .bin or both .txt."""
        models = {
            file.parent.relative_to(folder).as_posix()
            for file in folder.rglob("cameras.*")
            if file.suffix in (".bin", ".txt") and file.with_name(f"images{file.suffix}").is_file()
        }
        return sorted(models)

    def info(self, name: str) -> RecordingInfo:
        """What there is: the images whose pictures are there."""
        model = self._model(name)
        if not model.pictures:
            missing = f"pictures of {model.file}, got none of its {model.num_images} images in {model.root}."
            return RecordingInfo(name, 0, 0, 0, None, frozenset({"cameras"}), "unknown", missing)
        height, width = picture_size(next(iter(model.pictures.values())))
        count = len(model.pictures)
        return RecordingInfo(name, count, height, width, None, frozenset({"cameras"}), "unknown")

    def read(self, name: str, frames: Sequence[int] | None = None) -> Recording:
        """Frames and cameras, pinholes; depth is known at the sparse points only, and not given."""
        wanted = self.pick(name, frames)
        model = self._model(name)
        numbers = [list(model.pictures)[index] for index in wanted]
        files = [model.pictures[number] for number in numbers]
        video = read_pictures(files)
        height, width = video.shape[-2:]
        cameras = load_cameras(model.file.parent, distortion="drop")
        check_shape(files[0].parent, (height, width), (cameras.height, cameras.width))
        cameras = cameras.resize(height, width).select(numbers)
        distortions = read_distortions(model.file)
        bent = [distortions[number] for number in numbers]
        facts: dict[str, Any] = {
            "pictures": model.root.name,
            "images_without_picture": model.num_images - len(model.pictures),
            "sparse_points": _num_points(model.file),
            "distortion": bent[0] if all(each == bent[0] for each in bent) else bent,
        }
        if all(each.keys() <= {"k", "k1", "k2", "p1", "p2", "k3"} for each in bent):
            shifts = [
                largest_shift(each, lens, height, width)
                for each, lens in zip(bent, cameras.intrinsics, strict=True)
            ]
            facts["distortion_px"] = max(shifts)
        return Recording(
            name=name,
            dataset=self.key,
            licence=self.licence,
            video=video,
            cameras=cameras,
            numbers=tuple(numbers),
            facts=facts,
        )

    def sparse_points(self, name: str) -> SparsePoints | None:
        """The points of the model, None where it has no `points3D`."""
        try:
            return load_sparse_points(self._model(name).file)
        except FileNotFoundError:
            return None

    def _sources(self, name: str) -> list[Path]:
        model = self._model(name)
        return [model.file.parent, *model.pictures.values()]

    def _model(self, name: str) -> "_Model":
        place = (self.folder / name).absolute()
        file = find_model(place)
        try:
            names = [image.name for image in read_images(file)]
        except (ValueError, OSError) as error:
            raise ValueError(f"{place}: {error}") from error
        if len(set(names)) < len(names):
            twice = next(each for each in names if names.count(each) > 1)
            raise ValueError(f"{file} must name each image once, got {twice} twice.")
        bases = [place]
        while bases[-1].name.isdecimal() or bases[-1].name in _WITHIN:
            bases.append(bases[-1].parent)
        roots = [base / folder for base in reversed(bases) for folder in (*IMAGE_FOLDERS, "input", ".")]
        for root in roots:
            if root.is_dir():
                there = {number: root / each for number, each in enumerate(names) if (root / each).is_file()}
                if there:
                    return _Model(file, root, there, len(names))
        return _Model(file, bases[-1], {}, len(names))


class _Model(NamedTuple):
    file: Path  # images.bin or images.txt
    root: Path  # of the pictures
    pictures: dict[int, Path]  # by the number of their camera, ascending
    num_images: int


def _num_points(images: Path) -> int:
    """Points of a model; 0 where it has no file of them."""
    file = images.with_name(f"points3D{images.suffix}")
    if not file.is_file():
        return 0
    if file.suffix == ".bin":
        try:
            (count,) = Bytes(file).take("<Q")
        except (ValueError, OSError) as error:
            raise ValueError(f"{file} is not readable: {error}") from error
        if count * _POINT_BYTES > file.stat().st_size:
            raise ValueError(f"{file} is cut off: it tells of {count} points and has no room for them.")
        return int(count)
    lines = read_text(file).splitlines()
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in lines)
