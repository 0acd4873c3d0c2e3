"""Camera control for video models that have none: features of the path, added at the patch embedding.

An adapter turns `Cameras` into one feature per token of a video model. `added_camera` adds them to what the
model's patch embedding gives, for as long as a `with` block lasts, so the model itself is never changed. Both
adapters start as zero: the model then gives, to the last bit, what it gives without them.
"""

import copy
import importlib
import math
import os
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from diff4splat.backbones.backbone import LatentSpec
from diff4splat.backbones.offloading import find_device
from diff4splat.cameras import Cameras, pack_frames, plucker_rays, unshuffle_pixels
from diff4splat.hub import HubModule, read_config, resolve_pretrained

__all__ = ["CameraAdapter", "PluckerAdapter", "PluckerConcatenation", "added_camera", "load_camera_adapter"]


@contextmanager
def added_camera(
    embedding: nn.Module, features: Float[Tensor, "batch embed token_frame rows columns"] | None
) -> Iterator[None]:
    """Within the block, a patch embedding gives its output plus features of the cameras.

    Blocks may be nested, then all their features are added. Nothing is left behind, also after an error.

    Args:
        embedding: Patch embedding of a diffusion transformer; its output has the axes of `features` (Wan), or
            is a sequence that ends with the video's tokens, frame by frame and row by row, whatever stands
            before them (CogVideoX: the text).
        features: One per token, as a `CameraAdapter` gives them; None adds nothing.

    Yields:
        Nothing; run the transformer inside the block.

    Raises:
        TypeError: When the embedding runs and does not give a tensor.
        ValueError: When the embedding runs and its output has no place for the features.
    """
    if features is None:
        yield
        return
    handle = embedding.register_forward_hook(lambda module, inputs, output: _plus(output, features))
    try:
        yield
    finally:
        handle.remove()


class CameraAdapter(HubModule):
    """One feature per token of a video model, from the cameras of a clip; base of the adapters here.

    What it was made for is part of its configuration, so that an adapter for another model is refused.

    Args:
        embed_dim: Width of the tokens that the features are added to.
        temporal_stride: Pixel frames per latent frame.
        spatial_stride: Pixels per latent cell, each way.
        patch: Latent cells per token, each way.
        temporal_patch: Latent frames per token: 2 for CogVideoX 1.5, else 1. Where their number is no
            multiple, the first latent frame is repeated in front, as CogVideoX does it.
        unconditional: Rays of the unconditional pass: "cameras" gives it the same as the conditional one, so
            guidance strengthens the prompt alone; "zeros" none, so guidance strengthens the cameras as well.
        translation_scale: Factor on camera positions, from scene units to those of the adapter's training.
        base: Name of the model that the adapter was trained for; said in errors.

    Raises:
        ValueError: If a size is below 1 or an option is unknown.
    """

    def __init__(
        self,
        embed_dim: int,
        *,
        temporal_stride: int = 4,
        spatial_stride: int = 8,
        patch: int = 2,
        temporal_patch: int = 1,
        unconditional: Literal["cameras", "zeros"] = "cameras",
        translation_scale: float = 1.0,
        base: str | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("embed_dim", embed_dim), ("temporal_patch", temporal_patch)):
            if value < 1:
                raise ValueError(f"{name} must be >= 1, got {value}.")
        if unconditional not in ("cameras", "zeros"):
            raise ValueError(f"unconditional must be 'cameras' or 'zeros', got {unconditional!r}.")
        self.embed_dim = embed_dim
        self.spec = LatentSpec(1, temporal_stride, spatial_stride, patch)
        self.temporal_patch = temporal_patch
        if not 0 < translation_scale < math.inf:
            raise ValueError(f"translation_scale must be finite and > 0, got {translation_scale}.")
        self.unconditional = unconditional
        self.translation_scale = translation_scale
        self.base = base

    def forward(
        self, cameras: Cameras, *, conditional: bool = True
    ) -> Float[Tensor, "batch embed token_frame rows columns"]:
        """Features of a camera path, one per token of the video.

        Args:
            cameras: One camera per pixel frame and one batch axis; used relative to the first frame.
            conditional: False for the unconditional pass, see `unconditional`.

        Returns:
            Features, in the type of the adapter's weights.

        Raises:
            ValueError: If the axes, the number of frames or the size do not fit.
        """
        if len(cameras.batch_shape) != 1:
            raise ValueError(f"cameras must have one batch axis, got {cameras.batch_shape}.")
        self.spec.check_frames(cameras.num_frames)
        self.spec.check_size(cameras.height, cameras.width)
        wide = torch.promote_types(cameras.dtype, torch.float32)
        with torch.autocast(cameras.device.type, enabled=False):  # eight bits are too few for geometry
            path = cameras.to(dtype=wide).relative_to(None)
            # frame by frame: at 121 frames of 704 x 1280 the wide rays of all would take several gigabytes
            frames = [self._rays(path.select(slice(index, index + 1))) for index in range(path.num_frames)]
        rays = torch.cat(frames, dim=1)
        if not conditional and self.unconditional == "zeros":
            rays = torch.zeros_like(rays)
        return self.from_rays(rays)

    def _rays(self, cameras: Cameras) -> Tensor:
        """Rays in the units of the training, in the type of the weights, where these compute."""
        rays = plucker_rays(cameras)
        rays = rays * rays.new_tensor([self.translation_scale] * 3 + [1.0] * 3)[:, None, None]
        return rays.to(device=find_device(self), dtype=next(self.parameters()).dtype)

    @abstractmethod
    def from_rays(
        self, rays: Float[Tensor, "batch frame plucker=6 height width"]
    ) -> Float[Tensor, "batch embed token_frame rows columns"]:
        """Features of Plücker rays, see `forward`.

        Args:
            rays: Of every pixel of every frame, in the frame of the first camera.

        Returns:
            Features.
        """

    def check_base(self, spec: LatentSpec, embed_dim: int, *, temporal_patch: int = 1) -> None:
        """Refuse a video model that the adapter was not made for.

        Args:
            spec: Geometry of the model's latents.
            embed_dim: Width of the model's tokens.
            temporal_patch: Latent frames per token of the model.

        Raises:
            ValueError: If a stride, the patch or the width differs; the message lists both sides.
        """
        own = self._geometry(self.spec, self.embed_dim, self.temporal_patch)
        other = self._geometry(spec, embed_dim, temporal_patch)
        if own != other:
            made_for = f" ({self.base})" if self.base else ""
            raise ValueError(
                f"camera_adapter must be made for this video model ({other}), got one for {own}{made_for}."
            )

    @staticmethod
    def _geometry(spec: LatentSpec, embed_dim: int, temporal_patch: int) -> str:
        return (
            f"stride {spec.temporal_stride}x{spec.spatial_stride}x{spec.spatial_stride}, "
            f"patch {temporal_patch}x{spec.patch}x{spec.patch}, width {embed_dim}"
        )


