"""`diff4splat generate`: a photograph to a scene, three videos, a picture, a PLY and a player."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from diff4splat.cli import GENERATED_FILES
from diff4splat.cli.console import Console
from diff4splat.cli.depth import load_depth_prior
from diff4splat.cli.errors import naming
from diff4splat.cli.forecast import check_forecast
from diff4splat.cli.marking import MarkFlags
from diff4splat.cli.options import (
    DEFAULT_FPS,
    DEFAULT_FRAMES,
    MAX_AMPLITUDE,
    MAX_FPS,
    MAX_FRAMES,
    MAX_SIZE,
    MAX_STEPS,
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

if TYPE_CHECKING:
    import torch

    from diff4splat.pipelines import DepthPrior

__all__ = ["Generate"]


@dataclass(frozen=True)
class Generate(MarkFlags, SpeedFlags):
    """Make a moving 3D scene from one photograph.

    A video model imagines how the photograph goes on along a camera path; a second model turns that into 3D
    Gaussians and their motion. Seven files are written: scene.safetensors, video.mp4 (along the path),
    novel_view.mp4 (along another path, which the model was not told), depth.mp4, overview.jpg (a picture to
    look at first), scene.ply and player.html.

    Files of these names in the output folder are replaced, but only when all seven are ready: after an error
    or Ctrl-C the folder is as it was. The photograph is cropped around its centre to the shape of the model's
    clips: a square for the bundled model.

    In use:
      diff4splat generate photo.jpg --output out/
      diff4splat generate photo.jpg --trajectory forward --prompt "the cup moves left" --output out/
      diff4splat generate photo.jpg --trajectory path.json --frames 49 --size 256 --output out/
      diff4splat generate photo.jpg --depth photo_depth.png --output out/
      diff4splat generate photo.jpg --model user/model --device cuda --seed 7 --output out/

    Args:
        photo: The photograph: JPEG, PNG, WebP, TIFF, GIF and others, at least 16 pixels on each side.
        output: Folder for the results; made if needed.
        trajectory: Camera path: spiral, forward, backward, upward, downward, orbit or static, or a file of
            cameras (ours, keyframes, transforms.json, COLMAP, RealEstate10K, TUM, NeoVerse, Lyra and others,
            see the help of `diff4splat trajectory`).
        amplitude: How far a named path goes, in scene units; each path has its own default.
        image_size: Width and height of the images that a file of cameras is for, such as 640x480, where the
            file does not say; those of the photograph when omitted.
        prompt: What happens in the scene, such as "the cup moves left"; empty for whatever the model
            likes. The bundled model knows English sentences of that kind.
        seed: Another number gives another scene; the same one the same scene on the same machine.
        frames: Frames of each video, at least 2.
        size: Longer side of the videos, pixels; their shape is that of the model's clips. When omitted, 512
            for a model with square clips such as compact, and the size of its clips for another.
        fps: Frames per second of the videos.
        model: A model that comes with the package (`diff4splat models`), a folder, or a Hugging Face Hub id.
        device: auto, cpu, cuda or cuda:N; auto takes the GPU if there is one.
        steps: Sampling steps of the video model; fewer are faster and coarser. The model decides when
            omitted.
        guidance: How strongly the prompt pulls; 1 switches guidance off. The model decides when omitted.
        gaussians: Largest number of Gaussians in the scene; fewer render faster. The model decides when
            omitted.
        background: What shows through where the photograph is transparent: white or black.
        depth: Depth of the photograph: a file (.npy, .npz, 16-bit .png in millimetres, .tif) or a depth model
            of the Hugging Face Hub, such as depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf. The
            scene gets it, and with metres the camera path is in metres, too.
        depth_kind: What the values of a depth file mean: metric (metres), relative (any unit) or
            disparity, which is large where it is near; metric when omitted. A model says it itself.
        force: Try a model also where it is foreseen to need more memory than there is.
    """

    photo: Annotated[Positional[Path], arg(metavar="PHOTO")]
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")] = Path("out")
    trajectory: Annotated[str, arg(aliases=["-t"], metavar="NAME|FILE")] = "spiral"
    amplitude: Annotated[float | None, arg(metavar="UNITS", help_behavior_hint="")] = None
    image_size: Annotated[str | None, arg(metavar="WxH", help_behavior_hint="")] = None
    prompt: Annotated[str, arg(aliases=["-p"], metavar="TEXT", help_behavior_hint="")] = ""
    seed: Annotated[int, arg(metavar="N")] = 0
    frames: Annotated[int, arg(metavar="N")] = DEFAULT_FRAMES
    size: Annotated[int | None, arg(metavar="PX", help_behavior_hint="")] = None
    fps: Annotated[float, arg(metavar="N")] = DEFAULT_FPS
    model: Annotated[str, arg(aliases=["-m"], metavar="NAME|FOLDER|ID")] = "compact"
    device: Annotated[str, arg(metavar="NAME")] = "auto"
    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    guidance: Annotated[float | None, arg(metavar="SCALE", help_behavior_hint="")] = None
    gaussians: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    background: Literal["white", "black"] = "white"
    depth: Annotated[str | None, arg(metavar="FILE|MODEL", help_behavior_hint="")] = None
    depth_kind: Annotated[
        Literal["metric", "relative", "disparity"] | None, arg(metavar="KIND", help_behavior_hint="")
    ] = None
    force: Annotated[bool, FlagCreatePairsOff] = False

    def run(self, console: Console) -> None:
        """Generate, render, write, and say what was written."""
        self._check()
        with console.libraries():  # also what is only used later: here requests to stop wait
            import av  # noqa: F401
            import torch

            import diff4splat.models  # noqa: F401
            from diff4splat.pipelines import Diff4SplatPipeline, fit_cameras, image_size
        with naming("PHOTO cannot be read", self.photo):
            photo_size = image_size(self.photo)
        path = load_path(
            self.trajectory,
            num_frames=self.frames,
            size=NAMED_PATH_SIZE,
            amplitude=self.amplitude,
            image_size=self.image_size,
            photo_size=photo_size,
        )
        refuse_unused(self.trajectory, {"--amplitude": self.amplitude, "--image-size": self.image_size})
        note_warnings(self.trajectory, path)
        path = fit_cameras(path, height=path.height, width=path.width)  # what is wrong with it is said now
        device = check_device(self.device)
        check_forecast(
            self,
            self.model,
            device,
            frames=self.frames,
            size=self.size,
            num_steps=self.steps,
            guidance=self.guidance,
        )
        with staged_folder(self.output, GENERATED_FILES) as folder:
            depth = self._depth(console, device)  # first: what is wrong with it is said before the long waits
            with console.stage("load model"):
                pipe = Diff4SplatPipeline.from_pretrained(self.model)
                self.speed_up(pipe, device)
            height, width = output_size(pipe.height, pipe.width, self.size)
            field = pipe(
                self.photo,
                path,
                self.prompt,
                generator=torch.Generator().manual_seed(self.seed),
                num_steps=self.steps,
                guidance=self.guidance,
                num_gaussians=self.gaussians,
                detail_size=max(height, width),
                background=self.background,
                depth=depth,
                callback=console.progress,
            )
            files = SceneFiles(folder, self.photo.name, "image", self.trajectory, self.fps, self)
            files.write(console, field, fit_cameras(path, height=height, width=width, num_frames=self.frames))
        console.print(written_files(console, self.output))
        console.print(f"\n{self.say(MARKED_FILES)}")

    def _depth(self, console: Console, device: "torch.device") -> "DepthPrior | None":
        if self.depth is None:
            return None
        with console.stage("read depth"):
            return load_depth_prior(self.depth, self.depth_kind, self.photo, device)

    def _check(self) -> None:
        self.check_marks()
        check_between("--frames", self.frames, 2, MAX_FRAMES)
        check_between("--size", self.size, 16, MAX_SIZE)
        check_between("--fps", self.fps, 0.1, MAX_FPS)
        check_between("--amplitude", self.amplitude, -MAX_AMPLITUDE, MAX_AMPLITUDE)
        check_between("--steps", self.steps, 1, MAX_STEPS)
        check_between("--guidance", self.guidance, 0, 100)
        check_between("--gaussians", self.gaussians, 1, 100_000_000)
        if self.depth is None and self.depth_kind is not None:
            raise ValueError(f"--depth-kind says what --depth means, got {self.depth_kind} alone.")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"--seed must be in [0, 2**63), got {self.seed}.")
