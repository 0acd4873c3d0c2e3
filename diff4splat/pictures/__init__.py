"""Looking instead of reading: contact sheets, depth with its scale, motion trails, camera paths."""

from diff4splat.pictures.contact_sheet import contact_sheet, stack_pictures, text_size_for
from diff4splat.pictures.depth_picture import depth_bar, depth_map, depth_picture
from diff4splat.pictures.draw_path import draw_path
from diff4splat.pictures.field_sheet import field_sheet
from diff4splat.pictures.flow_picture import (
    blend_vectors,
    flow_picture,
    flow_to_color,
    motion_video,
    pixel_flow,
)
from diff4splat.pictures.motion_trails import MotionTrails, find_trails, motion_trails
from diff4splat.pictures.overview import overview, overview_sheet
from diff4splat.pictures.path_picture import path_picture
from diff4splat.pictures.save_picture import save_picture

__all__ = [
    "MotionTrails",
    "blend_vectors",
    "contact_sheet",
    "depth_bar",
    "depth_map",
    "depth_picture",
    "draw_path",
    "field_sheet",
    "find_trails",
    "flow_picture",
    "flow_to_color",
    "motion_trails",
    "motion_video",
    "overview",
    "overview_sheet",
    "path_picture",
    "pixel_flow",
    "save_picture",
    "stack_pictures",
    "text_size_for",
]