class PluckerAdapter(CameraAdapter):
    r"""Camera features by convolutions over the Plücker rays of each latent frame.

    $$f = W_3 * \sigma(h + W_2 * \sigma(h)), \quad h = W_1 * P, \qquad W_3 = 0 \text{ at the start},$$

    with $P$ the rays of the pixels and frames of a latent cell, side by side on channels, and $\sigma$ the
    SiLU function; $W_1$ is a 1 x 1, $W_2$ a 3 x 3 convolution, and $W_3$ takes one step per token.

    Args:
        embed_dim: See `CameraAdapter`.
        temporal_stride: See `CameraAdapter`.
        spatial_stride: See `CameraAdapter`.
        patch: See `CameraAdapter`.
        temporal_patch: See `CameraAdapter`.
        unconditional: See `CameraAdapter`.
        translation_scale: See `CameraAdapter`.
        base: See `CameraAdapter`.
        hidden_dim: Channels inside.

    Raises:
        ValueError: If a size is below 1 or an option is unknown.

    Examples:
        >>> from diff4splat.cameras import trajectory
        >>> adapter = PluckerAdapter(24, hidden_dim=8)
        >>> adapter(trajectory.forward(9, height=32, width=48).batch(None)).shape
        torch.Size([1, 24, 3, 2, 3])
    """

    def __init__(
        self,
        embed_dim: int,
        *,
        temporal_stride: int = 4,
        spatial_stride: int = 8,
        patch: int = 2,
        temporal_patch: int = 1,
        unconditional: Literal["cameras", "zeros"] = "cameras",
        translation_scale: float = 1.0,
        base: str | None = None,
        hidden_dim: int = 256,
    ) -> None:
        super().__init__(
            embed_dim,
            temporal_stride=temporal_stride,
            spatial_stride=spatial_stride,
            patch=patch,
            temporal_patch=temporal_patch,
            unconditional=unconditional,
            translation_scale=translation_scale,
            base=base,
        )
        if hidden_dim < 1:
            raise ValueError(f"hidden_dim must be >= 1, got {hidden_dim}.")
        channels = 6 * temporal_stride * spatial_stride**2 * temporal_patch
        self.read = nn.Conv2d(channels, hidden_dim, 1)
        self.mix = nn.Conv2d(hidden_dim, hidden_dim, 3, padding=1)
        self.write = _zeroed(nn.Conv2d(hidden_dim, embed_dim, patch, stride=patch))

    def from_rays(
        self, rays: Float[Tensor, "batch frame plucker=6 height width"]
    ) -> Float[Tensor, "batch embed token_frame rows columns"]:
        """Features of Plücker rays.

        Args:
            rays: Of every pixel of every frame, in the frame of the first camera.

        Returns:
            Features; zero for a new adapter.
        """
        packed = pack_frames(rays, temporal_stride=self.spec.temporal_stride)
        cells = _whole_tokens(unshuffle_pixels(packed, self.spec.spatial_stride), self.temporal_patch)
        tokens = rearrange(cells, "b (n t) c h w -> (b n) (t c) h w", t=self.temporal_patch)
        hidden = self.read(tokens)
        hidden = hidden + self.mix(F.silu(hidden))
        return rearrange(self.write(F.silu(hidden)), "(b n) d h w -> b d n h w", b=len(rays))


