"""What a format of annotations is: files that an annotator writes, and what they mean."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from diff4splat.data.annotations.annotation import Annotation

__all__ = ["AnnotationFormat", "AnnotationOptions"]


@dataclass(frozen=True)
class AnnotationOptions:
    """What files do not say themselves; each format names the options that it reads.

    Args:
        unit: "metre" where a metric model wrote the file, "unknown" where a relative one did; the format's
            own default when omitted.
        frame_size: Rows and columns of the frames that the annotator was given.
        depth_factor: What the annotator multiplied metric depth by, > 0, where that is known.

    Raises:
        ValueError: If an option is out of its range.
    """

    unit: Literal["metre", "unknown"] | None = None
    frame_size: tuple[int, int] | None = None
    depth_factor: float | None = None

    def __post_init__(self) -> None:
        if self.unit not in (None, "metre", "unknown"):
            raise ValueError(f"unit must be metre or unknown, got {self.unit!r}.")
        if self.frame_size is not None and (len(self.frame_size) != 2 or min(self.frame_size) < 1):
            raise ValueError(f"frame_size must be rows and columns from 1, got {self.frame_size}.")
        if self.depth_factor is not None and not 0 < self.depth_factor < float("inf"):
            raise ValueError(f"depth_factor must be above 0, got {self.depth_factor}.")


class AnnotationFormat(ABC):
    """Files of one annotator.

    A subclass reads them, in a file of its own: that is where its conventions are converted.
    """

    name: ClassVar[str]
    """Name in `ANNOTATION_FORMATS`."""
    title: ClassVar[str]
    """Name for people."""
    licence: ClassVar[str]
    """Tag of the licence of the model, which may bind what it writes."""
    files: ClassVar[str]
    """The files, for people."""
    places: ClassVar[tuple[str, ...]]
    """Where the files of a video called {name} lie in a folder, the best first."""
    options: ClassVar[frozenset[str]] = frozenset()
    """Fields of `AnnotationOptions` that `load` reads."""

    @abstractmethod
    def fits(self, path: Path) -> bool:
        """Whether names, and keys of an archive, are those of this format; values are not looked at.

        Args:
            path: An existing file or folder.

        Returns:
            Whether it may be one.

        Raises:
            ValueError: If an archive is damaged; names it.
        """

    @abstractmethod
    def load(self, path: Path, options: AnnotationOptions) -> Annotation:
        """What the files hold.

        Args:
            path: An existing file or folder.
            options: What the files do not say.

        Returns:
            The annotation.

        Raises:
            ValueError: If a file is damaged, or files do not belong together; names them.
            FileNotFoundError: If one is missing.
        """
