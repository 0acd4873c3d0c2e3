"""`diff4splat render`: a scene along a camera path to a video."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from diff4splat.cli.console import Console, file_size, table
from diff4splat.cli.errors import naming
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
    recorded_fps,
    refuse_unused,
)
from diff4splat.cli.output import check_output_file, writing

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Render"]


@dataclass(frozen=True)
class Render(MarkFlags):
    """Render a scene along any camera path.

    The path is a name, a file of cameras, or the path that was commanded when the scene was made. Named paths
    turn around the middle of the scene and see through the lens that it was made with.

    In use:
      diff4splat render out/scene.safetensors --trajectory orbit --output orbit.mp4
      diff4splat render out/scene.safetensors --time 0.5 --trajectory spiral --output frozen.mp4
      diff4splat render out/scene.safetensors --show depth --output depth.mp4

    Args:
        scene: A scene.safetensors that `diff4splat generate` wrote.
        output: Video to write; an existing file is replaced once the new one is ready.
        trajectory: recorded (the commanded path), spiral, forward, backward, upward, downward, orbit, static,
            or a file of cameras.
        amplitude: How far a named path goes, in scene units; each path has its own default.
        image_size: Width and height of the images that a file of cameras is for, such as 640x480, where the
            file does not say; --size for both when omitted.
        frames: Frames of the video, at least 2; as many as the recorded path has when omitted.
        size: Height and width of the video, pixels.
        fps: Frames per second; those that the scene was made with when omitted.
        time: Hold the scene still at this time, from 0 to 1; the clip plays when omitted.
        show: What the pixels show: color, or depth (near is bright).
        device: auto, cpu, cuda or cuda:N; auto takes the GPU if there is one.
    """

    scene: Annotated[Positional[Path], arg(metavar="SCENE")]
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE.mp4")]
    trajectory: Annotated[str, arg(aliases=["-t"], metavar="NAME|FILE")] = "recorded"
    amplitude: Annotated[float | None, arg(metavar="UNITS", help_behavior_hint="")] = None
    image_size: Annotated[str | None, arg(metavar="WxH", help_behavior_hint="")] = None
    frames: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    size: Annotated[int, arg(metavar="PX")] = 512
    fps: Annotated[float | None, arg(metavar="N", help_behavior_hint="")] = None
    time: Annotated[float | None, arg(metavar="T", help_behavior_hint="")] = None
    show: Literal["color", "depth"] = "color"
    device: Annotated[str, arg(metavar="NAME")] = "auto"

    def run(self, console: Console) -> None:
        """Render and write."""
        check_between("--frames", self.frames, 2, MAX_FRAMES)
        check_between("--size", self.size, 16, MAX_SIZE)
        check_between("--fps", self.fps, 0.1, MAX_FPS)
        check_between("--amplitude", self.amplitude, -MAX_AMPLITUDE, MAX_AMPLITUDE)
        check_between("--time", self.time, 0, 1)
        self.check_marks()
        check_output_file(self.output, (".mp4",))
        with console.libraries():  # also what is only used later: here requests to stop wait
            import av  # noqa: F401
            import torch

            from diff4splat.assets import load_field, load_field_cameras, save_video
            from diff4splat.pipelines import depth_video, fit_cameras, focus_depth, render_path
        device = check_device(self.device)
        with console.stage("load scene"), naming("SCENE cannot be read", self.scene):
            field = load_field(self.scene).to(device)
            recorded = load_field_cameras(self.scene)
        frames = self.frames or (DEFAULT_FRAMES if recorded is None else max(2, recorded.num_frames))
        if self.trajectory == "recorded":
            if recorded is None:
                raise ValueError(
                    f"--trajectory must be given: {self.scene} does not hold the path it was made with."
                )
            path = recorded
        else:
            path = load_path(
                self.trajectory,
                num_frames=frames,
                size=self.size,
                amplitude=self.amplitude,
                focus_depth=focus_depth(field),
                field_of_view_deg=None
                if recorded is None
                else _field_of_view_deg(recorded.intrinsics, recorded.width),
                image_size=self.image_size,
            )
        refuse_unused(self.trajectory, {"--amplitude": self.amplitude, "--image-size": self.image_size})
        note_warnings(self.trajectory, path)
        path = fit_cameras(path, height=self.size, width=self.size, num_frames=frames)
        path = path.to(device=device, dtype=field.dtype)
        times = None if self.time is None else torch.full((frames,), self.time, device=device)
        with console.stage("render the path", frames) as progress:
            film = render_path(field, path, times, callback=progress)
        with console.stage("write video"), writing(self.output):
            video = depth_video(film) if self.show == "depth" else film.color
            mark = self.watermark_for(field) if self.show == "color" else None
            save_video(video, self.output, fps=self.fps or recorded_fps(field.metadata), watermark=mark)
            self.sign([self.output], field)
        console.print(f"\n{console.stage_table()}\n")
        console.print(table(("file", "size"), [(str(self.output), file_size(self.output))], right=(1,)))
        console.print(f"\n{self.say([self.output.name] if self.show == 'color' else [])}")


def _field_of_view_deg(intrinsics: "Tensor", width: int) -> float:
    """Horizontal field of view of the first camera."""
    return math.degrees(2 * math.atan(width / (2 * float(intrinsics[0, 0, 0]))))
