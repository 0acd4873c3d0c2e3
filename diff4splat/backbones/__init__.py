"""Video diffusion models behind one protocol, found by name.

The name "compact" is the bundled small model; its code loads when it is first asked for. The models of
diffusers are here too; diffusers itself loads when one of them is built.
"""

from diff4splat.backbones.backbone import (
    LatentSpec,
    PretrainedReference,
    VideoBackbone,
    get_backbone,
    list_backbones,
    register_backbone,
)
from diff4splat.backbones.camera_adapter import CameraAdapter, added_camera, load_camera_adapter
from diff4splat.backbones.cogvideox import CogVideoXBackbone
from diff4splat.backbones.contract import BackboneContractError, check_backbone
from diff4splat.backbones.denoising import denoise
from diff4splat.backbones.denoising_loss import denoising_loss
from diff4splat.backbones.depth_estimation import monocular_depth
from diff4splat.backbones.diffusers_backbone import DiffusersBackbone
from diff4splat.backbones.diffusers_guidance import diffusers_guider
from diff4splat.backbones.feature_caching import calibrate_mag_cache, count_blocks
from diff4splat.backbones.given_video import GivenVideoBackbone
from diff4splat.backbones.lora import merge_lora
from diff4splat.backbones.plucker_adapters import PluckerAdapter, PluckerConcatenation
from diff4splat.backbones.speed import AppliedSpeed, SpeedOptions, apply_speed
from diff4splat.backbones.switchable import Switchable
from diff4splat.backbones.tiny_vae import TINY_VAES, TinyVideoVAE, tiny_vae_layout
from diff4splat.backbones.video_condition import VideoCondition
from diff4splat.backbones.wan import WanBackbone
from diff4splat.backbones.wan_fun_camera import WanFunCameraBackbone
from diff4splat.backbones.wan_fun_checkpoint import FunControlAdapter

__all__ = [
    "AppliedSpeed",
    "BackboneContractError",
    "CameraAdapter",
    "CogVideoXBackbone",
    "DiffusersBackbone",
    "FunControlAdapter",
    "GivenVideoBackbone",
    "LatentSpec",
    "PluckerAdapter",
    "PluckerConcatenation",
    "PretrainedReference",
    "SpeedOptions",
    "Switchable",
    "TINY_VAES",
    "TinyVideoVAE",
    "VideoBackbone",
    "VideoCondition",
    "WanBackbone",
    "WanFunCameraBackbone",
    "added_camera",
    "apply_speed",
    "calibrate_mag_cache",
    "check_backbone",
    "count_blocks",
    "denoise",
    "denoising_loss",
    "diffusers_guider",
    "get_backbone",
    "list_backbones",
    "load_camera_adapter",
    "merge_lora",
    "monocular_depth",
    "register_backbone",
    "tiny_vae_layout",
]
