"""`diff4splat trajectory`: a named camera path as a file, to look at, edit and give back."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from diff4splat.cli.console import Console
from diff4splat.cli.options import MAX_AMPLITUDE, MAX_FRAMES, check_between, load_path, refuse_unused
from diff4splat.cli.output import check_output_file, writing
from diff4splat.cli.stopping import hold_requests

__all__ = ["Trajectory"]


@dataclass(frozen=True)
class Trajectory:
    """Write a camera path to a file, or print it.

    The file can be edited and given to `diff4splat generate --trajectory`. Axes are OpenCV's (+x right, +y
    down, +z forward), matrices are camera-to-world, and the first camera is where the photograph was taken.
    Given a file, the path is converted to the format of the output.

    In use:
      diff4splat trajectory spiral --output path.json
      diff4splat trajectory orbit --frames 49 --focus-depth 3 --output transforms.json
      diff4splat trajectory transforms.json --output path.npz
      diff4splat trajectory realestate.txt --image-size 1280x720 --output path.json

    Args:
        name: spiral, forward, backward, upward, downward, orbit or static, or a file of cameras.
        output: File to write: .json, .npz, .txt (RealEstate10K) or transforms*.json; the path is printed as
            JSON when omitted.
        frames: Cameras of a named path; 25 when omitted.
        size: Height and width of the images that a named path is for, pixels; 512 when omitted.
        amplitude: How far the path goes, in scene units; each path has its own default.
        focus_depth: How far away the point lies that spiral and orbit look at, in scene units.
        field_of_view: Horizontal field of view of a named path, degrees.
        image_size: Width and height of the images that a file of cameras is for, such as 640x480, where the
            file does not say.
    """

    name: Annotated[Positional[str], arg(metavar="NAME|FILE")]
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="FILE", help_behavior_hint="")] = None
    frames: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    size: Annotated[int | None, arg(metavar="PX", help_behavior_hint="")] = None
    amplitude: Annotated[float | None, arg(metavar="UNITS", help_behavior_hint="")] = None
    focus_depth: Annotated[float | None, arg(metavar="UNITS", help_behavior_hint="")] = None
    field_of_view: Annotated[float | None, arg(metavar="DEG", help_behavior_hint="")] = None
    image_size: Annotated[str | None, arg(metavar="WxH", help_behavior_hint="")] = None

    def run(self, console: Console) -> None:
        """Write or print the path."""
        check_between("--frames", self.frames, 1, MAX_FRAMES)
        check_between("--size", self.size, 1, 65_536)
        check_between("--amplitude", self.amplitude, -MAX_AMPLITUDE, MAX_AMPLITUDE)
        check_between("--focus-depth", self.focus_depth, 0.001, 1_000_000)
        check_between("--field-of-view", self.field_of_view, 1, 179)
        if self.output is not None:
            check_output_file(self.output, (".json", ".npz", ".txt"))
        with hold_requests():
            from diff4splat.cameras import save_cameras
        given = {
            "--frames": self.frames,
            "--size": self.size,
            "--amplitude": self.amplitude,
            "--focus-depth": self.focus_depth,
            "--field-of-view": self.field_of_view,
            "--image-size": self.image_size,
        }
        path = load_path(
            self.name,
            num_frames=self.frames,
            size=self.size or 512,
            amplitude=self.amplitude,
            focus_depth=self.focus_depth,
            field_of_view_deg=self.field_of_view,
            image_size=self.image_size,
            option="NAME",
        )
        refuse_unused(self.name, given)
        if self.output is not None:
            with writing(self.output):
                save_cameras(path, self.output)
            console.print(
                f"{path.num_frames} cameras of {path.width}x{path.height} pixels written to {self.output}"
            )
            return
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "path.json"
            save_cameras(path, file)
            console.print(file.read_text(encoding="utf-8").rstrip())
