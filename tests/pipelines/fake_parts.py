"""A backbone and a reconstructor without weights that keep to the contract and remember their calls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from diff4splat.backbones import LatentSpec
from diff4splat.cameras import Cameras
from diff4splat.diffusion import Guidance, SampleStep
from diff4splat.gaussians import DeformableGaussianField, Gaussians, rgb_to_harmonics
from diff4splat.pipelines import Diff4SplatPipeline

HEIGHT, WIDTH, FRAMES = 24, 24, 5


@dataclass
class FakeBackbone:
    spec: LatentSpec = field(
        default_factory=lambda: LatentSpec(channels=3, temporal_stride=4, spatial_stride=8)
    )
    calls: list[dict[str, Any]] = field(default_factory=list)

    def encode(self, video: Tensor) -> Tensor:
        """Means over 8 x 8 pixels of every fourth frame."""
        self.calls.append({"video": video})
        return functional.avg_pool2d(video[0, ::4], 8)[None]

    def decode(self, latents: Tensor) -> Tensor:
        """One color per latent, held for four frames after the first."""
        frames = functional.interpolate(latents[0], scale_factor=8)
        return torch.cat([frames[:1], frames[1:].repeat_interleave(4, dim=0)])[None].clamp(0, 1)

    def generate(
        self,
        image: Tensor,
        cameras: Cameras,
        prompt: Sequence[str] | None = None,
        *,
        num_steps: int,
        guidance: Guidance | None = None,
        generator: torch.Generator | None = None,
        callback: Callable[[SampleStep], Tensor | None] | None = None,
    ) -> Tensor:
        self.calls.append(
            {
                "image": image,
                "cameras": cameras,
                "prompt": prompt,
                "num_steps": num_steps,
                "guidance": guidance,
            }
        )
        shape = (1, *self.spec.latent_shape(cameras.num_frames, *image.shape[-2:]))
        latents = torch.randn(shape, generator=generator)
        for step in range(num_steps):
            if callback is not None:
                state = SampleStep(step, num_steps, 1.0, 0.0, 1.0, step + 1, latents, latents, latents)
                assert callback(state) is None, "a callback that reports progress must not replace the sample"
        return latents


@dataclass
class FakeReconstructor:
    """A wall of Gaussians at depth 3, coloured by the image, every seventh too faint to be seen."""

    calls: list[dict[str, Any]] = field(default_factory=list)

    def __call__(
        self,
        latents: Tensor,
        cameras: Cameras,
        *,
        image: Tensor | None = None,
        times: Tensor | None = None,
        max_gaussians: int | None = None,
    ) -> DeformableGaussianField:
        assert image is not None
        self.calls.append(
            {"latents": latents, "cameras": cameras, "image": image, "max_gaussians": max_gaussians}
        )
        height, width = image.shape[-2:]
        y, x = torch.meshgrid(torch.linspace(-2, 2, height), torch.linspace(-2, 2, width), indexing="ij")
        means = torch.stack([x, y, torch.full_like(x, 3.0)], dim=-1).reshape(1, -1, 3)
        count = means.shape[1]
        opacities = torch.full((1, count), 0.9)
        opacities[:, ::7] = 0.004
        still = torch.zeros(1, 3, count, 3)
        moving = still.clone()
        moving[:, 1:] = latents.mean()
        identity = torch.tensor([1.0, 0.0, 0.0, 0.0])
        return DeformableGaussianField(
            canonical=Gaussians(
                means=means,
                quaternions=identity.expand(1, count, 4).contiguous(),
                scales=torch.full((1, count, 3), 0.1),
                opacities=opacities,
                harmonics=rgb_to_harmonics(image.flatten(2).mT)[..., None, :],
            ),
            times=torch.tensor([0.0, 0.5, 1.0]),
            delta_means=moving,
            delta_quaternions=identity.expand(1, 3, count, 4).contiguous(),
            delta_scales=still,
            metadata={"reconstructor": "fake"},
        )


class FrameReader(nn.Module):
    """A reconstructor of frames: `FakeReconstructor` on the first one, with one number for weights."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(()))
        self.calls: list[dict[str, Any]] = []

    def forward(
        self,
        video: Tensor,
        cameras: Cameras,
        *,
        times: Tensor | None = None,
        max_gaussians: int | None = None,
    ) -> DeformableGaussianField:
        self.calls.append(
            {"video": video, "cameras": cameras, "times": times, "max_gaussians": max_gaussians}
        )
        return FakeReconstructor()(video, cameras, image=video[:, 0], max_gaussians=max_gaussians)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str,
        *,
        revision: str | None = None,
        local_files_only: bool = False,
        num_views: int = 13,
    ) -> "FrameReader":
        reader = cls()
        reader.asked = (name_or_path, revision, local_files_only, num_views)
        return reader


def fake_pipeline(**options: Any) -> Diff4SplatPipeline:
    settings = {"num_frames": FRAMES, "height": HEIGHT, "width": WIDTH, "num_steps": 3, **options}
    return Diff4SplatPipeline(FakeBackbone(), FakeReconstructor(), **settings)
