"""`diff4splat held-out`: a model on scenes that training never saw, to one table."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from diff4splat.cli.console import Console, file_size, table
from diff4splat.cli.options import MAX_SIZE, MAX_STEPS, check_between, check_device
from diff4splat.cli.output import made_folder, writing

__all__ = ["HeldOut"]


@dataclass(frozen=True)
class HeldOut:
    """Measure a model on procedural scenes that training never saw, and print one table.

    First with the true video given: how well the first frame, depth, views from beside the path at unseen
    times and motion are reconstructed, next to the nearest frame, the same field held still, a flat-depth
    warp of the first frame, and no motion. Then with the video generated from the first frame: whether
    cameras and prompts are obeyed, and whether the scene agrees with the video. Every number has a 95 %
    interval over scenes; lines with a goal say whether it is met.

    In use:
      diff4splat held-out --model compact --scenes 64
      diff4splat held-out --model runs/bundle --scenes 16 --part reconstruction --output evaluation/

    Args:
        model: A model that comes with the package (`diff4splat models`), a folder, or a Hugging Face Hub id.
        output: Folder for scenes.csv (one row per scene), summary.json, summary.md and scenes.png (pictures
            of some scenes); nothing is written when omitted.
        scenes: How many scenes.
        first: Number of the first scene among the held-out ones.
        size: Height and width of the images, pixels; one that the model takes.
        batch: Scenes at once; more are faster and take more memory.
        part: reconstruction (the true video given), generation (from one image), or both.
        steps: Sampling steps of the video model. The model decides when omitted.
        device: auto, cpu, cuda or cuda:N; auto takes the GPU if there is one.
    """

    model: Annotated[str, arg(aliases=["-m"], metavar="NAME|FOLDER|ID")] = "compact"
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="FOLDER", help_behavior_hint="")] = None
    scenes: Annotated[int, arg(metavar="N")] = 64
    first: Annotated[int, arg(metavar="N")] = 0
    size: Annotated[int, arg(metavar="PX")] = 128
    batch: Annotated[int, arg(metavar="N")] = 8
    part: Literal["both", "reconstruction", "generation"] = "both"
    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    device: Annotated[str, arg(metavar="NAME")] = "auto"

    def run(self, console: Console) -> None:
        """Evaluate, print, and write if asked to."""
        check_between("--scenes", self.scenes, 1, 1_000_000)
        check_between("--first", self.first, 0, 1_000_000)
        check_between("--size", self.size, 16, MAX_SIZE)
        check_between("--batch", self.batch, 1, 10_000)
        check_between("--steps", self.steps, 1, MAX_STEPS)
        if self.steps is not None and self.part == "reconstruction":
            raise ValueError("--steps is for the parts generation and both, got --part reconstruction.")
        with console.libraries():
            from diff4splat.evaluation import HeldOutProtocol, evaluate_held_out
            from diff4splat.pipelines import Diff4SplatPipeline
        device = check_device(self.device)
        with nullcontext() if self.output is None else made_folder(self.output):
            with console.stage("load model"):
                pipe = Diff4SplatPipeline.from_pretrained(self.model, device=device)
            protocol = HeldOutProtocol(
                num_scenes=self.scenes,
                first_scene=self.first,
                num_frames=pipe.num_frames,
                height=self.size,
                width=self.size,
                batch_size=self.batch,
                part=self.part,
                num_steps=pipe.num_steps if self.steps is None else self.steps,
            )
            report = evaluate_held_out(
                pipe.backbone, pipe.ldrm, protocol, guidance=pipe.guidance, callback=console.progress
            )
            console.print(f"\n{report.to_text()}")
            if self.output is not None:
                with writing(self.output):
                    files = report.save(self.output)
                rows = [(str(file), file_size(file)) for file in files]
                console.print(f"\n{table(('file', 'size'), rows, right=(1,))}")
