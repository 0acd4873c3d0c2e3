"""Options that several commands share: camera paths, devices and numbers, checked in words."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from diff4splat.cameras import Cameras

__all__ = [
    "MAX_FPS",
    "MAX_FRAMES",
    "MAX_SIZE",
    "check_at_least",
    "check_between",
    "check_device",
    "load_path",
]

MAX_FRAMES, MAX_SIZE, MAX_FPS = 10_000, 4096, 240
"""Most frames, pixels per side and frames per second of a video."""


def check_at_least(option: str, value: int | float, least: int | float) -> None:
    """Refuse a number that is too small.

    Args:
        option: Name of the option, for the message.
        value: What the user gave.
        least: Smallest value that is accepted.

    Raises:
        ValueError: If `value` is smaller, or NaN.
    """
    if not value >= least:
        raise ValueError(f"{option} must be at least {least:g}, got {value:g}.")


def check_between(option: str, value: int | float, least: int | float, most: int | float) -> None:
    """Refuse a number outside a range.

    Args:
        option: Name of the option, for the message.
        value: What the user gave.
        least: Smallest value that is accepted.
        most: Largest value that is accepted.

    Raises:
        ValueError: If `value` is outside, or NaN.
    """
    if not least <= value <= most:
        raise ValueError(f"{option} must be from {least:g} to {most:g}, got {value:g}.")


def check_device(name: str) -> "torch.device":
    """The device a name stands for.

    Args:
        name: "auto" (the first GPU if there is one, else the CPU), or a name of torch.

    Returns:
        A device that exists.

    Raises:
        ValueError: If `name` is no device, or none that this machine has.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"--device must be auto, cpu, cuda or cuda:N, got {name!r}.") from None
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"--device must be auto, cpu, cuda or cuda:N, got {name!r}.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"--device must be there, got {name!r} on a machine with {torch.cuda.device_count()} GPUs."
        )
    return device


def load_path(
    name_or_file: str,
    *,
    num_frames: int,
    size: int,
    amplitude: float | None = None,
    focus_depth: float | None = None,
    field_of_view_deg: float | None = None,
    photo_size: tuple[int, int] | None = None,
) -> "Cameras":
    """A camera path from its name or from a file.

    Args:
        name_or_file: Name of a trajectory, or a file that `load_cameras` reads.
        num_frames: Frames of a named path; a file has its own number.
        size: Height and width of a named path, pixels.
        amplitude: How far a named path goes, scene units.
        focus_depth: What a named path turns around, scene units.
        field_of_view_deg: Lens of a named path.
        photo_size: Height and width of the image that a file of cameras belongs to, for files that do not
            say.

    Returns:
        The path.

    Raises:
        ValueError: If there is neither a trajectory nor a file of that name, or the file is no camera path.
    """
    from diff4splat.cameras import load_cameras, trajectory

    if name_or_file in trajectory.NAMES:
        return trajectory.by_name(
            name_or_file,
            num_frames,
            height=size,
            width=size,
            amplitude=amplitude,
            focus_depth=focus_depth,
            field_of_view_deg=field_of_view_deg,
        )
    if not Path(name_or_file).is_file():
        raise ValueError(
            f"--trajectory must be one of {', '.join(trajectory.NAMES)}, or an existing file of cameras, "
            f"got {name_or_file!r}."
        )
    try:
        return load_cameras(name_or_file)
    except ValueError:
        # A sound file may not say how large its images are; a damaged one fails here again.
        height, width = photo_size or (size, size)
        return load_cameras(name_or_file, height=height, width=width)
