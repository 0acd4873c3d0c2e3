"""What a method costs: seconds of its parts, milliseconds to a new view, memory."""

import math
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from diff4splat.cameras import trajectory
from diff4splat.gaussians import Gaussians
from diff4splat.rendering import render

__all__ = ["Latency", "PeakMemory", "Stopwatch", "interactive_latency", "peak_memory", "warm_up"]

_GIB = 1024**3


class Stopwatch:
    """Wall-clock seconds of the named parts of some work.

    A GPU is waited for before and after each part. What is to be left out, such as loading a model, is not
    put in a part.

    Args:
        device: Where the work happens.

    Attributes:
        seconds: Seconds by part, in the order of their first use; a part that is used again adds up.

    Examples:
        >>> watch = Stopwatch("cpu")
        >>> with watch.part("decode"):
        ...     _ = torch.ones(3).sum()
        >>> list(watch.seconds), watch.total == watch.seconds["decode"]
        (['decode'], True)
    """

    def __init__(self, device: torch.device | str) -> None:
        self.device = torch.device(device)
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time what happens inside; work that fails is not counted.

        Args:
            name: Name of the part.

        Yields:
            Nothing.
        """
        _wait_for(self.device)
        start = time.perf_counter()
        yield
        _wait_for(self.device)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    @property
    def total(self) -> float:
        """Seconds of all parts."""
        return math.fsum(self.seconds.values())


@dataclass(frozen=True)
class Latency:
    """How long it takes from a new camera to its frame.

    Args:
        median_ms: Median over poses, milliseconds.
        iqr_ms: Distance of the quartiles, milliseconds.
        count: Poses that were timed.
        warmup: Poses that were rendered before.
        device: Where: the name of the GPU, or "cpu" with the number of threads.
    """

    median_ms: float
    iqr_ms: float
    count: int
    warmup: int
    device: str


def interactive_latency(
    render_one: Callable[[int], object],
    *,
    num_poses: int = 100,
    warmup: int = 10,
    device: torch.device | str,
) -> Latency:
    """Time from a new camera to its frame on the device, over many cameras.

    Each frame is waited for before the next camera comes, as when somebody moves it; frames per second of a
    stream may be more. State the size of the frames and the number of Gaussians beside it. The 28 s that the
    paper compares with are those of making a whole video again, not one frame.

    Args:
        render_one: Renders the frame of pose i; called with 0 to `num_poses - 1`, and before that with poses
            of these to warm up.
        num_poses: Poses to time; at least 100 for a table.
        warmup: Poses to render before; at least 10 for a table, as compilers and caches wake up in them.
        device: Where it renders; a GPU is waited for after each pose.

    Returns:
        Median and spread.

    Raises:
        ValueError: If `num_poses` is below 1 or `warmup` below 0.
    """
    if num_poses < 1:
        raise ValueError(f"num_poses must be at least 1, got {num_poses}.")
    if warmup < 0:
        raise ValueError(f"warmup must be at least 0, got {warmup}.")
    device = torch.device(device)
    for index in range(warmup):
        render_one(index % num_poses)
    times = []
    for index in range(num_poses):
        watch = Stopwatch(device)
        with watch.part("frame"):
            render_one(index)
        times.append(1000 * watch.total)
    quartiles = torch.tensor(times, dtype=torch.float64).quantile(torch.tensor([0.25, 0.5, 0.75]).double())
    low, middle, high = quartiles.tolist()
    return Latency(middle, high - low, num_poses, warmup, _name(device))


@dataclass
class PeakMemory:
    """Most memory that some work held, GiB; NaN where it cannot be known.

    Args:
        allocated_gib: Most memory of tensors on the GPU at a time, with what was there before; NaN on a CPU.
        reserved_gib: Most memory that PyTorch held there, which is what has to fit; NaN on a CPU.
        resident_growth_gib: How much the peak of the process's resident memory grew. Work that stays below an
            earlier peak shows 0, so measure in a fresh process.
        reason: Why numbers are missing, in words; empty if none is.
    """

    allocated_gib: float = math.nan
    reserved_gib: float = math.nan
    resident_growth_gib: float = math.nan
    reason: str = field(default="the work is not done yet")


@contextmanager
def peak_memory(device: torch.device | str) -> Generator[PeakMemory, None, None]:
    """Measure the most memory that is in use inside.

    Say which work it is: optimising a scene and predicting one are not the same.

    Args:
        device: Where the work happens.

    Yields:
        Numbers, filled in when the work is done, also if it fails.
    """
    device = torch.device(device)
    memory, before = PeakMemory(), _peak_resident_bytes()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        yield memory
    finally:
        reasons = []
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            memory.allocated_gib = torch.cuda.max_memory_allocated(device) / _GIB
            memory.reserved_gib = torch.cuda.max_memory_reserved(device) / _GIB
        else:
            reasons.append(f"no GPU memory is counted on {device.type}")
        after = _peak_resident_bytes()
        if math.isnan(after):
            reasons.append("this system does not say the peak of resident memory")
        memory.resident_growth_gib = (after - before) / _GIB
        memory.reason = "; ".join(reasons)


def warm_up(device: torch.device | str) -> None:
    """Render one Gaussian, so that compiling the renderer is not counted as work.

    Args:
        device: Where the work will happen.
    """
    one = torch.ones(1, 1, device=device)
    gaussians = Gaussians(one.expand(1, 3), one.expand(1, 4), one.expand(1, 3), one[0], one.expand(1, 1, 3))
    render(gaussians, trajectory.static(1, height=8, width=8).to(device=torch.device(device)))


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


def _peak_resident_bytes() -> float:
    """Most resident bytes of this process so far; NaN where there is no such number."""
    try:
        import resource
    except ImportError:
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024
    return float(unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
