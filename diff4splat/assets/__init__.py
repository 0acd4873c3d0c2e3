"""The field on disk: the native 4D asset, 3DGS PLY, and video."""

from diff4splat.assets.depth_color import depth_limits, depth_to_color, position_to_color
from diff4splat.assets.depth_file import load_depth
from diff4splat.assets.field import load_field, load_field_cameras, read_field_header, save_field
from diff4splat.assets.ply import load_ply, save_ply
from diff4splat.assets.video import load_video, save_video

__all__ = [
    "depth_limits",
    "depth_to_color",
    "load_depth",
    "load_field",
    "load_field_cameras",
    "load_ply",
    "load_video",
    "position_to_color",
    "read_field_header",
    "save_field",
    "save_ply",
    "save_video",
]
