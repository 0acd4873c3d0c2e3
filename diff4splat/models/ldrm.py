"""Latent Dynamic Reconstruction Model: video latents and cameras to a deformable Gaussian field."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from diff4splat.cameras import Cameras, latent_rays
from diff4splat.gaussians import DeformableGaussianField, Gaussians
from diff4splat.hub import HubModule
from diff4splat.models.assembly import assemble_field, map_depth, map_displacement, seen_before
from diff4splat.models.backdrop import append_static, backdrop_gaussians
from diff4splat.models.deformation_head import DeformationHead
from diff4splat.models.gaussian_head import GaussianHead
from diff4splat.models.layout import Layout, adaptive_layout, pixel_layout
from diff4splat.models.tokens import LatentPoseTokens
from diff4splat.transformer import TransformerBlock, rotary_positions

__all__ = ["LDRM", "LDRMFeatures"]

_FIRST_FRAME_SHARE = 0.9


@dataclass(frozen=True)
class LDRMFeatures:
    """What the Transformer makes of latents and cameras; every target time is decoded from it.

    Args:
        gaussian_map: Raw Gaussian map, channels as in `GaussianHead`.
        pixels: Pixel features shared by the two heads.
        levels: Token grids of several depths.
        frame_times: Times of the frames that carry Gaussians.
        cameras: Cameras of these frames, relative to the first.
        origin: Pose of the first camera in the user's world.
    """

    gaussian_map: Float[Tensor, "batch map_frame channel=12 height width"]
    pixels: Float[Tensor, "batch map_frame pixel_width height width"]
    levels: tuple[Tensor, ...]
    frame_times: Float[Tensor, "batch map_frame"]
    cameras: Cameras
    origin: Float[Tensor, "batch 4 4"]

    def select(self, clips: slice) -> "LDRMFeatures":
        """Features of some clips of the batch.

        Args:
            clips: Slice of the batch axis.

        Returns:
            Views of the tensors.
        """
        return LDRMFeatures(
            gaussian_map=self.gaussian_map[clips],
            pixels=self.pixels[clips],
            levels=tuple(level[clips] for level in self.levels),
            frame_times=self.frame_times[clips],
            cameras=self.cameras.batch(clips),
            origin=self.origin[clips],
        )


class LDRM(HubModule):
    """Latent and pose tokens, Transformer blocks, a Gaussian head and a deformation head.

    It reads the latents of any video model: channels and strides are configuration. Cameras are taken
    relative to the first one, so moving the world moves the field and changes nothing else. Source:
    Diff4Splat, Sec. 3.2.

    Args:
        latent_channels: Channels of a latent.
        temporal_stride: Pixel frames per latent frame.
        spatial_stride: Pixels per latent side.
        patch_size: Latents per token side.
        embed_dim: Embedding of a latent before tokens are formed (paper: 64).
        dim: Token width.
        num_layers: Transformer blocks (paper: 16).
        num_heads: Query heads.
        num_key_value_heads: Key-value heads.
        head_width: Channels of the Gaussian head.
        pixel_width: Channels at pixel resolution.
        motion_width: Channels of the deformation head.
        pixel_stride: Pixels of the clip per side of a Gaussian (paper: 1); the first frame may be laid out
            finer.
        temporal_context: Latent frames on either side whose latents are joined to each place, so that a token
            sees change by itself (paper: 0).
        backdrop_cells: Gaussians per side of the backdrop behind the scene, see `backdrop_gaussians`; 0 for
            none (paper).
        every_frame: Whether all pixel frames carry Gaussians (paper) or only the last of each latent frame.

    Raises:
        ValueError: If the strides, the patch size or the numbers of heads do not divide.
    """

    def __init__(
        self,
        latent_channels: int = 8,
        temporal_stride: int = 4,
        spatial_stride: int = 8,
        patch_size: int = 2,
        embed_dim: int = 64,
        dim: int = 256,
        num_layers: int = 8,
        num_heads: int = 8,
        num_key_value_heads: int = 4,
        head_width: int = 64,
        pixel_width: int = 24,
        motion_width: int = 48,
        pixel_stride: int = 2,
        temporal_context: int = 0,
        backdrop_cells: int = 0,
        every_frame: bool = False,
    ) -> None:
        super().__init__()
        self.latent_channels = latent_channels
        self.temporal_stride = temporal_stride
        self.spatial_stride = spatial_stride
        self.patch_size = patch_size
        self.head_dim = dim // num_heads
        self.pixel_stride = pixel_stride
        self.temporal_context = temporal_context
        self.backdrop_cells = backdrop_cells
        self.every_frame = every_frame
        if spatial_stride % pixel_stride:
            raise ValueError(f"pixel_stride must divide spatial_stride={spatial_stride}, got {pixel_stride}.")
        upsampling = spatial_stride * patch_size // pixel_stride
        if upsampling % 4:
            raise ValueError(
                "spatial_stride * patch_size / pixel_stride must be a multiple of 4, "
                f"got {spatial_stride} * {patch_size} / {pixel_stride}."
            )
        seen_channels = latent_channels * (1 + 2 * temporal_context)
        self.tokens = LatentPoseTokens(seen_channels, 6 * temporal_stride, embed_dim, patch_size, dim)
        self.blocks = nn.ModuleList(
            [
                TransformerBlock(dim, num_heads=num_heads, num_key_value_heads=num_key_value_heads)
                for _ in range(num_layers)
            ]
        )
        quarter = num_layers / 4
        self.level_layers = tuple(max(round(quarter * (i + 1)) - 1, 0) for i in range(4))
        self.gaussian_head = GaussianHead(
            dim,
            upsampling=upsampling,
            temporal_upsampling=temporal_stride if every_frame else 1,
            width=head_width,
            pixel_width=pixel_width,
        )
        self.deformation_head = DeformationHead(dim, width=motion_width, pixel_width=pixel_width)

    def forward(
        self,
        latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"],
        cameras: Cameras,
        *,
        image: Float[Tensor, "batch rgb=3 image_height image_width"] | None = None,
        times: Float[Tensor, " time"] | None = None,
        max_gaussians: int | None = None,
    ) -> DeformableGaussianField:
        """The deformable Gaussian field of a clip, in the world of `cameras`.

        Any floating types do: latents are brought to that of the weights, cameras and image to the same or
        float32, whichever is wider, which is also the type of the result.

        Args:
            latents: Normalised latents of the clip.
            cameras: One camera per pixel frame, batch axis as in `latents`, of the clip's image size, which
                is that of the latents times `spatial_stride`.
            image: First frame in [0, 1], any size; the first frame's Gaussians are laid out on its pixels, so
                a larger image gives more and finer ones. Colours come from the latents when omitted.
            times: Ascending times in [0, 1] to store deltas at; the pixel frames when omitted.
            max_gaussians: Budget. The first frame takes what later frames and the backdrop leave of it, and
                nine tenths at least: plain areas of `image` share Gaussians (`adaptive_layout`). One per
                pixel of `image` when omitted, or where that fits.

        Returns:
            First the Gaussians of the first frame: one per pixel of `image`, or per block of it where a
            budget is given, or per place of the Gaussian map without an image. Then, for each later frame
            that carries Gaussians, one per place of its map (every `pixel_stride`-th pixel); where an earlier
            frame already shows the place, opacity is zero, and `prune` removes them. The backdrop is last.

        Raises:
            TypeError: If latents, cameras or image are not floating point, or on another device than the
                weights.
            ValueError: If channels, frames or sizes do not fit the configuration or each other, or a budget
                is given for more than one clip or without an image.
        """
        if max_gaussians is not None and image is None:
            raise ValueError("max_gaussians needs the image that is laid out, got image=None.")
        features = self.encode(latents, cameras, image=image)
        return self.decode(features, times, image=image, max_gaussians=max_gaussians)

    def encode(
        self,
        latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"],
        cameras: Cameras,
        *,
        image: Float[Tensor, "batch rgb=3 image_height image_width"] | None = None,
    ) -> LDRMFeatures:
        """Run the Transformer and the Gaussian head, from which any number of target times is decoded.

        Args:
            latents: Normalised latents of the clip.
            cameras: One camera per pixel frame, batch axis as in `latents`.
            image: First frame in [0, 1], at any resolution.

        Returns:
            Maps and features.

        Raises:
            TypeError: If latents, cameras or image are not floating point, or on another device than the
                weights.
            ValueError: If channels, frames or sizes do not fit the configuration or each other.
        """
        self._check(latents, cameras, image)
        latents, cameras = latents.to(self._dtype), cameras.to(dtype=self._wide)
        batch, num_latents, _, latent_height, latent_width = latents.shape
        origin = cameras.camera_to_world[:, 0]
        with torch.autocast(latents.device.type, enabled=False):  # eight bits are too few for geometry
            relative = cameras.relative_to(None)
            rays = latent_rays(
                relative, height=latent_height, width=latent_width, temporal_stride=self.temporal_stride
            )
        tokens = self.tokens(self._with_context(latents), rays.to(latents.dtype))
        grid = (num_latents, latent_height // self.patch_size, latent_width // self.patch_size)
        angles = rotary_positions(*grid, self.head_dim, device=latents.device)
        levels = []
        for index, block in enumerate(self.blocks):
            tokens = block(tokens, angles=angles)
            levels += [tokens] * self.level_layers.count(index)
        f, h, w = grid
        grids = [rearrange(level, "b (f h w) d -> b f h w d", f=f, h=h, w=w) for level in levels]
        if image is not None:
            scale = self.spatial_stride // self.pixel_stride
            size = (latent_height * scale, latent_width * scale)
            image = F.interpolate(
                image.to(self._wide), size=size, mode="bilinear", antialias=True, align_corners=False
            ).to(self._dtype)
        gaussian_map, pixels = self.gaussian_head(grids[-1], image)
        stride = 1 if self.every_frame else self.temporal_stride
        frame_times = _clip_times(cameras.num_frames, latents)[::stride]
        if self.every_frame:
            grids = [self._spread(level) for level in grids]
        return LDRMFeatures(
            gaussian_map=gaussian_map,
            pixels=pixels,
            levels=tuple(grids),
            frame_times=repeat(frame_times, "f -> b f", b=batch),
            cameras=relative.select(slice(None, None, stride)),
            origin=origin,
        )

    def decode(
        self,
        features: LDRMFeatures,
        times: Float[Tensor, " time"] | None = None,
        *,
        image: Float[Tensor, "batch rgb=3 image_height image_width"] | None = None,
        max_gaussians: int | None = None,
        deformation: Float[Tensor, "batch time map_frame channel=10 height width"] | None = None,
    ) -> DeformableGaussianField:
        """The field of encoded latents, without running the Transformer again.

        Args:
            features: From `encode`.
            times: Ascending times in [0, 1] to store deltas at; the pixel frames when omitted. That is
                cheaper than to name them, for it is known then that the frames with Gaussians are among them.
            image: See `forward`.
            max_gaussians: See `forward`.
            deformation: Result of `deform` at `times`, where it is there already.

        Returns:
            Field in the world of the cameras that were encoded.

        Raises:
            ValueError: If a budget is given for more than one clip or without an image.
        """
        if max_gaussians is not None and image is None:
            raise ValueError("max_gaussians needs the image that is laid out, got image=None.")
        batch, num_frames = features.frame_times.shape
        stride = 1 if self.every_frame else self.temporal_stride
        known = times is None
        if times is None:
            times = _clip_times((num_frames - 1) * stride + 1, features.frame_times)
        every = repeat(times, "t -> b t", b=batch)
        if deformation is None:
            deformation = self.deform(features, every)
        start = deformation[:, :1] if known else self.deform(features, torch.zeros_like(every[:, :1]))
        depth = map_depth(features.gaussian_map)
        moved = self._motion_between_frames(features, depth, deformation[:, ::stride] if known else None)
        with torch.autocast(every.device.type, enabled=False):
            seen = seen_before(depth, moved, features.cameras)
            del moved  # large: displacement of every frame to every frame
            image = None if image is None else image.to(self._wide)
            backdrop = self._backdrop(features, image)
            layout = None
            if image is not None:
                # Without a budget nothing has to wait for a count.
                others = 0 if max_gaussians is None else int((~seen[:, 1:]).sum())
                if backdrop is not None:
                    others += backdrop.num_gaussians
                layout = self._layout(image, max_gaussians, others)
            field = assemble_field(
                features.gaussian_map,
                deformation,
                start,
                cameras=features.cameras,
                times=times,
                seen=seen,
                layout=layout,
                image=image,
                origin=features.origin,
            )
        return field if backdrop is None else append_static(field, backdrop)

    def deform(
        self, features: LDRMFeatures, times: Float[Tensor, "batch time"], *, times_per_chunk: int = 1
    ) -> Float[Tensor, "batch time map_frame channel=10 height width"]:
        """Raw deformation maps at target times, without running the Transformer again.

        Args:
            features: From `encode`.
            times: Target times in [0, 1].
            times_per_chunk: Target times that are decoded together, see `DeformationHead.forward`.

        Returns:
            Channels as in `DeformationHead`.

        Raises:
            ValueError: If `times_per_chunk` is below 1.
        """
        return self.deformation_head(
            features.levels, features.pixels, times, features.frame_times, times_per_chunk=times_per_chunk
        )

    @classmethod
    def compact(cls) -> "LDRM":
        """The bundled size: latents of the compact backbone, two processor cores.

        Returns:
            A fresh model of the size whose weights come with the package.
        """
        return cls(temporal_context=1, backdrop_cells=32)

    @torch.no_grad()
    def _motion_between_frames(
        self, features: LDRMFeatures, depth: Tensor, at_frames: Tensor | None
    ) -> Tensor:
        """World displacement of each pixel from its own time to that of every frame with Gaussians.

        `at_frames` are the raw maps of these times, where they are there already.
        """
        moved = []
        for index, time in enumerate(features.frame_times.unbind(1)):
            raw = self.deform(features, time[:, None]) if at_frames is None else at_frames[:, index, None]
            with torch.autocast(depth.device.type, enabled=False):
                moved.append(map_displacement(raw, depth, features.cameras))
        return torch.cat(moved, dim=1)

    def _backdrop(self, features: LDRMFeatures, image: Tensor | None) -> Gaussians | None:
        if self.backdrop_cells == 0:
            return None
        first = features.gaussian_map[:, 0]
        camera = features.cameras.select(0)
        camera = replace(camera, camera_to_world=features.origin[:, None] @ camera.camera_to_world)
        colors = (first[:, 1:4] + 0.5).clamp(0, 1) if image is None else image
        return backdrop_gaussians(colors, map_depth(first), camera, cells=self.backdrop_cells)

    @property
    def _dtype(self) -> torch.dtype:
        return self.gaussian_head.output.weight.dtype

    @property
    def _wide(self) -> torch.dtype:
        """Type of geometry and colours: half precision cannot tell the pixels of an image apart."""
        return torch.promote_types(self._dtype, torch.float32)

    def _with_context(self, latents: Tensor) -> Tensor:
        """Each latent with those of its neighbours in time, on channels; the ends repeat."""
        frames, reach = latents.shape[1], self.temporal_context
        steps = torch.arange(frames, device=latents.device)
        near = [latents[:, (steps + offset).clamp(0, frames - 1)] for offset in range(-reach, reach + 1)]
        return torch.cat(near, dim=2)

    def _layout(self, image: Tensor, max_gaussians: int | None, others: int) -> Layout:
        if max_gaussians is None:
            return pixel_layout(image)
        if image.shape[0] != 1:
            raise ValueError(f"max_gaussians needs one clip at a time, got {image.shape[0]}.")
        room = max(max_gaussians - others, int(_FIRST_FRAME_SHARE * max_gaussians), 1)
        if image.shape[-2] * image.shape[-1] <= room:
            return pixel_layout(image)
        return adaptive_layout(image, max_gaussians=room)

    def _spread(self, grid: Tensor) -> Tensor:
        """Tokens of every pixel frame: those of its latent frame."""
        repeated = grid.repeat_interleave(self.temporal_stride, dim=1)
        return repeated[:, self.temporal_stride - 1 :]

    def _check(self, latents: Tensor, cameras: Cameras, image: Tensor | None) -> None:
        given = {"latents": latents, "cameras": cameras.camera_to_world}
        if image is not None:
            given["image"] = image
        device = self.gaussian_head.output.weight.device
        for name, values in given.items():
            if not values.is_floating_point():
                raise TypeError(f"{name} must be floating point, got {values.dtype}.")
            if values.device != device:
                raise TypeError(f"{name} must be on {device} like the weights, got {values.device}.")
        if latents.ndim != 5 or latents.shape[2] != self.latent_channels:
            raise ValueError(
                f"latents must have shape [batch, frame, {self.latent_channels} channels, height, width], "
                f"got {list(latents.shape)}."
            )
        batch, num_latents, _, *sides = latents.shape
        expected = (num_latents - 1) * self.temporal_stride + 1
        if cameras.num_frames != expected:
            raise ValueError(
                f"cameras must have {expected} frames for {num_latents} latent frames "
                f"(temporal_stride={self.temporal_stride}), got {cameras.num_frames}."
            )
        if tuple(cameras.batch_shape) != (batch,):
            raise ValueError(
                f"cameras must have the batch axis of latents ({batch},), got {tuple(cameras.batch_shape)}."
            )
        height, width = (side * self.spatial_stride for side in sides)
        if (cameras.height, cameras.width) != (height, width):
            raise ValueError(
                f"cameras must be of the clip's size, {height} x {width} for latents of {sides[0]} x "
                f"{sides[1]}, got {cameras.height} x {cameras.width}; see Cameras.resize."
            )
        if image is not None and (image.ndim != 4 or tuple(image.shape[:2]) != (batch, 3)):
            raise ValueError(f"image must have shape [{batch}, 3, height, width], got {list(image.shape)}.")


def _clip_times(num_frames: int, like: Tensor) -> Tensor:
    dtype = torch.promote_types(like.dtype, torch.float32)
    return torch.linspace(0, 1, num_frames, device=like.device, dtype=dtype)
