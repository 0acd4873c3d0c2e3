"""Checks of a dataset: are its conventions those that its reader takes them for?"""

from diff4splat.data.checking.agreement import (
    Agreement,
    agreement_findings,
    find_convention,
    frame_agreement,
)
from diff4splat.data.checking.camera_findings import camera_findings
from diff4splat.data.checking.camera_scale import CameraScale, camera_scale_from_depth
from diff4splat.data.checking.check import check_dataset, check_recording
from diff4splat.data.checking.conventions import CONVENTIONS
from diff4splat.data.checking.depth_findings import depth_findings
from diff4splat.data.checking.finding import Finding
from diff4splat.data.checking.pairs import pick_pairs, sample_frames
from diff4splat.data.checking.report import CheckReport, RecordingCheck
from diff4splat.data.checking.reprojection import Reprojection, View, reproject, view_from
from diff4splat.data.checking.surface import pixel_corners, surface_depth
from diff4splat.data.checking.track_findings import track_findings

__all__ = [
    "CONVENTIONS",
    "Agreement",
    "CameraScale",
    "CheckReport",
    "Finding",
    "RecordingCheck",
    "Reprojection",
    "View",
    "agreement_findings",
    "camera_findings",
    "camera_scale_from_depth",
    "check_dataset",
    "check_recording",
    "depth_findings",
    "find_convention",
    "frame_agreement",
    "pick_pairs",
    "pixel_corners",
    "reproject",
    "sample_frames",
    "surface_depth",
    "track_findings",
    "view_from",
]
