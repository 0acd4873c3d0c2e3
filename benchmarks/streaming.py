"""Rate at which clips come out of shards, beside a plain read of the same files.

    python benchmarks/streaming.py                       everything
    python benchmarks/streaming.py --quick               in small, to see whether it runs
    python benchmarks/streaming.py --folder /mnt/disk    on another disk

Clips are 81 frames of 512 x 512 pixels with depth, cameras, masks and tracks, drawn from noise and slopes.
"plain" reads every shard from its beginning to its end; "in order" takes the same bytes clip by clip,
undecoded, and "shuffled" does so in the order of an epoch. They take turns, and the fastest of several
rounds counts. Before each round the system is asked to forget the files, so that they come from the disk; the
goal is held there. "in memory" is the same without asking: the work of finding and copying clips where there
is no disk to wait for.
"""

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from measuring import Result, command_line, conclude, describe, machine, once, report, say
from torch.utils.data import DataLoader

from diff4splat.cameras import Cameras, field_of_view_to_intrinsics
from diff4splat.data import Recording, RecordingShards, ShuffledOrder, StreamedRecordings
from diff4splat.data.streaming import encode_sample, write_shards

CLIPS, FRAMES, SIDE, TRACKS, DISTINCT = 24, 81, 512, 4000, 2
GOAL_SHARE = 90.0


@dataclass(frozen=True)
class Options:
    """Measure streams.

    Args:
        quick: Tiny sizes, to see whether it runs.
        repeats: Rounds, of which the fastest counts.
        workers: Workers of the loader that decodes.
        folder: Where to write, on the disk that is measured; a temporary folder when omitted.
        json: File for the results.
    """

    quick: bool = False
    repeats: int = 5
    workers: int = 2
    folder: Path | None = None
    json: Path | None = None


def main(options: Options) -> list[Result]:
    """Measure, print, and write the results if a file is named."""
    facts = machine()
    print(f"{command_line()}\n{describe(facts)}\n")
    clips, frames, side = (7, 5, 32) if options.quick else (CLIPS, FRAMES, SIDE)
    say(f"{clips} clips of {frames} frames, {side} x {side} pixels, {DISTINCT} different ones.")
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        folder = Path(place, "shards")
        results = report(write(folder, clips, frames, side))
        results += report(read(folder, options.repeats))
        results += report(decode(folder, options.workers))
    conclude(results, quick=options.quick, json=options.json, facts=facts)
    return results


def write(folder: Path, clips: int, frames: int, side: int) -> list[Result]:
    """Encode a few clips, write many, and tell their sizes."""
    recordings = [recording(seed, frames, side) for seed in range(min(clips, DISTINCT))]
    encoded: list[dict[str, bytes]] = []
    seconds = min(once(lambda one=one: encoded.append(encode_sample(one, "clip"))) for one in recordings)
    samples = []
    for index in range(clips):
        parts, uid = encoded[index % len(encoded)], f"clip-{index:04d}"
        words = {**json.loads(parts["json"]), "uid": uid}
        samples.append((uid, {**parts, "json": json.dumps(words).encode()}))
    write_shards(samples, folder, max_clips=max(1, clips // 6))
    size = sum(path.stat().st_size for path in folder.glob("*.tar"))
    raw = frames * side * side * (3 + 4 + 1 + 1)
    return [
        Result("encode", "clips per second", 1 / seconds, ""),
        Result("encode", "size of a clip", size / clips / 1e6, "MB"),
        Result("encode", "share of the raw size", 100 * size / clips / raw, "%"),
    ]


def read(folder: Path, repeats: int) -> list[Result]:
    """Bytes of an epoch in the shuffled order, beside those of a plain read, from disk and from memory."""
    shards = RecordingShards(folder)
    order = ShuffledOrder(shards.shard_sizes, seed=0)
    size = sum(shards.column("size"))

    def plain() -> None:
        for path in list_files(folder):
            with path.open("rb") as file:
                while file.read(1 << 22):
                    pass

    def in_order() -> None:
        for clip in range(len(order)):
            shards.read_parts(clip)

    def shuffled() -> None:
        for place in range(len(order)):
            shards.read_parts(order.clip(0, place))

    results = []
    for part, prepare, goal in (("disk", forget, GOAL_SHARE), ("in memory", list_files, None)):
        rounds = []
        for _ in range(repeats):
            seconds = []
            for function in (plain, in_order, shuffled):
                prepare(folder)
                seconds.append(once(function))
            rounds.append(seconds)
        best = [min(times) for times in zip(*rounds, strict=True)]
        results += [
            Result(part, "plain", size / best[0] / 1e6, "MB/s"),
            Result(part, "shuffled", size / best[2] / 1e6, "MB/s"),
            Result(part, "in order, share of the plain rate", 100 * best[0] / best[1], "%"),
            Result(part, "shuffled, share of the plain rate", 100 * best[0] / best[2], "%", goal, True),
        ]
    return results


def decode(folder: Path, workers: int) -> list[Result]:
    """Clips per second out of a loader, whole and 13 frames of each."""
    shards = RecordingShards(folder)
    count = shards.entries[0].info.num_frames
    some = list(range(count // 3, min(count // 3 + 13, count)))
    results = []
    for name, frames in (("all frames", None), (f"{len(some)} frames", some)):
        for number_of_workers in sorted({0, workers}):
            stream = StreamedRecordings(shards, frames=lambda entry, draws, frames=frames: frames)
            loader = DataLoader(stream, batch_size=None, num_workers=number_of_workers)
            seconds = once(lambda loader=loader: [len(clip.video) for clip in loader])
            what = f"{name}, {number_of_workers} workers"
            results.append(Result("decode", f"clips per second, {what}", len(shards) / seconds, ""))
    return results


def recording(seed: int, frames: int, side: int) -> Recording:
    """A clip of moving slopes with a little noise, so that codecs have something to do."""
    draw = np.random.default_rng(seed)
    shape = (frames, 3, side, side)
    time, row, column = np.meshgrid(np.arange(frames), np.arange(side), np.arange(side), indexing="ij")
    shade = 128 + 70 * np.sin(0.07 * row + 0.04 * column + 0.2 * time + seed)
    video = np.stack([shade, shade[:, ::-1], shade[:, :, ::-1]], axis=1) + draw.normal(0, 3, shape)
    depth = 5 + 3 * np.cos(0.05 * row - 0.03 * column + 0.05 * time) + draw.normal(0, 0.005, time.shape)
    lenses = field_of_view_to_intrinsics(60.0, height=side, width=side).expand(frames, 3, 3)
    return Recording(
        name=f"clip {seed}",
        dataset="benchmark",
        licence="MIT",
        video=torch.from_numpy(video.clip(0, 255).astype(np.uint8)),
        cameras=Cameras(torch.eye(4).expand(frames, 4, 4), lenses, side, side),
        depth=torch.from_numpy(depth.astype(np.float32)),
        depth_mask=torch.from_numpy(depth > 2.5),
        dynamic_mask=torch.from_numpy((row - side / 2) ** 2 + (column - side / 2 - time) ** 2 < side**2 / 16),
        tracks=torch.from_numpy(draw.normal(size=(TRACKS, frames, 3)).cumsum(1).astype(np.float32)),
        visible=torch.from_numpy(draw.random((TRACKS, frames)) > 0.2),
        fps=24.0,
    )


def forget(folder: Path) -> None:
    """Ask the system to drop what it holds of the files."""
    for path in list_files(folder):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def list_files(folder: Path) -> list[Path]:
    """Shards of a folder."""
    return sorted(folder.glob("*.tar"))


if __name__ == "__main__":
    main(tyro.cli(Options))
