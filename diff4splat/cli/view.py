"""`diff4splat view`: a scene live in the browser."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from diff4splat.cli.console import Console
from diff4splat.cli.options import DEFAULT_FRAMES, check_between, check_device, printable, recorded_fps

__all__ = ["View"]


@dataclass(frozen=True)
class View:
    """Look at a scene live: move freely through it and its time in the browser.

    The library draws every picture where the camera of the page stands: small while something moves, sharp
    once all rests. Beside it are controls for the time, for depth and motion, for the commanded path, and for
    saving pictures, cameras, and camera paths of one's own. Ctrl-C ends it.

    Needs viser: pip install 'diff4splat[viewer]'. For a page that needs no program running, see
    `diff4splat export --to player`.

    In use:
      diff4splat view out/scene.safetensors
      diff4splat view out/scene.safetensors --mode splats
      diff4splat view out/scene.safetensors --port 9000 --no-browser

    Args:
        scene: A scene.safetensors that `diff4splat generate` wrote, or the folder with it; or a scene of
            another program, as for `diff4splat export`.
        mode: Who draws at first: rendered, by the library, or splats, by the browser.
        port: Port to listen at; the next free one if it is taken.
        host: Address to listen at. With another than the default, all who reach this machine can look.
        no_browser: Only say the address; do not open it.
        device: auto, cpu, cuda or cuda:N; auto takes the GPU if there is one.
    """

    scene: Annotated[Positional[Path], arg(metavar="SCENE")]
    mode: Literal["rendered", "splats"] = "rendered"
    port: Annotated[int, arg(metavar="N")] = 8080
    host: Annotated[str, arg(metavar="ADDRESS")] = "127.0.0.1"
    no_browser: Annotated[bool, FlagCreatePairsOff] = False
    device: Annotated[str, arg(metavar="NAME")] = "auto"

    def run(self, console: Console) -> None:
        """Start the viewer and wait for Ctrl-C."""
        check_between("--port", self.port, 0, 65_535)
        if find_spec("viser") is None:
            raise ValueError("view needs viser: pip install 'diff4splat[viewer]'")
        with console.libraries():
            from diff4splat.cli.scenes import read_scene
            from diff4splat.viewer import view_field
        device = check_device(self.device)
        with console.stage("load scene"):
            field, cameras = read_scene(self.scene)
            field = field.to(device)
        frames = DEFAULT_FRAMES if cameras is None else cameras.num_frames
        with view_field(
            field,
            cameras=cameras,
            title=Path(str(field.metadata.get("image") or printable(self.scene.name))).stem,
            mode=self.mode,
            seconds=frames / recorded_fps(field.metadata),
            host=self.host,
            port=self.port,
            open_browser=not self.no_browser,
        ) as viewer:
            console.print(f"{viewer.address} shows the scene; Ctrl-C ends it")
            viewer.wait()
