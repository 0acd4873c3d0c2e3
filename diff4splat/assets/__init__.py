"""The field on disk: the native 4D asset, 3DGS PLY, and video."""

from diff4splat.assets.content_credentials import check_signer, read_credentials, sign_file
from diff4splat.assets.depth_color import depth_to_color
from diff4splat.assets.depth_file import load_depth
from diff4splat.assets.field import load_field, load_field_cameras, read_field_header, save_field
from diff4splat.assets.ply import load_ply, save_ply
from diff4splat.assets.video import load_video, save_video
from diff4splat.assets.watermark import PUBLIC_KEY, Watermark, embed_watermark, scene_payload
from diff4splat.assets.watermark_detection import WatermarkDecision, detect_watermark

__all__ = [
    "PUBLIC_KEY",
    "Watermark",
    "WatermarkDecision",
    "check_signer",
    "depth_to_color",
    "detect_watermark",
    "embed_watermark",
    "load_depth",
    "load_field",
    "load_field_cameras",
    "load_ply",
    "load_video",
    "read_credentials",
    "read_field_header",
    "save_field",
    "save_ply",
    "save_video",
    "scene_payload",
    "sign_file",
]
