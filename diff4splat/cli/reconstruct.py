"""`diff4splat reconstruct`: a video whose cameras are known to a scene, three videos, a PLY and a player."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

from diff4splat.cli import GENERATED_FILES
from diff4splat.cli.console import Console
from diff4splat.cli.errors import naming
from diff4splat.cli.forecast import check_forecast
from diff4splat.cli.marking import MarkFlags
from diff4splat.cli.options import (
    DEFAULT_FPS,
    MAX_AMPLITUDE,
    MAX_FPS,
    MAX_FRAMES,
    MAX_SIZE,
    NAMED_PATH_SIZE,
    check_between,
    check_device,
    load_path,
    note_warnings,
    refuse_unused,
)
from diff4splat.cli.output import staged_folder
from diff4splat.cli.results import MARKED_FILES, SceneFiles, output_size, written_files
from diff4splat.cli.speed import SpeedFlags

__all__ = ["Reconstruct"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reconstruct(MarkFlags, SpeedFlags):
    """Make a moving 3D scene from a video whose cameras are known.

    Nothing is generated: the frames and the cameras are taken as they are, and turned into 3D Gaussians and
    their motion. Use it for videos of another generator that was told a camera path, for rendered or captured
    videos with solved cameras, and to see what a reconstruction model can do with true frames. The same
    seven files are written as by `diff4splat generate`, together or not at all.

    The model looks at as many frames as its clips have, spread evenly from first to last; a note says how
    many. Frames are cropped around their centre to the shape of its clips, and their cameras with them.

    In use:
      diff4splat reconstruct video.mp4 --cameras path.json --output out/
      diff4splat reconstruct out/video.mp4 --cameras out/scene.safetensors --output again/
      diff4splat reconstruct frames/ --cameras transforms.json --size 256 --output out/
      diff4splat reconstruct video.mp4 --cameras forward --amplitude 0.5 --model user/model --output out/

    Args:
        video: The video: mp4, webm, mov, gif, animated webp, or a folder of pictures in the order of their
            names.
        cameras: Where the frames were seen from: a file of cameras (ours, keyframes, transforms.json, COLMAP,
            RealEstate10K, TUM, NeoVerse, Lyra and others: `diff4splat trajectory --help`), a
            scene.safetensors, which holds those it was made along, or the name of a path: spiral, forward,
            backward, upward, downward, orbit or static. One camera per frame; another number is spread over
            the video from first to last.
        output: Folder for the results; made if needed.
        amplitude: How far a named path goes, in scene units; each path has its own default.
        image_size: Width and height of the images that a file of cameras is for, such as 640x480, where the
            file does not say; those of the video when omitted.
        frames: Frames of each video that is written, at least 2; as many as the video has when omitted.
        size: Longer side of the videos, pixels; their shape is that of the model's clips. When omitted, 512
            for a model with square clips such as compact, and the size of its clips for another.
        fps: Frames per second of the videos; when omitted, they last as long as the video, and 12 is taken
            where it does not say how fast it plays.
        model: A model that comes with the package (`diff4splat models`), a folder, or a Hugging Face Hub id.
        device: auto, cpu, cuda or cuda:N; auto takes the GPU if there is one.
        gaussians: Largest number of Gaussians in the scene; fewer render faster. The model decides when
            omitted.
        force: Try a model also where it is foreseen to need more memory than there is.
    """

    video: Annotated[Positional[Path], arg(metavar="VIDEO")]
    cameras: Annotated[str, arg(aliases=["-c"], metavar="FILE|NAME")]
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")] = Path("out")
    amplitude: Annotated[float | None, arg(metavar="UNITS", help_behavior_hint="")] = None
    image_size: Annotated[str | None, arg(metavar="WxH", help_behavior_hint="")] = None
    frames: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    size: Annotated[int | None, arg(metavar="PX", help_behavior_hint="")] = None
    fps: Annotated[float | None, arg(metavar="N", help_behavior_hint="")] = None
    model: Annotated[str, arg(aliases=["-m"], metavar="NAME|FOLDER|ID")] = "compact"
    device: Annotated[str, arg(metavar="NAME")] = "auto"
    gaussians: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    force: Annotated[bool, FlagCreatePairsOff] = False

    def run(self, console: Console) -> None:
        """Read, reconstruct, render, write, and say what was written."""
        check_between("--frames", self.frames, 2, MAX_FRAMES)
        check_between("--size", self.size, 16, MAX_SIZE)
        check_between("--fps", self.fps, 0.1, MAX_FPS)
        check_between("--amplitude", self.amplitude, -MAX_AMPLITUDE, MAX_AMPLITUDE)
        check_between("--gaussians", self.gaussians, 1, 100_000_000)
        self.check_marks()
        with console.libraries():  # also what is only used later: here requests to stop wait
            import av  # noqa: F401
            import torch

            import diff4splat.models  # noqa: F401
            from diff4splat.pipelines import Diff4SplatPipeline, fit_cameras, read_frames, video_facts
            from diff4splat.pipelines.clips import clip_length, spread_indices
        with naming("VIDEO cannot be read", self.video):
            facts = video_facts(self.video)
        if facts.num_frames < 2:
            raise ValueError(f"VIDEO must have at least 2 frames, got {facts.num_frames}: {self.video}")
        path = load_path(
            self.cameras,
            num_frames=facts.num_frames,
            size=NAMED_PATH_SIZE,
            amplitude=self.amplitude,
            image_size=self.image_size,
            photo_size=(facts.height, facts.width),
            option="--cameras",
        )
        refuse_unused(self.cameras, {"--amplitude": self.amplitude, "--image-size": self.image_size})
        note_warnings(self.cameras, path)
        path = fit_cameras(path, height=path.height, width=path.width, num_frames=facts.num_frames)
        device = check_device(self.device)
        frames = self.frames or facts.num_frames
        check_forecast(self, self.model, device, frames=frames, size=self.size, given_frames=facts.num_frames)
        with staged_folder(self.output, GENERATED_FILES) as folder:
            with console.stage("load model"):
                pipe = Diff4SplatPipeline.from_pretrained(self.model)
                self.speed_up(pipe, device)
            height, width = output_size(pipe.height, pipe.width, self.size)
            count = clip_length(pipe.backbone.spec, facts.num_frames, pipe.num_frames)
            kept = spread_indices(facts.num_frames, count)
            if count < facts.num_frames:
                logger.info("%d of the %d frames are used, spread evenly", count, facts.num_frames)
            largest = max(height, width, pipe.height, pipe.width)
            fine = output_size(pipe.height, pipe.width, largest)
            with console.stage("read video"), naming("VIDEO cannot be read", self.video):
                video = read_frames(self.video, kept, height=fine[0], width=fine[1])
            field = pipe.reconstruct_video(
                video,
                path.select(torch.tensor(kept)),
                num_frames=count,
                num_gaussians=self.gaussians,
                detail_size=max(fine),
                callback=console.progress,
            )
            shown = fit_cameras(path, height=height, width=width, num_frames=frames)
            fps = self.fps or _fps(facts.fps, facts.num_frames, frames)
            SceneFiles(folder, self.video.name, "video", self.cameras, fps, self).write(console, field, shown)
        console.print(written_files(console, self.output))
        console.print(f"\n{self.say(MARKED_FILES)}")


def _fps(recorded: float | None, available: int, shown: int) -> float:
    """Speed at which the frames that are shown last as long as the video."""
    fps = DEFAULT_FPS if recorded is None else recorded * shown / available
    return min(max(fps, 0.1), MAX_FPS)
