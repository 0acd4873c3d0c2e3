"""Small clips, parts and stages for the tests of training."""

import torch
from models.parts import NARROW, stir
from torch import Tensor, nn

from diff4splat.backbones.compact import CausalVideoVAE, CompactDiT
from diff4splat.data import make_clips, object_motion, sample_cameras, sample_scenes
from diff4splat.geometry import unproject
from diff4splat.models import LDRM
from diff4splat.training import Draws, Stage
from diff4splat.training.objective import _target_frames

SEEDS = [3, 11]
VAE_LOSSES = {"pixel": 1.0, "edges": 0.3, "kl": 1e-4}
MAP_LOSSES = {
    "depth": 1.0,
    "depth_slope": 0.5,
    "motion": 8.0,
    "motion_beside": 0.7,
    "rotation": 2.0,
    "color": 0.5,
    "point_motion": 0.7,
}
IMAGE_LOSSES = {"photometric": 5.0, "perceptual": 0.6, "pearson": 0.9, "total_variation": 0.4}
JOINT_LOSSES = {"flow_matching": 1.0, "photometric": 2.0, "pearson": 0.5, "depth": 3.0}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small_clips() -> tuple[dict[str, Tensor], list[str]]:
    """Two clips of five frames with latents, and their captions."""
    clips, captions = make_clips(SEEDS, num_frames=5, height=32, width=32)
    clips["latents"] = torch.randn(2, 2, 3, 4, 4, generator=generator())
    return clips, captions


def exact_clips():
    """Two clips of nine frames with depth in full precision; their scenes and cameras."""
    scenes = sample_scenes(SEEDS)
    cameras = sample_cameras(SEEDS, 9, height=13, width=17, static_probability=0.0)
    times = torch.linspace(0, 1, 9)
    frames = scenes.render(cameras, times)
    clips = {
        "video": (frames.color * 255).to(torch.uint8),
        "depth": frames.depth[:, ::4],
        "object_index": frames.object_index[:, ::4],
        "object_motion": object_motion(scenes, times),
        "camera_to_world": cameras.camera_to_world,
        "intrinsics": cameras.intrinsics,
    }
    return clips, scenes, cameras


def with_unknown_depth(clips: dict[str, Tensor], value: float, *, share: float = 0.2) -> dict[str, Tensor]:
    """Clips whose depth is unknown at some pixels."""
    depth = clips["depth"].clone()
    depth[torch.rand(depth.shape, generator=generator(5)) < share] = value
    return {**clips, "depth": depth}


def as_tracks(clips: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same motion along tracks: one through each pixel of each key frame, hidden in the other key frames.

    Where they are hidden, tracks are NaN.
    """
    motion = clips["object_motion"]
    batch, _, num_frames = motion.shape[:3]
    points = unproject(clips["depth"].float(), clips["camera_to_world"][:, ::4], clips["intrinsics"][:, ::4])
    tracks, visible = [], []
    for key in range(points.shape[1]):
        index = clips["object_index"][:, key].long().flatten(1)
        moves = motion[torch.arange(batch)[:, None], index]  # clip, track, frame, 3, 4
        own = moves[:, :, 4 * key, None]
        start = points[:, key].flatten(1, 2)[:, :, None, :, None]
        at_zero = own[..., :3].mT @ (start - own[..., 3:])
        tracks.append((moves[..., :3] @ at_zero + moves[..., 3:])[..., 0])
        seen = torch.ones(batch, index.shape[1], num_frames, dtype=torch.bool)
        seen[:, :, ::4] = False
        seen[:, :, 4 * key] = True
        visible.append(seen)
    shown = torch.cat(visible, dim=1)
    laid = torch.cat(tracks, dim=1).where(shown[..., None], torch.nan)
    kept = {name: value for name, value in clips.items() if not name.startswith("object_")}
    return {**kept, "tracks": laid, "visible": shown}


def image_distance(image: Tensor, target: Tensor) -> Tensor:
    """Stands in for LPIPS: a value per image."""
    return (image - target).abs().mean((1, 2, 3))


def stage(train: str | tuple[str, ...], losses: dict[str, float], **options) -> Stage:
    train = (train,) if isinstance(train, str) else train
    return Stage("test", train, losses, steps=1, **{"frames": 5, "size": 32, **options})


def draws(rows=(0, 1), step: int = 0) -> Draws:
    return Draws("test", step, list(rows))


def target_frames(step: int, number: int, *, with_key: bool = False) -> list[int]:
    """Those that a step draws for clips of five frames."""
    return _target_frames(5, number, draws(step=step).batch, with_key=with_key).tolist()


def small_vae() -> CausalVideoVAE:
    torch.manual_seed(0)
    return CausalVideoVAE(latent_channels=3, width=8, num_blocks=1)


def small_dit() -> CompactDiT:
    torch.manual_seed(0)
    return CompactDiT(
        latent_channels=3, dim=24, num_layers=2, num_heads=3, num_key_value_heads=1, text_dim=16
    )


def narrow_ldrm(**options) -> LDRM:
    torch.manual_seed(0)
    return LDRM(**{"latent_channels": 3, **NARROW, **options})


def stirred(module: nn.Module) -> nn.Module:
    stir(module, 0.05)
    return module
