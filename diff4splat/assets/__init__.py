"""The field on disk: the native 4D asset, the formats of other programs, video, depth, meshes and tracks."""

from diff4splat.assets.content_credentials import check_signer, read_credentials, sign_file
from diff4splat.assets.depth_color import depth_limits, depth_to_color, position_to_color
from diff4splat.assets.depth_file import DepthUnit, load_depth, save_depth
from diff4splat.assets.depth_sequence import load_depth_sequence, save_depth_sequence
from diff4splat.assets.depth_weights import surface_weights
from diff4splat.assets.field import load_field, load_field_cameras, read_field_header, save_field
from diff4splat.assets.gltf import save_glb
from diff4splat.assets.load_scene import load_scene
from diff4splat.assets.marching_cubes import volume_to_mesh
from diff4splat.assets.mesh import Mesh, save_mesh
from diff4splat.assets.ply import load_ply, save_ply
from diff4splat.assets.ply_sequence import load_ply_sequence, save_ply_sequence
from diff4splat.assets.splat import load_splat, save_splat
from diff4splat.assets.tracks import PointTracks, load_tracks, save_tracks
from diff4splat.assets.tsdf import DistanceVolume, fuse_depth
from diff4splat.assets.usd import save_usd
from diff4splat.assets.video import load_video, save_video
from diff4splat.assets.watermark import PUBLIC_KEY, Watermark, embed_watermark, scene_payload
from diff4splat.assets.watermark_detection import WatermarkDecision, detect_watermark

__all__ = [
    "DepthUnit",
    "DistanceVolume",
    "Mesh",
    "PointTracks",
    "depth_limits",
    "depth_to_color",
    "fuse_depth",
    "PUBLIC_KEY",
    "Watermark",
    "WatermarkDecision",
    "check_signer",
    "detect_watermark",
    "embed_watermark",
    "load_depth",
    "load_depth_sequence",
    "load_field",
    "load_field_cameras",
    "load_ply",
    "load_ply_sequence",
    "load_scene",
    "load_splat",
    "load_tracks",
    "load_video",
    "position_to_color",
    "read_credentials",
    "read_field_header",
    "save_depth",
    "save_depth_sequence",
    "save_field",
    "save_glb",
    "save_mesh",
    "save_ply",
    "save_ply_sequence",
    "save_splat",
    "save_tracks",
    "save_usd",
    "save_video",
    "surface_weights",
    "volume_to_mesh",
    "scene_payload",
    "sign_file",
]
