"""`diff4splat export`: a scene as a file for another program."""

from dataclasses import dataclass, fields
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from diff4splat.cli.console import Console, file_size, table
from diff4splat.cli.exports.kinds import FOLDER, KINDS, ExportJob, find_kind, table_of_kinds
from diff4splat.cli.marking import MarkFlags
from diff4splat.cli.options import MAX_FRAMES, MAX_SIZE, check_between, printable, recorded_fps
from diff4splat.cli.output import check_output_file, check_output_folder, writing

__all__ = ["Export"]

_FOR_ALL = ("scene", "output", "to")


@dataclass(frozen=True)
class Export(MarkFlags):
    """Turn a scene into a file for another program.

    The kinds of file; the suffix of the output says which is meant where --to is left out:
      KINDS

    In use:
      diff4splat export out/scene.safetensors --time 0.5 --output half.ply
      diff4splat export out/scene.safetensors --to ply-sequence --frames 25 --output frames/
      diff4splat export out/scene.safetensors --output scene.usdc
      diff4splat export garden.ply --output garden.glb
      diff4splat export out/scene.safetensors --size 256 --output small.gif
      diff4splat export out/scene.safetensors --to mesh --time 0.5 --output half.glb
      diff4splat export out/scene.safetensors --to depth-npz --output depth.npz

    Args:
        scene: A scene.safetensors that `diff4splat generate` wrote, or the folder with it; or a .ply, .splat
            or a folder with one .ply per moment, of any program.
        output: File or folder to write; an existing file, SCENE too, is replaced once the new one is ready.
        to: Kind of file.
        time: Moment to export, from 0 to 1; when omitted the canonical Gaussians, of a mesh and a single
            depth map the start, of other depth the whole clip.
        frames: Number of moments, evenly spaced from 0 to 1; when omitted those that the scene stores, or
            as many as its path has.
        resolution: Voxels across the picture, for a mesh; 256 when omitted.
        seconds: How long the clip lasts; as long as the video of the scene when omitted.
        size: Longer side of the pictures, pixels; that of the recorded path when omitted.
    """

    scene: Annotated[Positional[Path], arg(metavar="SCENE")]
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE|FOLDER")]
    to: Annotated[str | None, arg(metavar="KIND", help_behavior_hint="")] = None
    time: Annotated[float | None, arg(metavar="T", help_behavior_hint="")] = None
    frames: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    resolution: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    seconds: Annotated[float | None, arg(metavar="S", help_behavior_hint="")] = None
    size: Annotated[int | None, arg(metavar="PX", help_behavior_hint="")] = None

    def __post_init__(self) -> None:
        find_kind(self.to, self.output)

    def run(self, console: Console) -> None:
        """Convert and write."""
        name = find_kind(self.to, self.output)
        self._check(name)
        with console.libraries():
            from diff4splat.cli.scenes import read_scene

            module, _, function = KINDS[name].home.partition(":")
            write = getattr(import_module(f"diff4splat.cli.exports.{module}"), function)
        with console.stage("load scene"):
            field, cameras = read_scene(self.scene)
        title = Path(str(field.metadata.get("image") or printable(self.scene.name))).stem
        fps = recorded_fps(field.metadata)
        with console.stage("write file") as progress, writing(self.output):
            write(ExportJob(name, field, cameras, self.output, self, title, fps, progress))
        console.print(table(("file", "size"), [(str(self.output), file_size(self.output))], right=(1,)))
        if name == "video":
            console.print(f"\n{self.say([self.output.name])}")

    def _check(self, name: str) -> None:
        """Refuse what cannot be done before anything is."""
        check_between("--time", self.time, 0, 1)
        check_between("--frames", self.frames, 1, MAX_FRAMES)
        check_between("--resolution", self.resolution, 16, 2048)
        check_between("--seconds", self.seconds, 0.1, 3600)
        check_between("--size", self.size, 16, MAX_SIZE)
        self.check_marks()
        kind = KINDS[name]
        for option in (field.name for field in fields(self) if field.name not in _FOR_ALL):
            if option not in kind.options and getattr(self, option) not in (None, False):
                users = ", ".join(key for key, other in KINDS.items() if option in other.options)
                raise ValueError(f"--{option.replace('_', '-')} is for --to {users}, got --to {name}.")
        suffixes = tuple(suffix for suffix in kind.suffixes if suffix != FOLDER)
        if FOLDER in kind.suffixes and (not suffixes or not self.output.suffix or self.output.is_dir()):
            check_output_folder(self.output)
        else:
            check_output_file(self.output, suffixes)
        if kind.requires is not None and find_spec(kind.requires[0]) is None:
            _, package, extra = kind.requires
            raise ValueError(f"--to {name} needs {package}: pip install 'diff4splat[{extra}]'")


Export.__doc__ = str(Export.__doc__).replace("KINDS", table_of_kinds(indent=6), 1)
