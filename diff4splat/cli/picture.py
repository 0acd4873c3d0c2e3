"""`diff4splat picture`: a scene on one page, or one picture of it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from diff4splat.cli.console import Console, file_size, table
from diff4splat.cli.options import (
    DEFAULT_FRAMES,
    DEFAULT_SIZE,
    MAX_SIZE,
    check_between,
    check_device,
    note_warnings,
)
from diff4splat.cli.output import check_output_file, writing
from diff4splat.cli.render import scene_path

if TYPE_CHECKING:
    from torch import Tensor

    from diff4splat.cameras import Cameras
    from diff4splat.gaussians import DeformableGaussianField

__all__ = ["Picture"]

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_PAGES = ("overview", "sheet")
_OF_ONE_TIME = ("depth", "trails")


@dataclass(frozen=True)
class Picture:
    """Draw a scene: all of it on one page, or one kind of picture.

    overview is the page that `diff4splat generate` writes: views and depth over time, motion, the camera
    path. sheet is its upper part. depth is the depth that the first camera sees, with its scale. trails are
    the ways of what moves, seen from the first camera, and flow the same motion as colours. path is the
    camera path; `diff4splat trajectory --plot` draws it with axes.

    In use:
      diff4splat picture out/scene.safetensors --output overview.jpg
      diff4splat picture out/scene.safetensors --kind depth --time 0.5 --output depth.png
      diff4splat picture out/scene.safetensors --kind trails --width 1200 --output trails.png
      diff4splat picture out/scene.safetensors --trajectory orbit --output around.jpg

    Args:
        scene: A scene.safetensors that `diff4splat generate` wrote, or the folder with it; or a scene of
            another program, as for `diff4splat export`.
        output: Picture to write: .png, .jpg or .webp; an existing file is replaced once the new one is ready.
        kind: What is drawn.
        trajectory: recorded (the commanded path), spiral, forward, backward, upward, downward, orbit, static,
            or a file of cameras.
        coordinates: Where a file of cameras stands: first-camera moves it so that it starts where the scene's
            first camera stands, scene takes it as it is.
        time: Time of depth, and of the picture under the trails, from 0 to 1; 0 for depth and 1 for trails
            when omitted.
        width: Width of the picture, pixels; 1600 for overview and sheet, 800 for the others when omitted.
        device: auto, cpu, cuda or cuda:N; auto takes the GPU if there is one.
    """

    scene: Annotated[Positional[Path], arg(metavar="SCENE")]
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
    kind: Literal["overview", "sheet", "depth", "trails", "flow", "path"] = "overview"
    trajectory: Annotated[str, arg(aliases=["-t"], metavar="NAME|FILE")] = "recorded"
    coordinates: Literal["first-camera", "scene"] = "first-camera"
    time: Annotated[float | None, arg(metavar="T", help_behavior_hint="")] = None
    width: Annotated[int | None, arg(metavar="PX", help_behavior_hint="")] = None
    device: Annotated[str, arg(metavar="NAME")] = "auto"

    def run(self, console: Console) -> None:
        """Draw and write."""
        check_between("--time", self.time, 0, 1)
        check_between("--width", self.width, 400 if self.kind in _PAGES else 64, MAX_SIZE)
        check_output_file(self.output, _SUFFIXES)
        if self.time is not None and self.kind not in _OF_ONE_TIME:
            raise ValueError(f"--time is for --kind depth and trails, got --kind {self.kind}.")
        with console.libraries():
            from diff4splat.cli.scenes import read_scene
            from diff4splat.pictures import save_picture
            from diff4splat.pipelines import fit_cameras, focus_depth
        device = check_device(self.device)
        with console.stage("load scene"):
            field, recorded = read_scene(self.scene)
            field = field.to(device)
        path = scene_path(
            self.scene,
            self.trajectory,
            recorded,
            num_frames=DEFAULT_FRAMES if recorded is None else max(2, recorded.num_frames),
            size=DEFAULT_SIZE,
            focus_depth=focus_depth(field, recorded),
            coordinates=self.coordinates,
        )
        note_warnings(self.trajectory, path)
        path = fit_cameras(path, height=path.height, width=path.width, coordinates="kept")
        with console.stage("draw picture"):
            picture = self._draw(field, path.to(device=device, dtype=field.dtype))
        with console.stage("write picture"), writing(self.output):
            save_picture(picture, self.output, provenance=field.metadata)
        height, width = picture.shape[1:]
        row = (str(self.output), f"{width}x{height}", file_size(self.output))
        console.print(table(("file", "pixels", "size"), [row], right=(1, 2)))

    def _draw(self, field: "DeformableGaussianField", path: "Cameras") -> "Tensor":
        from diff4splat.pictures import (
            depth_picture,
            flow_picture,
            motion_trails,
            overview,
            overview_sheet,
            path_picture,
        )
        from diff4splat.pipelines import focus_depth, sway_cameras
        from diff4splat.rendering import render

        width = self.width or (1600 if self.kind in _PAGES else 800)
        if self.kind in _PAGES:
            sway = sway_cameras(path, focus_depth=focus_depth(field, path))
            beside = replace(sway, camera_to_world=path.camera_to_world[:1] @ sway.camera_to_world)
            views = {"another view": beside}
            title = ": ".join(
                str(field.metadata[key]) for key in ("image", "video", "prompt") if field.metadata.get(key)
            )
            draw = overview if self.kind == "overview" else overview_sheet
            return draw(field, path, views=views, title=title, width=width)
        height = max(round(width * path.height / path.width), 1)
        if self.kind == "path":
            return path_picture(path, height=width * 3 // 4, width=width)
        camera = path.select([0]).resize(height, width)
        if self.kind == "trails":
            return motion_trails(field, camera, time=1.0 if self.time is None else self.time)
        if self.kind == "flow":
            return flow_picture(field, camera)
        seen = render(field.at(self.time or 0.0), camera)
        return depth_picture(seen.depth[0, 0], mask=seen.alpha[0, 0] > 0.5).cpu()
