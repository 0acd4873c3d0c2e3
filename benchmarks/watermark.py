"""What the watermark survives, what it costs, and how often a video without it is called marked.

    python benchmarks/watermark.py                  24 renders, 36,000 pairs of clip and key; ten minutes
    python benchmarks/watermark.py --part codec     one part of it: codec, changes, sizes or false-positives
    python benchmarks/watermark.py --quick          two tiny renders, to see whether it runs

Renders are scenes that the bundled model makes of the photographs in examples/photos, seen along six paths,
and held-out procedural scenes for other sizes. "found" is how many clips are found to be marked at a stated
false-positive rate of 1e-6, "number" in how many the number of the scene is read. Each change is followed by
x264 at crf 23 unless it says otherwise.
"""

import io
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import torch
import torch.nn.functional as F
import tyro
from measuring import ROOT, TINY, command_line, describe, machine, write_json
from PIL import Image

from diff4splat import Diff4SplatPipeline
from diff4splat.assets import Watermark, detect_watermark, embed_watermark
from diff4splat.assets.watermark_detection import best_shift, chip_residuals, folded_tiles
from diff4splat.cameras import trajectory
from diff4splat.data import HELD_OUT_SEEDS, sample_cameras, sample_scenes
from diff4splat.pipelines import fit_cameras, focus_depth, render_path, sway_cameras

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
PATHS = ("spiral", "forward", "backward", "upward", "orbit", "sway")
RATE, NUMBER = 1e-6, 0x1DEA5EED
MARK = Watermark(payload=NUMBER)
Clip = torch.Tensor  # frame rgb height width, in [0, 1]
Change = Callable[[Clip], Clip]


@dataclass(frozen=True)
class Row:
    """How many clips are found after one change."""

    change: str
    found: int
    unsure: int
    numbers: int
    clips: int
    score: float


def mp4(video: Clip, crf: int) -> bytes:
    """A clip as a file, with the settings of `save_video` but for the quality."""
    file = io.BytesIO()
    height, width = video.shape[-2:]
    video = F.pad(video, (0, width % 2, 0, height % 2), mode="replicate")
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=12, options={"crf": str(crf)})
        stream.height, stream.width, stream.pix_fmt = *video.shape[-2:], "yuv420p"
        for frame in bytes_of(video):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(
                stream.encode(
                    picture.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
                )
            )
        container.mux(stream.encode(None))
    return file.getvalue()


def x264(video: Clip, crf: int = 23) -> Clip:
    """A clip after the codec."""
    height, width = video.shape[-2:]
    with av.open(io.BytesIO(mp4(video, crf))) as container:
        pixels = [
            frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray()
            for frame in container.decode(video=0)
        ]
    return clip_of(np.stack(pixels))[..., :height, :width]


def pillow(video: Clip, form: str, **options: int) -> Clip:
    """A clip as an animated picture and back."""
    file, pictures = io.BytesIO(), [Image.fromarray(frame) for frame in bytes_of(video)]
    pictures[0].save(file, form, save_all=True, append_images=pictures[1:], **options)
    with Image.open(file) as picture:
        frames = []
        for index in range(getattr(picture, "n_frames", 1)):
            picture.seek(index)
            frames.append(np.asarray(picture.convert("RGB")))
    return clip_of(np.stack(frames))


def jpeg(video: Clip) -> Clip:
    """The first frame as a JPEG of quality 75."""
    file = io.BytesIO()
    Image.fromarray(bytes_of(video)[0]).save(file, "JPEG", quality=75)
    with Image.open(file) as picture:
        return clip_of(np.asarray(picture)[None])


def bytes_of(video: Clip) -> np.ndarray:
    """8-bit pixels, frame height width rgb."""
    return (255 * video.clamp(0, 1)).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def clip_of(pixels: np.ndarray) -> Clip:
    """The other way round."""
    return torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2).float() / 255


def stored(video: Clip) -> Clip:
    """Rounded to 8 bits."""
    return clip_of(bytes_of(video))


