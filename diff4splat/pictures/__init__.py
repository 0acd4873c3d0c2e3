"""Looking instead of reading: contact sheets, depth with its scale, motion trails, camera paths."""

from diff4splat.pictures.depth_scale import depth_bar, depth_map, depth_picture
from diff4splat.pictures.field_sheets import field_sheet
from diff4splat.pictures.flow import (
    flow_picture,
    flow_to_color,
    motion_video,
    pixel_flow,
)
from diff4splat.pictures.overview_page import overview, overview_sheet
from diff4splat.pictures.path_drawing import path_picture
from diff4splat.pictures.path_plot import draw_path
from diff4splat.pictures.picture_file import save_picture
from diff4splat.pictures.sheets import contact_sheet, stack_pictures, text_size_for
from diff4splat.pictures.trails import MotionTrails, find_trails, motion_trails

__all__ = [
    "MotionTrails",
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
