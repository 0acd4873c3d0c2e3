"""Options that several commands share: camera paths, devices and numbers, checked in words."""

import logging
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from diff4splat.cli.errors import naming

if TYPE_CHECKING:
    import torch

    from diff4splat.cameras import Cameras

__all__ = [
    "DEFAULT_FPS",
    "DEFAULT_FRAMES",
    "DEFAULT_SIZE",
    "MAX_AMPLITUDE",
    "MAX_FPS",
    "MAX_FRAMES",
    "MAX_SIZE",
    "MAX_STEPS",
    "NAMED_PATH_SIZE",
    "check_between",
    "check_device",
    "load_path",
    "note_warnings",
    "printable",
    "recorded_fps",
    "refuse_unused",
]

logger = logging.getLogger(__name__)

DEFAULT_FRAMES, DEFAULT_FPS, DEFAULT_SIZE = 25, 12.0, 512
"""Length, speed and side of a video, where neither the user nor the model nor the scene says."""

MAX_FRAMES, MAX_SIZE, MAX_FPS, MAX_AMPLITUDE, MAX_STEPS = 10_000, 4096, 240, 1000, 10_000
"""Most frames, pixels per side and frames per second of a video, scene units of a path, sampling steps."""

NAMED_PATH_SIZE = 16_384
"""Pixels per side of a named path that will be cropped to the shape of a model, which cuts whole pixels."""

_MAX_FILE_SIDE = 65_536
_MEANT_FOR = {
    "--amplitude": ("spiral", "forward", "backward", "upward", "downward"),
    "--focus-depth": ("spiral", "orbit"),
}
_FOR_FILES = ("--image-size", "--axes", "--direction", "--distortion", "--camera")


def check_between(option: str, value: int | float | None, least: int | float, most: int | float) -> None:
    """Refuse a number outside a range.

    Args:
        option: Name of the option, for the message.
        value: What the user gave; None passes.
        least: Smallest value that is accepted.
        most: Largest value that is accepted.

    Raises:
        ValueError: If `value` is outside, or NaN.
    """
    if value is not None and not least <= value <= most:
        raise ValueError(f"{option} must be from {least:.15g} to {most:.15g}, got {value:.15g}.")


def check_device(name: str) -> "torch.device":
    """The device a name stands for, once it is sure that it can render.

    Args:
        name: "auto" (the first GPU if there is one, else the CPU), or a name of torch.

    Returns:
        A device that exists.

    Raises:
        ValueError: If `name` is no device, or none that this machine has, or rendering cannot work there.
    """
    from diff4splat.rendering import require_backend

    device = _find_device(name)
    try:
        require_backend(device)
    except RuntimeError as error:
        raise ValueError(f"--device {name} cannot be used: {error}") from error
    return device


def _find_device(name: str) -> "torch.device":
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", name):
        raise ValueError(f"--device must be auto, cpu, cuda or cuda:N, got {name!r}.")
    device = torch.device(name)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        found = f"cuda:0 to cuda:{count - 1}" if count else "no GPU"
        raise ValueError(f"--device must be there, PyTorch finds {found} on this machine, got {name!r}.")
    return device


def recorded_fps(provenance: Mapping[str, Any]) -> float:
    """Frames per second that a scene was made with.

    Args:
        provenance: Metadata of the scene.

    Returns:
        Its `fps`, or the default where it says none, or nonsense.
    """
    fps = provenance.get("fps")
    if isinstance(fps, int | float) and 0.1 <= fps <= MAX_FPS:
        return float(fps)
    return DEFAULT_FPS


def printable(name: str) -> str:
    """A name of a file as text that every file and page can hold.

    Args:
        name: As the system gives it; bytes that are no UTF-8 are surrogates in it.

    Returns:
        The name, with a replacement character for each such byte.
    """
    return os.fsencode(name).decode("utf-8", errors="replace")


def refuse_unused(path: str, given: Mapping[str, object]) -> None:
    """Refuse options that a camera path makes no use of, rather than pass over them.

    Args:
        path: Name of the path, or its file.
        given: What the user gave for each option; None where nothing.

    Raises:
        ValueError: If an option is given that does nothing for this path.
    """
    from diff4splat.cameras import trajectory

    for option, value in given.items():
        if value is None:
            continue
        if option in _FOR_FILES:
            if path in (*trajectory.NAMES, "recorded"):
                raise ValueError(f"{option} is for a file of cameras, got the path {path}.")
        elif path not in trajectory.NAMES:
            raise ValueError(f"{option} is for a path that is given by its name, got {path}.")
        elif path not in _MEANT_FOR.get(option, trajectory.NAMES):
            raise ValueError(f"{option} is for the paths {', '.join(_MEANT_FOR[option])}, got {path}.")


