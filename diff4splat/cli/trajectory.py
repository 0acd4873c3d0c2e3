"""`diff4splat trajectory`: look at a camera path, draw it, and write it for this or another program."""

import logging
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from diff4splat.cli.console import Console
from diff4splat.cli.options import MAX_AMPLITUDE, MAX_FRAMES, check_between, load_path, refuse_unused
from diff4splat.cli.output import check_output_file, writing
from diff4splat.cli.stopping import hold_requests

if TYPE_CHECKING:
    from diff4splat.cameras import Cameras

__all__ = ["Trajectory"]

logger = logging.getLogger(__name__)

_SUFFIXES = (".json", ".npz", ".npy", ".txt", ".tum")
_PICTURES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Trajectory:
    """Look at a camera path: in words, as a picture, and as a file for another program.

    The path is described: how long it is, how fast, what it looks at, and what seems wrong with it. What a
    file does not say (axes, direction, lens, image size) is assumed, and a note says what. Files are
    recognised by themselves: ours and keyframes (.json), transforms.json, COLMAP (a folder), RealEstate10K
    and CameraCtrl (.txt), TUM and TartanAir (.txt), lists of matrices (.json, .txt, .csv, .npy), positions
    and targets (.json), NeoVerse (.json, .npz), MultiCamVideo (.json), Lyra and others (.npz). The commands
    that make scenes and videos take nearly all of them as they are: --trajectory FILE.

    In use:
      diff4splat trajectory spiral --plot spiral.png
      diff4splat trajectory orbit --frames 49 --focus-depth 3 --output transforms.json
      diff4splat trajectory colmap_project/ --distortion drop --output path.json
      diff4splat trajectory realestate.txt --image-size 1280x720 --plot path.svg
      diff4splat trajectory pose_left.txt --axes ned --field-of-view 90 --image-size 640x480
      diff4splat trajectory poses.npy --axes opengl --direction world-to-camera --image-size 640x480
      diff4splat trajectory keyframes.json --speed constant --frames 49 --output path.txt
      diff4splat trajectory neoverse.json --image-size 560x336 --format lyra --output trajectory.npz

    Args:
        name: spiral, forward, backward, upward, downward, orbit or static, or a file or folder of cameras.
        output: File to write: .json, transforms*.json, .npz, .npy, .txt (RealEstate10K) or .tum; a COLMAP
            model for a name without suffix; - prints the path as JSON, and the description as a note.
        format: Format of the output, where its name does not tell: json, transforms, neoverse, npz, lyra,
            npy, realestate10k, tum or colmap.
        plot: Picture to draw: .png, .svg or .pdf. Needs matplotlib (pip install 'diff4splat[plot]').
        frames: Number of cameras: 25 for a named path, those of a file, when omitted.
        speed: Constant spreads the cameras evenly along the way; kept leaves the timing as it is.
        relative_to_first: Write the path in the coordinates of its first camera, which becomes the identity.
            To generate a scene this is not needed.
        size: Height and width of the images that a named path is for, pixels; 512 when omitted.
        amplitude: How far a named path goes, in scene units; each path has its own default.
        focus_depth: How far away the point lies that spiral and orbit look at, in scene units; for a file,
            the depth of the scene that the description and the picture assume.
        field_of_view: Horizontal field of view of a named path, or of a file without a lens, degrees; 60 when
            omitted.
        image_size: Width and height of the images that a file of cameras is for, such as 640x480, where the
            file does not say.
        axes: Camera axes of a file that does not say: opencv (x right, y down, z forward; assumed), opengl (y
            up, z backward) or ned (x forward, y right, z down: TartanAir).
        direction: Whether the matrices of a file that does not say are camera-to-world (assumed) or
            world-to-camera.
        distortion: Refuse lenses with distortion, or drop it and keep the pinhole part.
        camera: Name of the camera, such as cam01, in a file that holds several (MultiCamVideo).
    """

    name: Annotated[Positional[str], arg(metavar="NAME|FILE")]
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="FILE", help_behavior_hint="")] = None
    format: Annotated[
        Literal["json", "transforms", "realestate10k", "npz", "colmap", "tum", "npy", "lyra", "neoverse"]
        | None,
        arg(metavar="NAME", help_behavior_hint=""),
    ] = None
    plot: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    frames: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    speed: Literal["kept", "constant"] = "kept"
    relative_to_first: Annotated[bool, FlagCreatePairsOff] = False
    size: Annotated[int | None, arg(metavar="PX", help_behavior_hint="")] = None
    amplitude: Annotated[float | None, arg(metavar="UNITS", help_behavior_hint="")] = None
    focus_depth: Annotated[float | None, arg(metavar="UNITS", help_behavior_hint="")] = None
    field_of_view: Annotated[float | None, arg(metavar="DEG", help_behavior_hint="")] = None
    image_size: Annotated[str | None, arg(metavar="WxH", help_behavior_hint="")] = None
    axes: Annotated[
        Literal["opencv", "opengl", "ned"] | None,
        arg(metavar="opencv|opengl|ned", help_behavior_hint=""),
    ] = None
    direction: Annotated[
        Literal["camera-to-world", "world-to-camera"] | None,
        arg(metavar="camera-to-world|world-to-camera", help_behavior_hint=""),
    ] = None
    distortion: Literal["refuse", "drop"] = "refuse"
    camera: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None

    def run(self, console: Console) -> None:
        """Describe the path, draw it, write it."""
        self._check()
        with hold_requests():
            from diff4splat.cameras import describe_path, retime_path
        path = retime_path(self._load(), self.frames, speed=self.speed)
        if self.relative_to_first:
            path = path.relative_to()
        words = str(describe_path(path, self.focus_depth))
        if self.output is not None and str(self.output) == "-":
            self._print(path, console)
            logger.info("%s\n%s", self.name, words)
        else:
            console.print(words)
        if self.plot is not None:
            from diff4splat.pictures import draw_path

            with writing(self.plot, "--plot"):
                draw_path(path, self.plot, focus_depth=self.focus_depth)
            console.print(f"picture      {self.plot}")
        if self.output is not None and str(self.output) != "-":
            self._write(path, self.output)
            console.print(
                f"{path.num_frames} cameras of {path.width}x{path.height} pixels written to {self.output}"
            )

    def _check(self) -> None:
        """Refuse what cannot be done before anything is."""
        check_between("--frames", self.frames, 1, MAX_FRAMES)
        check_between("--size", self.size, 1, 65_536)
        check_between("--amplitude", self.amplitude, -MAX_AMPLITUDE, MAX_AMPLITUDE)
        check_between("--focus-depth", self.focus_depth, 0.001, 1_000_000)
        check_between("--field-of-view", self.field_of_view, 1, 179)
        if self.plot is not None:
            check_output_file(self.plot, _PICTURES, "--plot")
            if find_spec("matplotlib") is None:
                raise ValueError("--plot needs matplotlib: pip install 'diff4splat[plot]'")
        output = self.output
        if self.format is not None and output is None:
            raise ValueError("--format is for a path that is written, got no --output")
        if output is None or str(output) == "-" or self.format == "colmap":
            return
        if output.suffix and not output.is_dir():
            check_output_file(output, _SUFFIXES)

    def _load(self) -> "Cameras":
        from diff4splat.cameras import trajectory

        named = self.name in trajectory.NAMES
        given: dict[str, object] = {
            "--size": self.size,
            "--amplitude": self.amplitude,
            "--image-size": self.image_size,
            "--axes": self.axes,
            "--direction": self.direction,
            "--camera": self.camera,
            "--distortion": None if self.distortion == "refuse" else self.distortion,
        }
        if named:
            given["--focus-depth"] = self.focus_depth
        conventions: dict[str, Any] = {
            "axes": self.axes,
            "direction": None if self.direction is None else self.direction.replace("-", "_"),
            "field_of_view_deg": self.field_of_view,
            "distortion": self.distortion,
            "camera": self.camera,
        }
        path = load_path(
            self.name,
            num_frames=self.frames if named else None,
            size=self.size or 512,
            amplitude=self.amplitude,
            focus_depth=self.focus_depth,
            field_of_view_deg=self.field_of_view,
            image_size=self.image_size,
            conventions=conventions,
            option="NAME",
        )
        refuse_unused(self.name, given)
        return path

    def _write(self, path: "Cameras", output: Path) -> None:
        from diff4splat.cameras import save_cameras

        with writing(output):
            save_cameras(path, output, format=self.format)

    def _print(self, path: "Cameras", console: Console) -> None:
        """The file of the path, as text."""
        if self.format not in (None, "json"):
            raise ValueError(f"--format must be json where --output is -, got {self.format}.")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "path.json"
            self._write(path, file)
            console.print(file.read_text(encoding="utf-8").rstrip())
