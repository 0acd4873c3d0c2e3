"""From recordings to the clips of training, and how much of each dataset there is."""

from diff4splat.data.sampling.clip import ClipMotion, to_clip
from diff4splat.data.sampling.mirror import mirrored
from diff4splat.data.sampling.mixing import MixtureWeights, mix
from diff4splat.data.sampling.reader_source import ReaderSource
from diff4splat.data.sampling.sampled_clips import SampledClips
from diff4splat.data.sampling.scene_scale import mean_distance
from diff4splat.data.sampling.selection import SelectedRecordings, by_dataset, for_stage
from diff4splat.data.sampling.settings import DATASET_SETTINGS, DatasetSettings
from diff4splat.data.sampling.views import read_views, synchronized
from diff4splat.data.sampling.windows import ClipSampling, sample_clip

__all__ = [
    "DATASET_SETTINGS",
    "ClipMotion",
    "ClipSampling",
    "DatasetSettings",
    "MixtureWeights",
    "ReaderSource",
    "SampledClips",
    "SelectedRecordings",
    "by_dataset",
    "for_stage",
    "mean_distance",
    "mirrored",
    "mix",
    "read_views",
    "sample_clip",
    "synchronized",
    "to_clip",
]
