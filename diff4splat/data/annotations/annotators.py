"""Models as plug-ins: anything that says something of a recording, such as a folder of files."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from diff4splat.data.annotations.annotate import select_frames
from diff4splat.data.annotations.annotation import Annotation
from diff4splat.data.annotations.format import AnnotationOptions
from diff4splat.data.annotations.load import annotation_format, load_annotation
from diff4splat.data.readers.fingerprint import files_fingerprint
from diff4splat.data.recordings import Recording

__all__ = ["Annotator", "FileAnnotations"]

_MEDIA = re.compile(r"\.(mp4|mov|mkv|webm|avi|m4v|gif)", re.IGNORECASE)


@runtime_checkable
class Annotator(Protocol):
    """A model, or what stands for one.

    It is given a recording and returns an `Annotation` of all its frames in order, without `numbers`, whose
    size may be another one. It raises ValueError or OSError where it has nothing to say.

    Curation stores what annotators said. What that depends on is the text `words` of the object, where it has
    one, else its class and the fields of a dataclass, or the name of a function; and, where it has a method
    `fingerprint`, the text that this gives for the name of a recording.
    """

    def __call__(self, recording: Recording, /) -> Annotation:
        """What it says of a recording.

        Args:
            recording: The frames.

        Returns:
            An annotation of all of them.
        """
        ...


class FileAnnotations:
    """Files that an annotator wrote for a whole dataset, in one folder; an `Annotator`.

    The files of a recording are those that are called as it is: by the name that is asked for, else by
    `recording.name`; the same without the suffix of a video, and the same with "_" for what is neither
    letter, digit, "-" nor "_". The whole name counts, folders included: last parts, such as `image_left`, are
    alike in many recordings.

    Args:
        folder: Where the files are, laid out as `ANNOTATION_FORMATS[format].places` says.
        format: A name of `ANNOTATION_FORMATS`.
        first_number: Number of the first frame that the annotator was given, where it was given whole
            videos; None where it was given the frames of each recording. See `fit_annotation`.
        options: Options of `load_annotation` that hold for all files. Where a format asks for `frame_size`
            and none is given, it is that of the recording.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If there is no such format, or an option is out of its range or none of the format's.
    """

    def __init__(
        self,
        folder: str | Path,
        format: str,
        *,
        first_number: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"no such folder: {self.folder}")
        self.folder = self.folder.absolute()  # processes of a cluster work in a folder of their own
        self.format = annotation_format(format)
        self.first_number = first_number
        self.options = dict(options or {})
        known = {key: value for key, value in self.options.items() if key in vars(AnnotationOptions())}
        AnnotationOptions(**known)
        for key in sorted(known.keys() - self.format.options):
            raise ValueError(
                f"{key} must not be given for {format}, which does not read it, got {known[key]!r}."
            )

    @property
    def words(self) -> str:
        """How files are read; what is in them is told by `fingerprint`."""
        options = sorted(self.options.items())
        return f"{self.format.name} first_number={self.first_number} options={options}"

    def fingerprint(self, name: str) -> str:
        """Hash of the files of a recording, by which what was made of them is known to be stale.

        Names, sizes and times of change count; no file is read.

        Args:
            name: Name or uid of the recording.

        Returns:
            32 hex digits, also where there are no files.
        """
        try:
            found = [self.find(name)]
        except (FileNotFoundError, ValueError):
            found = []
        return files_fingerprint(found, top=self.folder, words=self.words)

    def find(self, name: str) -> Path:
        """The file or folder of a recording.

        Args:
            name: Its name or uid.

        Returns:
            The first place where there is something.

        Raises:
            FileNotFoundError: If there is nothing; names the first place that was looked at.
            ValueError: If the name leads out of the folder.
        """
        if not name or Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"name must be a path inside of {self.folder}, got {name!r}.")
        tried = [place for each in _spellings(name) for place in self._places(each)]
        for place in tried:
            if place.exists():
                return place
        raise FileNotFoundError(
            f"no {self.format.title} of {name!r}: {self.folder} holds none of {len(tried)} names, the first "
            f"of them {str(tried[0].relative_to(self.folder))!r}."
        )

    def __call__(self, recording: Recording, /, *, name: str | None = None) -> Annotation:
        """What the files say of a recording.

        Args:
            recording: The frames.
            name: Name or uid of the files; `recording.name` when omitted.

        Returns:
            An annotation of its frames, at the size of the files.

        Raises:
            FileNotFoundError: If there are no files.
            ValueError: If they are damaged, or are of other frames.
        """
        path = self.find(recording.name if name is None else name)
        options = dict(self.options)
        if "frame_size" in self.format.options:
            options.setdefault("frame_size", (recording.height, recording.width))
        annotation = load_annotation(path, self.format.name, **options)
        try:
            return select_frames(recording, annotation, self.first_number)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def _places(self, name: str) -> list[Path]:
        parent, last = self.folder / Path(name).parent, Path(name).name
        beside = [parent / place.replace("{name}", last) for place in self.format.places]
        below = [self.folder / place.replace("{name}", name) for place in self.format.places]
        return list(dict.fromkeys((*beside, *below)))


def _spellings(name: str) -> list[str]:
    """Names that files of a recording may have, the likeliest first."""
    bare = name[: -len(Path(name).suffix)] if _MEDIA.fullmatch(Path(name).suffix) else name
    spelt = [name, bare, *(re.sub(r"[^A-Za-z0-9_-]", "_", each) for each in (name, bare))]
    return list(dict.fromkeys(spelt))
