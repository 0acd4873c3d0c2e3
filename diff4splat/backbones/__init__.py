"""Video diffusion models behind one protocol, found by name.

The name "compact" is the bundled small model; its code loads when it is first asked for.
"""

from diff4splat.backbones.backbone import (
    LatentSpec,
    PretrainedReference,
    VideoBackbone,
    get_backbone,
    list_backbones,
    register_backbone,
)
from diff4splat.backbones.camera_adapter import (
    CameraAdapter,
    PluckerAdapter,
    PluckerConcatenation,
    added_camera,
    load_camera_adapter,
)
from diff4splat.backbones.diffusers_guidance import diffusers_guider
from diff4splat.backbones.tiny_vae import TINY_VAES, TinyVideoVAE, tiny_vae_layout

__all__ = [
    "TINY_VAES",
    "LatentSpec",
    "TinyVideoVAE",
    "CameraAdapter",
    "PluckerAdapter",
    "PluckerConcatenation",
    "PretrainedReference",
    "VideoBackbone",
    "added_camera",
    "diffusers_guider",
    "get_backbone",
    "list_backbones",
    "load_camera_adapter",
    "register_backbone",
    "tiny_vae_layout",
]
