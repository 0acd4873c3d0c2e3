"""Latent Dynamic Reconstruction Model: video latents and cameras to a deformable Gaussian field."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import repeat
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.hub import HubModule
from diff4splat.models.deformation_head import DeformationHead
from diff4splat.models.field_decoding import clip_times, decode_field
from diff4splat.models.gaussian_head import GaussianHead
from diff4splat.models.latent_frames import join_neighbours, latent_cameras, spread_frames
from diff4splat.models.latent_geometry import LatentGeometry, latent_options
from diff4splat.models.ldrm_features import LDRMFeatures
from diff4splat.models.ldrm_inputs import check_budget, check_clip, check_options
from diff4splat.models.ldrm_sizes import BASE, COMPACT, PAPER, size_options
from diff4splat.models.tokens import LatentPoseTokens
from diff4splat.transformer import TransformerBlock, run_blocks

__all__ = ["LDRM"]


class LDRM(HubModule):
    """Latent and pose tokens, Transformer blocks, a Gaussian head and a deformation head.

    It reads the latents of any video model: channels and strides are configuration. Cameras are taken
    relative to the first one, so moving the world moves the field and changes nothing else. Source:
    Diff4Splat, Sec. 3.2.

    `from_spec` takes the latents of a video model; `paper`, `base` and `compact` are sizes. Set the attribute
    `gradient_checkpointing` to True to train in less memory and more time: blocks and Gaussian head are run
    again for their gradients instead of keeping what they computed.

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
        frame_multiple: The m of the video model's frame rule, clips of m k + 1 pixel frames; the temporal
            stride when omitted. 8 for CogVideoX, whose stride is 4: an even number of its latents stands for
            other frames than those of stride 4, and is refused.
        feature_channels: Channels of a diffusion model's features to read beside the latents, see
            `LatentPoseTokens`; 0 for none (paper).
        attention: "full" lets every token read every other (paper); in "factorized" blocks take turns between
            the tokens of a frame and those of a place, see `run_factorized`. Weights have the same shapes.
        pose_encoding: "plucker" rays (paper) or "vectors", the twelve numbers of a camera that the
            supplement compares them with (`pose_vectors`), which do not tell the focal length.

    Raises:
        ValueError: If a size is too small, the strides, the patch size or the numbers of heads do not divide,
            a head has an odd width, or an option is unknown.
    """

    gradient_checkpointing = False

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
        frame_multiple: int | None = None,
        feature_channels: int = 0,
        attention: Literal["full", "factorized"] = "full",
        pose_encoding: Literal["plucker", "vectors"] = "plucker",
    ) -> None:
        super().__init__()
        self.latent_channels = latent_channels
        self.temporal_stride = temporal_stride
        self.spatial_stride = spatial_stride
        self.patch_size = patch_size
        self.pixel_stride = pixel_stride
        self.temporal_context = temporal_context
        self.backdrop_cells = backdrop_cells
        self.every_frame = every_frame
        self.frame_multiple = temporal_stride if frame_multiple is None else frame_multiple
        self.feature_channels = feature_channels
        self.attention = attention
        self.pose_encoding = pose_encoding
        check_options(self.config)
        upsampling = spatial_stride * patch_size // pixel_stride
        seen_channels = latent_channels * (1 + 2 * temporal_context)
        pose_channels = (6 if pose_encoding == "plucker" else 12) * temporal_stride
        self.tokens = LatentPoseTokens(
            seen_channels, pose_channels, embed_dim, patch_size, dim, feature_channels
        )
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
        features: Float[Tensor, "batch latent_frame feature_channel feature_height feature_width"]
        | None = None,
        times: Float[Tensor, " time"] | None = None,
        max_gaussians: int | None = None,
    ) -> DeformableGaussianField:
        """The deformable Gaussian field of a clip, in the world of `cameras`.

        Any floating types do: latents are brought to that of the weights; cameras, image and times to the
        same or float32, whichever is wider, which is also the type of the result.

        Args:
            latents: Normalised latents of the clip.
            cameras: One camera per pixel frame, batch axis as in `latents`, of the clip's image size, which
                is that of the latents times `spatial_stride`.
            image: First frame in [0, 1], any size; the first frame's Gaussians are laid out on its pixels, so
                a larger image gives more and finer ones. Colours come from the latents when omitted.
            features: Features of the video model, on the grid of the latents or on that of the tokens; needed
                when built with `feature_channels`.
            times: Ascending times in [0, 1] to store deltas at; the pixel frames when omitted.
            max_gaussians: Budget. The first frame takes what later frames and the backdrop leave of it, and
                nine tenths at least: plain areas of `image` share Gaussians (`adaptive_layout`). One per
                pixel of `image` when omitted, or where that fits.

        Returns:
            The field. First come the Gaussians of the first frame, one per pixel of `image`, or per block of
            it where a budget is given, or per place of the Gaussian map without an image. Then, for each
            later frame that carries Gaussians, one per place of its map (every `pixel_stride`-th pixel);
            where an earlier frame already shows the place, opacity is zero, and `prune` removes them. The
            backdrop is last.

        Raises:
            TypeError: If latents, cameras, image, features or times are not floating point, or on another
                device than the weights.
            ValueError: If channels, frames or sizes do not fit the configuration or each other, or a budget
                is below 1 or given for more than one clip or without an image.
        """
        check_budget(max_gaussians, image)  # before the network runs
        encoded = self.encode(latents, cameras, image=image, features=features)
        return self.decode(encoded, times, image=image, max_gaussians=max_gaussians)

    def encode(
        self,
        latents: Float[Tensor, "batch latent_frame channel latent_height latent_width"],
        cameras: Cameras,
        *,
        image: Float[Tensor, "batch rgb=3 image_height image_width"] | None = None,
        features: Float[Tensor, "batch latent_frame feature_channel feature_height feature_width"]
        | None = None,
    ) -> LDRMFeatures:
        """Run the Transformer and the Gaussian head, from which any number of target times is decoded.

        Args:
            latents: Normalised latents of the clip.
            cameras: One camera per pixel frame, batch axis as in `latents`.
            image: First frame in [0, 1], at any resolution.
            features: See `forward`.

        Returns:
            Maps and features.

        Raises:
            TypeError: If latents, cameras, image or features are not floating point, or on another device
                than the weights.
            ValueError: If channels, frames or sizes do not fit the configuration or each other.
        """
        device = self.gaussian_head.output.weight.device
        check_clip(latents, cameras, image, features, config=self.config, device=device)
        latents, cameras = latents.to(self._dtype), cameras.to(dtype=self._wide)
        batch, num_latents, _, latent_height, latent_width = latents.shape
        origin, stride = cameras.camera_to_world[:, 0], self.temporal_stride
        with torch.autocast(latents.device.type, enabled=False):  # eight bits are too few for geometry
            relative = cameras.relative_to(None)
            poses = latent_cameras(
                relative,
                height=latent_height,
                width=latent_width,
                temporal_stride=stride,
                encoding=self.pose_encoding,
            )
        if features is not None:
            features = features.to(self._dtype)
        joined = join_neighbours(latents, reach=self.temporal_context)
        levels = run_blocks(
            self.blocks,
            self.tokens(joined, poses.to(latents.dtype), features),
            grid=(num_latents, latent_height // self.patch_size, latent_width // self.patch_size),
            attention=self.attention,
            keep=self.level_layers,
            checkpointing=self.gradient_checkpointing,
        )
        if image is not None:
            scale = self.spatial_stride // self.pixel_stride
            size = (latent_height * scale, latent_width * scale)
            image = F.interpolate(
                image.to(self._wide), size=size, mode="bilinear", antialias=True, align_corners=False
            ).to(self._dtype)
        if self.gradient_checkpointing:
            gaussian_map, pixels = checkpoint(self.gaussian_head, levels[-1], image, use_reentrant=False)
        else:
            gaussian_map, pixels = self.gaussian_head(levels[-1], image)
        step = 1 if self.every_frame else stride
        frame_times = clip_times(cameras.num_frames, latents)[::step]
        if self.every_frame:
            levels = [spread_frames(level, temporal_stride=stride) for level in levels]
        return LDRMFeatures(
            gaussian_map=gaussian_map,
            pixels=pixels,
            levels=tuple(levels),
            frame_times=repeat(frame_times, "f -> b f", b=batch),
            cameras=relative.select(slice(None, None, step)),
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
            TypeError: If times, image or deformation are not floating point, or on another device.
            ValueError: If their shapes do not fit what was encoded, or a budget is below 1 or given for more
                than one clip or without an image.
        """
        return decode_field(
            features,
            self.deform,
            times,
            stride=1 if self.every_frame else self.temporal_stride,
            backdrop_cells=self.backdrop_cells,
            image=image,
            max_gaussians=max_gaussians,
            deformation=deformation,
        )

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
            ValueError: If `times` is not one row of times per clip, or `times_per_chunk` is below 1.
        """
        return self.deformation_head(
            features.levels,
            features.pixels,
            times.to(features.frame_times.dtype),
            features.frame_times,
            times_per_chunk=times_per_chunk,
        )

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the network in place: tokens, each block and the heads, as `torch.compile` does.

        Cameras, the layout and the assembly of the field stay as they are: the numbers of Gaussians depend on
        values. Blocks are alike, so that one is compiled for all.

        Args:
            *args: Passed to `torch.compile`.
            **kwargs: Passed to `torch.compile`; `fullgraph=True` works.
        """
        for part in (self.tokens, *self.blocks, self.gaussian_head, self.deformation_head):
            part.compile(*args, **kwargs)

    @classmethod
    def from_spec(cls, spec: LatentGeometry, **options: Any) -> "LDRM":
        """A fresh model for the latents of a video model.

        Args:
            spec: Channels, strides and frame rule, for instance the `spec` of a backbone.
            **options: Other arguments of the constructor, or instead of those that follow from `spec`; a
                token covers 16 x 16 pixels, or one latent where it is larger, unless `patch_size` is given.

        Returns:
            The model.

        Examples:
            >>> from diff4splat.backbones import LatentSpec
            >>> wan = LatentSpec(channels=48, temporal_stride=4, spatial_stride=16)
            >>> LDRM.from_spec(wan, dim=64, num_layers=2).patch_size
            1
        """
        return cls(**{**latent_options(spec), **options})

    @classmethod
    def paper(cls, spec: LatentGeometry | None = None, **options: Any) -> "LDRM":
        """The size of the paper: 16 blocks, and Gaussians at every pixel of every frame.

        Stated in Sec. 3.2, 3.3 and 4.1: 16 blocks, grouped-query attention, the 64-dimensional embedding, the
        maps of T x H x W. Our reading, since the paper does not say: token width 1024, 16 query and 4
        key-value heads, the widths of the decoders, tokens of 2 x 2 latents. The paper speaks of 32 latent
        channels; those of CogVideoX, on which it builds, have 16 (32 is what its transformer reads: noise and
        image).

        Args:
            spec: Latents to read; those of CogVideoX when omitted (16 channels, 4 x 8 x 8, 8 k + 1 frames).
            **options: Other arguments of the constructor, or instead of those of this size.

        Returns:
            A fresh model.
        """
        return cls(**{**size_options(PAPER, spec), **options})

    @classmethod
    def base(cls, spec: LatentGeometry | None = None, **options: Any) -> "LDRM":
        """A size between `compact` and `paper`, to train on one GPU; Gaussians as in `compact`.

        Args:
            spec: Latents to read; those of Wan 2.1 when omitted (16 channels, 4 x 8 x 8, 4 k + 1 frames).
            **options: Other arguments of the constructor, or instead of those of this size.

        Returns:
            A fresh model.
        """
        return cls(**{**size_options(BASE, spec), **options})

    @classmethod
    def compact(cls, spec: LatentGeometry | None = None, **options: Any) -> "LDRM":
        """The bundled size: latents of the compact backbone, two processor cores.

        Args:
            spec: Latents to read; those of the compact backbone when omitted (8 channels, 4 x 8 x 8).
            **options: Other arguments of the constructor, or instead of those of this size.

        Returns:
            A fresh model of the size whose weights come with the package.
        """
        return cls(**{**size_options(COMPACT, spec), **options})

    @property
    def _dtype(self) -> torch.dtype:
        return self.gaussian_head.output.weight.dtype

    @property
    def _wide(self) -> torch.dtype:
        """Type of geometry and colours: half precision cannot tell the pixels of an image apart."""
        return torch.promote_types(self._dtype, torch.float32)
