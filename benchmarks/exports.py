"""Time and size of every exported file, beside the same bytes written plainly to the same disk.

    python benchmarks/exports.py                       everything
    python benchmarks/exports.py --only ply usd        some
    python benchmarks/exports.py --quick               in small, to see whether it runs

A field of 100,000 Gaussians and 25 times, or one moment of it where a format holds one. Times are wall times
with the flush to the disk that every export ends with; the fastest of several calls counts, because other
programs on the machine only ever add to a time. "plain" is a file of the same size written and flushed in one
piece, in turns with the export. To measure another format, add a row to EXPORTS.
"""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
import tyro
from measuring import Result, command_line, conclude, describe, fastest, machine, once, report, say
from rendering_scenes import moving, scene

from diff4splat.assets import (
    load_field,
    load_ply,
    load_ply_sequence,
    load_splat,
    save_field,
    save_glb,
    save_ply,
    save_ply_sequence,
    save_splat,
    save_usd,
)
from diff4splat.files import flush
from diff4splat.gaussians import DeformableGaussianField, Gaussians
from diff4splat.viewer import save_player

COUNT, TIMES, DEGREE = 100_000, 25, 3
MOMENT = 0.37


class Export(NamedTuple):
    """What is measured: a function of a field and a path, how its file ends, the most seconds it may take."""

    write: Callable[[DeformableGaussianField, Path], Any]
    suffix: str
    goal: float | None = None
    read: Callable[[Path], Any] | None = None
    degree: int = DEGREE


EXPORTS: dict[str, Export] = {
    "asset": Export(save_field, ".safetensors", read=load_field),
    "ply": Export(lambda field, path: save_ply(field.at(MOMENT), path), ".ply", 0.2, load_ply),
    "ply-degree-0": Export(lambda field, path: save_ply(field.at(MOMENT), path), ".ply", 0.2, load_ply, 0),
    "ply-sequence": Export(save_ply_sequence, "", read=load_ply_sequence),
    "splat": Export(lambda field, path: save_splat(field.at(MOMENT), path), ".splat", read=load_splat),
    "glb": Export(lambda field, path: save_glb(field.at(MOMENT), path), ".glb"),
    "usd": Export(save_usd, ".usdc"),
    "player": Export(save_player, ".html", 2.0, degree=0),
}


@dataclass(frozen=True)
class Options:
    """Measure exports.

    Args:
        only: Names of the exports to measure; all when omitted.
        quick: Tiny sizes, to see whether it runs.
        repeats: Calls of each, of which the fastest counts.
        folder: Where to write, on the disk that is measured; a temporary folder when omitted.
        json: File for the results.
    """

    only: tuple[str, ...] = ()
    quick: bool = False
    repeats: int = 5
    folder: Path | None = None
    json: Path | None = None


def main(options: Options) -> list[Result]:
    """Measure, print, and write the results if a file is named."""
    unknown = set(options.only) - set(EXPORTS)
    if unknown:
        raise SystemExit(f"--only must be of {', '.join(EXPORTS)}, got {', '.join(sorted(unknown))}")
    facts = machine()
    print(f"{command_line()}\n{describe(facts)}\n")
    count, times = (101, 3) if options.quick else (COUNT, TIMES)
    say(f"{count} Gaussians, {times} times, harmonics of degree {DEGREE}, or 0 where name or format says so.")
    results: list[Result] = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for name in options.only or EXPORTS:
            results += report(measure(name, EXPORTS[name], count, times, options.repeats, Path(folder)))
    conclude(results, quick=options.quick, json=options.json, facts=facts)
    return results


def measure(name: str, export: Export, count: int, times: int, repeats: int, folder: Path) -> list[Result]:
    """Time to write and read, size, and the rate of the disk beside it."""
    field = moving(with_degree(count, export.degree), times)
    path, plain = folder / f"{name}{export.suffix}", folder / f"{name}.plain"
    export.write(field, path)  # imports, and the first touch of the memory
    size = sum(part.stat().st_size for part in ([*path.iterdir()] if path.is_dir() else [path]))
    content = os.urandom(size)
    seconds, disk = fastest(
        [lambda: export.write(field, path), lambda: write_plainly(content, plain)], repeats
    )
    results = [
        Result(name, "write", seconds, "s", export.goal),
        Result(name, "size", size / 1e6, "MB"),
        Result(name, "rate of the plain file", 100 * disk / seconds, "%"),
    ]
    if export.read is not None:
        read = export.read
        results.insert(1, Result(name, "read", min(once(lambda: read(path)) for _ in range(repeats)), "s"))
    plain.unlink()
    return results


def with_degree(count: int, degree: int) -> Gaussians:
    """A random cloud with harmonics of a degree."""
    gaussians = scene("b", count)
    rest = torch.randn(count, (degree + 1) ** 2 - 1, 3, generator=torch.Generator().manual_seed(1))
    return replace(gaussians, harmonics=torch.cat((gaussians.harmonics, 0.1 * rest), dim=1))


def write_plainly(content: bytes, path: Path) -> None:
    """The bytes in one piece, flushed."""
    path.write_bytes(content)
    flush(path)


if __name__ == "__main__":
    main(tyro.cli(Options))
