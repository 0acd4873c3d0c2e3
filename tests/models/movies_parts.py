"""A small MoVieS, and what the original gave for it: see README.md beside this file."""

import json
from pathlib import Path

import torch
from models.parts import path, stir
from safetensors import safe_open
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.models.movies import MoVieS, load_movies_checkpoint
from diff4splat.models.movies.network import MovingMaps, StaticMaps

GOLDEN = Path(__file__).with_name("movies_golden.safetensors")
SMALL = {
    **{"dim": 16, "num_layers": 4, "num_heads": 2, "encoder_layers": 1, "encoder_heads": 2},
    **{"patch_size": 14, "grid_size": 3, "kept_layers": [0, 1, 2, 3]},
    **{"level_widths": [4, 8, 12, 8], "head_width": 8, "time_dim": 6},
}


def small_movies(*, seed: int = 0, **options) -> MoVieS:
    """Narrow network in which nothing is zero by its start alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = MoVieS(**{**SMALL, **options}).eval()
        stir(network)
    return network


def clip(batch: int, frames: int, height: int, width: int, *, seed: int = 0) -> tuple[Tensor, Cameras]:
    generator = torch.Generator().manual_seed(seed)
    video = torch.rand(batch, frames, 3, height, width, generator=generator)
    return video, path(batch, frames, height, width, seed=seed).to(dtype=torch.float32)


def golden() -> tuple[dict, dict[str, Tensor], dict[str, Tensor]]:
    """Arguments, inputs and outputs."""
    with safe_open(GOLDEN, framework="pt") as file:
        config = json.loads(file.metadata()["config"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    kinds = ("input.", "output.")
    given, expected = (
        {name.removeprefix(kind): value for name, value in tensors.items() if name.startswith(kind)}
        for kind in kinds
    )
    return config, given, expected


def published_weights() -> dict[str, Tensor]:
    """The weights of the golden file, in the layout of the published checkpoint."""
    with safe_open(GOLDEN, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys() if name.startswith("backbone.")}  # noqa: SIM118


def write_published(folder: Path, weights: dict[str, Tensor], name: str = "movies_ckpt.safetensors") -> Path:
    from diff4splat.files import write_safetensors

    write_safetensors(folder / name, weights)
    return folder / name


def golden_network(folder: Path) -> MoVieS:
    network = MoVieS(**golden()[0]).eval()
    load_movies_checkpoint(network, write_published(folder, published_weights()))
    return network


def golden_cameras(given: dict[str, Tensor]) -> Cameras:
    height, width = given["video"].shape[-2:]
    focal_x, focal_y, center_x, center_y = given["fxfycxcy"].unbind(-1)  # as shares of the image
    intrinsics = torch.zeros(*focal_x.shape, 3, 3)
    intrinsics[..., 0, 0], intrinsics[..., 0, 2] = focal_x * width, center_x * width
    intrinsics[..., 1, 1], intrinsics[..., 1, 2] = focal_y * height, center_y * height
    intrinsics[..., 2, 2] = 1
    return Cameras(given["camera_to_world"], intrinsics, height, width)


def run_golden(network: MoVieS, given: dict[str, Tensor], **options) -> dict[str, Tensor]:
    """Outputs of ours under the names of the golden file."""
    with torch.no_grad():
        static, moving = network(
            given["video"],
            golden_cameras(given),
            times=given["times"],
            target_times=given["target_times"],
            **options,
        )
    return {
        **static._asdict(),
        "motion": torch.stack([maps.motion for maps in moving], dim=1),
        "motion_confidence": torch.stack([maps.motion_confidence for maps in moving], dim=1),
        "moved_splats": torch.stack([maps.splats for maps in moving], dim=1),
        "moved_splat_confidence": torch.stack([maps.splat_confidence for maps in moving], dim=1),
    }


def random_maps(
    batch: int, frames: int, height: int, width: int, times: int, *, seed: int = 0
) -> tuple[StaticMaps, list[MovingMaps]]:
    """Maps such as a network might give, in float64."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*channels: int, size: float = 1.0) -> Tensor:
        shape = (batch, frames, *channels, height, width)
        return size * torch.randn(shape, generator=generator, dtype=torch.float64)

    static = StaticMaps(draw(size=0.3).exp(), 1 + draw().exp(), draw(11), 1 + draw().exp())
    moving = [
        MovingMaps(draw(3, size=0.1), 1 + draw().exp(), draw(11), 1 + draw().exp()) for _ in range(times)
    ]
    return static, moving