class PluckerConcatenation(CameraAdapter):
    r"""Camera latents beside the noisy latents, read by a patch embedding widened with zero weights.

    $$[W, W_c] * [z; c] + b = (W * z + b) + W_c * c$$

    with $z$ the noisy latents, $c$ the camera latents, $W, b$ the model's patch embedding and $W_c$ its new
    weights. The right side is what is computed: the model keeps its patch embedding, and $W_c * c$ is the
    feature that is added. `widened` gives the left side as a layer. Camera latents are the Plücker rays after
    a causal convolution that takes one step per latent cell, and a normalisation over each clip.

    Source: the recipe of the code that the authors of Diff4Splat released for Wan2.2-TI2V-5B.

    Args:
        embed_dim: See `CameraAdapter`.
        temporal_stride: See `CameraAdapter`.
        spatial_stride: See `CameraAdapter`.
        patch: See `CameraAdapter`.
        temporal_patch: See `CameraAdapter`.
        unconditional: See `CameraAdapter`; that code uses "zeros".
        translation_scale: See `CameraAdapter`.
        base: See `CameraAdapter`.
        camera_channels: Channels of the camera latents; that code has as many as the latents, 48.
        num_groups: Groups of channels that are normalised together.

    Raises:
        ValueError: If a size is below 1 or an option is unknown.
    """

    def __init__(
        self,
        embed_dim: int,
        *,
        temporal_stride: int = 4,
        spatial_stride: int = 16,
        patch: int = 2,
        temporal_patch: int = 1,
        unconditional: Literal["cameras", "zeros"] = "zeros",
        translation_scale: float = 1.0,
        base: str | None = None,
        camera_channels: int = 48,
        num_groups: int = 1,
    ) -> None:
        super().__init__(
            embed_dim,
            temporal_stride=temporal_stride,
            spatial_stride=spatial_stride,
            patch=patch,
            temporal_patch=temporal_patch,
            unconditional=unconditional,
            translation_scale=translation_scale,
            base=base,
        )
        if not 1 <= num_groups <= camera_channels or camera_channels % num_groups:
            raise ValueError(
                f"camera_channels must be a multiple of num_groups={num_groups}, got {camera_channels}."
            )
        cell = (temporal_stride, spatial_stride, spatial_stride)
        self.embed = nn.Conv3d(6, camera_channels, cell, stride=cell)
        self.norm = nn.GroupNorm(num_groups, camera_channels)
        token = (temporal_patch, patch, patch)
        self.write = _zeroed(nn.Conv3d(camera_channels, embed_dim, token, stride=token, bias=False))

    def from_rays(
        self, rays: Float[Tensor, "batch frame plucker=6 height width"]
    ) -> Float[Tensor, "batch embed token_frame rows columns"]:
        """Features of Plücker rays.

        Args:
            rays: Of every pixel of every frame, in the frame of the first camera.

        Returns:
            Features; zero for a new adapter.
        """
        latents = _whole_tokens(self.camera_latents(rays), self.temporal_patch)
        return self.write(rearrange(latents, "b n c h w -> b c n h w"))

    def camera_latents(
        self, rays: Float[Tensor, "batch frame plucker=6 height width"]
    ) -> Float[Tensor, "batch latent_frame camera_channel latent_height latent_width"]:
        """What the released code concatenates to the noisy latents.

        Args:
            rays: Of every pixel of every frame, in the frame of the first camera.

        Returns:
            Camera latents on the latent grid.
        """
        before = rays[:, :1].expand(-1, self.spec.temporal_stride - 1, -1, -1, -1)
        whole = rearrange(torch.cat((before, rays), dim=1), "b f c h w -> b c f h w")
        return rearrange(self.norm(self.embed(whole)), "b c n h w -> b n c h w")

    def widened(self, embedding: nn.Conv3d) -> nn.Conv3d:
        """A patch embedding that reads noisy latents and, after them on channels, camera latents.

        Args:
            embedding: Patch embedding of the video model; not changed.

        Returns:
            New layer whose output equals that of `embedding` plus the features of this adapter.

        Raises:
            ValueError: If the layer has another kernel or width than this adapter.
        """
        if (embedding.kernel_size, embedding.out_channels) != (self.write.kernel_size, self.embed_dim):
            raise ValueError(
                f"embedding must have kernel {self.write.kernel_size} and {self.embed_dim} outputs, "
                f"got kernel {embedding.kernel_size} and {embedding.out_channels}."
            )
        weight = torch.cat((embedding.weight, self.write.weight.to(embedding.weight)), dim=1)
        wide = copy.deepcopy(embedding)
        wide.in_channels = weight.shape[1]
        wide.weight = nn.Parameter(weight.detach())
        return wide


