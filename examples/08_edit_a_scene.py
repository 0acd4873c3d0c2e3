"""A scene edited: its moving part copied, made smaller, played backwards and put beside the first."""

from pathlib import Path

import torch
import tyro

from diff4splat import DeformableGaussianField, Gaussians
from diff4splat.assets import save_video
from diff4splat.cameras import trajectory
from diff4splat.editing import merge_fields, moving_gaussians, retime, similarity_matrix
from diff4splat.gaussians import rgb_to_harmonics


def bouncing_ball(count: int) -> DeformableGaussianField:
    """A ball of Gaussians that bounces once on a floor of Gaussians."""
    generator = torch.Generator().manual_seed(0)
    ball = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    floor = (torch.rand(count, 3, generator=generator) - 0.5) * torch.tensor([6.0, 0.02, 6.0])
    means = torch.cat((0.4 * ball + torch.tensor([-0.8, -0.6, 5.0]), floor + torch.tensor([0.0, 1.0, 5.0])))
    canonical = Gaussians(
        means=means,
        quaternions=torch.tensor([1.0, 0, 0, 0]).repeat(2 * count, 1),
        scales=torch.tensor([[0.05], [0.09]]).repeat_interleave(count, 0).expand(-1, 3),
        opacities=torch.full((2 * count,), 0.8),
        harmonics=rgb_to_harmonics(torch.cat((0.5 + 0.5 * ball, torch.full_like(floor, 0.6))))[:, None],
    )
    still = DeformableGaussianField.from_gaussians(canonical, torch.linspace(0, 1, 9))
    still.delta_means[:, :count, 0] = 1.2 * still.times[:, None]
    still.delta_means[:, :count, 1] = 1.2 - 4.8 * (still.times[:, None] - 0.5) ** 2  # +y points down
    return still


def main(output: Path = Path("out"), count: int = 2000, size: int = 160, num_frames: int = 24) -> None:
    """Write edited.safetensors and edited.mp4.

    Args:
        output: Folder for the files.
        count: Gaussians of the ball, and of the floor.
        size: Height and width of the video, pixels.
        num_frames: Frames of the video.
    """
    field = bouncing_ball(count)
    ball = field.select(moving_gaussians(field, threshold=0.1))
    moved = similarity_matrix(scale=0.6, translation=(0.4, 0.2, -0.8), center=(0.0, 0.6, 5.0))
    second = retime(ball, (1.0, 0.0)).transform(moved)  # backwards, smaller, nearer
    edited = merge_fields([field, second])
    output.mkdir(parents=True, exist_ok=True)
    edited.save(output / "edited.safetensors")
    cameras = trajectory.static(num_frames, height=size, width=size)
    save_video(edited.render(cameras, torch.linspace(0, 1, num_frames)).color, output / "edited.mp4")


if __name__ == "__main__":
    tyro.cli(main)
