"""Procedural clips that are generated ahead of the training, by other processes, and kept on disk."""

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from diff4splat.backbones.compact import CausalVideoVAE
from diff4splat.data import HELD_OUT_SEEDS, make_clips, shard_is_there, write_shard
from diff4splat.data.procedural.clips import GENERATOR_VERSION
from diff4splat.data.shards import ShardReader
from diff4splat.hub import weights_hash

__all__ = ["ClipFactory"]

_AT_ONCE = 8  # clips that are rendered and encoded together
_POLL_SECONDS = 0.05
_STALE_SECONDS = 60.0  # unfinished files older than this belong to no process that still writes


class ClipFactory(Dataset[tuple[dict[str, Tensor], str]]):
    r"""A dataset of procedural clips, made ahead in worker processes and cached as shards.

    Clip n is the scene of seed `first_seed` + n. The shards are made in order, each is written once, and
    `factory[n]` waits until the shard of clip n is there. What is finished is used again the next time, by
    any factory with the same options. Workers run between entering and leaving the `with` block, or until
    this process ends in whatever way; a script that uses them needs the usual `if __name__ == "__main__":`.

        with ClipFactory("cache", 10_000, num_workers=2) as factory:
            clip, caption = factory[0]

    Only one process should make the clips of a folder at a time. The others of a run that shares it say
    `make=False`; so does, by itself, a pickled copy of a factory with workers.

    Args:
        folder: Where the shards are kept; made if needed.
        num_clips: Length of the dataset.
        num_frames: Pixel frames of a clip, 4k + 1 with k at least 1.
        height: Image rows.
        width: Image columns.
        static: Leave all objects at rest.
        photographs: Share of scenes with photographs on some surfaces; True is all.
        still_camera: Share of clips whose camera rests.
        first_seed: Seed of the first clip.
        clips_per_shard: Clips of a file.
        vae: Folder of a saved `CausalVideoVAE`; the clips then have `latents` too.
        known_hash: `weights_hash` of it in float32, where that is known; worked out when omitted, so that
            latents are used again whatever precision the values are kept in.
        num_workers: Processes that make clips; with 0 this process makes a shard when it is asked for one.
        make: Whether to make clips; if not, another process does.

    Raises:
        ValueError: If a number is out of range, or the folder holds shards that were made with other
            options, which are named, or that are damaged.
        FileNotFoundError: If `vae` holds no weights.
    """

    def __init__(
        self,
        folder: str | Path,
        num_clips: int,
        *,
        num_frames: int = 9,
        height: int = 128,
        width: int = 128,
        static: bool = False,
        photographs: bool | float = False,
        still_camera: float = 0.3,
        first_seed: int = 0,
        clips_per_shard: int = 32,
        vae: str | Path | None = None,
        known_hash: str | None = None,
        num_workers: int = 1,
        make: bool = True,
    ) -> None:
        least = {"num_clips": 1, "height": 1, "width": 1, "clips_per_shard": 1, "num_workers": 0}
        given = (num_clips, height, width, clips_per_shard, num_workers)
        for (name, bound), number in zip(least.items(), given, strict=True):
            if number < bound:
                raise ValueError(f"{name} must be at least {bound}, got {number}.")
        if num_frames < 5 or num_frames % 4 != 1:
            raise ValueError(f"num_frames must be 4k + 1 with k at least 1, got {num_frames}.")
        for name, share in (("photographs", photographs), ("still_camera", still_camera)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must be a share in [0, 1], got {share}.")
        if vae is not None and (height % 8 or width % 8):
            raise ValueError(f"height and width must be multiples of 8 for a vae, got {height} x {width}.")
        self._num_shards = -(-num_clips // clips_per_shard)
        last_seed = first_seed + self._num_shards * clips_per_shard - 1
        if not 0 <= first_seed <= last_seed < HELD_OUT_SEEDS.start:
            raise ValueError(
                f"first_seed and the seeds after it must lie in [0, {HELD_OUT_SEEDS.start}), "
                f"got {first_seed} to {last_seed}."
            )
        self.folder = Path(folder)
        self.num_clips = num_clips
        self.num_workers = num_workers
        self.make = make
        options: dict[str, Any] = {
            "num_frames": num_frames,
            "height": height,
            "width": width,
            "static": static,
        }
        options |= {"photographs": photographs, "still_camera": still_camera}
        origin = {**options, "first_seed": first_seed, "clips_per_shard": clips_per_shard}
        origin["generator"] = GENERATOR_VERSION
        origin["vae"] = None if vae is None else known_hash or _hash_of_values(vae)
        self._recipe = _Recipe(self.folder, first_seed, clips_per_shard, options, vae, origin)
        self._vae: CausalVideoVAE | None = None
        self._closed = False
        self._reader = ShardReader()
        self._workers: list[tuple[SpawnProcess, Connection]] = []
        for number in range(self._num_shards):
            self._recipe.is_there(number)  # refuses other options

    @property
    def num_ready(self) -> int:
        """Clips that can be read without waiting."""
        size = self._recipe.clips_per_shard
        ready = [number for number in range(self._num_shards) if self._recipe.path(number).exists()]
        return sum(min(size, self.num_clips - number * size) for number in ready)

    def __len__(self) -> int:
        return self.num_clips

    def __getitem__(self, index: int) -> tuple[dict[str, Tensor], str]:
        shard, row = self._place(index)
        path = self._recipe.path(shard)
        while not path.exists():
            if not self.make:
                if self._closed:
                    raise RuntimeError(f"{path} is missing and no longer waited for: the `with` block ended.")
                time.sleep(_POLL_SECONDS)
            elif self.num_workers == 0:
                self._make_here(shard)
            else:
                self._check_workers(path)
                time.sleep(_POLL_SECONDS)
        return self._reader.read(path, row)

    def name_of(self, index: int) -> str:
        """Where a clip lies or will lie, for messages.

        Args:
            index: Number of the clip, from 0.

        Returns:
            The shard's file and the row, as in "000012.safetensors[5]".

        Raises:
            IndexError: If there is no such clip.
        """
        shard, row = self._place(index)
        return f"{self._recipe.path(shard).name}[{row}]"

    def __enter__(self) -> "ClipFactory":
        self._closed = False
        if self._workers or not self.make:
            return self
        self.folder.mkdir(parents=True, exist_ok=True)
        _remove_unfinished(self.folder)
        missing = [number for number in range(self._num_shards) if not self._recipe.is_there(number)]
        spawn = multiprocessing.get_context("spawn")
        for first in range(min(self.num_workers, len(missing))):
            ours, theirs = spawn.Pipe(duplex=False)
            process = spawn.Process(
                target=_work,
                args=(self._recipe, missing[first :: self.num_workers], theirs),
                name=f"clips-{first}",
                daemon=True,
            )
            process.start()
            theirs.close()
            self._workers.append((process, ours))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True  # for threads that wait
        workers, self._workers = self._workers, []
        for process, _ in workers:
            process.terminate()
        for process, _ in workers:
            process.join()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_workers": [], "make": self.make and self.num_workers == 0, "_vae": None}

    def _place(self, index: int) -> tuple[int, int]:
        if not 0 <= index < self.num_clips:
            raise IndexError(f"index must be in [0, {self.num_clips}), got {index}.")
        return divmod(index, self._recipe.clips_per_shard)

    def _make_here(self, shard: int) -> None:
        try:
            self._vae = self._vae or self._recipe.load_vae()
            self._recipe.make_shard(shard, self._vae)
        except (OSError, ValueError) as error:  # which would pass for a bad clip
            raise RuntimeError(f"shard {shard} of {self.folder} cannot be made: {error}") from error

    def _check_workers(self, path: Path) -> None:
        """Raise if a shard will not come."""
        if not self._workers:
            raise RuntimeError(
                f"{path} is missing and no worker runs: read inside the factory's `with` block."
            )
        for process, connection in self._workers:
            if connection.poll():
                try:
                    raise RuntimeError(f"a worker that makes clips failed:\n{connection.recv()}")
                except EOFError:
                    pass
            if process.exitcode:
                raise RuntimeError(
                    f"worker {process.name} ended with exit code {process.exitcode} before {path} was made."
                )
        if all(process.exitcode == 0 for process, _ in self._workers) and not path.exists():
            raise RuntimeError(f"{path} is missing though all workers have finished: was it removed?")


@dataclass(frozen=True)
class _Recipe:
    """How shards are made; what a worker is given."""

    folder: Path
    first_seed: int
    clips_per_shard: int
    options: dict[str, Any]
    vae: str | Path | None
    origin: dict[str, Any]

    def path(self, shard: int) -> Path:
        return self.folder / f"{shard:06d}.safetensors"

    def is_there(self, shard: int) -> bool:
        return shard_is_there(self.path(shard), self.origin)

    def load_vae(self) -> CausalVideoVAE | None:
        return None if self.vae is None else CausalVideoVAE.from_pretrained(self.vae).eval()

    def make_shard(self, shard: int, vae: CausalVideoVAE | None) -> None:
        first = self.first_seed + shard * self.clips_per_shard
        seeds = range(first, first + self.clips_per_shard)
        parts = [
            self._make_part(seeds[start : start + _AT_ONCE], vae) for start in range(0, len(seeds), _AT_ONCE)
        ]
        merged = {name: torch.cat([clips[name] for clips, _ in parts]) for name in parts[0][0]}
        captions = [caption for _, captions in parts for caption in captions]
        write_shard(self.path(shard), merged, captions, origin=self.origin)

    def _make_part(
        self, seeds: Sequence[int], vae: CausalVideoVAE | None
    ) -> tuple[dict[str, Tensor], list[str]]:
        clips, captions = make_clips(seeds, **self.options)
        if vae is not None:
            with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
                clips["latents"] = vae.encode(clips["video"].float() / 255).half()
        return clips, captions


def _work(recipe: _Recipe, shards: list[int], connection: Connection) -> None:
    """Make shards one after the other, in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends its workers
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    try:
        vae = recipe.load_vae()
        for shard in shards:
            if not recipe.is_there(shard):
                recipe.make_shard(shard, vae)
    except Exception:
        connection.send(traceback.format_exc())
        sys.exit(1)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)  # as an exception, so that the file that is being written is removed


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _hash_of_values(vae: str | Path) -> str:
    """`weights_hash` of an autoencoder as it is in float32, in whatever precision its file keeps it."""
    with tempfile.TemporaryDirectory() as folder:
        CausalVideoVAE.from_pretrained(vae).save_pretrained(folder)
        return weights_hash(folder)


def _remove_unfinished(folder: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote."""
    for path in folder.glob(".*.safetensors"):
        if time.time() - path.stat().st_mtime > _STALE_SECONDS:
            path.unlink(missing_ok=True)
