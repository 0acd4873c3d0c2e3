"""A plain video, or a folder of pictures: frames, and nothing known of cameras."""

import os
from collections.abc import Sequence
from pathlib import Path

from diff4splat.data.readers.pictures import PICTURES, picture_files, picture_size
from diff4splat.data.readers.reader import DatasetReader, read_pictures
from diff4splat.data.readers.videos import VIDEOS, read_video, video_facts
from diff4splat.data.recordings import Recording, RecordingInfo
from diff4splat.files import natural_order

__all__ = ["Video"]


class Video(DatasetReader):
    """Any videos (mp4, webm, mov, mkv, avi, gif) and folders of two or more pictures: a recording each.

    Pictures are sorted by name, with numbers by value: `2.png` before `10.png`. Hidden files and folders are
    left out. What FFmpeg decodes can be read; phones' videos are turned upright.

    Args:
        folder: See `DatasetReader`.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds neither.
    """

    key = "video"
    title = "a video or a folder of pictures"
    licence = "unknown"
    precedence = 2

    @classmethod
    def find(cls, folder: Path) -> list[str]:
        """Files by how their names end; folders with at least two pictures."""
        found = []
        for place, folders, files in os.walk(folder):
            folders[:] = [name for name in folders if name[0] != "."]
            shown = [Path(place, name) for name in files if name[0] != "."]
            found += [file for file in shown if file.suffix.lower() in VIDEOS]
            if sum(file.suffix.lower() in PICTURES for file in shown) > 1:
                found.append(Path(place))
        return sorted((file.relative_to(folder).as_posix() for file in found), key=natural_order)

    def info(self, name: str) -> RecordingInfo:
        """What there is: frames."""
        place = self.folder / name
        if not place.is_dir():
            facts = video_facts(place)
            return RecordingInfo(name, *facts, frozenset(), "unknown")
        files = self._pictures(place)
        return RecordingInfo(name, len(files), *picture_size(files[0]), None, frozenset(), "unknown")

    def read(self, name: str, frames: Sequence[int] | None = None) -> Recording:
        """Frames alone."""
        wanted = self.pick(name, frames)
        place = self.folder / name
        if place.is_dir():
            files = self._pictures(place)
            video, fps = read_pictures([files[index] for index in wanted]), None
        else:
            video, fps = read_video(place, wanted), video_facts(place, count=False).fps
        return Recording(
            name=name,
            dataset=self.key,
            licence=self.licence,
            video=video,
            numbers=tuple(wanted),
            fps=fps,
        )

    def _sources(self, name: str) -> list[Path]:
        place = self.folder / name
        return self._pictures(place) if place.is_dir() else [place]

    def _pictures(self, place: Path) -> list[Path]:
        files = picture_files(place)
        if not files:
            raise ValueError(f"{place} must hold pictures ({', '.join(PICTURES)}), got none.")
        return files