def resized(video: Clip, factor: float) -> Clip:
    """Bicubic, antialiased."""
    size = [round(side * factor) for side in video.shape[-2:]]
    return F.interpolate(video, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def and_back(video: Clip, factor: float) -> Clip:
    """Made smaller, then as large as before."""
    small = stored(resized(video, factor))
    return F.interpolate(small, size=video.shape[-2:], mode="bicubic", align_corners=False).clamp(0, 1)


def cropped(video: Clip, fraction: float) -> Clip:
    """A part of each side, not from the middle nor in step with the pattern."""
    height, width = (round(side * fraction) for side in video.shape[-2:])
    top, left = (video.shape[-2] - height) // 3, (video.shape[-1] - width) // 3 * 2
    return video[..., top : top + height, left : left + width]


def turned(video: Clip, degrees: float) -> Clip:
    """Rotated around the middle."""
    pictures = [Image.fromarray(frame).rotate(degrees, Image.Resampling.BICUBIC) for frame in bytes_of(video)]
    return clip_of(np.stack([np.asarray(picture) for picture in pictures]))


CHANGES: dict[str, Change] = {
    "none, 8 bits": stored,
    "one frame alone, PNG": lambda video: stored(video[:1]),
    "one frame alone, JPEG 75": jpeg,
    "animated WebP, quality 80": lambda video: pillow(video, "WEBP", quality=80),
    "GIF": lambda video: pillow(video, "GIF"),
    "every third frame": lambda video: x264(video[::3]),
    "brightness + 0.1, contrast x 0.7": lambda video: x264((video - 0.5) * 0.7 + 0.6),
    "gamma 1.5": lambda video: x264(video**1.5),
    "grey": lambda video: x264(video.mean(dim=1, keepdim=True).expand_as(video)),
    "noise of 10 levels": lambda video: x264(
        video + 10 / 255 * torch.randn(video.shape, generator=torch.Generator().manual_seed(0))
    ),
    "3 x 3 box blur": lambda video: x264(
        F.avg_pool2d(F.pad(video, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    ),
    "to 0.75 and back": lambda video: x264(and_back(video, 0.75)),
    "to 0.5 and back": lambda video: x264(and_back(video, 0.5)),
    "to 1.4": lambda video: x264(resized(video, 1.4)),
    "to 0.75": lambda video: x264(resized(video, 0.75)),
    "to 0.5": lambda video: x264(resized(video, 0.5)),
    "crop to 3/4 of each side": lambda video: x264(cropped(video, 0.75)),
    "crop to 1/2 of each side": lambda video: x264(cropped(video, 0.5)),
    "crop to 3/4, enlarged to full size": lambda video: x264(resized(cropped(video, 0.75), 4 / 3)),
    "mirrored": lambda video: x264(video.flip(-1)),
    "turned by 1 degree": lambda video: x264(turned(video, 1)),
    "turned by 3 degrees": lambda video: x264(turned(video, 3)),
}


@torch.no_grad()
def renders(size: int, num_frames: int, photos: tuple[str, ...], paths: tuple[str, ...]) -> Iterator[Clip]:
    """Clips of scenes that the bundled model makes."""
    pipe = Diff4SplatPipeline.from_pretrained("compact")
    for photo in photos:
        cameras = trajectory.spiral(num_frames, height=size, width=size)
        field = pipe(
            ROOT / "examples" / "photos" / f"{photo}.jpg",
            cameras,
            generator=torch.Generator().manual_seed(0),
            detail_size=size,
        )
        for name in paths:
            if name == "sway":
                path = sway_cameras(cameras, focus_depth=focus_depth(field))
            else:
                away = {"focus_depth": focus_depth(field)} if name == "orbit" else {}
                path = getattr(trajectory, name)(num_frames, height=size, width=size, **away)
            yield render_path(field, fit_cameras(path, height=size, width=size)).color.clamp(0, 1)


@torch.no_grad()
def procedural(size: int, num_frames: int, count: int) -> Iterator[Clip]:
    """Clips of held-out procedural scenes."""
    for seed in HELD_OUT_SEEDS[:count]:
        scenes = sample_scenes([seed], texture_size=128)
        cameras = sample_cameras([seed], num_frames, height=size, width=size)
        yield scenes.render(cameras, torch.linspace(0, 1, num_frames)).color[0]


def psnr(first: Clip, second: Clip) -> float:
    """Of a whole clip, both in 8 bits, dB."""
    return float(-10 * (stored(first) - stored(second)).square().mean().log10())


def packed(video: Clip) -> torch.Tensor:
    """As bytes, of which many fit in memory."""
    return torch.from_numpy(bytes_of(video))


def unpacked(pixels: torch.Tensor) -> Clip:
    """The other way round."""
    return clip_of(pixels.numpy())


def count_found(name: str, marked: list[torch.Tensor], change: Change, *, search: bool = True) -> Row:
    """Change clips that are marked and look for the mark."""
    decisions = [
        detect_watermark(change(unpacked(video)), false_positive_rate=RATE, search_scales=search)
        for video in marked
    ]
    return Row(
        name,
        sum(decision.detected for decision in decisions),
        sum(decision.verdict == "cannot tell" for decision in decisions),
        sum(decision.payload == NUMBER for decision in decisions),
        len(marked),
        min(decision.score for decision in decisions),
    )


def unmarked(clips: list[torch.Tensor], size: int) -> dict[str, list[Clip]]:
    """Clips without a mark of the keys that are tried: renders, photographs, noise, flat, other marks."""
    generator = torch.Generator().manual_seed(1)
    photographs = []
    for path in sorted((ROOT / "examples" / "photos").glob("*.jpg")):
        whole = clip_of(np.asarray(Image.open(path).convert("RGB"))[None])
        side = min(size, whole.shape[-2] - 16, whole.shape[-1] - 16)
        photographs.append(torch.cat([whole[..., 2 * i : side + 2 * i, i : side + i] for i in range(8)]))
    shape = (2, 3, size, size)
    return {
        "renders": [x264(unpacked(clip[::5])) for clip in clips],
        "procedural scenes": [x264(clip) for clip in procedural(min(size, 256), 3, len(clips))],
        "photographs, panned": photographs,
        "noise": [torch.rand(shape, generator=generator) for _ in range(4)],
        "flat": [torch.full(shape, value) for value in (0.0, 0.2, 0.5, 1.0)],
        "marked with another key": [
            stored(embed_watermark(unpacked(clip[::5]), Watermark(key=f"another {index}")))
            for index, clip in enumerate(clips[:8])
        ],
    }


def p_values(clips: list[Clip], num_pairs: int, first_key: int) -> list[float]:
    """The p-values of clips and keys that have nothing to do with each other, each key used once."""
    tiles = [folded_tiles(chip_residuals(clip)[0]) for clip in clips]
    return [
        best_shift(tiles[index % len(clips)], f"key {first_key + index}", RATE).p_value
        for index in range(num_pairs)
    ]


def print_rows(title: str, rows: list[Row]) -> None:
    """A table of changes."""
    print(f'\n| {title} | found | "cannot tell" | number read | least score |\n|---|---|---|---|---|')
    for row in rows:
        cells = (f"{row.found} of {row.clips}", row.unsure, row.numbers, f"{row.score:.1f}")
        print(f"| {row.change} | {' | '.join(map(str, cells))} |", flush=True)


def codec(clips: list[torch.Tensor], marked: list[torch.Tensor], quick: bool) -> list[Row]:
    """Quality, cost and the codec."""
    frames = sum(map(len, clips))
    videos = [unpacked(clip) for clip in clips[:4]]
    start = time.perf_counter()
    films = [embed_watermark(video, MARK) for video in videos]
    embedding = 1000 * (time.perf_counter() - start) / sum(map(len, films))
    start = time.perf_counter()
    for film in films:
        detect_watermark(film, search_scales=False)
    detection = 1000 * (time.perf_counter() - start) / sum(map(len, films))
    quality = [psnr(unpacked(clip), unpacked(film)) for clip, film in zip(clips, marked, strict=True)]
    before, after = (sum(len(mp4(unpacked(clip), 18)) for clip in films) for films in (clips, marked))
    print(f"\n{len(clips)} renders, {frames} frames of {' x '.join(map(str, clips[0].shape[1:3]))} pixels")
    print(
        f"PSNR of marked beside unmarked clips: least {min(quality):.1f} dB, mean {np.mean(quality):.1f} dB"
    )
    print(f"time per frame: embedding {embedding:.1f} ms, detection where there is a mark {detection:.1f} ms")
    print(f"size of the mp4 at crf 18: {100 * (after / before - 1):+.0f} %")
    rows = [
        count_found(f"crf {crf}", marked, lambda video, crf=crf: x264(video, crf), search=not quick)
        for crf in ((28,) if quick else (18, 23, 28, 33, 38))
    ]
    print_rows(f"x264, {len(marked)} renders", rows)
    return rows


def changes(marked: list[torch.Tensor], quick: bool) -> list[Row]:
    """What else may happen to a video."""
    some = [clip[::3] for clip in marked[:: 1 if quick else 3]]
    these = list(CHANGES.items())[:2] if quick else list(CHANGES.items())
    rows = [count_found(name, some, change, search=not quick) for name, change in these]
    print_rows(f"change, {len(some)} renders of {len(some[0])} frames", rows)
    return rows


def sizes(quick: bool) -> list[Row]:
    """Clips of small frames."""
    rows = []
    for side in (64,) if quick else (64, 128, 192, 256, 384):
        clips = procedural(side, 1 if quick else 9, 2 if quick else 20)
        marked = [packed(embed_watermark(clip, MARK)) for clip in clips]
        rows.append(count_found(f"{side} x {side}", marked, x264, search=False))
    print_rows("procedural scenes of 9 frames, crf 23", rows)
    return rows


def false_positives(clips: list[torch.Tensor], size: int, pairs: int) -> dict[str, float]:
    """How often clips are called marked with keys that have nothing to do with them."""
    kinds = unmarked(clips, size)
    found: dict[str, list[float]] = {}
    for kind, videos in kinds.items():
        found[kind] = p_values(videos, -(-pairs // len(kinds)), sum(map(len, found.values())))
    values = np.array([value for each in found.values() for value in each])
    print("\n| unmarked clips | clips | pairs | called marked | least p-value |\n|---|---|---|---|---|")
    for kind, each in found.items():
        wrong = sum(value <= RATE for value in each)
        print(f"| {kind} | {len(kinds[kind])} | {len(each)} | {wrong} | {min(each):.1g} |")
    wrong = int((values <= RATE).sum())
    bound = gamma_bound(wrong) / len(values)
    print(f"called marked: {wrong} of {len(values)} pairs; below a rate of {bound:.1e} with 95 % confidence")
    for stated in (0.1, 0.01, 0.001):
        print(f"p-values of {stated:g} or less: {np.mean(values <= stated):.5f} of all")
    return {"pairs": len(values), "called marked": wrong, "bound": bound}


def gamma_bound(count: int) -> float:
    """The largest mean of a Poisson variable for which `count` or fewer come with 5 % probability."""
    low, high = 0.0, 10.0 + 3 * count
    for _ in range(60):
        middle = (low + high) / 2
        chance = sum(math.exp(-middle) * middle**n / math.factorial(n) for n in range(count + 1))
        low, high = (middle, high) if chance > 0.05 else (low, middle)
    return high


def main(
    part: Literal["all", "codec", "changes", "sizes", "false-positives"] = "all",
    pairs: int = 36_000,
    quick: bool = False,
    json: Path | None = None,
) -> dict[str, Any]:
    """Measure and print.

    Args:
        part: What to measure.
        pairs: Pairs of an unmarked clip and a key.
        quick: Tiny sizes.
        json: File for the results.

    Returns:
        The rows of each table, and the false positives.
    """
    facts = machine()
    print(f"{describe(facts)}\n{command_line()}", flush=True)
    size, num_frames = (96, 2) if quick else (512, 25)
    photos, paths = (PHOTOS[:1], PATHS[:2]) if quick else (PHOTOS, PATHS)
    clips = [] if part == "sizes" else [packed(clip) for clip in renders(size, num_frames, photos, paths)]
    results: dict[str, Any] = {}
    if part in ("all", "codec", "changes"):
        marked = [packed(embed_watermark(unpacked(clip), MARK)) for clip in clips]
    if part in ("all", "codec"):
        results["codec"] = codec(clips, marked, quick)
    if part in ("all", "changes"):
        results["changes"] = changes(marked, quick)
    if part in ("all", "sizes"):
        results["sizes"] = sizes(quick)
    if part in ("all", "false-positives"):
        results["false positives"] = false_positives(clips, size, 18 if quick else pairs)
    if quick:
        print(TINY)
    if json:
        tables = {
            name: [vars(row) for row in rows] if isinstance(rows, list) else rows
            for name, rows in results.items()
        }
        write_json(json, {"machine": facts, **tables})
    return results


if __name__ == "__main__":
    tyro.cli(main)
