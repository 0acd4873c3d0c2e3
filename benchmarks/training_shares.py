"""Where the time of a training step goes: model, renderer, losses, optimiser, and the rest."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any
from unittest.mock import patch

import torch
from accelerate import Accelerator
from measuring import Result, number, report, say
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function
from training_steps import Batch, compact_parts, compact_stage, make_objective, one_batch, take_steps

from diff4splat.gaussians import DeformableGaussianField
from diff4splat.models import LDRM
from diff4splat.training import Objective, Stage

KERNELS, KERNELS_SHARE = ("LDRM", "renderer"), 0.6
# What is timed, by the part of a step that it is. What runs inside counts for the inner part alone.
METHODS: dict[str, tuple[tuple[type, str], ...]] = {
    "losses": ((Objective, "forward"),),
    "encoding": ((Objective, "encode"),),
    "LDRM": ((LDRM, "encode"), (LDRM, "deform"), (LDRM, "decode")),
    "renderer": ((DeformableGaussianField, "render"),),
    "clipping": ((Accelerator, "clip_grad_norm_"),),
}
REST = "everything else"
BACKWARD = "autograd::engine::evaluate_function: "


@dataclass(frozen=True)
class Shares:
    """Shares of a step that does not wait for clips; of each part forward and backward pass together."""

    size: int = 128
    """Image side, pixels."""
    batch: int = 16
    """Clips per step."""
    rendered: int = 2
    """Clips that are rendered, where a loss looks at images."""
    steps: int = 5
    """Steps that are measured, after two that are not."""

    def run(self) -> list[Result]:
        """Measure and print."""
        if torch.cuda.is_available():
            print("This is about processors: nothing is measured where there is a GPU.")
            return []
        stage = compact_stage(size=self.size, batch=self.batch, steps=self.steps + 3)
        images = replace(stage, losses={**stage.losses, "photometric": 1.0}, rendered=self.rendered)
        parts = compact_parts()
        batch = one_batch(stage, parts["vae"])
        return [
            *self.report_shares("dynamic", stage, parts, batch),
            *self.report_shares(f"photometric, {self.rendered} clips", images, parts, batch),
        ]

    def report_shares(
        self, name: str, stage: Stage, parts: Mapping[str, nn.Module], batch: Batch
    ) -> list[Result]:
        """Take steps, and say where their time went."""
        source = Profiled(batch, self.steps)
        with marked():
            take_steps(make_objective(stage, parts), stage, source)
        seconds = seconds_of_parts(source.events)
        total = sum(seconds.values())
        kernels = sum(seconds.get(part, 0) for part in KERNELS)
        say(f"{name}: {number(total / self.steps)} s a step")
        goal = Result(name, " and ".join(KERNELS), kernels / total, "", KERNELS_SHARE, at_least=True)
        largest_first = sorted(seconds.items(), key=lambda pair: -pair[1])
        return report([goal, *(Result(name, part, value / total, "") for part, value in largest_first)])


class Profiled:
    """One batch again and again; steps after the first two are profiled. A `BatchSource`."""

    def __init__(self, batch: Batch, steps: int) -> None:
        self.batch, self.steps = batch, steps
        self.events: Sequence[Any] = ()

    def from_step(self, step: int) -> Iterator[Batch]:
        """Batches of two steps, of those that are profiled, and of a last one, in which a run is saved."""
        yield from repeat(self.batch, 2)
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            for _ in range(self.steps):
                with record_function(REST):
                    yield self.batch
        self.events = profiler.events()
        yield self.batch


@contextmanager
def marked() -> Iterator[None]:
    """Let the profiler see which part of a step a method is, while the block runs."""
    with ExitStack() as stack:
        for part, methods in METHODS.items():
            for kind, name in methods:
                stack.enter_context(patch.object(kind, name, _marked(getattr(kind, name), part)))
        yield


def _marked(method: Callable[..., Any], part: str) -> Callable[..., Any]:
    @functools.wraps(method)
    def inside(*arguments: Any, **options: Any) -> Any:
        with record_function(part):
            return method(*arguments, **options)

    return inside


def seconds_of_parts(events: Sequence[Any]) -> dict[str, float]:
    """Time of each part of the steps that were profiled, that of parts inside it left out.

    Nodes of the backward pass belong where the operation was made whose number they bear.
    """
    main = next(event.thread for event in events if event.name == REST)
    ordered = sorted(
        (event for event in events if event.thread == main),
        key=lambda event: (event.time_range.start, -event.time_range.end),
    )
    seconds: dict[str, float] = {}
    made_in: dict[int, str] = {}
    open_parts: list[tuple[float, str]] = []  # end and name; those inside come later
    for event in ordered:
        start, end = event.time_range.start, event.time_range.end
        while open_parts and open_parts[-1][0] <= start:
            open_parts.pop()
        around = open_parts[-1][1] if open_parts else None
        part = _part_of(event, around, made_in)
        if part is None:
            if event.sequence_nr >= 0 and around is not None:
                made_in[event.sequence_nr] = around  # of those with one number, the last one made the node
            continue
        if around is not None:
            seconds[around] = seconds.get(around, 0.0) - (end - start) / 1e6
        elif part != REST:
            continue  # of a step that is not measured
        seconds[part] = seconds.get(part, 0.0) + (end - start) / 1e6
        open_parts.append((end, part))
    return seconds


def _part_of(event: Any, around: str | None, made_in: dict[int, str]) -> str | None:
    """The part that begins with an event, if any."""
    if event.name in METHODS or event.name == REST:
        return event.name
    if event.name.startswith(BACKWARD):
        return made_in.get(event.sequence_nr, "LDRM")  # gradients that are added up have no number
    if event.name.startswith("Optimizer."):
        return "optimiser: " + event.name.partition("#")[2].partition(".")[0]
    return "running average" if event.name == "aten::lerp_" and around == REST else None
