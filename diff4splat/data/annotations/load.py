"""Which annotator wrote a file, and what it holds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from diff4splat.data.annotations.annotation import Annotation
from diff4splat.data.annotations.arrays import npz_keys
from diff4splat.data.annotations.cotracker3 import CoTracker3
from diff4splat.data.annotations.depth_pro import DepthPro
from diff4splat.data.annotations.format import AnnotationFormat, AnnotationOptions
from diff4splat.data.annotations.megasam import MegaSaM
from diff4splat.data.annotations.moge import MoGe
from diff4splat.data.annotations.unidepth import UniDepth
from diff4splat.data.annotations.video_depth_anything import VideoDepthAnything
from diff4splat.data.annotations.vipe import ViPE

__all__ = ["ANNOTATION_FORMATS", "annotation_format", "find_annotation_format", "load_annotation"]

_FORMATS: tuple[AnnotationFormat, ...] = (
    VideoDepthAnything(),
    MegaSaM(),
    ViPE(),
    CoTracker3(),
    UniDepth(),
    MoGe(),
    DepthPro(),
)
ANNOTATION_FORMATS: Mapping[str, AnnotationFormat] = MappingProxyType({each.name: each for each in _FORMATS})
"""Formats by name."""


def annotation_format(name: str) -> AnnotationFormat:
    """A format by its name.

    Args:
        name: As in `ANNOTATION_FORMATS`.

    Returns:
        The format.

    Raises:
        ValueError: If there is none of that name.
    """
    if name not in ANNOTATION_FORMATS:
        raise ValueError(f"format must be one of {', '.join(ANNOTATION_FORMATS)}, got {name!r}.")
    return ANNOTATION_FORMATS[name]


def find_annotation_format(path: str | Path) -> str:
    """The one annotator whose files these are, by their names and keys.

    Args:
        path: File or folder.

    Returns:
        A name of `ANNOTATION_FORMATS`.

    Raises:
        FileNotFoundError: If there is nothing.
        ValueError: If none fits or several do, or an archive is damaged; names them.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no such file or folder: {path}")
    fitting = [name for name, each in ANNOTATION_FORMATS.items() if each.fits(path)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise ValueError(f"format must be given, {path} could be of {' or '.join(fitting)}.")
    known = ", ".join(ANNOTATION_FORMATS)
    raise ValueError(f"{path} must be what one of {known} writes, got {_contents(path)}.")


def load_annotation(
    path: str | Path,
    format: str | None = None,
    *,
    numbers: Sequence[int] | None = None,
    unit: Literal["metre", "unknown"] | None = None,
    frame_size: tuple[int, int] | None = None,
    depth_factor: float | None = None,
) -> Annotation:
    """What an annotator wrote, in the conventions of this library; the model is not needed.

    Args:
        path: File or folder, see the class of each format.
        format: A name of `ANNOTATION_FORMATS`; found by names and keys when omitted.
        numbers: Frames of the video that the annotator was shown, counted from 0, where it was not shown all
            and the files do not say which.
        unit: "metre" where a metric model wrote the files and they do not say so.
        frame_size: Rows and columns of the frames that the annotator was given, where files do not say them.
        depth_factor: What the annotator multiplied metric depth by, see `MegaSaM`.

    Returns:
        The annotation, whose values were checked.

    Raises:
        FileNotFoundError: If there is nothing at `path`, or a file that belongs to it is missing.
        ValueError: If the format is not found, a file is damaged or holds what cannot be, an option is
            missing, or one is given that the format does not read.
    """
    path = Path(path)
    found = annotation_format(find_annotation_format(path) if format is None else format)
    if not path.exists():
        raise FileNotFoundError(f"no such file or folder: {path}")
    options = AnnotationOptions(unit, frame_size, depth_factor)
    for name, value in vars(options).items():
        if value is not None and name not in found.options:
            raise ValueError(
                f"{name} must not be given for {found.name}, which does not read it, got {value!r}."
            )
    annotation = found.load(path, options)
    if numbers is not None:
        if len(numbers) != annotation.num_frames:
            raise ValueError(
                f"numbers must be one for each of {annotation.num_frames} frames of {path}, got "
                f"{len(numbers)}."
            )
        if annotation.numbers is not None:
            raise ValueError(f"numbers must not be given for {path}, which says them.")
        annotation = replace(annotation, numbers=tuple(numbers))
    try:
        annotation.validate()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return annotation


def _contents(path: Path) -> str:
    if path.is_file():
        keys = sorted(npz_keys(path))
        return f"an npz of {', '.join(keys[:9])}" if keys else f"a file {path.suffix or 'without a suffix'}"
    names = sorted(each.name for each in path.iterdir())
    return (
        f"a folder of {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}" if names else "nothing in it"
    )
