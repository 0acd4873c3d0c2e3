"""What is known about each dataset for training: its size, whether it moves, how far apart frames may be."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

__all__ = ["DATASET_SETTINGS", "DatasetSettings"]


@dataclass(frozen=True)
class DatasetSettings:
    """How a dataset is used.

    Args:
        stage: Stages of training that it is for: "static" ones, without a motion loss, or "dynamic" ones.
        max_gap: Largest number of frames of the recording from one frame of a clip to the next.
        num_scenes: Scenes that Diff4Splat was trained on; None where it was not trained on the dataset.
        depth_weight: Weight of losses of depth in earlier work, for losses of your own: recipes do not apply
            it.
        motion_weight: The same for losses of motion; 0 where the dataset does not tell how things move.
    """

    stage: Literal["static", "dynamic"]
    max_gap: int = 1
    num_scenes: int | None = None
    depth_weight: float = 1.0
    motion_weight: float = 1.0


DATASET_SETTINGS: Mapping[str, DatasetSettings] = MappingProxyType(
    {
        "tartanair": DatasetSettings("static", max_gap=2, num_scenes=400),
        "tartanair2": DatasetSettings("static", max_gap=2),
        "matrixcity": DatasetSettings("static", num_scenes=4_500, depth_weight=0.8),
        "realestate10k": DatasetSettings("static", max_gap=10, num_scenes=70_000),
        "dl3dv": DatasetSettings("static"),
        "pointodyssey": DatasetSettings("dynamic", max_gap=2, num_scenes=100),
        "dynamicreplica": DatasetSettings(
            "dynamic", max_gap=2, num_scenes=500, depth_weight=0.5, motion_weight=0.5
        ),
        "spring": DatasetSettings("dynamic", max_gap=5, num_scenes=30, motion_weight=0.0),
        "vkitti2": DatasetSettings("dynamic", num_scenes=100, motion_weight=0.0),
        "multicamvideo": DatasetSettings("dynamic", num_scenes=14_000, motion_weight=0.0),
        "stereo4d": DatasetSettings(
            "dynamic", max_gap=5, num_scenes=74_000, depth_weight=0.2, motion_weight=0.2
        ),
    }
)
"""Settings by the name of the dataset, as in `DATASETS`.

Scenes, and what is static, are those of Diff4Splat, Table 5 (supplement, Table 1) and Sec. 3.4. It states
neither gaps nor weights per dataset: those are of MoVieS, which trains on most of these datasets, with 1
where nothing is said there either. TartanAir v2 and DL3DV-10K are not in the paper; the former has the
settings of the first version. A reader may know more: RealEstate10K is used for static stages although
people may walk through its houses.
"""
