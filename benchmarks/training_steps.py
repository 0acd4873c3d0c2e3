"""Steps of training as its benchmarks take them: a stage of the recipe "compact", one batch, and a clock."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from diff4splat import Diff4SplatPipeline
from diff4splat.data import make_clips
from diff4splat.training import RECIPES, BatchSource, Objective, Stage, Watch, make_accelerator, train_stage

Batch = tuple[dict[str, Tensor], list[str]]
QUIET = Watch(save_every=10**9, log_every=10**9, progress=False)


def compact_stage(name: str = "dynamic", **changes: Any) -> Stage:
    """A stage of the recipe "compact", with changes."""
    return replace(next(stage for stage in RECIPES["compact"].stages if stage.name == name), **changes)


def compact_parts() -> dict[str, nn.Module]:
    """The parts of the bundled model, in full precision, by name."""
    pipe: Any = Diff4SplatPipeline.from_pretrained("compact")
    parts = {"vae": pipe.backbone.vae, "dit": pipe.backbone.dit, "ldrm": pipe.ldrm}
    return {name: part.float() for name, part in parts.items()}


def make_objective(stage: Stage, parts: Mapping[str, nn.Module]) -> Objective:
    """What a stage minimises, with those of the parts that it uses."""
    return Objective({name: part for name, part in parts.items() if name in stage.parts}, stage)


def one_batch(stage: Stage, vae: Any) -> Batch:
    """A batch of procedural clips with latents, held in memory; eight scenes over and over."""
    clips, captions = make_clips(
        range(min(8, stage.batch)), num_frames=stage.frames, height=stage.size, width=stage.size
    )
    clips["latents"] = vae.eval().encode(clips["video"].float() / 255).detach().half()
    rows = [row % len(captions) for row in range(stage.batch)]
    return {name: value[rows] for name, value in clips.items()}, [captions[row] for row in rows]


def take_steps(objective: Objective, stage: Stage, source: BatchSource) -> None:
    """Train as the trainer does, in a folder that is removed."""
    with tempfile.TemporaryDirectory() as folder:
        train_stage(objective, source, stage, Path(folder), make_accelerator("bf16"), watch=QUIET)


class Turns:
    """Batches from several sources by turns, a block of steps from each, and the time that steps take.

    A `BatchSource`. A step lasts from asking for its batch to asking for the next one. The first round is not
    counted: kernels are compiled and memory is taken there.

    Args:
        sources: Endless batches by name.
        rounds: Blocks of each source that are counted.
        steps: Steps of a block.
        during: Called with the name of a source; what it gives is entered while the block runs.
    """

    def __init__(
        self,
        sources: Mapping[str, Iterator[Batch]],
        rounds: int,
        steps: int,
        during: Callable[[str], AbstractContextManager[Any]] = lambda name: nullcontext(),
    ) -> None:
        self.sources, self.rounds, self.steps, self.during = sources, rounds, steps, during
        self.seconds: dict[str, list[list[float]]] = {name: [] for name in sources}

    @property
    def total(self) -> int:
        """Steps of the stage: all that are measured, and a last one, in which a run is saved."""
        return (self.rounds + 1) * len(self.sources) * self.steps + 1

    def from_step(self, step: int) -> Iterator[Batch]:
        """Batches in turn; of each name `seconds` receives a list for each block."""
        for _ in range(self.rounds + 1):
            for name, source in self.sources.items():
                times = []
                with self.during(name):
                    for _ in range(self.steps):
                        start = time.perf_counter()
                        yield next(source)
                        times.append(time.perf_counter() - start)
                self.seconds[name].append(times)
        for times_of in self.seconds.values():
            del times_of[0]
        yield next(next(iter(self.sources.values())))
