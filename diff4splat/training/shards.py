"""Clips on disk: procedural scenes rendered once, in files that training reads many times."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Float, Int
from safetensors import safe_open
from torch import Tensor

from diff4splat.data import ProceduralScenes, sample_cameras, sample_scenes
from diff4splat.files import write_safetensors

__all__ = ["ClipShards", "make_clips", "object_motion", "read_shard", "shard_is_there", "write_shard"]

_KEY_STRIDE = 4


def make_clips(
    seeds: Sequence[int],
    *,
    num_frames: int = 9,
    height: int = 128,
    width: int = 128,
    static: bool = False,
    photographs: bool = False,
    still_camera: float = 0.3,
    supersample: int = 1,
) -> tuple[dict[str, Tensor], list[str]]:
    """Render clips of procedural scenes with everything that training needs, in compact types.

    Args:
        seeds: One scene per seed.
        num_frames: Pixel frames, 4k + 1.
        height: Image rows.
        width: Image columns.
        static: Leave all objects at rest.
        photographs: Paint some surfaces with photographs, see `sample_scenes`.
        still_camera: Share of clips whose camera rests, so that all change is motion.
        supersample: Rays per pixel side.

    Returns:
        Tensors by name, and the captions. The tensors are `video` (uint8), `depth` and `object_index` of
        every fourth frame, `object_motion` (rigid motion of each object from time 0 to each frame) and
        cameras.
    """
    scenes = sample_scenes(seeds, static=static, photographs=photographs)
    cameras = sample_cameras(seeds, num_frames, height=height, width=width, static_probability=still_camera)
    times = torch.linspace(0, 1, num_frames)
    frames = scenes.render(cameras, times, supersample=supersample)
    clips = {
        "video": _to_bytes(frames.color),
        "depth": frames.depth[:, ::_KEY_STRIDE].half(),
        "object_index": frames.object_index[:, ::_KEY_STRIDE].to(torch.uint8),
        "object_motion": object_motion(scenes, times),
        "camera_to_world": cameras.camera_to_world.contiguous(),
        "intrinsics": cameras.intrinsics.contiguous(),
    }
    return clips, list(scenes.captions)


def object_motion(
    scenes: ProceduralScenes, times: Float[Tensor, " time"]
) -> Float[Tensor, "batch object time 3 4"]:
    """Rigid motion of every object from time 0 to other times, in world axes.

    Args:
        scenes: The scenes.
        times: In [0, 1].

    Returns:
        Upper rows of the transform that takes a point of the object at time 0 to where it is at each time;
        object 0 is the world, which rests.
    """
    poses = scenes.poses(times.expand(scenes.num_scenes, -1))
    motion = poses @ torch.linalg.inv(scenes.poses(torch.zeros(scenes.num_scenes, 1)))
    return rearrange(motion[..., :3, :], "b t o i j -> b o t i j").contiguous()


def write_shard(
    path: str | Path,
    clips: dict[str, Tensor],
    captions: Sequence[str],
    *,
    origin: Mapping[str, str | int | float | bool] | None = None,
) -> None:
    """Write clips to a safetensors file; it appears whole or not at all.

    Args:
        path: File to write; its folder is made if needed.
        clips: Tensors by name, the clips on the first axis.
        captions: One text per clip.
        origin: What the shard was made with, for `shard_is_there`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in clips.items()}
    header = {"captions": json.dumps(list(captions)), "origin": json.dumps(dict(origin or {}))}
    write_safetensors(path, tensors, header)


def shard_is_there(path: str | Path, origin: Mapping[str, str | int | float | bool]) -> bool:
    """Whether a shard is finished, and made as it would be made now.

    Args:
        path: File of the shard.
        origin: What it would be made with.

    Returns:
        False if there is no such file.

    Raises:
        ValueError: If it was made with something else.
    """
    path = Path(path)
    if not path.exists():
        return False
    with safe_open(path, framework="pt") as file:
        before = json.loads((file.metadata() or {}).get("origin", "{}"))
    for name, value in origin.items():
        if before.get(name, value) != value:
            raise ValueError(
                f"{path} was made with {name}={before[name]}, these options say {value}: "
                "choose another folder."
            )
    return True


class ClipShards:
    """Endless shuffled batches from a folder of shards, which may still be filling.

    Args:
        folder: Where the shards are.
        batch_size: Clips per batch; a shard is used whole, in batches of this size.
        names: Tensors to read; all when omitted.
        seed: Order of the shards.

    Raises:
        ValueError: If the folder has no shard, or `batch_size` is below 1; when batches are drawn, if it is
            more than the clips of the up to four shards that are mixed.
    """

    def __init__(
        self, folder: str | Path, *, batch_size: int, names: Sequence[str] | None = None, seed: int = 0
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        self.folder = Path(folder)
        self.batch_size = batch_size
        self.names = names
        self.generator = torch.Generator().manual_seed(seed)
        if not self.paths():
            raise ValueError(f"folder must hold shards (*.safetensors), got {self.folder} without any.")

    def paths(self) -> list[Path]:
        """The finished shards.

        Returns:
            Sorted paths.
        """
        return sorted(self.folder.glob("[!.]*.safetensors"))

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], list[str]]]:
        pool: list[tuple[dict[str, Tensor], list[str]]] = []
        while True:
            paths = self.paths()
            order = torch.randperm(len(paths), generator=self.generator).tolist()
            enough = False
            for index in order:
                pool.append(read_shard(paths[index], self.names))
                if len(pool) >= min(4, len(paths)):
                    for batch in self._batches(pool):
                        enough = True
                        yield batch
                    pool = []
            if not enough:
                raise ValueError(
                    f"batch_size must be at most the clips of {min(4, len(paths))} shards, "
                    f"got {self.batch_size}."
                )

    def _batches(
        self, pool: list[tuple[dict[str, Tensor], list[str]]]
    ) -> Iterator[tuple[dict[str, Tensor], list[str]]]:
        names = pool[0][0].keys()
        merged = {name: torch.cat([part[0][name] for part in pool]) for name in names}
        captions = [caption for part in pool for caption in part[1]]
        order: Int[Tensor, " clip"] = torch.randperm(len(captions), generator=self.generator)
        for start in range(0, len(captions) - self.batch_size + 1, self.batch_size):
            pick = order[start : start + self.batch_size]
            yield {name: value[pick] for name, value in merged.items()}, [captions[i] for i in pick.tolist()]


def read_shard(path: str | Path, names: Sequence[str] | None = None) -> tuple[dict[str, Tensor], list[str]]:
    """Read clips from a file that `write_shard` wrote.

    Args:
        path: The file.
        names: Tensors to read; all when omitted.

    Returns:
        Tensors by name, and the captions.
    """
    with safe_open(path, framework="pt") as file:
        wanted = file.keys() if names is None else names
        return {name: file.get_tensor(name) for name in wanted}, json.loads(file.metadata()["captions"])


def _to_bytes(color: Tensor) -> Tensor:
    return (color.clamp(0, 1) * 255 + 0.5).to(torch.uint8)
