"""The plan for 130,000 clips: hours and storage of their curation, from what a clip costs here.

    python benchmarks/curation_plan.py             two clips of 81 frames, 512 x 512; three minutes
    python benchmarks/curation_plan.py --quick     one tiny clip, to see whether it runs
    python benchmarks/curation_plan.py --results benchmarks/results/curation_plan.json
                                                   the tables again, of what was measured before

CPU costs are measured on procedural clips, in seconds of one core. GPU costs are published numbers, or what
you give (`--plan.gpu.cameras 60`); where nobody gives one, the table says "unknown" and sums say "at least".
"""

import io
import json as json_files
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from measuring import TINY, command_line, describe, machine, write_json
from PIL import Image

from diff4splat.cameras import Cameras
from diff4splat.data import (
    Recording,
    align_recording,
    anchors_from_points,
    check_on_map,
    fit_scale_and_shift,
    procedural_sample,
)
from diff4splat.data.curation import judge, lift_tracks
from diff4splat.data.npz import write_npz
from diff4splat.data.streaming import DEPTH_ERROR
from diff4splat.data.streaming.depth_codes import depth_step, depth_to_codes
from diff4splat.data.streaming.video_parts import encode_video
from diff4splat.geometry import project

FRAMES, SIDE, TRACKS = 81, 512, 4096
CPU = ("read", "align", "lift tracks", "judge", "encode video", "encode depth", "encode tracks")
SIZES = ("video", "video with grain", "float16 depth", "depth", "depth with noise", "tracks", "cameras")
GB, TB = 1e9, 1e12
SHARD = 2**31  # bytes at which `write_shards` closes one


@dataclass(frozen=True)
class Gpu:
    """Seconds of one GPU that a clip of 81 frames takes; None where nobody says."""

    cameras: float | None = None
    """Camera path and parts that move, such as MegaSaM."""
    depth: float | None = 0.014 * FRAMES
    """Relative depth: Video-Depth-Anything, ViT-L, 14 ms a frame on an A100, as its authors say."""
    metric: float | None = 0.06 * 21
    """Metric depth of every fourth frame: MoGe-2, 60 ms a picture on an A100, as its authors say."""
    tracks: float | None = None
    """Points followed through the clip, such as CoTracker3."""


@dataclass(frozen=True)
class Plan:
    """How many clips there are, and what they run on."""

    clips: int = 130_000
    kept: int = 100_000
    """Clips that are left, of the paper's order of numbers."""
    cores: int = 64
    gpus: int = 8
    gpu: Gpu = field(default_factory=Gpu)


@dataclass(frozen=True)
class Costs:
    """What a clip costs: seconds of one core by the names of `CPU`, bytes by those of `SIZES`."""

    frames: int
    side: int
    tracks: int
    clips: int
    seconds: dict[str, float]
    bytes: dict[str, float]


@dataclass(frozen=True)
class Row:
    """A stage of the plan; hours and bytes are those of all clips, None where nobody knows."""

    stage: str
    where: str
    clips: int
    seconds: float | None
    storage: float = 0.0
    passing: bool = False
    """Whether what it stores is only there while the run goes on."""

    @property
    def hours(self) -> float | None:
        """Hours of one core or one GPU."""
        return None if self.seconds is None else self.seconds * self.clips / 3600


