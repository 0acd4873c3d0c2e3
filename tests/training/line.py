"""A small model, its objective and its batches, as the trainer takes them; as a script, one run of them.

Run by `test_trainer.py` in processes of its own: `python line.py FOLDER '{"steps": 11, ...}'`.
"""

import itertools
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diff4splat.hub import HubModule
from diff4splat.training import Draws, Stage, StepValues, Watch, make_accelerator, train_stage

WIDTH = 37


class Line(HubModule):
    """A matrix that the matrix optimiser takes, a small one that it leaves, a bias, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Linear(WIDTH, WIDTH)
        self.narrow = nn.Linear(WIDTH, 3)
        self.register_buffer("constant", torch.tensor([1.5]))

    def forward(self, values: Tensor) -> Tensor:
        return self.narrow(torch.tanh(self.wide(values)))


class LineObjective(nn.Module):
    """Regression with noise; at `spoil` the loss is not a number, `kill` and `stop` end the run."""

    def __init__(self, *, spoil: int | None = None, kill: int | None = None, stop: int | None = None) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.ldrm = Line()
        self.spoil, self.kill, self.stop = spoil, kill, stop
        self.seen: list[int] = []

    def forward(self, clips: dict[str, Tensor], captions: list[str], draws: Draws) -> StepValues:
        step = int(clips["step"][0])
        self.seen.append(step)
        if step == self.stop:
            raise KeyboardInterrupt
        if step == self.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        noise = 0.1 * draws.normal(3)
        square = (self.ldrm(clips["x"]) - clips["x"][:, :3] - noise).square().mean(1)
        if step == self.spoil:
            square = square * float("nan")
        ratio = torch.stack([square.detach().sum(), clips["x"][:, :3].square().sum()])
        return StepValues(square.mean(), {"size": clips["x"].abs().mean().detach()}, {"error": ratio})


class LineBatches:
    """Another batch at every step, the same one for the same step; rows of one process of several."""

    def __init__(self, batch: int, *, rank: int = 0, num_ranks: int = 1) -> None:
        share = batch // num_ranks
        self.batch, self.rows = batch, slice(rank * share, (rank + 1) * share)

    def from_step(self, step: int) -> Iterator[tuple[dict[str, Tensor], list[str]]]:
        for number in itertools.count(step):
            x = torch.randn(self.batch, WIDTH, generator=torch.Generator().manual_seed(number))
            clips = {"x": x, "step": torch.full((self.batch,), number)}
            rows = {name: value[self.rows] for name, value in clips.items()}
            yield rows, ["line"] * len(rows["x"])


def stage(**changes: object) -> Stage:
    """A stage of eleven steps."""
    numbers = {
        "steps": 11,
        "batch": 6,
        "learning_rate": 1e-2,
        "warmup": 2,
        "average": 0.9,
        "optimizer": "muon",
    }
    return Stage(name="line", train=("ldrm",), losses={"depth": 1.0}, **{**numbers, **changes})


def run(
    folder: Path, objective: LineObjective, line_stage: Stage, *, shard: bool = False, **watch: object
) -> dict[str, Tensor]:
    """Train in this process, or in all that were launched."""
    accelerator = make_accelerator("no", cpu=True)
    if shard:
        shard_on_the_cpu(accelerator)
    rank, ranks = accelerator.process_index, accelerator.num_processes
    batches = LineBatches(line_stage.batch, rank=rank, num_ranks=ranks)
    shown = Watch(**{"save_every": 3, "log_every": 1, "progress": False, **watch})
    return train_stage(objective, batches, line_stage, folder, accelerator, seed=5, watch=shown)


def shard_on_the_cpu(accelerator: Any) -> None:
    """Accelerate asks for GPUs before it shards weights (FSDP), but can do without when it was not asked."""
    from accelerate import FullyShardedDataParallelPlugin
    from accelerate.utils import DistributedType

    accelerator.state.distributed_type = DistributedType.FSDP
    accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2, auto_wrap_policy="transformer_based_wrap", transformer_cls_names_to_wrap=["Line"]
    )


def no_picture(module: LineObjective, clips: dict[str, Tensor]) -> Tensor:
    raise AssertionError("one process alone cannot run what is sharded")


if __name__ == "__main__":
    settings = json.loads(sys.argv[2])
    line_objective = LineObjective(kill=settings.pop("kill", None))
    sharded = settings.pop("shard", False)
    pictures = {"picture_every": 2, "picture": no_picture} if sharded else {}
    weights = run(Path(sys.argv[1]), line_objective, stage(**settings), shard=sharded, **pictures)
    kinds = {type(parameter).__name__ for parameter in line_objective.parameters()}
    assert kinds == {"DTensor" if sharded else "Parameter"}, kinds
    if int(os.environ.get("RANK", "0")) == 0:
        torch.save(weights, Path(sys.argv[1]) / "weights.pt")
    if torch.distributed.is_initialized():  # whose threads may else end the process with an error
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
