"""What models say of recordings: depth, cameras, motion and tracks, read from the files they write."""

from diff4splat.data.annotations.annotate import AnnotationPart, annotate, fit_annotation
from diff4splat.data.annotations.annotation import Annotation, DepthKind
from diff4splat.data.annotations.annotators import Annotator, FileAnnotations
from diff4splat.data.annotations.cotracker3 import CoTracker3
from diff4splat.data.annotations.depth_pro import DepthPro
from diff4splat.data.annotations.format import AnnotationFormat, AnnotationOptions
from diff4splat.data.annotations.load import ANNOTATION_FORMATS, find_annotation_format, load_annotation
from diff4splat.data.annotations.megasam import MegaSaM
from diff4splat.data.annotations.moge import MoGe
from diff4splat.data.annotations.resampling import DepthResampling
from diff4splat.data.annotations.unidepth import UniDepth
from diff4splat.data.annotations.video_depth_anything import VideoDepthAnything
from diff4splat.data.annotations.vipe import ViPE

__all__ = [
    "ANNOTATION_FORMATS",
    "Annotation",
    "AnnotationFormat",
    "AnnotationOptions",
    "AnnotationPart",
    "Annotator",
    "CoTracker3",
    "DepthKind",
    "DepthPro",
    "DepthResampling",
    "FileAnnotations",
    "MegaSaM",
    "MoGe",
    "UniDepth",
    "ViPE",
    "VideoDepthAnything",
    "annotate",
    "find_annotation_format",
    "fit_annotation",
    "load_annotation",
]
