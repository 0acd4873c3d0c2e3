"""Frames that lie in a video: how many there are, and some of them by number or by time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from diff4splat.assets.frames import upright_pixels

__all__ = ["VIDEOS", "VideoFacts", "read_video", "read_video_at", "video_facts"]

VIDEOS = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif")
"""How names of videos end, in small letters."""

_WORTH_A_JUMP = 16  # frames; to find out when they are shown, the file is read once
_STEP_BACK_S = 4.0  # how much earlier to look where a jump to a key frame went too far


class VideoFacts(NamedTuple):
    """What a video is, as it is shown: turned upright, as phones ask for.

    Args:
        num_frames: Frames that are there.
        height: Rows.
        width: Columns.
        fps: Frames per second; None where the file does not say.
    """

    num_frames: int
    height: int
    width: int
    fps: float | None


def video_facts(file: Path, *, count: bool = True) -> VideoFacts:
    """What a video is; of its frames only the first is decoded, the others are counted.

    Kept in memory for as long as the file has the same size and time.

    Args:
        file: Any format that FFmpeg reads.
        count: Whether to count the frames, for which the file is read to its end; 0 otherwise.

    Returns:
        Its facts.

    Raises:
        ValueError: If it is no video, has no frames or has fewer than its header tells of; names it.
        FileNotFoundError: If there is no such file.
    """
    try:
        known = file.stat()
    except OSError:
        return _facts(file, count)
    return _known_facts(file.absolute(), count, known.st_mtime_ns, known.st_size)


def read_video(file: Path, frames: Sequence[int]) -> UInt8[Tensor, "frame rgb=3 height width"]:
    """Frames of a video by number.

    Args:
        file: Any format that FFmpeg reads.
        frames: Which, from 0, in any order. The video is decoded from its start or, if the first of them is
            far from it, from the key frame before, up to the last of them.

    Returns:
        sRGB frames.

    Raises:
        ValueError: If it is no video, or ends before the last of the frames; names it.
        FileNotFoundError: If there is no such file.
    """
    wanted, last, count = set(frames), max(frames), 0
    found = _found_from_key_frame(file, wanted) if min(wanted) >= _WORTH_A_JUMP else {}
    if found:
        return _stacked(file, [found[index] for index in frames])
    with _opened(file) as container:
        for index, frame in enumerate(container.decode(video=0)):
            count = index + 1
            if index in wanted:
                found[index] = upright_pixels(frame)
            if index == last:
                break
    if count <= last:
        raise ValueError(f"{file} must have a frame {last}, got {count} frames that can be decoded.")
    return _stacked(file, [found[index] for index in frames])


def read_video_at(
    file: Path, times_us: Sequence[int]
) -> tuple[UInt8[Tensor, "frame rgb=3 height width"], list[int]]:
    """The frames of a video that are shown nearest to some times.

    Times are counted from the first frame. The video is entered at the key frame before the first time.

    Args:
        file: Any format that FFmpeg reads.
        times_us: Ascending, microseconds.

    Returns:
        sRGB frames, and how much later each is shown than wanted, microseconds.

    Raises:
        ValueError: If it is no video, or has no frame within half a frame of a time; names it.
        FileNotFoundError: If there is no such file.
    """
    found: list[np.ndarray] = []
    late: list[int] = []
    with _opened(file) as container:
        stream = container.streams.video[0]
        base = float(stream.time_base) * 1e6
        start = stream.start_time or 0
        half = 0.5e6 / float(stream.average_rate or 1) + base
        before: Any = None
        for frame in _from(container, stream, start + times_us[0] / base):
            time = (frame.pts - start) * base
            while len(found) < len(times_us) and time >= times_us[len(found)]:
                wanted = times_us[len(found)]
                nearest, at = frame, time
                if before is not None and wanted - before[1] <= time - wanted:
                    nearest, at = before
                if abs(at - wanted) > half:
                    break
                found.append(upright_pixels(nearest))
                late.append(round(at - wanted))
            if len(found) == len(times_us):
                break
            before = (frame, time)
        while before is not None and len(found) < len(times_us):  # times after the last frame began
            if abs(before[1] - times_us[len(found)]) > half:
                break
            found.append(upright_pixels(before[0]))
            late.append(round(before[1] - times_us[len(found) - 1]))
    if len(found) < len(times_us):
        missing = times_us[len(found)] / 1e6
        raise ValueError(f"{file} must have a frame at {missing:.3f} s, got none: is it the whole video?")
    return _stacked(file, found), late


def _found_from_key_frame(file: Path, wanted: set[int]) -> dict[int, np.ndarray]:
    """Frames by number, which is told by the time they are shown; none where that does not lead to all."""
    found: dict[int, np.ndarray] = {}
    try:
        status = file.stat()
        times = _known_times(file.absolute(), status.st_mtime_ns, status.st_size)
        number_of = {time: number for number, time in enumerate(times)}
        if len(times) <= max(wanted):
            return {}
        with _opened(file) as container:
            for frame in _from(container, container.streams.video[0], float(times[min(wanted)])):
                if number_of.get(frame.pts) in wanted:
                    found[number_of[frame.pts]] = upright_pixels(frame)
                if len(found) == len(wanted) or frame.pts >= times[max(wanted)]:
                    break
    except (ValueError, OSError):  # decoding from the start says what is wrong, if anything is
        return {}
    return found if len(found) == len(wanted) else {}


@lru_cache(maxsize=256)
def _known_times(file: Path, time_ns: int, size: int) -> tuple[int, ...]:
    """When each frame of a file is shown, ascending; empty where some have no time of their own."""
    with _opened(file) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size and not packet.is_discard]
        if any(packet.pts is None or packet.is_corrupt for packet in packets):
            return ()
        times = sorted(packet.pts for packet in packets)
    return tuple(times) if len(set(times)) == len(times) else ()


@lru_cache(maxsize=4096)
def _known_facts(file: Path, count: bool, time_ns: int, size: int) -> VideoFacts:
    """The facts of a file that has this time of change and this size."""
    return _facts(file, count)


def _facts(file: Path, count: bool) -> VideoFacts:
    first, there, shown = None, 0, 0
    with _opened(file) as container:
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"  # several frames at once would delay the first
        for packet in container.demux(stream):
            if packet.size and not packet.is_corrupt:
                there, shown = there + 1, shown + (not packet.is_discard)
            if first is None:
                first = next(iter(packet.decode()), None)
            elif not count:
                break
        stated, rate = stream.frames, stream.average_rate
    if first is None and stated:
        told = f"its header tells of {stated} frames, none can be decoded"
        raise ValueError(f"{file} is cut off: {told}.")
    if first is None:
        raise ValueError(f"{file} has no video frames.")
    if count and stated and there < stated:
        raise ValueError(f"{file} is cut off: its header tells of {stated} frames, {there} are there.")
    height, width = upright_pixels(first).shape[:2]
    return VideoFacts(shown if count else 0, height, width, float(rate) if rate else None)


def _from(container: Any, stream: Any, pts: float) -> Iterator[Any]:
    """Frames in order, the first of which is shown at a time or before it."""
    step = int(_STEP_BACK_S / float(stream.time_base))
    first = stream.start_time or 0
    goal = max(first, int(pts))
    while True:
        container.seek(goal, stream=stream)
        frames = (frame for frame in container.decode(stream) if frame.pts is not None)
        head = next(frames, None)
        if goal == first or (head is not None and head.pts <= pts):
            break
        goal, step = max(first, goal - step), 2 * step
    if head is not None:
        yield head
        yield from frames


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """A video whose errors name it."""
    import av

    if not file.is_file():
        raise FileNotFoundError(f"no such file: {file}")
    try:
        with av.open(str(file.absolute())) as container:
            if not container.streams.video:
                raise ValueError(f"{file} has no video frames.")
            container.streams.video[0].thread_type = "AUTO"
            yield container
    except av.FFmpegError as error:
        reason = getattr(error, "strerror", None) or error  # of FFmpeg, without its number
        raise ValueError(f"{file} is not a readable video: {reason}") from error


def _stacked(file: Path, frames: list[np.ndarray]) -> Tensor:
    sizes = {frame.shape for frame in frames}
    if len(sizes) > 1:
        raise ValueError(f"{file} must have frames of one size, got {sorted(sizes)}.")
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)  # colours last in memory, as decoded
