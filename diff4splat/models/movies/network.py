"""The network of MoVieS: posed video to Gaussians of its pixels and how they move."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from diff4splat.cameras import Cameras, plucker_rays
from diff4splat.hub import HubModule
from diff4splat.models.movies.aggregator import FrameAggregator
from diff4splat.models.movies.codes import camera_code, time_code
from diff4splat.models.movies.dpt_head import DPTHead
from diff4splat.models.movies.encoder import ImageEncoder
from diff4splat.models.movies.network_inputs import check_clip, check_sizes

__all__ = ["MoVieS", "MoVieSFeatures", "MovingMaps", "StaticMaps"]

# What ImageNet has per colour; DINOv2 reads images without it.
_MEAN = (0.485, 0.456, 0.406)
_SPREAD = (0.229, 0.224, 0.225)
_SPLAT_CHANNELS = 11  # colour 3, scale 3, rotation 4, opacity 1
_STILL = 0.005  # motion below this leaves a Gaussian as it is, in units of the network


class MoVieSFeatures(NamedTuple):
    """What `MoVieS.encode` gives, from which any number of target times is decoded.

    Args:
        levels: Patch features of four layers, fine to coarse.
        video: The video that was encoded.
    """

    levels: tuple[Float[Tensor, "batch frame patch two_dim"], ...]
    video: Float[Tensor, "batch frame rgb=3 height width"]


class StaticMaps(NamedTuple):
    """Raw maps that do not depend on a target time: a Gaussian per pixel, as its own frame shows it.

    Args:
        depth: Z-depth in units of the network, > 0.
        depth_confidence: Confidence of the depth, > 1.
        splats: Colour (3), scale (3), rotation (4, wxyz) and opacity (1), before activation.
        splat_confidence: Confidence of these, > 1.
    """

    depth: Float[Tensor, "batch frame height width"]
    depth_confidence: Float[Tensor, "batch frame height width"]
    splats: Float[Tensor, "batch frame splat=11 height width"]
    splat_confidence: Float[Tensor, "batch frame height width"]


class MovingMaps(NamedTuple):
    """Raw maps for one target time.

    Args:
        motion: World displacement of each pixel's point from its own time to the target time, in units of
            the network.
        motion_confidence: Confidence of the motion, > 1.
        splats: As in `StaticMaps`, at the target time; equal to the static ones where the motion is shorter
            than 0.005.
        splat_confidence: Confidence of these, > 1.
    """

    motion: Float[Tensor, "batch frame xyz=3 height width"]
    motion_confidence: Float[Tensor, "batch frame height width"]
    splats: Float[Tensor, "batch frame splat=11 height width"]
    splat_confidence: Float[Tensor, "batch frame height width"]


class MoVieS(HubModule):
    """Encoder, attention within and over frames, and four heads: depth, splats, motion, splats that moved.

    An independent implementation that loads the published weights, see `load_movies_checkpoint`; names of
    parts are theirs. The defaults are the published size, 1 041 M parameters. World axes are those of the
    first camera, and lengths are in units of the network: it was trained on scenes whose points are at a
    mean distance of 1 from the first camera. `MoVieSReconstructor` sees to both.

    The parts may have different floating types: heads in float32 behind a Transformer in bfloat16 keep the
    precision of depth, which is why autocast does not reach them. Source: Lin et al. 2026 (MoVieS).

    Args:
        dim: Token width.
        num_layers: Pairs of attention blocks.
        num_heads: Attention heads.
        encoder_layers: Blocks of the image encoder.
        encoder_heads: Attention heads of the image encoder.
        patch_size: Patch side in pixels.
        grid_size: Patches per side that the encoder's learned positions were made for.
        kept_layers: Four layers whose features the heads read, ascending.
        level_widths: Channels of the four levels in the heads, multiples of 4.
        head_width: Channels of the heads while fusing, a multiple of 8.
        time_dim: Length of a time code; even.

    Raises:
        ValueError: If sizes are too small or do not divide.
    """

    def __init__(
        self,
        dim: int = 1024,
        num_layers: int = 24,
        num_heads: int = 16,
        encoder_layers: int = 24,
        encoder_heads: int = 16,
        patch_size: int = 14,
        grid_size: int = 37,
        kept_layers: Sequence[int] = (4, 11, 17, 23),
        level_widths: Sequence[int] = (256, 512, 1024, 1024),
        head_width: int = 256,
        time_dim: int = 20,
    ) -> None:
        super().__init__()
        check_sizes(self.config)
        self.patch_size = patch_size
        self.kept_layers = tuple(kept_layers)
        self.time_dim = time_dim
        step = (1, patch_size, patch_size)
        self.plucker_embed = nn.Sequential(OrderedDict(net=nn.Conv3d(6, dim, kernel_size=step, stride=step)))
        self.plucker_ln = nn.GroupNorm(1, dim)
        for parameter in (*self.plucker_embed.parameters(), *self.plucker_ln.parameters()):
            nn.init.zeros_(parameter)  # so that cameras say nothing at first
        self.encoder = ImageEncoder(
            dim,
            num_layers=encoder_layers,
            num_heads=encoder_heads,
            patch_size=patch_size,
            grid_size=grid_size,
        )
        self.backbone = FrameAggregator(dim, num_layers=num_layers, num_heads=num_heads, time_dim=time_dim)

        def head(channels: int, *, shortcut_channels: int = 0, time_dim: int = 0) -> DPTHead:
            return DPTHead(
                2 * dim,
                channels + 1,  # confidence comes last
                width=head_width,
                level_widths=level_widths,
                patch_size=patch_size,
                shortcut_channels=shortcut_channels,
                time_dim=time_dim,
            )

        self.depth_head = head(1)
        self.splat_head = head(_SPLAT_CHANNELS, shortcut_channels=3)
        self.motion_head = head(3, time_dim=time_dim)
        self.motion_splat_head = head(_SPLAT_CHANNELS, shortcut_channels=_SPLAT_CHANNELS, time_dim=time_dim)

    def forward(
        self,
        video: Float[Tensor, "batch frame rgb=3 height width"],
        cameras: Cameras,
        *,
        times: Float[Tensor, "batch frame"],
        target_times: Float[Tensor, "batch time"],
        frames_per_chunk: int | None = None,
    ) -> tuple[StaticMaps, list[MovingMaps]]:
        """Maps of all target times at once; `encode`, `static` and `moving` give them one by one.

        Args:
            video: Frames in [0, 1]; sides are multiples of `patch_size`.
            cameras: One camera per frame, batch axis as in `video`, in the world of the first one.
            times: Times of the frames in [0, 1].
            target_times: Times to give maps for, in [0, 1].
            frames_per_chunk: Frames that go through a head together; all when omitted. Fewer take less
                memory and give the same.

        Returns:
            Static maps, and moving maps per target time.

        Raises:
            ValueError: If shapes do not fit each other or the patch size.
        """
        features = self.encode(video, cameras, times=times)
        static = self.static(features, frames_per_chunk=frames_per_chunk)
        moving = [
            self.moving(features, static, time, frames_per_chunk=frames_per_chunk)
            for time in target_times.unbind(1)
        ]
        return static, moving

    def encode(
        self,
        video: Float[Tensor, "batch frame rgb=3 height width"],
        cameras: Cameras,
        *,
        times: Float[Tensor, "batch frame"],
    ) -> MoVieSFeatures:
        """Run encoder and Transformer.

        Args:
            video: Frames in [0, 1]; sides are multiples of `patch_size`.
            cameras: One camera per frame, batch axis as in `video`, in the world of the first one.
            times: Times of the frames in [0, 1].

        Returns:
            Features of the patches.

        Raises:
            ValueError: If shapes do not fit each other or the patch size.
        """
        check_clip(video, cameras, times, patch_size=self.patch_size)
        frames = video.shape[1]
        dtype = self.backbone.camera_token.dtype
        images = (video - _per_color(_MEAN, video)) / _per_color(_SPREAD, video)
        patches = self.encoder(rearrange(images, "b f c h w -> (b f) c h w").to(dtype))
        with torch.autocast(video.device.type, enabled=False):  # eight bits are too few for geometry
            rays = rearrange(plucker_rays(cameras), "b f c h w -> b c f h w").to(dtype)
            poses, codes = camera_code(cameras).to(dtype), time_code(times, self.time_dim).to(dtype)
        rays = rearrange(self.plucker_ln(self.plucker_embed(rays)), "b d f h w -> b f h w d")
        rows = video.shape[-2] // self.patch_size
        patches = rearrange(patches, "(b f) (h w) d -> b f h w d", f=frames, h=rows) + rays
        return MoVieSFeatures(tuple(self.backbone(patches, poses, codes, keep=self.kept_layers)), video)

    def static(self, features: MoVieSFeatures, *, frames_per_chunk: int | None = None) -> StaticMaps:
        """Depth and splats of each pixel at its own time.

        Args:
            features: From `encode`.
            frames_per_chunk: See `forward`.

        Returns:
            Raw maps.
        """
        depth = self._run(self.depth_head, features, None, None, frames_per_chunk)
        splats = self._run(self.splat_head, features, features.video, None, frames_per_chunk)
        return StaticMaps(
            depth=depth[:, :, 0].exp(),
            depth_confidence=1 + depth[:, :, 1].exp(),
            splats=splats[:, :, :-1],
            splat_confidence=1 + splats[:, :, -1].exp(),
        )

    def moving(
        self,
        features: MoVieSFeatures,
        static: StaticMaps,
        time: Float[Tensor, " batch"],
        *,
        frames_per_chunk: int | None = None,
    ) -> MovingMaps:
        """Motion of each pixel's point to a target time, and its splat there.

        Args:
            features: From `encode`.
            static: From `static`, of the same features.
            time: Target time in [0, 1] of each video.
            frames_per_chunk: See `forward`.

        Returns:
            Raw maps.
        """
        code = time_code(time, self.time_dim)
        motion = self._run(self.motion_head, features, None, code, frames_per_chunk)
        splats = self._run(self.motion_splat_head, features, static.splats, code, frames_per_chunk)
        confidence = 1 + splats[:, :, -1].exp()
        moves = torch.linalg.vector_norm(motion[:, :, :3], dim=2) >= _STILL
        return MovingMaps(
            motion=motion[:, :, :3],
            motion_confidence=1 + motion[:, :, 3].exp(),
            splats=torch.where(moves[:, :, None], splats[:, :, :-1], static.splats),
            splat_confidence=torch.where(moves, confidence, static.splat_confidence),
        )

    def _run(
        self,
        head: Callable[..., Tensor],
        features: MoVieSFeatures,
        shortcut: Tensor | None,
        time: Tensor | None,
        frames_per_chunk: int | None,
    ) -> Tensor:
        """A head over all frames, some at a time, in the floating type of its weights."""
        batch, frames = features.video.shape[:2]
        rows, columns = (side // self.patch_size for side in features.video.shape[-2:])
        dtype = self.depth_head.norm.weight.dtype
        step = frames_per_chunk or frames
        maps = []
        with torch.autocast(features.video.device.type, enabled=False):  # depth needs more than eight bits
            for start in range(0, frames, step):
                chunk = slice(start, start + step)
                count = features.video[:, chunk].shape[1]
                maps.append(
                    head(
                        [level[:, chunk].flatten(0, 1).to(dtype) for level in features.levels],
                        grid=(rows, columns),
                        shortcut=None if shortcut is None else shortcut[:, chunk].flatten(0, 1).to(dtype),
                        time=None if time is None else time.to(dtype).repeat_interleave(count, dim=0),
                    )
                )
        chunks = [rearrange(one, "(b f) c h w -> b f c h w", b=batch) for one in maps]
        return torch.cat(chunks, dim=1)


def _per_color(values: tuple[float, float, float], like: Tensor) -> Tensor:
    return like.new_tensor(values)[:, None, None]
