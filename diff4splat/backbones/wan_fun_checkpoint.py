"""Camera-controlled Wan-Fun checkpoints: their layout, and the models that are built from it.

The files hold the weights under Wan's own names, and those of a camera adapter beside them. Everything that
their loading needs is read from the names and shapes in the files' headers.
"""

import json
import logging
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from diff4splat.backbones.camera_adapter import CameraAdapter
from diff4splat.backbones.diffusers_parts import import_library
from diff4splat.cameras import pack_frames, unshuffle_pixels
from diff4splat.files import read_safetensors
from diff4splat.hub import load_state

__all__ = ["FunControlAdapter", "load_wan_fun", "tensor_shapes", "wan_fun_adapter_config", "wan_fun_config"]

_ADAPTER = "control_adapter."


class FunControlAdapter(CameraAdapter):
    r"""The camera adapter of Wan2.1-Fun and Wan2.2-Fun Control-Camera.

    $$f = h + W_2 * \max(0, W_1 * h), \qquad h = W_0 * P,$$

    with $P$ the Plücker rays of the pixels and frames of a latent cell on channels, 24 per pixel in the order
    coordinate, frame; biases left out. Source: `SimpleAdapter` of VideoX-Fun, whose weights it takes.

    Args:
        embed_dim: See `CameraAdapter`.
        temporal_stride: See `CameraAdapter`.
        spatial_stride: See `CameraAdapter`; 8 for Wan2.1-Fun, 16 for Wan2.2-Fun-5B.
        patch: See `CameraAdapter`.
        temporal_patch: See `CameraAdapter`; 1.
        unconditional: See `CameraAdapter`.
        translation_scale: See `CameraAdapter`. Wan-Fun was trained on camera paths as their files give them,
            without any normalisation, so its unit differs from scene to scene.
        base: See `CameraAdapter`.

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
        temporal_patch: Literal[1] = 1,
        unconditional: Literal["cameras", "zeros"] = "cameras",
        translation_scale: float = 1.0,
        base: str | None = None,
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
        channels = 6 * temporal_stride * spatial_stride**2
        self.conv = nn.Conv2d(channels, embed_dim, patch, stride=patch)
        self.residual_blocks = nn.ModuleList([_Residual(embed_dim)])

    def from_rays(
        self, rays: Float[Tensor, "batch frame plucker=6 height width"]
    ) -> Float[Tensor, "batch embed token_frame rows columns"]:
        """Features of Plücker rays.

        Args:
            rays: Of every pixel of every frame, in the frame of the first camera.

        Returns:
            Features.
        """
        packed = pack_frames(rays, temporal_stride=self.spec.temporal_stride, order="channel")
        cells = rearrange(unshuffle_pixels(packed, self.spec.spatial_stride), "b n c h w -> (b n) c h w")
        hidden = self.conv(cells)
        for block in self.residual_blocks:
            hidden = block(hidden)
        return rearrange(hidden, "(b n) d h w -> b d n h w", b=len(rays))


class _Residual(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, dim, 3, padding=1)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.conv2(F.relu(self.conv1(hidden)))


def tensor_shapes(files: Sequence[str | os.PathLike[str]]) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor by name, from the headers of safetensors files alone.

    Args:
        files: One file, or all that a checkpoint is split over.

    Returns:
        Shapes by name.

    Raises:
        ValueError: If a file is damaged, a pickle or no safetensors file.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        try:
            with safe_open(file, framework="pt") as tensors:
                shapes |= {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}
        except SafetensorError as error:
            read_safetensors(file)  # says what the file is
            raise ValueError(f"{file} is truncated or damaged: {error}.") from error
    return shapes


def wan_fun_config(shapes: Mapping[str, Sequence[int]], *, num_heads: int | None = None) -> dict[str, Any]:
    """Configuration of diffusers' `WanTransformer3DModel` for a camera-controlled Wan-Fun checkpoint.

    Args:
        shapes: Shape of every tensor by name, of all files of the checkpoint together.
        num_heads: Attention heads, the one number that no shape tells; when omitted, heads of 128 channels,
            which all published sizes have.

    Returns:
        Arguments of that class.

    Raises:
        ValueError: If the tensors are not those of such a checkpoint; says what they are instead where that
            can be told.
    """
    _check_kind(shapes)
    dim, in_channels, *patch = shapes["patch_embedding.weight"]
    out_channels = shapes["head.head.weight"][0] // math.prod(patch)
    if in_channels not in (2 * out_channels, 2 * out_channels + 4):
        raise ValueError(
            f"the checkpoint must read {2 * out_channels} channels, or 4 more, to be a Wan-Fun camera model "
            f"that predicts {out_channels}, got {in_channels}."
        )
    stride = wan_fun_adapter_config(shapes)["spatial_stride"]
    if in_channels == 2 * out_channels + 4 and stride == 8:
        raise ValueError(
            "the checkpoint is one of the two experts of Wan2.2-Fun-A14B, which are not supported; use "
            "Wan2.2-Fun-5B-Control-Camera or Wan2.1-Fun-V1.1-1.3B-Control-Camera."
        )
    heads = dim // 128 if num_heads is None else num_heads
    if heads < 1 or dim % heads:
        raise ValueError(f"num_heads must divide the width {dim} of the checkpoint, got {heads}.")
    image = shapes.get("img_emb.proj.0.weight")
    num_layers = 1 + max(int(name.split(".")[1]) for name in shapes if name.startswith("blocks."))
    config = {
        "patch_size": patch,
        "num_attention_heads": heads,
        "attention_head_dim": dim // heads,
        "in_channels": in_channels,
        "out_channels": out_channels,
        "text_dim": shapes["text_embedding.0.weight"][1],
        "freq_dim": shapes["time_embedding.0.weight"][1],
        "ffn_dim": shapes["blocks.0.ffn.0.weight"][0],
        "num_layers": num_layers,
        "cross_attn_norm": True,
        "qk_norm": "rms_norm_across_heads",
        "image_dim": None if image is None else image[0],
        "added_kv_proj_dim": None if image is None else dim,
    }
    expected = set(_names(num_layers, image is not None))
    missing, unexpected = sorted(expected - set(shapes)), sorted(set(shapes) - expected)
    if missing or unexpected:
        raise ValueError(
            f"the checkpoint is not a whole Wan-Fun camera model: missing {missing[:3] or 'nothing'}"
            f"{', ...' if missing[3:] else ''}, unexpected {unexpected[:3] or 'nothing'}"
            f"{', ...' if unexpected[3:] else ''}."
        )
    return config


def wan_fun_adapter_config(shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Arguments of `FunControlAdapter` for a camera-controlled Wan-Fun checkpoint.

    Args:
        shapes: Shape of every tensor by name.

    Returns:
        Width, strides and patch.

    Raises:
        ValueError: If the adapter's shapes fit no strides.
    """
    embed_dim, channels, patch, _ = shapes[_ADAPTER + "conv.weight"]
    stride = math.isqrt(channels // 24)
    if 24 * stride**2 != channels:
        raise ValueError(f"{_ADAPTER}conv.weight must read 24 s² channels, got {channels}.")
    return {"embed_dim": embed_dim, "temporal_stride": 4, "spatial_stride": stride, "patch": patch}


def load_wan_fun(
    files: Sequence[str | os.PathLike[str]],
    *,
    dtype: torch.dtype = torch.bfloat16,
    num_heads: int | None = None,
    translation_scale: float = 1.0,
    base: str | None = None,
) -> tuple[Any, FunControlAdapter]:
    """Transformer and camera adapter of a camera-controlled Wan-Fun checkpoint.

    Args:
        files: The safetensors file, or all files that it is split over.
        dtype: Type of the weights.
        num_heads: See `wan_fun_config`.
        translation_scale: See `FunControlAdapter`.
        base: Name of the checkpoint, for errors.

    Returns:
        diffusers' `WanTransformer3DModel` and the adapter, both in evaluation mode.

    Raises:
        FileNotFoundError: If a file is missing.
        ModuleNotFoundError: If diffusers is missing; says how to install it.
        ValueError: If a file is damaged, a pickle or another model.
    """
    cls = import_library("diffusers").WanTransformer3DModel
    shapes = tensor_shapes(files)
    config = wan_fun_config(shapes, num_heads=num_heads)
    options: dict[str, Any] = {**wan_fun_adapter_config(shapes), "translation_scale": translation_scale}
    adapter = FunControlAdapter(**options, base=base)
    state: dict[str, Tensor] = {}
    for file in files:
        state.update(read_safetensors(file))
    parts = {name[len(_ADAPTER) :]: state.pop(name) for name in list(state) if name.startswith(_ADAPTER)}
    load_state(adapter, parts, source=files[0])
    with tempfile.TemporaryDirectory() as folder:  # from_single_file takes its configuration from a folder
        text = json.dumps({"_class_name": "WanTransformer3DModel", **config})
        (Path(folder) / "config.json").write_text(text, encoding="utf-8")
        with _no_advice_on_types():
            transformer = cls.from_single_file(state, config=folder, torch_dtype=dtype)
    for name, parameter in transformer.named_parameters():  # as from_pretrained keeps them
        if any(part in name for part in cls._keep_in_fp32_modules):
            parameter.data = parameter.data.float()
    return transformer.eval(), adapter.to(dtype).eval()


@contextmanager
def _no_advice_on_types() -> Iterator[None]:
    """Within the block, diffusers does not warn that some weights lose float32; they get it back after."""
    logger = logging.getLogger("diffusers.models.modeling_utils")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _check_kind(shapes: Mapping[str, Sequence[int]]) -> None:
    """Say what a checkpoint is that is not one of Wan-Fun with cameras."""
    if any(name.startswith("condition_embedder.") for name in shapes):
        raise ValueError("the checkpoint is a diffusers model, not Wan-Fun's; WanBackbone loads those.")
    if "patch_embedding.weight" not in shapes or "head.head.weight" not in shapes:
        raise ValueError(
            "the checkpoint is no Wan model: it has no patch_embedding.weight or head.head.weight."
        )
    if _ADAPTER + "conv.weight" not in shapes:
        raise ValueError(
            "the checkpoint is a Wan model without camera control (no control_adapter); take one of the "
            "repositories whose names end in Control-Camera."
        )


def _names(num_layers: int, with_image: bool) -> list[str]:
    """Names of all tensors of a checkpoint."""
    both = ["patch_embedding", "text_embedding.0", "text_embedding.2", "time_embedding.0", "time_embedding.2"]
    both += ["time_projection.1", "head.head", _ADAPTER + "conv"]
    both += [f"{_ADAPTER}residual_blocks.0.conv{index}" for index in (1, 2)]
    single = ["head.modulation"]
    if with_image:
        both += [f"img_emb.proj.{index}" for index in (0, 1, 3, 4)]
    for layer in range(num_layers):
        block = f"blocks.{layer}."
        both += [f"{block}{name}" for name in ("norm3", "ffn.0", "ffn.2")]
        single.append(block + "modulation")
        for attention in ("self_attn.", "cross_attn."):
            both += [block + attention + name for name in "qkvo"]
            single += [f"{block}{attention}norm_{name}.weight" for name in "qk"]
        if with_image:
            both += [f"{block}cross_attn.{name}_img" for name in "kv"]
            single.append(block + "cross_attn.norm_k_img.weight")
    return single + [f"{name}.{kind}" for name in both for kind in ("weight", "bias")]
