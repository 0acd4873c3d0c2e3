"""The extractors of an evaluation: one for each purpose, or none where a number is not wanted."""

from dataclasses import dataclass, fields

from diff4splat.evaluation.extractors.flow import OpticalFlow
from diff4splat.evaluation.extractors.protocols import (
    ClipFeatures,
    FrameFeatures,
    FrameRatings,
    ImageDistance,
    LevelLogits,
    Matcher,
    PoseEstimator,
    TextImageFeatures,
)
from diff4splat.evaluation.extractors.spec import ExtractorSpec

__all__ = ["ExtractorSuite"]


@dataclass(frozen=True, eq=False)
class ExtractorSuite:
    """What clips are measured with; what is None is left out of the report, with that reason.

    Args:
        clips: Features of clips, for FVD and KVD.
        subject: Features of frames, for subject consistency.
        background: Features of frames, for background consistency.
        prompts: Features of frames and prompts, for the CLIP-Score.
        beauty: Ratings of frames, for CLIP-Aesthetic.
        levels: Words of a language model, for QA-Quality.
        matcher: Points that two frames share, for the average matches.
        flow: Optical flow, for the dynamic degree.
        poses: Cameras of clips, for relative pose errors.
        distance: Distance of images, for LPIPS.
    """

    clips: ClipFeatures | None = None
    subject: FrameFeatures | None = None
    background: FrameFeatures | None = None
    prompts: TextImageFeatures | None = None
    beauty: FrameRatings | None = None
    levels: LevelLogits | None = None
    matcher: Matcher | None = None
    flow: OpticalFlow | None = None
    poses: PoseEstimator | None = None
    distance: ImageDistance | None = None

    def specs(self) -> dict[str, ExtractorSpec]:
        """Specs of all extractors that there are, by their keys.

        Returns:
            One spec per key.
        """
        found = (getattr(self, part.name) for part in fields(self))
        return {one.spec.key: one.spec for one in found if one is not None}
