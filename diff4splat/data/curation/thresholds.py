"""What a clip must be like to be kept."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

__all__ = ["CurationThresholds", "Requirement"]

Requirement = Literal["cameras", "depth", "dynamic_mask", "tracks"]
"""What a clip may have to hold."""


@dataclass(frozen=True)
class CurationThresholds:
    """Limits that a clip is judged by; None judges nothing.

    The paper filters by "dynamic object masking and reprojection error filtering" and says no number but the
    variance of the scale, so these are ours where no source is named. Pixels are those of an image whose
    longer side is 512. What a clip does not hold is not judged, unless `require` names it.

    Args:
        require: What a clip must hold: "cameras", "depth", "dynamic_mask", "tracks".
        min_frames: Fewest frames. Ours: the shortest clip that training takes.
        min_brightness: Least mean of a frame in [0, 1], so that no frame is black. Ours.
        max_frozen_share: Largest share of neighbouring frames that are the same picture. Ours.
        max_color_change: Largest change of colours between neighbours that is no cut, in [0, 1]. Ours.
        max_rotation_deg: Largest angle between neighbouring cameras, degrees. Source: MoVieS.
        max_step_ratio: Largest distance between neighbouring cameras by its median. Ours.
        min_camera_motion: Least extent of the path of the camera by the median depth. Ours: None, as
            cameras may rest.
        min_known_depth: Least share of known depth in any frame. Source: MoVieS.
        min_depth: Least median depth of clips in metres. Ours: as in the check of datasets.
        max_depth: Largest median depth of clips in metres. Ours: as in the check of datasets.
        max_unit_ratio: Largest ratio of the units of depth and poses, the larger one first. Ours.
        max_depth_error: Largest median of the relative error of depth carried from frame to frame. Ours.
        max_frame_depth_error: The same for the frame that agrees least with its neighbours. Ours: twice the
            one above.
        max_pixel_error: Largest median distance, there and back between frames, pixels. Ours.
        min_inlier_share: Least share of carried pixels whose depth is within 5 %. Ours.
        min_overlap: Least share of a frame that falls into a neighbour. Ours.
        max_color_ratio: Largest difference of colours carried between frames, by that of colours left in
            place. Ours: above 1 by what compression may cause.
        max_frame_color_ratio: Largest difference of colours carried between a frame and its neighbours, by
            the median over frames plus 1.5 of 255. Ours: pictures of other frames are above 3.
        max_flow_error: Largest median distance between the observed flow of what rests and that of the
            camera, pixels. Ours: the limit of masks.
        max_dynamic_share: Largest share of what moves. Ours.
        max_dynamic_share_static: The same for clips of a dataset that says that nothing moves. Ours.
        max_unmasked_motion: Largest share of what moves by the flow and not by the mask. Ours: as above.
        min_anchors: Fewest anchors of metric depth. Ours.
        max_scale_variation: Largest standard deviation of the scale of metric depth, by the scale. Source:
            the paper's supplement, 5 %.
        min_visible_tracks: Fewest tracks that are visible in two frames or more. Source: a viewer of
            Stereo4D, 10.
        max_track_pixel_error: Largest median distance between projected tracks and their pixels, pixels.
            Ours: as `max_pixel_error`.
        max_track_depth_error: Largest median of the relative distance of tracks from the depth. Ours.

    Raises:
        ValueError: If a limit is out of its range or a requirement not known.
    """

    require: tuple[Requirement, ...] = ()
    min_frames: int = 5
    min_brightness: float | None = 0.02
    max_frozen_share: float | None = 0.5
    max_color_change: float | None = 0.5
    max_rotation_deg: float | None = 45.0
    max_step_ratio: float | None = 10.0
    min_camera_motion: float | None = None
    min_known_depth: float | None = 0.01
    min_depth: float | None = 0.05
    max_depth: float | None = 1000.0
    max_unit_ratio: float | None = 1.25
    max_depth_error: float | None = 0.05
    max_frame_depth_error: float | None = 0.1
    max_pixel_error: float | None = 2.0
    min_inlier_share: float | None = 0.6
    min_overlap: float | None = 0.1
    max_color_ratio: float | None = 1.1
    max_frame_color_ratio: float | None = 3.0
    max_flow_error: float | None = 2.0
    max_dynamic_share: float | None = 0.6
    max_dynamic_share_static: float | None = 0.05
    max_unmasked_motion: float | None = 0.05
    min_anchors: int | None = 8
    max_scale_variation: float | None = 0.05
    min_visible_tracks: int | None = 10
    max_track_pixel_error: float | None = 2.0
    max_track_depth_error: float | None = 0.05

    def __post_init__(self) -> None:
        known = get_args(Requirement)
        odd = [name for name in self.require if name not in known]
        if odd:
            raise ValueError(f"require must be some of {list(known)}, got {odd}.")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "require" or value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{field.name} must be a number, got {value!r}.")
            if not 0 <= value < math.inf:
                raise ValueError(f"{field.name} must be at least 0 and finite, got {value}.")
            if field.name in _SHARES and value > 1:
                raise ValueError(f"{field.name} must lie in [0, 1], got {value}.")

    def to_dict(self) -> dict[str, Any]:
        """Every limit as JSON knows it.

        Returns:
            Values by name; `require` is a list.
        """
        return {**asdict(self), "require": list(self.require)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "CurationThresholds":
        """Limits as `to_dict` gives them.

        Args:
            values: By name; what is left out has its default.

        Returns:
            The limits.

        Raises:
            ValueError: If a name is not known or a value out of its range.
        """
        names = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(names))
        if unknown:
            raise ValueError(f"thresholds must be some of {names}, got {unknown}.")
        given = dict(values)
        require = given.pop("require", ())
        if isinstance(require, str) or not all(isinstance(name, str) for name in require):
            raise ValueError(f"require must be a list of names, got {require!r}.")
        if "min_frames" in given and not isinstance(given["min_frames"], int):
            raise ValueError(f"min_frames must be a whole number, got {given['min_frames']!r}.")
        return cls(require=tuple(require), **given)


_SHARES = {
    "min_brightness",
    "max_frozen_share",
    "max_color_change",
    "min_known_depth",
    "min_inlier_share",
    "min_overlap",
    "max_dynamic_share",
    "max_dynamic_share_static",
    "max_unmasked_motion",
}
