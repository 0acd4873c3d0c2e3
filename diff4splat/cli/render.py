"""`diff4splat render`: a scene along a camera path to a video."""

import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from diff4splat.cli.console import Console, file_size, table
from diff4splat.cli.marking import MarkFlags
from diff4splat.cli.options import (
    DEFAULT_FRAMES,
    MAX_AMPLITUDE,
    MAX_FPS,
    MAX_FRAMES,
    MAX_SIZE,
    check_between,
    check_device,
    load_path,
    note_warnings,
    printable,
    recorded_fps,
    refuse_unused,
)
from diff4splat.cli.output import check_output_file, writing

if TYPE_CHECKING:
    from torch import Tensor

    from diff4splat.cameras import Cameras

__all__ = ["Render", "scene_path"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Render(MarkFlags):
    """Render a scene along any camera path.

    The path is a name, a file of cameras, or the path that was commanded when the scene was made. Named paths
    turn around the middle of the scene and see through the lens that it was made with. They and files of
    cameras start where the scene's first camera stands, unless --coordinates scene says that a file is in the
    coordinates of the scene, as are those that `diff4splat view` saves.

    In use:
      diff4splat render out/scene.safetensors --trajectory orbit --output orbit.mp4
      diff4splat render out/scene.safetensors --time 0.5 --trajectory spiral --output frozen.mp4
      diff4splat render out/scene.safetensors --show depth --output depth.mp4
      diff4splat render out/scene.safetensors --size 256 --output small.gif
      diff4splat render out/scene.safetensors -t keyframes.json --coordinates scene -o mine.mp4

    Args:
        scene: A scene.safetensors that `diff4splat generate` wrote, or the folder with it; or a .ply, .splat
            or a folder with one .ply per moment, of any program.
        output: Video to write, .mp4, .webp or .gif; an existing file is replaced once the new one is ready.
        trajectory: recorded (the commanded path), spiral, forward, backward, upward, downward, orbit, static,
            a file of cameras, or another scene that holds a path.
        amplitude: How far a named path goes, in scene units; each path has its own default.
        coordinates: Where a file of cameras stands: first-camera moves it so that it starts where the scene's
            first camera stands, scene takes it as it is.
        image_size: Width and height of the images that a file of cameras is for, such as 640x480, where the
            file does not say; --size for both when omitted.
        frames: Frames of the video, at least 2; as many as the recorded path has when omitted.
        size: Height and width of the video, pixels.
        fps: Frames per second; those that the scene was made with when omitted.
        time: Hold the scene still at this time, from 0 to 1; the clip plays when omitted.
        show: What the pixels show: color, depth (near is bright), or motion until the next frame (the hue
            says where to, white rests; with --time, the motion at that time).
        device: auto, cpu, cuda or cuda:N; auto takes the GPU if there is one.
    """

    scene: Annotated[Positional[Path], arg(metavar="SCENE")]
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
    trajectory: Annotated[str, arg(aliases=["-t"], metavar="NAME|FILE")] = "recorded"
    amplitude: Annotated[float | None, arg(metavar="UNITS", help_behavior_hint="")] = None
    coordinates: Literal["first-camera", "scene"] = "first-camera"
    image_size: Annotated[str | None, arg(metavar="WxH", help_behavior_hint="")] = None
    frames: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    size: Annotated[int, arg(metavar="PX")] = 512
    fps: Annotated[float | None, arg(metavar="N", help_behavior_hint="")] = None
    time: Annotated[float | None, arg(metavar="T", help_behavior_hint="")] = None
    show: Literal["color", "depth", "motion"] = "color"
    device: Annotated[str, arg(metavar="NAME")] = "auto"

    def run(self, console: Console) -> None:
        """Render and write."""
        check_between("--frames", self.frames, 2, MAX_FRAMES)
        check_between("--size", self.size, 16, MAX_SIZE)
        check_between("--amplitude", self.amplitude, -MAX_AMPLITUDE, MAX_AMPLITUDE)
        check_between("--time", self.time, 0, 1)
        self.check_marks()
        check_output_file(self.output, (".mp4", ".webp", ".gif"))
        check_between("--fps", self.fps, 0.1, 50 if self.output.suffix.lower() == ".gif" else MAX_FPS)
        with console.libraries():  # also what is only used later: here requests to stop wait
            import av  # noqa: F401
            import torch

            from diff4splat.assets import save_video
            from diff4splat.cli.scenes import read_scene
            from diff4splat.pictures import motion_video
            from diff4splat.pipelines import depth_video, fit_cameras, focus_depth, render_path
        device = check_device(self.device)
        with console.stage("load scene"):
            field, recorded = read_scene(self.scene)
            field = field.to(device)
        frames = self.frames or (DEFAULT_FRAMES if recorded is None else max(2, recorded.num_frames))
        path = scene_path(
            self.scene,
            self.trajectory,
            recorded,
            num_frames=frames,
            size=self.size,
            amplitude=self.amplitude,
            focus_depth=focus_depth(field, recorded),
            image_size=self.image_size,
            coordinates=self.coordinates,
        )
        refuse_unused(self.trajectory, {"--amplitude": self.amplitude, "--image-size": self.image_size})
        note_warnings(self.trajectory, path)
        path = fit_cameras(path, height=self.size, width=self.size, num_frames=frames, coordinates="kept")
        path = path.to(device=device, dtype=field.dtype)
        times = None if self.time is None else torch.full((frames,), self.time, device=device)
        with console.stage("render the path", frames) as progress:
            if self.show == "motion":
                video = motion_video(field, path, times, callback=progress)
            else:
                film = render_path(field, path, times, callback=progress)
                video = depth_video(film) if self.show == "depth" else film.color
        with console.stage("write video"), writing(self.output):
            fps = self.fps or recorded_fps(field.metadata)
            shown = {"trajectory": printable(Path(self.trajectory).name), "fps": fps, "show": self.show}
            if self.trajectory == "recorded":
                del shown["trajectory"]
            origin = {**field.metadata, **shown}
            mark = self.watermark_for(field) if self.show == "color" else None
            save_video(video, self.output, fps=fps, provenance=origin, watermark=mark)
            self.sign([self.output], field)
        console.print(f"\n{console.stage_table()}\n")
        console.print(table(("file", "size"), [(str(self.output), file_size(self.output))], right=(1,)))
        console.print(f"\n{self.say([self.output.name] if self.show == 'color' else [])}")


def scene_path(
    scene: Path,
    trajectory: str,
    recorded: "Cameras | None",
    *,
    num_frames: int,
    size: int,
    focus_depth: float,
    amplitude: float | None = None,
    image_size: str | None = None,
    coordinates: Literal["first-camera", "scene"] = "first-camera",
) -> "Cameras":
    """The path along which a scene that exists is seen.

    Args:
        scene: File of the scene, for the message.
        trajectory: recorded, the name of a path, or a file of cameras.
        recorded: The path that the scene was made with, if its file holds it; named paths take its lens.
        num_frames: Cameras of a named path.
        size: Height and width of the images of a named path, pixels.
        focus_depth: How far away the middle of the scene is, scene units.
        amplitude: How far a named path goes; each has its own default.
        image_size: Width and height that a file of cameras is for, where it does not say.
        coordinates: Whether a file is moved so that it starts at the scene's first camera, or is in the
            coordinates of the scene.

    Returns:
        The path, in the coordinates of the scene.

    Raises:
        ValueError: If there is no such path, or `coordinates` is said of one that is no file.
    """
    import torch

    from diff4splat.cameras.trajectory import NAMES

    if coordinates == "scene" and trajectory in ("recorded", *NAMES):
        raise ValueError(f"--coordinates is for a file of cameras, got --trajectory {trajectory}.")
    if trajectory == "recorded":
        if recorded is None:
            raise ValueError(
                f"--trajectory must be given: {scene} does not hold the path it was made with. "
                "It takes a name such as orbit, a file of cameras, or a scene.safetensors that holds a path."
            )
        return recorded
    path = load_path(
        trajectory,
        num_frames=num_frames,
        size=size,
        amplitude=amplitude,
        focus_depth=focus_depth,
        field_of_view_deg=None
        if recorded is None
        else _field_of_view_deg(recorded.intrinsics, recorded.width),
        image_size=image_size,
    )
    if coordinates == "scene":
        return path
    start = path.relative_to()
    if trajectory not in NAMES and not torch.allclose(path.camera_to_world, start.camera_to_world, atol=1e-4):
        logger.info(
            "%s does not start at the origin; it is moved to start where the scene's first camera stands "
            "(--coordinates scene leaves it where it is)",
            trajectory,
        )
    if recorded is None:
        return start
    first = recorded.camera_to_world[:1].to(start.camera_to_world)
    return replace(start, camera_to_world=first @ start.camera_to_world)


def _field_of_view_deg(intrinsics: "Tensor", width: int) -> float:
    """Horizontal field of view of the first camera."""
    return math.degrees(2 * math.atan(width / (2 * float(intrinsics[0, 0, 0]))))
