"""The field on disk: the native 4D asset, 3DGS PLY, video, depth, meshes and point tracks."""

from diff4splat.assets.depth_color import depth_to_color
from diff4splat.assets.depth_file import load_depth, save_depth
from diff4splat.assets.depth_sequence import load_depth_sequence, save_depth_sequence
from diff4splat.assets.depth_weights import surface_weights
from diff4splat.assets.field import load_field, load_field_cameras, read_field_header, save_field
from diff4splat.assets.marching_cubes import volume_to_mesh
from diff4splat.assets.mesh import Mesh, save_mesh
from diff4splat.assets.ply import load_ply, save_ply
from diff4splat.assets.tracks import PointTracks, load_tracks, save_tracks
from diff4splat.assets.tsdf import DistanceVolume, fuse_depth
from diff4splat.assets.video import load_video, save_video

__all__ = [
    "DistanceVolume",
    "Mesh",
    "PointTracks",
    "depth_to_color",
    "fuse_depth",
    "load_depth",
    "load_depth_sequence",
    "load_field",
    "load_field_cameras",
    "load_ply",
    "load_tracks",
    "load_video",
    "read_field_header",
    "save_depth",
    "save_depth_sequence",
    "save_field",
    "save_mesh",
    "save_ply",
    "save_tracks",
    "save_video",
    "surface_weights",
    "volume_to_mesh",
]
