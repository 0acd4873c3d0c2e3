"""What a clip must be like to train on it: what moves, tracks in 3D, cuts, measures and the verdict."""

from diff4splat.data.curation.annotating import annotated
from diff4splat.data.curation.continuity import (
    camera_jumps,
    color_changes,
    continuous_runs,
    find_cuts,
    number_gaps,
    rotation_steps_deg,
    scene_cuts,
    windows,
)
from diff4splat.data.curation.curate import CurationResult, curate, curation_tasks
from diff4splat.data.curation.dynamic_mask import (
    ConfidenceMeaning,
    dynamic_from_confidence,
    dynamic_from_flow,
    find_dynamic_mask,
    remove_small_blobs,
    residual_flow,
)
from diff4splat.data.curation.flow import FlowMethod, VideoFlow, camera_flow, ego_flow, estimate_flow
from diff4splat.data.curation.lifting import lift_tracks
from diff4splat.data.curation.measures import METRICS, measure
from diff4splat.data.curation.preview import preview_sheet
from diff4splat.data.curation.seen_places import seen_places
from diff4splat.data.curation.settings import CurationSettings, MaskSource
from diff4splat.data.curation.smoothing import moving_tracks, smooth_tracks
from diff4splat.data.curation.static_tracks import static_tracks
from diff4splat.data.curation.steps import curation_stages
from diff4splat.data.curation.thresholds import CurationThresholds, Requirement
from diff4splat.data.curation.verdict import Verdict, judge, judge_metrics

__all__ = [
    "ConfidenceMeaning",
    "CurationResult",
    "CurationSettings",
    "CurationThresholds",
    "FlowMethod",
    "METRICS",
    "MaskSource",
    "Requirement",
    "Verdict",
    "VideoFlow",
    "annotated",
    "camera_flow",
    "camera_jumps",
    "color_changes",
    "continuous_runs",
    "curate",
    "curation_stages",
    "curation_tasks",
    "dynamic_from_confidence",
    "dynamic_from_flow",
    "ego_flow",
    "estimate_flow",
    "find_cuts",
    "find_dynamic_mask",
    "judge",
    "judge_metrics",
    "lift_tracks",
    "measure",
    "moving_tracks",
    "number_gaps",
    "preview_sheet",
    "remove_small_blobs",
    "residual_flow",
    "rotation_steps_deg",
    "scene_cuts",
    "seen_places",
    "smooth_tracks",
    "static_tracks",
    "windows",
]
