"""`diff4splat export`: a scene as a file for another program."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from diff4splat.cli.console import Console, file_size, table
from diff4splat.cli.errors import naming
from diff4splat.cli.options import DEFAULT_FRAMES, check_between, printable, recorded_fps
from diff4splat.cli.output import check_output_file, writing

__all__ = ["Export"]

_SUFFIXES = {"ply": ".ply", "player": ".html"}


@dataclass(frozen=True)
class Export:
    """Turn a scene into a file for another program.

    ply is a 3D Gaussian splatting PLY, one moment of the scene, for any splat viewer. player is one HTML page
    with the moving scene in it, which opens in a browser without a network.

    In use:
      diff4splat export out/scene.safetensors --to ply --time 0.5 --output half.ply
      diff4splat export out/scene.safetensors --to player --output scene.html

    Args:
        scene: A scene.safetensors that `diff4splat generate` wrote.
        to: Kind of file.
        output: File to write; an existing file is replaced once the new one is ready.
        time: Moment to export, from 0 to 1, for ply; the canonical Gaussians when omitted.
        seconds: How long the clip lasts in the player; as long as the video of the scene when omitted.
    """

    scene: Annotated[Positional[Path], arg(metavar="SCENE")]
    to: Literal["ply", "player"]
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
    time: Annotated[float | None, arg(metavar="T", help_behavior_hint="")] = None
    seconds: Annotated[float | None, arg(metavar="S", help_behavior_hint="")] = None

    def run(self, console: Console) -> None:
        """Convert and write."""
        check_output_file(self.output, (_SUFFIXES[self.to],))
        check_between("--time", self.time, 0, 1)
        check_between("--seconds", self.seconds, 0.1, 3600)
        if self.time is not None and self.to != "ply":
            raise ValueError(f"--time is for --to ply, got --to {self.to}, which holds all times.")
        if self.seconds is not None and self.to != "player":
            raise ValueError(f"--seconds is for --to player, got --to {self.to}, which holds one moment.")
        with console.libraries():
            from diff4splat.assets import load_field, load_field_cameras, save_ply
            from diff4splat.viewer import save_player
        with console.stage("load scene"), naming("SCENE cannot be read", self.scene):
            field = load_field(self.scene)
            cameras = load_field_cameras(self.scene)
        with console.stage("write file"), writing(self.output):
            if self.to == "ply":
                gaussians = field.canonical if self.time is None else field.at(self.time)
                save_ply(gaussians, self.output, provenance=field.metadata)
            else:
                title = Path(str(field.metadata.get("image") or printable(self.scene.name))).stem
                frames = DEFAULT_FRAMES if cameras is None else cameras.num_frames
                seconds = self.seconds or frames / recorded_fps(field.metadata)
                save_player(field, self.output, cameras=cameras, title=title, seconds=seconds)
        console.print(table(("file", "size"), [(str(self.output), file_size(self.output))], right=(1,)))
