"""`diff4splat protocol`: the input images, camera paths and prompts that methods are asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from diff4splat.cli.console import Console
from diff4splat.cli.options import MAX_AMPLITUDE, MAX_FRAMES, MAX_SIZE, check_between
from diff4splat.cli.output import made_folder, writing

__all__ = ["Protocol"]


@dataclass(frozen=True)
class Protocol:
    """Write a protocol: what any method is asked for before `diff4splat evaluate --videos` scores its videos.

    In the output folder are manifest.json, which lists the clips, the input images, the cameras of each clip,
    and, for procedural scenes, the real clips along the same paths. Each scene is asked for along the five
    paths of the paper (spiral, forward, backward, upward, downward), and twice along a path that ends where
    it began: once with time running, once with time standing still.

    A method makes one video per clip, named as the clip: videos/<clip>.mp4, or a folder of pictures.

    In use:
      diff4splat protocol --output protocol/
      diff4splat protocol --images photos/ --frames 49 --size 512 --output protocol/
      diff4splat evaluate --videos theirs/ --manifest protocol/manifest.json --output scores/

    Args:
        output: Folder to write to; what is there of the same protocol is kept.
        images: Folder of photographs, each with its prompt in a text file of the same name where there is
            one; procedural scenes when omitted.
        scenes: How many procedural scenes.
        first: Number of the first one among the held-out scenes.
        frames: Frames of each clip; I3D, of FVD and KVD, needs 10 at least, and 16 or 17 are usual.
        size: Height and width of the images, pixels.
        amplitude: How far the paths go, scene units.
    """

    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")] = Path("protocol")
    images: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    scenes: Annotated[int, arg(metavar="N")] = 32
    first: Annotated[int, arg(metavar="N")] = 0
    frames: Annotated[int, arg(metavar="N")] = 9
    size: Annotated[int, arg(metavar="PX")] = 128
    amplitude: Annotated[float, arg(metavar="UNITS")] = 0.5

    def run(self, console: Console) -> None:
        """Write the protocol and say what is in it."""
        check_between("--scenes", self.scenes, 1, 100_000)
        check_between("--first", self.first, 0, 1_000_000)
        check_between("--frames", self.frames, 3, MAX_FRAMES)
        check_between("--size", self.size, 16, MAX_SIZE)
        check_between("--amplitude", self.amplitude, -MAX_AMPLITUDE, MAX_AMPLITUDE)
        for name in ("scenes", "first"):
            if self.images is not None and getattr(self, name) != getattr(Protocol, name):
                raise ValueError(f"--{name} is for procedural scenes, got it with --images.")
        with console.libraries():
            from diff4splat.evaluation.protocol import manifest_of_images, write_procedural_protocol
        sizes: dict[str, Any] = {"num_frames": self.frames, "height": self.size, "width": self.size}
        sizes["amplitude"] = self.amplitude
        with made_folder(self.output), writing(self.output):
            with console.stage("write protocol", self.scenes if self.images is None else 1) as advance:
                if self.images is None:
                    manifest = write_procedural_protocol(
                        self.output,
                        num_scenes=self.scenes,
                        first_scene=self.first,
                        progress=advance,
                        **sizes,
                    )
                else:
                    manifest = manifest_of_images(self.images, self.output, **sizes)
        clips = len(manifest.clips)
        scenes = len({clip.scene for clip in manifest.clips})
        console.print(f"{clips} clips of {scenes} scenes: {self.output / 'manifest.json'}")