def load_path(
    name_or_file: str,
    *,
    size: int,
    num_frames: int | None = None,
    amplitude: float | None = None,
    focus_depth: float | None = None,
    field_of_view_deg: float | None = None,
    image_size: str | None = None,
    photo_size: tuple[int, int] | None = None,
    conventions: Mapping[str, Any] | None = None,
    option: str = "--trajectory",
) -> "Cameras":
    """A camera path from its name or from a file.

    Args:
        name_or_file: Name of a trajectory, or a file or folder that `load_cameras` reads.
        size: Height and width of a named path, pixels.
        num_frames: Frames of a named path. A file keeps its own number; a note says if it is another.
        amplitude: How far a named path goes, scene units.
        focus_depth: What a named path turns around, scene units.
        field_of_view_deg: Lens of a named path.
        image_size: Width and height, such as "640x480", of the images that a file of cameras belongs to, for
            files that do not say.
        photo_size: Height and width to assume where `image_size` is missing too, with a note; `size` for both
            when omitted.
        conventions: What `load_cameras` is told about a file that does not say it.
        option: What the user calls `name_or_file`.

    Returns:
        The path.

    Raises:
        ValueError: If there is neither a trajectory nor a file of that name, or the file is no camera path.
    """
    from diff4splat.cameras import trajectory

    if name_or_file in trajectory.NAMES:
        return trajectory.by_name(
            name_or_file,
            DEFAULT_FRAMES if num_frames is None else num_frames,
            height=size,
            width=size,
            amplitude=amplitude,
            focus_depth=focus_depth,
            field_of_view_deg=field_of_view_deg,
        )
    if not os.path.exists(name_or_file):  # unlike Path.exists, no error for a name that is too long
        raise ValueError(
            f"{option} must be one of {', '.join(trajectory.NAMES)}, or an existing file of cameras, "
            f"got {name_or_file!r}."
        )
    with naming(f"{option} cannot be read", name_or_file):
        path = _load_file(name_or_file, image_size, photo_size or (size, size), conventions or {})
    if num_frames not in (None, path.num_frames):
        logger.info(
            "%s holds %d cameras; they are resampled to %d frames", name_or_file, path.num_frames, num_frames
        )
    return path


def note_warnings(name_or_file: str, path: "Cameras") -> None:
    """Say what about a camera path looks like a mistake, in the words of `describe_path`.

    Args:
        name_or_file: What the user gave.
        path: The path, before it is fitted to the photograph.
    """
    from diff4splat.cameras import describe_path

    for warning in describe_path(path).warnings:
        logger.info("%s: %s", name_or_file, warning)


def _load_file(
    file: str, image_size: str | None, assumed: tuple[int, int], conventions: Mapping[str, Any]
) -> "Cameras":
    from diff4splat.cameras import load_cameras

    given = None if image_size is None else _parse_size(image_size)
    scene = file.endswith(".safetensors")
    try:
        path = _cameras_of_scene(file) if scene else load_cameras(file, **conventions)
    except ValueError:
        if scene:
            raise
        # A sound file may not say how large its images are; a damaged one fails here again.
        height, width = given or assumed
        path = load_cameras(file, height=height, width=width, **conventions)
        if given is None:
            logger.info(
                "%s does not say how large its images are; %dx%d pixels are assumed (--image-size WxH tells)",
                *(file, width, height),
            )
        return path
    if given not in (None, (path.height, path.width)):
        raise ValueError(
            f"--image-size must be that of {file}, {path.width}x{path.height}, got {image_size}."
        )
    return path


def _cameras_of_scene(file: str) -> "Cameras":
    from diff4splat.assets import load_field_cameras

    path = load_field_cameras(file)
    if path is None:
        raise ValueError(f"{file} was saved without cameras.")
    return path


def _parse_size(text: str) -> tuple[int, int]:
    """Height and width from a text such as "640x480", which has the width first."""
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text)
    if not match or not all(1 <= int(side) <= _MAX_FILE_SIDE for side in match.groups()):
        raise ValueError(f"--image-size must be width x height in pixels, such as 640x480, got {text!r}.")
    return int(match[2]), int(match[1])
