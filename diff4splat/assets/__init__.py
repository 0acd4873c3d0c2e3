"""The field on disk: the native 4D asset, the formats of other programs, and video."""

from diff4splat.assets.depth_color import depth_to_color
from diff4splat.assets.depth_file import load_depth
from diff4splat.assets.field import load_field, load_field_cameras, read_field_header, save_field
from diff4splat.assets.gltf import save_glb
from diff4splat.assets.load_scene import load_scene
from diff4splat.assets.ply import load_ply, save_ply
from diff4splat.assets.ply_sequence import load_ply_sequence, save_ply_sequence
from diff4splat.assets.splat import load_splat, save_splat
from diff4splat.assets.usd import save_usd
from diff4splat.assets.video import load_video, save_video

__all__ = [
    "depth_to_color",
    "load_depth",
    "load_field",
    "load_field_cameras",
    "load_ply",
    "load_ply_sequence",
    "load_scene",
    "load_splat",
    "load_video",
    "read_field_header",
    "save_field",
    "save_glb",
    "save_ply",
    "save_ply_sequence",
    "save_splat",
    "save_usd",
    "save_video",
]
