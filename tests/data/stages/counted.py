"""Stages that write down each call in a file, for tests of what runs and where."""

import os
import signal
import sys
import time
from dataclasses import dataclass, replace
from multiprocessing import active_children
from pathlib import Path

import torch

from diff4splat.cameras import Cameras
from diff4splat.data import Recording
from diff4splat.data.stages import Item, Rejected, Stage, Task, seed_of_uid

LENS = torch.tensor([[17.0, 0, 5.5], [0, 17.0, 3.5], [0, 0, 1]])


def count(folder: str, name: str, uid: str) -> None:
    """One byte per call: appending is atomic, in whichever process."""
    with open(Path(folder, f"{name}-{uid}"), "ab") as file:
        file.write(b".")


def calls(folder: str | Path) -> dict[str, int]:
    """Calls by "stage-clip"."""
    return {path.name: path.stat().st_size for path in sorted(Path(folder).iterdir())}


def all_bytes(folder: str | Path) -> dict[str, bytes]:
    """Files below a folder by their paths in it, without the lock."""
    paths = [path for path in Path(folder).rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@dataclass(frozen=True)
class Read:
    """A recording that is drawn from the seed of its name."""

    calls: str

    def __call__(self, item: Item) -> Item:
        count(self.calls, "read", item.uid)
        generator = torch.Generator().manual_seed(seed_of_uid(item.uid))
        video = torch.randint(256, (5, 3, 7, 11), generator=generator, dtype=torch.uint8)
        cameras = Cameras(torch.eye(4).repeat(5, 1, 1), LENS.repeat(5, 1, 1), 7, 11)
        depth = 1 + torch.rand(5, 7, 11, generator=generator)
        facts = {"first": item.inputs["first"]}
        recording = Recording(
            item.uid, "drawn", "none", video, cameras, depth, depth > 1.25, fps=30.0, facts=facts
        )
        return replace(item, recording=recording, metrics={"depth": depth.mean().item()})


@dataclass(frozen=True)
class Scale:
    """Depth times a factor; clips whose name says so go wrong."""

    calls: str
    factor: float = 2.0
    seconds: float = 0.0

    def __call__(self, item: Item) -> Item:
        count(self.calls, "scale", item.uid)
        time.sleep(self.seconds)
        assert item.recording is not None
        if "reject" in item.uid:
            raise Rejected("depth is 3 m, at most 2 m", {"limit": 2.0}, {"txt": b"why"})
        if "fail" in item.uid:
            raise ArithmeticError("no such number")
        if "exit" in item.uid:
            os._exit(7)
        if "kill" in item.uid:
            os.kill(os.getpid(), signal.SIGKILL)
        if "interrupt" in item.uid:
            raise KeyboardInterrupt
        return replace(item, recording=item.recording.scale(self.factor))


@dataclass(frozen=True)
class Measure:
    """The mean depth, and the colours as a file."""

    calls: str
    digits: int = 6

    def __call__(self, item: Item) -> Item:
        count(self.calls, "measure", item.uid)
        assert item.recording is not None and item.recording.depth is not None
        mean = round(item.recording.depth.mean().item(), self.digits)
        files = {"bin": item.recording.video.numpy().tobytes()}
        return replace(item, metrics={**item.metrics, "scaled": mean}, files=files)


class Model:
    """A stage with something to load, which counts that, too."""

    def __init__(self, calls: str, broken: bool = False) -> None:
        self.calls, self.broken, self.weight = calls, broken, None

    def setup(self) -> None:
        if self.broken:
            raise FileNotFoundError("no weights")
        count(self.calls, "setup", str(os.getpid()))
        self.weight = 3.0

    def __call__(self, item: Item) -> Item:
        count(self.calls, "model", item.uid)
        if "model" in item.uid:
            os._exit(9)
        return replace(item, metrics={**item.metrics, "weight": self.weight})


def stages(
    folder: str | Path, *, keep: bool = True, factor: float = 2.0, seconds: float = 0.0
) -> list[Stage]:
    """Read, scale and measure; the place where calls are counted is no parameter."""
    where = str(folder)
    return [
        Stage("read", Read(where), {}, keep=keep),
        Stage("scale", Scale(where, factor, seconds), {"factor": factor}),
        Stage("measure", Measure(where), {"digits": 6}),
    ]


def tasks(*names: str) -> list[Task]:
    """Clips of these names."""
    return [Task(name, {"first": index}) for index, name in enumerate(names)]


if __name__ == "__main__":  # a run that a test stops; says how far it is, and which processes it has
    from diff4splat.data.stages import run_stages

    results, called, workers, engine = sys.argv[1:5]
    clips = tasks(*(f"clip{number}" for number in range(11)))
    run_stages(
        clips,
        stages(called, seconds=0.1),
        results,
        workers=int(workers),
        engine=engine,  # type: ignore[arg-type]
        callback=lambda *done: print(*done, *(p.pid for p in active_children()), flush=True),
    )
