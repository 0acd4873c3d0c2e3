"""The seven files of a scene, written alike by `generate` and `reconstruct`, and the table that says so."""

from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from diff4splat.cli import GENERATED_FILES
from diff4splat.cli.console import Console, file_size, table
from diff4splat.cli.marking import MarkFlags
from diff4splat.cli.options import DEFAULT_SIZE, printable

if TYPE_CHECKING:
    from diff4splat.cameras import Cameras
    from diff4splat.gaussians import DeformableGaussianField

__all__ = ["MARKED_FILES", "SceneFiles", "output_size", "written_files"]

MARKED_FILES = ("video.mp4", "novel_view.mp4")
"""Which files carry a watermark. Depth does not: its colours are measurements, which grain would change."""

_MEANING = {
    "scene.safetensors": "the scene: Gaussians, motion, where it comes from",
    "video.mp4": "along the commanded path",
    "novel_view.mp4": "along a path that was not commanded",
    "depth.mp4": "depth along the commanded path, near is bright",
    "overview.jpg": "look at this first: views, depth, motion, camera path",
    "scene.ply": "Gaussians for any splat viewer, without motion",
    "player.html": "open it in a browser: orbit, time slider",
}


def output_size(height: int, width: int, size: int | None) -> tuple[int, int]:
    """Height and width of the videos: of the shape of the model's clips.

    Args:
        height: Height of the clips, pixels.
        width: Their width.
        size: Longer side of the videos, pixels; when omitted 512 for square clips, and the size of the clips
            for others.

    Returns:
        Height and width, pixels.
    """
    longest = max(height, width)
    if size is None:
        size = DEFAULT_SIZE if height == width else longest
    return max(1, round(height * size / longest)), max(1, round(width * size / longest))


@dataclass(frozen=True)
class SceneFiles:
    """Where the files of one scene go, and what they say about it.

    Args:
        folder: Folder that exists.
        source: Name of the photograph or video.
        kind: What it is, the key of `source` in the provenance.
        trajectory: Name of the camera path, or of its file.
        fps: Frames per second of the videos.
        marks: How the videos are marked as generated.
    """

    folder: Path
    source: str
    kind: str
    trajectory: str
    fps: float
    marks: MarkFlags = MarkFlags()

    def write(self, console: Console, field: "DeformableGaussianField", path: "Cameras") -> None:
        """Render the videos and write all seven files, in four stages.

        Args:
            console: Shows progress.
            field: The scene.
            path: The commanded path, one camera per frame of the videos.
        """
        from diff4splat.assets import save_field, save_ply, save_video
        from diff4splat.pipelines import depth_video, focus_depth, render_path, sway_cameras
        from diff4splat.viewer import save_player

        path = path.to(device=field.device, dtype=field.dtype)
        mark = self.marks.watermark_for(field)
        other = sway_cameras(path, focus_depth=focus_depth(field))
        source, named = printable(self.source), printable(Path(self.trajectory).name)
        made = datetime.now(timezone.utc).isoformat(timespec="seconds")
        provenance = {self.kind: source, "trajectory": named, "fps": self.fps, "created": made}
        origin = {**field.metadata, **provenance}
        with console.stage("render the path", path.num_frames) as progress:
            film = render_path(field, path, callback=progress)
            save_video(film.color, self.folder / "video.mp4", fps=self.fps, provenance=origin, watermark=mark)
            save_video(depth_video(film), self.folder / "depth.mp4", fps=self.fps, provenance=origin)
            del film
        with console.stage("render new views", path.num_frames) as progress:
            novel = render_path(field, other, callback=progress)
            sway = {**origin, "trajectory": "figure of eight around the first camera"}
            save_video(
                novel.color, self.folder / "novel_view.mp4", fps=self.fps, provenance=sway, watermark=mark
            )
            self.marks.sign([self.folder / name for name in (*MARKED_FILES, "depth.mp4")], field)
        with console.stage("draw overview"):
            self._draw(field, path, other)
        with console.stage("write scene"):
            save_field(field, self.folder / "scene.safetensors", cameras=path, provenance=provenance)
            save_ply(field.canonical, self.folder / "scene.ply", provenance=provenance)
            player, seconds = self.folder / "player.html", path.num_frames / self.fps
            save_player(field, player, cameras=path, title=Path(source).stem, seconds=seconds)

    def _draw(self, field: "DeformableGaussianField", path: "Cameras", other: "Cameras") -> None:
        from diff4splat.pictures import overview, save_picture

        prompt, source = str(field.metadata.get("prompt") or ""), printable(self.source)
        page = overview(
            field,
            path,
            views={"another view": other},
            title=f"{source}: {prompt}" if prompt else source,
        )
        named = printable(Path(self.trajectory).name)
        provenance = {**field.metadata, self.kind: source, "trajectory": named}
        save_picture(page, self.folder / "overview.jpg", provenance=provenance)


def written_files(console: Console, output: Path) -> str:
    """What each stage took, and which files there are.

    Args:
        console: Has the stages.
        output: Folder with the seven files.

    Returns:
        Two tables.
    """
    files = [(str(output / name), file_size(output / name), _MEANING[name]) for name in GENERATED_FILES]
    return f"\n{console.stage_table()}\n\n{table(('file', 'size', 'what it is'), files, right=(1,))}"
