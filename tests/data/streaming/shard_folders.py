"""Small shards for tests: clips of two frames, whose number is their shade."""

from pathlib import Path

import torch

from diff4splat.data import Recording
from diff4splat.data.streaming import encode_sample, write_shards


def clip(number: int, frames: int = 2) -> Recording:
    video = torch.full((frames, 3, 4, 6), number % 256, dtype=torch.uint8)
    return Recording(f"clip {number}", "video", "unknown", video, caption=f"number {number}")


def uid_of(number: int) -> str:
    return f"-c{number:03d}"  # names may begin with a dash


def samples(count: int) -> dict[str, dict[str, bytes]]:
    return {
        uid_of(number): encode_sample(clip(number), uid_of(number), video="png", metrics={"n": number})
        for number in range(count)
    }


def write(folder: Path, count: int, **options: object) -> list[str]:
    return write_shards(samples(count).items(), folder, **options)


def number_of(recording: Recording) -> int:
    return int(recording.caption.split()[1])
