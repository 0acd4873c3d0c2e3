"""The kinds of file that `diff4splat export` writes, one row each; importing this loads no library.

To add a kind, write a function that takes an `ExportJob` in a file of its family here, and add a row to
`KINDS`. An option that no kind has yet is a field of `Export` whose default is None; its name goes into
`options` of the row.
"""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass, fields
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from diff4splat.cli.marking import MarkFlags
from diff4splat.cli.options import DEFAULT_FRAMES

if TYPE_CHECKING:
    from diff4splat.cameras import Cameras
    from diff4splat.cli.export import Export
    from diff4splat.gaussians import DeformableGaussianField

__all__ = [
    "FOLDER",
    "KINDS",
    "MARKS",
    "ExportJob",
    "ExportKind",
    "clip_seconds",
    "find_kind",
    "table_of_kinds",
]

FOLDER = ""
"""Among the suffixes of a kind: its output is, or may be, a folder."""

MARKS = tuple(option.name for option in fields(MarkFlags))
"""Options that say how a video is marked as generated."""


class ExportKind(NamedTuple):
    """A row of the table: what a kind of file is for, and which function writes it.

    Args:
        home: Module in this folder and function in it, such as "splats:write_ply"; imported when needed.
        suffixes: What the name of the output may end in; `FOLDER` for a folder of any name.
        meaning: What the file holds and what opens it, in one line.
        options: Fields of `Export` that the function makes use of; the others are refused where given.
        implied_by: Suffixes that mean this kind where `--to` is left out; all of `suffixes` when omitted. A
            folder never says what is meant.
        requires: A module that is not always installed, its package, and the extra that brings it.
    """

    home: str
    suffixes: tuple[str, ...]
    meaning: str
    options: tuple[str, ...] = ()
    implied_by: tuple[str, ...] | None = None
    requires: tuple[str, str, str] | None = None


@dataclass(frozen=True)
class ExportJob:
    """What a function that writes a kind of file is given.

    Args:
        kind: What `--to` calls it, a key of `KINDS`.
        field: The scene, on the CPU.
        cameras: The path it was made with; None where the scene does not hold it.
        output: File or folder to write, known to be of a right suffix and in a folder that can be written.
        options: What the user asked for; options that the kind does not have are None.
        title: What to call the scene.
        fps: Frames per second that it was made with, or the default.
        progress: To be called with the steps finished and the steps in all.
    """

    kind: str
    field: "DeformableGaussianField"
    cameras: "Cameras | None"
    output: Path
    options: "Export"
    title: str
    fps: float
    progress: Callable[[int, int], None]


KINDS: dict[str, ExportKind] = {
    "scene": ExportKind(
        "scenes:write_scene", (".safetensors",), "the moving scene, exactly, for this library"
    ),
    "compact": ExportKind(
        "scenes:write_compact",
        (".safetensors",),
        "the same in a fifth of the size or less, with stated errors",
        implied_by=(),
    ),
    "ply": ExportKind(
        "splats:write_ply", (".ply",), "3D Gaussians at one moment, for any splat program", ("time",)
    ),
    "ply-sequence": ExportKind(
        "splats:write_ply_sequence",
        (FOLDER,),
        "one .ply per moment, the most common way to pass motion on",
        ("frames",),
    ),
    "splat": ExportKind(
        "splats:write_splat", (".splat",), "one moment in 32 bytes per Gaussian, for small viewers", ("time",)
    ),
    "glb": ExportKind(
        "splats:write_glb", (".glb",), "one moment as glTF with KHR_gaussian_splatting", ("time",)
    ),
    "usd": ExportKind(
        "splats:write_usd",
        (".usdc", ".usda", ".usdz", ".usd"),
        "the moving scene and its cameras, as OpenUSD with time samples",
        ("frames", "seconds"),
        requires=("pxr", "usd-core", "usd"),
    ),
    "mesh": ExportKind(
        "media:write_mesh",
        (".ply", ".obj", ".glb"),
        "one moment as coloured triangles, for 3D programs",
        ("resolution", "time"),
        implied_by=(".obj",),
        requires=("skimage", "scikit-image", "mesh"),
    ),
    "video": ExportKind(
        "media:write_video",
        (".mp4", ".webp", ".gif"),
        "the clip along the path that the scene was made with",
        ("frames", "seconds", "size", *MARKS),
    ),
    "depth-png": ExportKind(
        "media:write_depth",
        (FOLDER, ".png"),
        "depth along the path as 16-bit pictures, or one of them",
        ("frames", "size", "time"),
    ),
    "depth-npz": ExportKind(
        "media:write_depth",
        (".npz",),
        "depth along the path as floats, with cameras and times",
        ("frames", "size", "time"),
        implied_by=(),
    ),
    "tracks": ExportKind(
        "media:write_tracks",
        (".npz",),
        "3D paths of what the first frame shows, keys of TAPVid-3D",
        ("frames", "size"),
        implied_by=(),
    ),
    "cameras": ExportKind(
        "media:write_cameras",
        (FOLDER, ".json", ".txt", ".npz", ".npy", ".tum"),
        "the path: a COLMAP folder, transforms.json and others",
        implied_by=(".json", ".txt", ".npy", ".tum"),
    ),
    "player": ExportKind(
        "pages:write_player", (".html",), "the moving scene as one page for a browser", ("seconds",)
    ),
}
"""Every kind, by what `--to` calls it, in the order of the help."""


def find_kind(name: str | None, output: Path) -> str:
    """The kind that is meant.

    Args:
        name: What `--to` says; the suffix of the output says it when omitted.
        output: File or folder to write.

    Returns:
        A key of `KINDS`.

    Raises:
        ValueError: If there is no such kind, or the suffix means none, or more than one.
    """
    if name is not None:
        if name not in KINDS:
            raise ValueError(f"--to must be one of {', '.join(KINDS)}, got {name!r}")
        return name
    suffix = output.suffix.lower()
    meant = [
        key
        for key, kind in KINDS.items()
        if suffix and suffix in (kind.suffixes if kind.implied_by is None else kind.implied_by)
    ]
    if len(meant) == 1:
        return meant[0]
    shared = [key for key, kind in KINDS.items() if suffix and suffix in kind.suffixes]
    possible = meant or shared or list(KINDS)
    raise ValueError(f"--to must be given for the output {output}, one of {', '.join(possible)}")


def clip_seconds(job: ExportJob) -> float:
    """How long the clip lasts: as `--seconds` says, or as long as the video of the scene.

    Args:
        job: The scene and what the user asked for.

    Returns:
        Seconds.
    """
    frames = DEFAULT_FRAMES if job.cameras is None else job.cameras.num_frames
    return job.options.seconds or frames / job.fps


def table_of_kinds(*, indent: int = 0, width: int = 78) -> str:
    """The kinds as lines of help.

    Args:
        indent: Spaces before each line but the first.
        width: Most characters of a line, without these.

    Returns:
        For each kind what `--to` calls it, what its output ends in, and what it is for, folded and aligned.
    """
    column = 2 + max(len(name) for name in KINDS)
    lines: list[str] = []
    for name, kind in KINDS.items():
        suffixes = ", ".join(suffix or "a folder" for suffix in kind.suffixes)
        folded = textwrap.wrap(f"{suffixes}: {kind.meaning}", width - column, break_on_hyphens=False)
        lines += [f"{start:<{column}}{part}" for start, part in zip_longest([name], folded, fillvalue="")]
    return ("\n" + " " * indent).join(lines)
