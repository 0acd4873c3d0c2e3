"""Speed of training, beside the goals that it is held to.

    python benchmarks/training.py             everything: waiting for clips, shares of a step, rate on a GPU
    python benchmarks/training.py clips       one part: clips, shares, rate; `clips --help` lists its options
    python benchmarks/training.py --quick     everything in small, to see whether it runs

Steps are those of `train_stage`, with all that belongs to them, of the stage "dynamic" of the recipe
"compact" from the bundled model. What is compared takes turns, or is measured within the same steps, so that
ratios mean something on a machine that runs other programs, too; seconds may not.
"""

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from itertools import repeat
from multiprocessing import active_children
from pathlib import Path
from statistics import median
from typing import Any

import torch
import tyro
from measuring import Result, command_line, conclude, describe, machine, number, report, say
from training_gpu import Rate
from training_shares import Shares
from training_steps import Batch, Turns, compact_parts, compact_stage, make_objective, take_steps

from diff4splat.data.procedural.clips import GENERATOR_VERSION
from diff4splat.hub import weights_hash
from diff4splat.training import Batches, ClipFactory, Stage

MOST = 1.1


@dataclass(frozen=True)
class Clips:
    """Seconds of a step with clips from shards on disk, and while they are made, over those from memory."""

    cache: Path = Path("cache")
    """Folder for shards, which are kept, and for those that are made on the way, which are removed."""
    size: int = 128
    """Image side, pixels."""
    batch: int = 16
    """Clips per step."""
    stored: int = 256
    """Clips on disk; the system may hold so few in memory."""
    made: int = 12_800
    """Clips that are asked for in the first pass; making them ends with the measurement."""
    workers: int = 1
    """Processes that make clips in the first pass."""
    rounds: int = 3
    """Blocks of steps from each source, by turns."""
    steps: int = 8
    """Steps of a block."""

    def run(self) -> list[Result]:
        """Measure and print."""
        stage = compact_stage(size=self.size, batch=self.batch)
        parts = compact_parts()
        self.cache.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self.cache)))
            parts["vae"].save_pretrained(temporary / "encoder")
            words = (
                "training",
                f"{stage.frames}x{self.size}",
                f"v{GENERATOR_VERSION}",
                weights_hash(temporary / "encoder")[:8],
            )
            stored = self.factory(self.cache / "-".join(words), self.stored, stage, temporary)
            with stored:
                for index in range(self.stored):  # waits for each
                    stored[index]
            first_pass = stack.enter_context(self.factory(temporary / "clips", self.made, stage, temporary))
            on_disk, in_making = (
                stack.enter_context(closing(batches(dataset, stage))) for dataset in (stored, first_pass)
            )
            counts: list[int] = []

            @contextmanager
            def during(name: str) -> Iterator[None]:
                if name != "first pass":
                    yield
                    return
                before = first_pass.num_ready
                send_to_workers(signal.SIGCONT)
                yield
                send_to_workers(signal.SIGSTOP)
                counts.append(first_pass.num_ready - before)

            sources = {"memory": repeat(next(on_disk)), "shards": on_disk, "first pass": in_making}
            turns = Turns(sources, self.rounds, self.steps, during)
            stage = replace(stage, steps=turns.total)
            stack.callback(send_to_workers, signal.SIGCONT)  # stopped processes do not end
            next(in_making)  # starting up, and the clips that are shuffled first
            send_to_workers(signal.SIGSTOP)
            take_steps(make_objective(stage, parts), stage, turns)
        return self.report_ratios(turns, sum(counts[1:]) / (self.rounds * self.steps * self.batch))

    def factory(self, folder: Path, count: int, stage: Stage, temporary: Path) -> ClipFactory:
        """Clips as the stage is trained on."""
        size = {"num_frames": stage.frames, "height": stage.size, "width": stage.size}
        return ClipFactory(folder, count, vae=temporary / "encoder", num_workers=self.workers, **size)

    def report_ratios(self, turns: Turns, made: float) -> list[Result]:
        """Ratios of each round, the median of which counts, and what they come to over the whole stage."""
        means = {
            name: [sum(block) / len(block) for block in blocks] for name, blocks in turns.seconds.items()
        }
        shards, first = (
            median(a / b for a, b in zip(means[name], means["memory"], strict=True))
            for name in ("shards", "first pass")
        )
        whole = compact_stage()
        once = min(1.0, self.made / (whole.steps * whole.batch))
        say(
            f"{number(median(means['memory']))} s a step from memory; {number(made)} clips are made while "
            f"one is used; the first pass over {self.made:,} clips is {once:.0%} of {whole.steps:,} steps."
        )
        return report(
            [
                Result("clips", "from shards, over memory", shards, "x", MOST),
                Result("clips", "in the first pass, over memory", first, "x", MOST),
                Result("clips", "over the whole stage", once * first + (1 - once) * shards, "x", MOST),
            ]
        )


PARTS = (Clips, Shares, Rate)
QUICK: dict[type, dict[str, Any]] = {
    Clips: {"size": 16, "batch": 2, "stored": 4, "made": 64, "rounds": 1, "steps": 2},
    Shares: {"size": 16, "batch": 2, "rendered": 1, "steps": 1},
    Rate: {"models": ("compact",), "batches": (2,), "size": 16, "steps": 1},
}


def batches(dataset: ClipFactory, stage: Stage) -> Iterator[Batch]:
    """Batches as the stage takes them."""
    needs = (*stage.needs, "latents")
    return Batches([(dataset, 1.0)], stage.batch, seed=0, needs=needs).from_step(0)


def send_to_workers(number: int) -> None:
    """Stop the processes that make clips, or let them go on."""
    for process in active_children():
        if process.name.startswith("clips-") and process.pid:
            os.kill(process.pid, number)


def main(
    part: tyro.conf.OmitSubcommandPrefixes[Clips | Shares | Rate | None] = None,
    *,
    quick: bool = False,
    threads: int = 0,
    json: Path | None = None,
) -> list[Result]:
    """Measure, print, and say which goals are met.

    Args:
        part: What to measure; everything when omitted.
        quick: Tiny sizes, to see whether it runs; the numbers mean nothing.
        threads: Threads of torch; torch's own default for 0.
        json: Where to write all results.
    """
    chosen: list[Any] = [kind() for kind in PARTS] if part is None else [part]
    if quick:
        chosen = [replace(one, **QUICK[type(one)]) for one in chosen]
    if threads:
        torch.set_num_threads(threads)
    facts = machine()
    print(f"$ {command_line()}\n{describe(facts)}")
    results: list[Result] = []
    for one in chosen:
        print()
        say(f"{type(one).__name__.lower()}: {(one.__doc__ or '').splitlines()[0]}")
        results += one.run()
    if part is None:
        print("\ngoals")
        report([result for result in results if result.met is not None])
    conclude(results, quick=quick, json=json, facts=facts)
    return results


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.CascadeSubcommandArgs,))
