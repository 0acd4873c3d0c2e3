"""How a dataset is curated."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from diff4splat.data.curation.thresholds import CurationThresholds
from diff4splat.data.metric_depth import AlignmentMethod

__all__ = ["CurationSettings", "MaskSource"]

MaskSource = Literal["given", "flow"]
"""Where a mask of what moves comes from: the dataset and annotators, or optical flow where they have none."""


@dataclass(frozen=True)
class CurationSettings:
    """What clips are made of a recording, and what is worked out for them.

    Args:
        num_frames: Frames of a clip. A shorter recording is one clip, and so is what is left at the end of a
            longer one, where it is at least half as long.
        stride: Frames from the start of one clip to that of the next; `num_frames` when omitted.
        long_side: Longest side of the frames, pixels; smaller ones stay as they are. None keeps all.
        masks: What to do where neither the dataset nor an annotator says what moves: "given" leaves it open,
            "flow" compares optical flow with that of the camera, which needs depth.
        metres_per_unit: Metres per scene unit of recordings whose unit is not known, where somebody measured
            it, such as the height of a door. Scales cameras, depth and tracks.
        align_method: How the scale and shift of relative depth are fitted, see `fit_scale_and_shift`.
        tiles: Anchors come from two depth annotators, a relative and a metric one, by medians over this many
            tiles along each side of a frame.
        max_track_jump: Largest relative difference of a lifted track's depth from its neighbours in time.
        thresholds: What a clip must be like to be kept; cameras are required unless these say otherwise.

    Raises:
        ValueError: If a value is out of its range.
    """

    num_frames: int = 81
    stride: int | None = None
    long_side: int | None = 512
    masks: MaskSource = "given"
    metres_per_unit: float | None = None
    align_method: AlignmentMethod = "huber"
    tiles: int = 8
    max_track_jump: float = 0.1
    thresholds: CurationThresholds = CurationThresholds(require=("cameras",))

    def __post_init__(self) -> None:
        for name, least in (("num_frames", 1), ("stride", 1), ("long_side", 16), ("tiles", 1)):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}.")
        for name, options in (("masks", MaskSource), ("align_method", AlignmentMethod)):
            if getattr(self, name) not in get_args(options):
                known = ", ".join(get_args(options))
                raise ValueError(f"{name} must be one of {known}, got {getattr(self, name)!r}.")
        for name in ("metres_per_unit", "max_track_jump"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
                raise ValueError(f"{name} must be a number, got {value!r}.")
        if self.metres_per_unit is not None and not 0 < self.metres_per_unit < float("inf"):
            raise ValueError(f"metres_per_unit must be above 0, got {self.metres_per_unit}.")
        if self.max_track_jump is None or not self.max_track_jump > 0:
            raise ValueError(f"max_track_jump must be above 0, got {self.max_track_jump}.")

    def to_dict(self) -> dict[str, Any]:
        """Every setting as JSON knows it.

        Returns:
            Values by name; thresholds are a dictionary.
        """
        return {**asdict(self), "thresholds": self.thresholds.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "CurationSettings":
        """Settings as `to_dict` gives them.

        Args:
            values: By name; what is left out has its default.

        Returns:
            The settings.

        Raises:
            ValueError: If a name is not known, or a value is out of its range.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f"settings must be values by name, got {values!r}.")
        known = [item.name for item in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"settings must be some of {', '.join(known)}, got {', '.join(unknown)}.")
        given = dict(values)
        if "thresholds" in given:
            limits = given["thresholds"]
            if not isinstance(limits, Mapping):
                raise ValueError(f"thresholds must be values by name, got {limits!r}.")
            given["thresholds"] = CurationThresholds.from_dict({**cls().thresholds.to_dict(), **limits})
        return cls(**given)
