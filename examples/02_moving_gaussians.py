"""A moving scene without any network: Gaussians, their deformation, cameras, a render, a file.

Two hundred Gaussians on a ring turn and swell; the field is asked for times at which nothing was stored.
"""

import math
from pathlib import Path

import torch
import tyro

from diff4splat import DeformableGaussianField, Gaussians
from diff4splat.assets import save_video
from diff4splat.cameras import trajectory
from diff4splat.gaussians import rgb_to_harmonics


def main(output: Path = Path("out"), height: int = 128, width: int = 192, num_frames: int = 24) -> None:
    """Write ring.safetensors and ring.mp4.

    Args:
        output: Folder for the files.
        height: Pixels.
        width: Pixels.
        num_frames: Frames of the video.
    """
    angle = torch.linspace(0, 2 * math.pi, 201)[:-1]
    means = torch.stack([angle.cos(), 0.3 * (3 * angle).sin(), 4 + angle.sin()], dim=-1)
    colors = 0.5 + 0.5 * torch.stack([angle.cos(), angle.sin(), -angle.cos()], dim=-1)
    canonical = Gaussians(
        means=means,
        quaternions=torch.tensor([1.0, 0, 0, 0]).expand(200, 4),
        scales=torch.full((200, 3), 0.05),
        opacities=torch.full((200,), 0.9),
        harmonics=rgb_to_harmonics(colors)[:, None],
    )
    times = torch.linspace(0, 1, 5)
    turned = torch.stack([(angle + t).cos() for t in times]) - angle.cos()
    field = DeformableGaussianField(
        canonical=canonical,
        times=times,
        delta_means=torch.stack([turned, torch.zeros_like(turned), torch.zeros_like(turned)], dim=-1),
        delta_quaternions=canonical.quaternions.expand(5, 200, 4),
        delta_scales=times[:, None, None].expand(5, 200, 3) * math.log(1.5),  # half again as large at the end
    )
    output.mkdir(parents=True, exist_ok=True)
    field.save(output / "ring.safetensors")
    cameras = trajectory.spiral(num_frames, height=height, width=width)
    video = field.render(cameras, torch.linspace(0, 1, num_frames)).color
    save_video(video, output / "ring.mp4")


if __name__ == "__main__":
    tyro.cli(main)
