"""Camera control for video models that have none: features of the path, added at the patch embedding.

An adapter turns `Cameras` into one feature per token of a video model. `added_camera` adds them to what the
model's patch embedding gives, for as long as a `with` block lasts, so the model itself is never changed.
"""

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
from diff4splat.cameras import Cameras, plucker_rays
from diff4splat.hub import HubModule, read_config, resolve_pretrained

__all__ = ["CameraAdapter", "added_camera", "load_camera_adapter"]


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
            path = cameras.to(dtype=wide).relative_to(None).scale(self.translation_scale)
            # frame by frame: at 121 frames of 704 x 1280 the wide rays of all would take several gigabytes
            frames = [self._rays(path.select(slice(index, index + 1))) for index in range(path.num_frames)]
        rays = torch.cat(frames, dim=1)
        if not conditional and self.unconditional == "zeros":
            rays = torch.zeros_like(rays)
        return self.from_rays(rays)

    def _rays(self, cameras: Cameras) -> Tensor:
        """Rays in the type of the weights, where these compute."""
        return plucker_rays(cameras).to(device=find_device(self), dtype=next(self.parameters()).dtype)

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


_ADAPTERS = {
    "PluckerAdapter": "diff4splat.backbones.plucker_adapters",
    "PluckerConcatenation": "diff4splat.backbones.plucker_adapters",
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
