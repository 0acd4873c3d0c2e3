"""Rate of training on a GPU: what a step computes over its time, beside the rate of matrix products there."""

import gc
from dataclasses import dataclass
from itertools import repeat

import torch
from ldrm import matmul_rate
from measuring import Result, number, report, say
from torch.utils.flop_counter import FlopCounterMode
from training_steps import Batch, Turns, compact_parts, compact_stage, make_objective, one_batch, take_steps

from diff4splat.models import LDRM
from diff4splat.training import Draws, Objective, Stage

RATE_SHARE = 0.4


@dataclass(frozen=True)
class Rate:
    """Operations per second of the dynamic stage in bfloat16, over those of matrix products; needs a GPU."""

    models: tuple[str, ...] = ("compact", "base", "paper")
    """Sizes of the reconstruction model; all but "compact" are fresh ones."""
    batches: tuple[int, ...] = (16, 64)
    """Clips per step."""
    size: int = 128
    """Image side, pixels."""
    steps: int = 10
    """Steps of a block, of three; the fastest block counts."""
    compiled: bool = False
    """Compile the model before, which the trainer does not."""
    anywhere: bool = False
    """Measure on a processor where there is no GPU, to see whether it runs."""

    def run(self) -> list[Result]:
        """Measure and print."""
        device = "cuda" if torch.cuda.is_available() else "cpu"
        if device == "cpu" and not self.anywhere:
            print("There is no CUDA device here: nothing is measured.")
            return []
        side = 8192 if device == "cuda" else 512
        rate = matmul_rate(side, torch.bfloat16, device)
        say(f"products of {side} x {side} matrices in bfloat16: {number(rate / 1e12)} TFLOP/s")
        results = []
        for model in self.models:
            for batch in self.batches:
                try:
                    results += self.measure(model, batch, rate, device)
                except torch.OutOfMemoryError:
                    say(f"{model}, batch {batch}: not enough memory")
                gc.collect()  # models of the last measurement refer to themselves
        return results

    def measure(self, model: str, batch: int, rate: float, device: str) -> list[Result]:
        """One size of the model and of the batch."""
        stage = compact_stage(size=self.size, batch=batch)
        parts = compact_parts()
        clips = one_batch(stage, parts["vae"])
        if model != "compact":
            parts["ldrm"] = {"base": LDRM.base, "paper": LDRM.paper}[model]()
            clips[0]["latents"] = random_latents(parts["ldrm"], clips[0]["latents"])
        turns = Turns({"memory": repeat(clips)}, rounds=3, steps=self.steps)
        stage = compact_stage(size=self.size, batch=batch, steps=turns.total)
        objective = make_objective(stage, parts)
        flops = operations(objective, stage, clips, device)
        if self.compiled:
            objective.ldrm.compile()
        take_steps(objective, stage, turns)
        seconds = min(sum(times) / len(times) for times in turns.seconds["memory"])
        name = f"{model}, batch {batch}" + (", compiled" if self.compiled else "")
        share = flops / seconds / rate
        return report(
            [
                Result("rate", f"{name}, step", 1000 * seconds, "ms"),
                Result("rate", f"{name}, clips per second", batch / seconds, ""),
                Result("rate", f"{name}, of the matrix product", share, "", RATE_SHARE, at_least=True),
            ]
        )


def random_latents(ldrm: LDRM, like: torch.Tensor) -> torch.Tensor:
    """Latents with the channels of another model, of the frames and sides of others."""
    batch, frames, _, *sides = like.shape
    shape = (batch, frames, ldrm.latent_channels, *sides)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).half()


def operations(objective: Objective, stage: Stage, batch: Batch, device: str) -> int:
    """Floating-point operations of a forward and backward pass; the optimiser's are not counted."""
    clips, captions = batch
    clips = {name: value.to(device) for name, value in clips.items()}
    objective.to(device).train()
    draws = Draws("operations", 0, range(stage.batch), device=device)
    with FlopCounterMode(display=False) as counter, torch.autocast(device, dtype=torch.bfloat16):
        objective(clips, captions, draws).loss.backward()
    objective.zero_grad()
    return counter.get_total_flops()
