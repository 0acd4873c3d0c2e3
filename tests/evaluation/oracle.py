"""Models without weights whose score is known: one knows the truth, one the median depth alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from einops import rearrange
from torch import Tensor

from diff4splat.backbones import LatentSpec
from diff4splat.cameras import Cameras
from diff4splat.data import HELD_OUT_SEEDS, ProceduralScenes, sample_cameras, sample_scenes
from diff4splat.diffusion import Guidance, SampleStep
from diff4splat.gaussians import DeformableGaussianField, Gaussians, rgb_to_harmonics
from diff4splat.geometry import unproject
from diff4splat.models import map_displacement
from diff4splat.models.assembly import assemble_field, seen_before

STRIDE = 4
PUSH = 0.3
"""How far the prompt pushes everything, scene units."""


def known_scenes(cameras: Cameras, num_known: int = 64) -> ProceduralScenes:
    """Held-out scenes recognised by their lens, which is drawn from the seed."""
    seeds = list(HELD_OUT_SEEDS[:num_known])
    focal = sample_cameras(seeds, 1, height=cameras.height, width=cameras.width).intrinsics[:, 0, 0, 0]
    found = [int((focal - wanted).abs().argmin()) for wanted in cameras.intrinsics[:, 0, 0, 0]]
    return sample_scenes([seeds[index] for index in found])


@dataclass
class BlindBackbone:
    """Latents that hold nothing but which way the prompt says, in their first channel: -1 left, 1 right."""

    spec: LatentSpec = field(
        default_factory=lambda: LatentSpec(channels=3, temporal_stride=STRIDE, spatial_stride=8)
    )

    def encode(self, video: Tensor) -> Tensor:
        return torch.zeros(video.shape[0], *self.spec.latent_shape(video.shape[1], *video.shape[-2:]))

    def decode(self, latents: Tensor) -> Tensor:
        frames = self.spec.num_frames(latents.shape[1])
        height, width = (side * self.spec.spatial_stride for side in latents.shape[-2:])
        return torch.full((latents.shape[0], frames, 3, height, width), 0.5)

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
        shape = self.spec.latent_shape(cameras.num_frames, *image.shape[-2:])
        latents = torch.zeros(image.shape[0], *shape)
        for index, text in enumerate(prompt or []):
            latents[index] += ("right" in text) * 1.0 - ("left" in text) * 1.0
        return latents


class Oracle:
    """True depth, true colours of later frames and true motion, through the assembly of the real model."""

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
        if times is None:
            times = torch.linspace(0, 1, cameras.num_frames)
        scenes = known_scenes(cameras)
        keys = cameras.select(slice(None, None, STRIDE))
        key_times = torch.linspace(0, 1, cameras.num_frames)[::STRIDE]
        frames = scenes.render(keys, key_times)
        batch, count = frames.depth.shape[:2]
        maps = torch.zeros(batch, count, 12, keys.height, keys.width)
        maps[:, :, 0] = (frames.depth / 4).log()
        maps[:, :, 1:4] = frames.color - 0.5
        maps[:, :, 11] = 3.0
        moments = torch.cat((key_times, times))
        points = unproject(frames.depth, keys.camera_to_world, keys.intrinsics)
        local = []
        for k in range(count):
            paths = scenes.trajectories(
                rearrange(points[:, k], "b h w c -> b (h w) c"),
                rearrange(frames.object_index[:, k], "b h w -> b (h w)"),
                key_times[k].expand(batch),
                moments.expand(batch, -1),
            )
            motion = rearrange(paths, "b t (h w) c -> b t h w c", h=keys.height) - points[:, k, None]
            push = PUSH * latents[:, 0, 0, 0, 0, None] * (moments - key_times[k])
            motion[..., 0] += push[..., None, None]
            turned = torch.einsum("bji,bthwj->btihw", keys.camera_to_world[:, k, :3, :3], motion)
            local.append(turned / frames.depth[:, k, None, None])
        deformation = torch.zeros(batch, len(moments), count, 10, keys.height, keys.width)
        deformation[:, :, :, :3] = torch.stack(local, dim=2)
        return assemble_field(
            maps,
            deformation[:, count:],
            deformation[:, :1],
            cameras=keys,
            times=times,
            seen=seen_before(
                frames.depth, map_displacement(deformation[:, :count], frames.depth, keys), keys
            ),
            image=image,
        )


class Flat:
    """The image on a wall at the true median depth; nothing moves."""

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
        if times is None:
            times = torch.linspace(0, 1, cameras.num_frames)
        scenes, first = known_scenes(cameras), cameras.select(0)
        depth = scenes.render(first, torch.zeros(1)).depth[:, 0]
        plane = depth.flatten(1).median(dim=1).values[:, None, None].expand_as(depth)
        means = unproject(plane, first.camera_to_world[:, 0], first.intrinsics[:, 0])
        means = rearrange(means, "b h w c -> b (h w) c")
        batch, count = means.shape[:2]
        footprint = plane[:, 0, :1, None] / first.intrinsics[:, 0, :1, :1]
        return DeformableGaussianField.from_gaussians(
            Gaussians(
                means=means,
                quaternions=torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(batch, count, 4),
                scales=(0.45 * footprint).expand(batch, count, 3),
                opacities=torch.full((batch, count), 0.98),
                harmonics=rgb_to_harmonics(rearrange(image, "b c h w -> b (h w) c"))[..., None, :],
            ),
            times,
        )
