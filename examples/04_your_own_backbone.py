"""Your own video model in front of the reconstruction model: latents become a 4D scene, and it trains.

All that LDRM asks of a video model are its latents and their geometry, a `LatentSpec`.
"""

import torch
import tyro

from diff4splat import LDRM
from diff4splat.backbones import LatentSpec
from diff4splat.cameras import pool_maps, trajectory, unshuffle_pixels
from diff4splat.losses import photometric_mse


class ToyVideoModel:
    """Stands for your model: 12 channels, a latent for 4 x 4 pixels and 2 frames, clips of 2 k + 1 frames."""

    spec = LatentSpec(channels=12, temporal_stride=2, spatial_stride=4)

    def encode(self, video: torch.Tensor) -> torch.Tensor:
        """Latents `batch latent_frame 12 height/4 width/4` of a video `batch frame 3 height width`."""
        return unshuffle_pixels(pool_maps(video - 0.5, temporal_stride=2, spatial_stride=2), 2)


def main(size: int = 32, num_frames: int = 5, num_steps: int = 5) -> list[float]:
    """Train on one clip, each step from latents through the renderer to the photometric loss.

    Args:
        size: Height and width of the clip, a multiple of 16 pixels.
        num_frames: Frames of the clip, 2 k + 1.
        num_steps: Training steps.

    Returns:
        The loss before each step.
    """
    torch.manual_seed(0)
    model = ToyVideoModel()
    ldrm = LDRM.from_spec(model.spec, dim=64, num_layers=2, num_heads=4)
    optimizer = torch.optim.AdamW(ldrm.parameters(), lr=1e-3)
    cameras = trajectory.static(num_frames, height=size, width=size).batch(None)
    video = torch.linspace(0, 0.5, size).expand(1, num_frames, 3, size, size).clone()
    for frame in range(num_frames):  # a bright bar crosses a ramp
        video[:, frame, :, :, size * frame // num_frames :][..., : size // 8] = 0.9
    losses = []
    for step in range(num_steps):
        field = ldrm(model.encode(video), cameras)
        loss = photometric_mse(field.render(cameras, field.times).color, video).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        print(f"step {step}: {field.num_gaussians} Gaussians, loss {losses[-1]:.4f}")
    return losses


if __name__ == "__main__":
    tyro.cli(main)
