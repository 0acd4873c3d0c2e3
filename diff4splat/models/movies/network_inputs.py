"""Checks of what the network of MoVieS is built with and given."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from diff4splat.cameras import Cameras

__all__ = ["check_clip", "check_sizes"]


def check_sizes(config: Mapping[str, Any]) -> None:
    """Refuse arguments of `MoVieS` that do not fit each other.

    Args:
        config: Arguments by name.

    Raises:
        ValueError: If sizes are too small or do not divide.
    """
    for name in (
        "dim",
        "num_layers",
        "num_heads",
        "encoder_layers",
        "encoder_heads",
        "patch_size",
        "grid_size",
    ):
        if config[name] < 1:
            raise ValueError(f"{name} must be at least 1, got {config[name]}.")
    dim, heads = config["dim"], config["num_heads"]
    if dim % heads or dim // heads % 4:
        raise ValueError(f"dim / num_heads must be a multiple of 4, got {dim} / {heads}.")
    if dim % config["encoder_heads"]:
        raise ValueError(f"encoder_heads must divide dim={dim}, got {config['encoder_heads']}.")
    if config["time_dim"] < 2 or config["time_dim"] % 2:
        raise ValueError(f"time_dim must be even and at least 2, got {config['time_dim']}.")
    if config["head_width"] < 8 or config["head_width"] % 8:
        raise ValueError(f"head_width must be a multiple of 8, got {config['head_width']}.")
    widths = list(config["level_widths"])
    if len(widths) != 4 or any(width < 4 or width % 4 for width in widths):
        raise ValueError(f"level_widths must be four multiples of 4, got {widths}.")
    kept, layers = list(config["kept_layers"]), config["num_layers"]
    if len(kept) != 4 or sorted(set(kept)) != kept or kept[0] < 0 or kept[-1] >= layers:
        raise ValueError(
            f"kept_layers must be four ascending numbers from 0 to num_layers - 1 = {layers - 1}, got {kept}."
        )


def check_clip(video: Tensor, cameras: Cameras, times: Tensor, *, patch_size: int) -> None:
    """Refuse inputs of `MoVieS` that do not fit each other.

    Args:
        video: Frames.
        cameras: One camera per frame.
        times: Times of the frames.
        patch_size: Patch side in pixels.

    Raises:
        ValueError: If shapes do not fit each other or the patch size.
    """
    if video.ndim != 5 or video.shape[2] != 3 or 0 in video.shape:
        raise ValueError(f"video must have shape [batch, frame, 3, height, width], got {list(video.shape)}.")
    batch, frames, _, height, width = video.shape
    if height % patch_size or width % patch_size:
        raise ValueError(
            f"height and width of video must be multiples of {patch_size}, got {height} x {width}."
        )
    if tuple(cameras.batch_shape) != (batch,) or cameras.num_frames != frames:
        raise ValueError(
            f"cameras must have the batch and frame axes of video [{batch}, {frames}], "
            f"got {[*cameras.batch_shape, cameras.num_frames]}."
        )
    if (cameras.height, cameras.width) != (height, width):
        raise ValueError(
            f"cameras must be of the size of video, {height} x {width}, got {cameras.height} x "
            f"{cameras.width}; see Cameras.resize."
        )
    if tuple(times.shape) != (batch, frames):
        raise ValueError(f"times must have shape [{batch}, {frames}], got {list(times.shape)}.")
