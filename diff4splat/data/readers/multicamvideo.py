"""MultiCamVideo (ReCamMaster): people in Unreal Engine, filmed by ten moving cameras at the same time.

Poses are rows of axes and a place in centimetres in a left-handed world with z up. They are mirrored to a
right-handed world in metres (`load_cameras`): without that, camera-to-world matrices have determinant -1.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diff4splat.cameras import Cameras
from diff4splat.cameras.files import load_cameras
from diff4splat.data.readers.reader import DatasetReader
from diff4splat.data.readers.text import read_json
from diff4splat.data.readers.videos import VideoFacts, read_video, video_facts
from diff4splat.data.recordings import Recording, RecordingInfo
from diff4splat.files import natural_order

__all__ = ["MultiCamVideo"]

_FILE = "cameras/camera_extrinsics.json"
_SENSOR_MM = 23.76  # both sides of the square sensor
_LENS = re.compile(r"f([0-9]+(?:\.[0-9]+)?)_aperture[0-9.]+")


class MultiCamVideo(DatasetReader):
    """MultiCamVideo: `train/f24_aperture5/scene1` with `videos/cam01.mp4` and one file of all cameras.

    Each camera is a recording, `scene1/cam01`; those of a scene show the same moment at the same number, in
    one world. The focal length stands in the name of a folder above, `f24_aperture5`: 24 mm before a sensor
    of 23.76 mm. `val/10basic_trajectories` does not say it: no cameras there, unless `focal_mm` does.
    Where video and file have different numbers of frames, those that both have are read. No depth.

    Args:
        folder: See `DatasetReader`.
        focal_mm: Focal length of folders that do not say it, millimetres.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no recording of this dataset, or `focal_mm` is not positive.
    """

    key = "multicamvideo"
    title = "MultiCamVideo"
    licence = "Apache-2.0"
    cameras_share_folder = True

    def __init__(self, folder: str | Path, focal_mm: float | None = None) -> None:
        if focal_mm is not None and not 0 < focal_mm < math.inf:
            raise ValueError(f"focal_mm must be positive, got {focal_mm}.")
        self.focal_mm = focal_mm
        super().__init__(folder)

    @classmethod
    def find(cls, folder: Path) -> list[str]:
        """Videos beside a `cameras/camera_extrinsics.json`."""
        found = []
        for file in folder.rglob(Path(_FILE).name):
            scene = file.parents[1]
            if file.parent.name == "cameras" and scene.is_relative_to(folder):
                videos = (scene / "videos").glob("*.mp4")
                found += [(scene.relative_to(folder) / video.stem).as_posix() for video in videos]
        return sorted(found, key=natural_order)

    def info(self, name: str) -> RecordingInfo:
        """What there is: the frames that have a camera."""
        video = video_facts(self._video(name))
        count = min(video.num_frames, len(self._frames(name)))
        holds = frozenset({"cameras"} if self._focal_mm(name) else ())
        return RecordingInfo(name, count, video.height, video.width, video.fps, holds, "metre")

    def read(self, name: str, frames: Sequence[int] | None = None) -> Recording:
        """Frames and cameras; the character moves and is not marked."""
        wanted = self.pick(name, frames)
        facts = video_facts(self._video(name))
        focal_mm = self._focal_mm(name)
        return Recording(
            name=name,
            dataset=self.key,
            licence=self.licence,
            video=read_video(self._video(name), wanted),
            cameras=None if focal_mm is None else self._cameras(name, facts, focal_mm).select(wanted),
            numbers=tuple(wanted),
            fps=facts.fps,
            unit="metre",
            facts={
                "focal_mm": focal_mm,
                "frames_of_video": facts.num_frames,
                "frames_of_cameras": len(self._frames(name)),
            },
        )

    def _sources(self, name: str) -> list[Path]:
        return [self._video(name), (self.folder / name).parent / _FILE]

    def _cameras(self, name: str, facts: VideoFacts, focal_mm: float) -> Cameras:
        angle = 2 * math.degrees(math.atan(_SENSOR_MM / 2 / focal_mm))
        return load_cameras(
            (self.folder / name).parent / _FILE,
            height=facts.height,
            width=facts.width,
            field_of_view_deg=angle,
            camera=name.rsplit("/", 1)[-1],
        )

    def _video(self, name: str) -> Path:
        place = self.folder / name
        return place.parent / "videos" / f"{place.name}.mp4"

    def _focal_mm(self, name: str) -> float | None:
        """By the innermost folder that says it."""
        for part in reversed((self.folder / name).absolute().parts):
            match = _LENS.fullmatch(part)
            if match:
                return float(match[1])
        return self.focal_mm

    def _frames(self, name: str) -> dict[str, Any]:
        """Cameras by frame; the frames are 0, 1, ... and each has the camera that is asked for."""
        file = (self.folder / name).parent / _FILE
        camera = name.rsplit("/", 1)[-1]
        content = read_json(file)
        if not isinstance(content, dict) or not content:
            raise ValueError(f"{file} must hold an object with cameras by frame, got none.")
        for index in range(len(content)):
            cameras = content.get(f"frame{index}")
            if not isinstance(cameras, dict) or camera not in cameras:
                every = f"frame0 to frame{len(content) - 1}"
                raise ValueError(f"{file} must hold {camera} in {every}, got none in frame{index}.")
        return content