def measure(num_clips: int, frames: int, side: int, tracks: int) -> Costs:
    """The mean cost of procedural clips on one core, without making them."""
    seconds: dict[str, list[float]] = {name: [] for name in CPU}
    sizes: dict[str, list[float]] = {name: [] for name in SIZES}
    for seed in range(num_clips):
        recording, jpegs, noise = _clip(seed, frames, side, tracks)
        _, spent = _timed(lambda jpegs=jpegs: [np.asarray(Image.open(io.BytesIO(file))) for file in jpegs])
        seconds["read"].append(spent)
        aligned, spent = _timed(lambda recording=recording: _align(recording))
        seconds["align"].append(spent)
        pixels = _pixels(aligned)
        _, spent = _timed(lambda one=aligned, pixels=pixels: _lift(one, pixels))
        seconds["lift tracks"].append(spent)
        _, spent = _timed(lambda one=aligned: judge(one))
        seconds["judge"].append(spent)
        depth = np.where(aligned.depth_mask, aligned.depth, 0).astype(np.float32)
        grain = (recording.video + 4 * torch.randn(recording.video.shape, generator=noise)).clamp(0, 255)
        coarse = torch.randn(len(depth), 1, (side + 1) // 2, (side + 1) // 2, generator=noise)
        rough = depth * (1 + 0.003 * F.interpolate(coarse, depth.shape[1:], mode="bilinear")[:, 0].numpy())
        encoders: dict[str, tuple[str, Callable[[], int]]] = {
            "video": ("", lambda recording=recording: _mp4(recording.video)),
            "video with grain": ("encode video", lambda grain=grain: _mp4(grain)),
            "depth": ("", lambda depth=depth: _depth_codes(depth)),
            "depth with noise": ("encode depth", lambda rough=rough: _depth_codes(rough)),
            "tracks": ("encode tracks", lambda one=aligned: _track_arrays(one)),
        }
        for name, (stage, encode) in encoders.items():
            size, spent = _timed(encode)
            sizes[name].append(size)
            if stage:
                seconds[stage].append(spent)
        sizes["float16 depth"].append(2 * depth.size)
        sizes["cameras"].append(4 * frames * (16 + 9))
    mean = {name: float(np.mean(values)) for name, values in seconds.items()}
    return Costs(frames, side, tracks, num_clips, mean, {n: float(np.mean(v)) for n, v in sizes.items()})


def rows_of(costs: Costs, plan: Plan) -> list[Row]:
    """The stages of the plan, in their order."""
    size, spent, gpu = costs.bytes, costs.seconds, plan.gpu
    return [
        Row("read frames", "CPU", plan.clips, spent["read"]),
        Row("cameras and what moves", "GPU", plan.clips, gpu.cameras),
        Row("relative depth", "GPU", plan.clips, gpu.depth, size["float16 depth"], passing=True),
        Row("metric depth", "GPU", plan.clips, gpu.metric),
        Row("tracks in pixels", "GPU", plan.clips, gpu.tracks),
        Row("align depth", "CPU", plan.clips, spent["align"]),
        Row("tracks in space", "CPU", plan.clips, spent["lift tracks"]),
        Row("judge", "CPU", plan.clips, spent["judge"]),
        Row("encode video", "CPU", plan.kept, spent["encode video"], size["video with grain"]),
        Row("encode depth", "CPU", plan.kept, spent["encode depth"], size["depth with noise"]),
        Row("encode tracks", "CPU", plan.kept, spent["encode tracks"], size["tracks"] + size["cameras"]),
    ]


def tables(costs: Costs, plan: Plan) -> str:
    """The plan as Markdown."""
    rows = rows_of(costs, plan)
    lines = [
        f"{plan.clips:,} clips of {costs.frames} frames of {costs.side} x {costs.side}, of which "
        f"{plan.kept:,} are kept; {plan.cores} cores and {plan.gpus} GPUs. Mean of {costs.clips} measured "
        f"clip{'s' * (costs.clips != 1)}.",
        "",
        "| stage | clips | seconds a clip | CPU hours | GPU hours | a clip | stored |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        hours = {"CPU": "", "GPU": ""} | {row.where: _known(row.hours, ",.0f")}
        stored = _tera(row.storage * row.clips) + (" while it runs" if row.passing else "")
        cells = (f"{row.clips:,}", _known(row.seconds, ".2f"), hours["CPU"], hours["GPU"])
        ends = (f"{row.storage / 1e6:.2f} MB", stored) if row.storage else ("", "")
        lines.append(f"| {' | '.join((row.stage, *cells, *ends))} |")
    sums = {where: _sum([row.hours for row in rows if row.where == where]) for where in ("CPU", "GPU")}
    kept = sum(row.storage * row.clips for row in rows if not row.passing)
    each = sum(row.storage for row in rows if not row.passing)
    lines.append(f"| in all | | | {sums['CPU']} | {sums['GPU']} | {each / 1e6:.2f} MB | {_tera(kept)} |")
    lines += ["", *_sentences(costs, plan, rows, kept)]
    lines += ["", "| stored for a clip | MB |", "|---|--:|"]
    lines += [f"| {name} | {costs.bytes[name] / 1e6:.2f} |" for name in SIZES]
    return "\n".join(lines)


def main(
    plan: Plan = Plan(),  # noqa: B008 (frozen)
    quick: bool = False,
    json: Path | None = None,
    results: Path | None = None,
) -> Costs:
    """Measure and print the plan.

    Args:
        plan: How many clips there are, and what they run on.
        quick: One clip of 9 frames of 64 x 64, to see whether it runs.
        json: Write what was measured to this file.
        results: Read what was measured from this file instead.

    Returns:
        What a clip costs.
    """
    if results is not None:
        costs = Costs(**json_files.loads(results.read_text(encoding="utf-8"))["costs"])
        print(tables(costs, plan))
        return costs
    torch.set_num_threads(1)
    facts: dict[str, Any] = machine()
    print(f"$ {command_line()}\n{describe(facts)}\n")
    costs = measure(1, 9, 64, 97) if quick else measure(2, FRAMES, SIDE, TRACKS)
    print(tables(costs, plan))
    if quick:
        print(TINY)
    if json is not None:
        write_json(json, {"machine": facts, "costs": asdict(costs)})
    return costs


def _sentences(costs: Costs, plan: Plan, rows: list[Row], kept: float) -> list[str]:
    """What the table comes to."""
    cpu, gpu = (sum(r.hours or 0 for r in rows if r.where == where) for where in ("CPU", "GPU"))
    unknown = [f"{row.stage} ({row.where})" for row in rows if row.seconds is None]
    together = max(1, min(256, int(SHARD / max(kept / plan.kept, 1))))  # clips of a shard
    shards = math.ceil(plan.kept / together)
    passing = sum(row.storage * row.clips for row in rows if row.passing)
    found = [
        f"- CPU: {cpu:,.0f} hours of a core are {cpu / plan.cores:,.1f} hours on {plan.cores} cores.",
        f"- GPU: {gpu:,.0f} hours that are known are {gpu / plan.gpus:,.1f} hours on {plan.gpus} GPUs. Each "
        f"second a clip more adds {plan.clips / 3600:,.0f} GPU hours, {plan.clips / 3600 / plan.gpus:,.1f} "
        f"hours on {plan.gpus} GPUs.",
        f"- Storage: {_tera(kept)} to keep, {shards:,} shards of {together} clips of "
        f"{kept / shards / GB:.1f} GB; {_tera(passing)} more if all relative depth is held until the end.",
    ]
    if unknown:
        found.insert(2, f"- Unknown: {'; '.join(unknown)}.")
    return found


def _clip(seed: int, frames: int, side: int, tracks: int) -> tuple[Recording, list[bytes], torch.Generator]:
    """A procedural clip, its frames as JPEG files, and a source of noise."""
    options = {"photographs": True}
    sample = procedural_sample(
        seed, num_frames=frames, height=side, width=side, num_tracks=tracks, scene_options=options
    )
    depth, cameras = sample["depth"][0], sample["cameras"]
    assert isinstance(cameras, Cameras)
    recording = Recording(
        name=f"clip_{seed}",
        dataset="procedural",
        licence="MIT",
        video=(255 * sample["video"][0]).round().to(torch.uint8),
        cameras=cameras.batch(0),
        depth=depth,
        depth_mask=depth > 0,
        dynamic_mask=sample["object_index"][0] > 0,
        tracks=sample["tracks"][0].transpose(0, 1).contiguous(),
        visible=sample["track_visibility"][0].T.contiguous(),
        unit="metre",
    )
    jpegs = []
    for frame in recording.video.permute(0, 2, 3, 1).numpy():
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "JPEG", quality=92)
        jpegs.append(file.getvalue())
    return recording, jpegs, torch.Generator().manual_seed(seed)


def _align(recording: Recording) -> Recording:
    """Scale and shift from 500 resting points, and depth in metres."""
    assert recording.depth is not None and recording.cameras is not None and recording.depth_mask is not None
    assert recording.tracks is not None and recording.visible is not None
    relative = torch.where(recording.depth_mask, 0.7 / recording.depth.clamp(min=1e-3) + 0.05, 0)
    moved = (recording.tracks - recording.tracks[:, :1]).norm(dim=-1).amax(1)
    still = (moved < 1e-3).nonzero()[:500, 0]
    generator = torch.Generator().manual_seed(0)
    anchors = anchors_from_points(
        relative, recording.tracks[still, 0], recording.cameras, visible=recording.visible[still]
    )
    found = fit_scale_and_shift(anchors, method="ransac", generator=generator)
    found = check_on_map(relative, found, mask=recording.depth_mask)
    return align_recording(recording, relative, found, mask=recording.depth_mask)


def _pixels(recording: Recording) -> torch.Tensor:
    """Where the tracks are in the image, as a tracker would say."""
    assert recording.tracks is not None and recording.cameras is not None
    cameras = recording.cameras
    points = recording.tracks.transpose(0, 1)
    return project(points, cameras.camera_to_world, cameras.intrinsics)[0].transpose(0, 1)


def _lift(recording: Recording, pixels: torch.Tensor) -> None:
    assert recording.depth is not None and recording.depth_mask is not None
    assert recording.cameras is not None and recording.visible is not None
    lift_tracks(pixels, recording.visible, recording.depth, recording.depth_mask, recording.cameras)


def _mp4(video: torch.Tensor) -> int:
    """Frames as samples of shards keep them."""
    return sum(map(len, encode_video(video.round().to(torch.uint8), "mp4", fps=24.0).values()))


def _depth_codes(depth: np.ndarray) -> int:
    """Depth as samples of shards keep it; 0 is not known."""
    mask = depth > 0
    near, far = float(depth[mask].min()), float(depth[mask].max())
    step, _ = depth_step(near, far, DEPTH_ERROR)
    return _npz(
        {
            f"depth_{index:05d}": depth_to_codes(frame, mask[index], near=near, step=step)
            for index, frame in enumerate(depth)
        }
    )


def _track_arrays(recording: Recording) -> int:
    """Tracks as samples of shards keep them."""
    assert recording.tracks is not None and recording.visible is not None
    return _npz(
        {
            "track_world": recording.tracks.numpy(),
            "visibility": np.packbits(recording.visible.numpy(), axis=1),
        }
    )


def _npz(arrays: dict[str, np.ndarray]) -> int:
    file = io.BytesIO()
    write_npz(file, arrays, compression="deflate")
    return file.tell()


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and the seconds of all cores that it took: other work beside it does not count."""
    start = time.process_time()
    result = call()
    return result, time.process_time() - start


def _known(value: float | None, form: str) -> str:
    return "unknown" if value is None else f"{value:{form}}"


def _sum(hours: list[float | None]) -> str:
    total = f"{sum(value or 0 for value in hours):,.0f}"
    return f"at least {total}" if None in hours else total


def _tera(count: float) -> str:
    return f"{count / TB:.2f} TB"


if __name__ == "__main__":
    tyro.cli(main)