_ADAPTERS = {
    "PluckerAdapter": "diff4splat.backbones.camera_adapter",
    "PluckerConcatenation": "diff4splat.backbones.camera_adapter",
    "FunControlAdapter": "diff4splat.backbones.wan_fun_checkpoint",
}


def load_camera_adapter(
    name_or_path: str | os.PathLike[str],
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    subfolder: str | None = None,
) -> CameraAdapter:
    """A saved camera adapter, of the class that its config.json names.

    Args:
        name_or_path: Local folder or Hub id, see `diff4splat.hub.resolve_pretrained`.
        revision: Branch, tag or commit on the Hub.
        local_files_only: Use what the Hub cache holds, without network.
        subfolder: Folder inside that holds the adapter.

    Returns:
        The adapter in evaluation mode.

    Raises:
        FileNotFoundError: If it cannot be found.
        ValueError: If the folder holds something else, or a file is damaged.
    """
    folder = resolve_pretrained(
        name_or_path,
        revision=revision,
        local_files_only=local_files_only,
        subfolder=subfolder,
        files=("config.json", "model.safetensors"),
    )
    written = read_config(folder).get("_class")
    if written not in _ADAPTERS:
        raise ValueError(f"{folder} holds {written}, not a camera adapter, one of {sorted(_ADAPTERS)}.")
    adapter: type[CameraAdapter] = getattr(importlib.import_module(_ADAPTERS[written]), written)
    return adapter.from_pretrained(folder)


def _plus(output: Any, features: Tensor) -> Tensor:
    """`output` of a patch embedding plus features, in the type and on the device of `output`."""
    if not isinstance(output, Tensor):
        raise TypeError(f"the patch embedding must give a tensor, got {type(output).__name__}.")
    features = features.to(output)
    if output.shape == features.shape:
        return output + features
    tokens = rearrange(features, "b d n h w -> b (n h w) d")
    before = output.shape[1] - tokens.shape[1] if output.ndim == 3 else -1
    if before < 0 or (output.shape[0], output.shape[2]) != (tokens.shape[0], tokens.shape[2]):
        raise ValueError(
            "camera features must fit the output of the patch embedding, "
            f"{tuple(output.shape)}, got batch, embed, frame, rows, columns {tuple(features.shape)}."
        )
    return output + F.pad(tokens, (0, 0, before, 0))


def _whole_tokens(latents: Tensor, temporal_patch: int) -> Tensor:
    """Latent frames with the first repeated in front until tokens of `temporal_patch` frames divide them."""
    missing = -latents.shape[1] % temporal_patch
    return torch.cat((latents[:, :1].expand(-1, missing, -1, -1, -1), latents), dim=1)


def _zeroed(layer: Any) -> Any:
    """A layer with all weights zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
