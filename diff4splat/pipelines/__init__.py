"""Pipelines: an image and a camera path to a 4D scene, from given parts."""

from diff4splat.pipelines.clips import VideoFacts, read_frames, video_facts
from diff4splat.pipelines.decoded import DecodedReconstructor, VideoDecoder, VideoReconstructor
from diff4splat.pipelines.depth_prior import (
    DepthKind,
    DepthPrior,
    align_depth,
    apply_depth,
    depth_ratio,
    estimate_depth,
)
from diff4splat.pipelines.field_mesh import field_mesh, mesh_cameras
from diff4splat.pipelines.field_tracks import gaussian_tracks, pixel_tracks, visible_points
from diff4splat.pipelines.image_to_4d import STAGES, Diff4SplatPipeline, ProgressCallback
from diff4splat.pipelines.images import ImageSource, PreparedImage, centre_crop_box, image_size, prepare_image
from diff4splat.pipelines.paths import depth_video, fit_cameras, focus_depth, render_path, sway_cameras
from diff4splat.pipelines.preflight import Remedy, RunEstimate, StageEstimate, preflight
from diff4splat.pipelines.reconstructor import Reconstructor
from diff4splat.pipelines.speed import decode_by, speed_up

__all__ = [
    "STAGES",
    "DecodedReconstructor",
    "DepthKind",
    "DepthPrior",
    "Diff4SplatPipeline",
    "ImageSource",
    "PreparedImage",
    "ProgressCallback",
    "Reconstructor",
    "Remedy",
    "RunEstimate",
    "StageEstimate",
    "VideoDecoder",
    "VideoFacts",
    "VideoReconstructor",
    "align_depth",
    "apply_depth",
    "centre_crop_box",
    "decode_by",
    "depth_ratio",
    "depth_video",
    "estimate_depth",
    "field_mesh",
    "fit_cameras",
    "focus_depth",
    "gaussian_tracks",
    "image_size",
    "mesh_cameras",
    "pixel_tracks",
    "preflight",
    "prepare_image",
    "read_frames",
    "render_path",
    "speed_up",
    "sway_cameras",
    "video_facts",
    "visible_points",
]
