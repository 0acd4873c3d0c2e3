"""What both versions of TartanAir share: files of one camera by the number of the image, and its poses."""

from pathlib import Path
from typing import NamedTuple

from diff4splat.cameras import Cameras
from diff4splat.cameras.files import load_cameras
from diff4splat.data.readers.layout import companions, numbered_frames

__all__ = ["CameraFiles", "find_camera_files", "load_poses"]


class CameraFiles(NamedTuple):
    """Where the files of one camera are.

    Args:
        images: Folder of pictures.
        depths: Folder of depth maps, which need not be there.
        poses: Table of poses, row n for image n.
    """

    images: Path
    depths: Path
    poses: Path

    def numbered(self, suffix: str) -> tuple[dict[int, Path], dict[int, Path]]:
        """Images and depth maps by number; images may be missing, as all else is found by number.

        Args:
            suffix: How depth maps end, without the dot.

        Returns:
            Images, and a depth map for each of them, or none at all.

        Raises:
            ValueError: If there is no image, one is there twice, or some have a depth map and others not.
            FileNotFoundError: If there is no folder of images.
        """
        camera = self.images.name.removeprefix("image_")
        images = numbered_frames(self.images, rf"(\d+)_{camera}\.png", f"000000_{camera}.png", gaps=True)
        return images, companions(self.depths, rf"(\d+)_{camera}_depth\.{suffix}", images)


def find_camera_files(folder: Path, name: str) -> CameraFiles:
    """Files of a recording.

    Args:
        folder: Folder of the reader.
        name: Name of the recording, the camera last.

    Returns:
        Paths, none of which need be there.
    """
    place, camera = (folder / name).parent, name.rsplit("/", 1)[-1]
    return CameraFiles(place / f"image_{camera}", place / f"depth_{camera}", place / f"pose_{camera}.txt")


def load_poses(file: Path, *, height: int, width: int, last: int) -> Cameras:
    """All cameras of a table of poses, with the lens of 90 degrees that every camera has.

    Args:
        file: The table.
        height: Image rows.
        width: Image columns.
        last: Number of the last image that must have a row.

    Returns:
        Cameras by number of the image.

    Raises:
        ValueError: If the table is damaged or too short.
        FileNotFoundError: If there is none.
    """
    cameras = load_cameras(
        file,
        height=height,
        width=width,
        axes="ned",
        direction="camera_to_world",
        field_of_view_deg=90.0,
    )
    if cameras.num_frames <= last:
        raise ValueError(f"{file} must have a row for image {last}, got {cameras.num_frames} rows.")
    return cameras
