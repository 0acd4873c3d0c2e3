"""Whether frames agree about the scene, and which other reading of the poses would make them agree better."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from diff4splat.data.checking.camera_scale import camera_scale_from_depth
from diff4splat.data.checking.conventions import CONVENTIONS
from diff4splat.data.checking.finding import Finding, Verdict
from diff4splat.data.checking.pairs import pick_pairs
from diff4splat.data.checking.reprojection import Reprojection, reproject
from diff4splat.data.recordings import Recording

__all__ = ["Agreement", "agreement_findings", "find_convention", "frame_agreement"]

_ERROR, _INLIERS = 0.02, 0.6
_LEAST_LANDED, _LEAST_PIXELS = 0.1, 50
_BETTER = 0.5  # another reading is the right one if it leaves less than this share of the error
_LEAST_GAIN = 1e-4  # and is better by so much at least
_QUICK = 10_000
_MOVES_COLORS = 1.5 / 255
_SCALE = 1.1  # largest ratio of the units of depth and poses
_SCALE_PAIRS, _SCALE_PIXELS = 6, 800


@dataclass(frozen=True)
class Agreement:
    """How well the frames of a recording agree: medians over pairs.

    Args:
        pairs: Each pair by itself.
        error: Median relative error of the carried depth; NaN where no pair can be compared.
        inlier_share: Share of pixels within 5 %.
        pixel_error: Median error, pixels.
        color_error: Median difference of colours when they are carried along, in [0, 1].
        color_error_unmoved: The same when they are left where they are.
        landed_share: Share of pixels that fall into the other frame.
    """

    pairs: tuple[Reprojection, ...]
    error: float
    inlier_share: float
    pixel_error: float
    color_error: float
    color_error_unmoved: float
    landed_share: float

    @property
    def holds(self) -> bool:
        """Whether the frames agree: an error of at most 2 %, and 60 % of the pixels within 5 %."""
        return (
            self.error <= _ERROR and self.inlier_share >= _INLIERS and self.landed_share >= _LEAST_LANDED
        )  # false for NaN


def frame_agreement(
    recording: Recording, pairs: Sequence[tuple[int, int]], *, max_pixels: int = 400_000
) -> Agreement:
    """`reproject` for several pairs, each in both directions.

    Args:
        recording: With cameras and depth.
        pairs: Places of frames.
        max_pixels: Pixels of each pair that are carried at most.

    Returns:
        All of them and their medians; pairs with fewer than 50 pixels to compare count for `landed_share`
        only.

    Raises:
        ValueError: If there are no cameras or no depth.
    """
    measured = []
    for first, second in pairs:
        for one, other in ((first, second), (second, first)):
            measured.append(reproject(recording, one, other, max_pixels=max_pixels))
    good = [pair for pair in measured if pair.num_pixels >= _LEAST_PIXELS]

    def middle(name: str) -> float:
        return statistics.median(getattr(pair, name) for pair in good) if good else math.nan

    return Agreement(
        pairs=tuple(measured),
        error=middle("error"),
        inlier_share=middle("inlier_share") if good else 0.0,
        pixel_error=middle("pixel_error"),
        color_error=middle("color_error"),
        color_error_unmoved=middle("color_error_unmoved"),
        landed_share=statistics.median(pair.landed_share for pair in measured) if measured else 0.0,
    )


def find_convention(recording: Recording, pairs: Sequence[tuple[int, int]]) -> str:
    """The reading of poses, lens or depth that explains the recording, where it is not the one that it has.

    A reading is found if it makes the frames agree, leaves less than half of the error that the recording
    has as it is, on the pairs that both can be tried on, and is the best of `CONVENTIONS`.

    Args:
        recording: With cameras and depth.
        pairs: Places of frames.

    Returns:
        Words that follow "as if", a key of `CONVENTIONS`; empty if none is better.

    Raises:
        ValueError: If there are no cameras or no depth.
    """
    found, least = "", math.inf
    as_read: dict[tuple[tuple[int, int], ...], Agreement] = {}
    for words, change in CONVENTIONS.items():
        other = change(recording)
        if other.cameras is None:
            continue
        sound = torch.isfinite(other.cameras.camera_to_world).flatten(1).all(1).tolist()
        tried = [(first, second) for first, second in pairs if sound[first] and sound[second]]
        if not tried:
            continue
        if tuple(tried) not in as_read:
            as_read[tuple(tried)] = frame_agreement(recording, tried, max_pixels=_QUICK)
        before = as_read[tuple(tried)]
        after = frame_agreement(other, tried, max_pixels=_QUICK)
        if not after.holds:
            continue
        as_it_is = before.error if before.landed_share >= _LEAST_LANDED else math.nan
        share = 0.0 if math.isnan(as_it_is) else after.error / max(as_it_is, 1e-12)
        worse = not before.holds or as_it_is - after.error >= _LEAST_GAIN
        if worse and share < _BETTER and after.error < least:
            found, least = words, after.error
    return found


def agreement_findings(
    recording: Recording, *, most_pairs: int = 6
) -> tuple[list[Finding], Agreement | None]:
    """Whether depth, poses and lens fit together, by carrying depth and colours from frame to frame.

    Args:
        recording: Any.
        most_pairs: Pairs of frames at most.

    Returns:
        Findings on depth, pixels, colours and conventions, and what they were made from; a single finding
        and None where there is nothing to compare.
    """
    pairs = pick_pairs(recording, most_pairs)
    if not pairs:
        missing = [
            name
            for name, value in (("cameras", recording.cameras), ("depth", recording.depth))
            if value is None
        ]
        words = "no two frames can be compared"
        if missing:
            words = f"there {'are' if missing[0] == 'cameras' else 'is'} no {' and no '.join(missing)}"
        return [Finding("depth from frame to frame", "cannot tell", words)], None
    agreement = frame_agreement(recording, pairs)
    still = _without_motion(recording)
    unmoved = frame_agreement(still, pairs, max_pixels=_QUICK)
    hint = find_convention(recording, pairs)
    verdict, words = _verdict(agreement, unmoved, hint)
    numbers = [(recording.numbers[first], recording.numbers[second]) for first, second in pairs]
    compared = "frames " + ", ".join(f"{first} and {second}" for first, second in numbers)
    pixel_limit = 0.01 * max(recording.height, recording.width)
    findings = [
        Finding(
            "depth from frame to frame",
            verdict,
            words or compared,
            None if math.isnan(agreement.error) else 100 * agreement.error,
            f"at most {100 * _ERROR:g}",
            "%",
        ),
        Finding(
            "pixels within 5 %",
            _by(verdict, agreement.inlier_share >= _INLIERS),
            "share of the static pixels that can be compared",
            100 * agreement.inlier_share,
            f"at least {100 * _INLIERS:g}",
            "%",
        ),
        Finding(
            "there and back",
            _by(verdict, agreement.pixel_error <= pixel_limit),
            "distance between a pixel and where it comes back to",
            None if math.isnan(agreement.pixel_error) else agreement.pixel_error,
            f"at most {pixel_limit:.3g}",
            "px",
        ),
        _colors(agreement),
    ]
    unit = _one_unit(recording)
    gain = _gain_of_units(unit, recording, CONVENTIONS[hint](recording), pairs) if hint else math.inf
    if gain < _LEAST_GAIN:
        findings.append(Finding("conventions", "fails", f"as if {hint}"))
    else:
        tried = f"none of {len(CONVENTIONS)} usual mistakes explains it better"
        holds = verdict == "holds" and not hint
        findings.append(Finding("conventions", "holds" if holds else "cannot tell", tried))
    as_well = gain > -_LEAST_GAIN and not hint.startswith("the depth had to be")
    if gain >= _LEAST_GAIN or as_well:  # a camera that goes sideways does not tell another lens from it
        findings.append(unit)
    return findings, agreement


def _gain_of_units(
    unit: Finding, recording: Recording, other: Recording, pairs: Sequence[tuple[int, int]]
) -> float:
    """By how much the error is less with another unit of depth than with another reading."""
    if unit.verdict != "fails" or unit.value is None or recording.depth is None or other.cameras is None:
        return -math.inf
    sound = torch.isfinite(other.cameras.camera_to_world).flatten(1).all(1).tolist()
    tried = [(first, second) for first, second in pairs if sound[first] and sound[second]]
    scaled = replace(recording, depth=recording.depth / unit.value)
    by_unit, by_other = (frame_agreement(each, tried, max_pixels=_QUICK).error for each in (scaled, other))
    return -math.inf if math.isnan(by_unit) else by_other - by_unit


def _one_unit(recording: Recording) -> Finding:
    """Whether depth and poses count in one unit: depth alone hardly tells where the camera moves sideways."""
    name, limit = "one unit of depth and poses", f"{1 / _SCALE:.2f} to {_SCALE:.2f}"
    found = camera_scale_from_depth(recording, num_pairs=_SCALE_PAIRS, num_pixels=_SCALE_PIXELS)
    if not found.accepted:
        return Finding(name, "cannot tell", found.reason or "")
    if 1 / _SCALE <= found.scale <= _SCALE:
        words = "frames agree best as they are"
        return Finding(name, "holds", words, found.scale, limit, "")
    if abs(math.log(found.scale)) <= math.log(_SCALE) + 2 * found.variation:  # false for NaN, of one pair
        words = f"the ratio varies by {found.variation:.1%} over pairs of frames"
        return Finding(name, "cannot tell", words, found.scale, limit, "")
    how = "divided" if found.scale > 1 else "multiplied"
    factor = max(found.scale, 1 / found.scale)
    return Finding(name, "fails", f"as if the depth had to be {how} by {factor:.3g}", found.scale, limit, "")


def _verdict(agreement: Agreement, unmoved: Agreement, hint: str) -> tuple[Verdict, str]:
    if agreement.landed_share < _LEAST_LANDED:
        if hint:
            return "fails", f"{100 * agreement.landed_share:.0f} % of the pixels fall into the other frame"
        return "cannot tell", "frames that were compared hardly overlap"
    if not agreement.holds:
        return "fails", "depth, poses and lens do not fit together"
    gain = unmoved.error - agreement.error
    if gain >= _LEAST_GAIN and unmoved.error > agreement.error / _BETTER:
        return "holds", ""
    if -gain >= _LEAST_GAIN and agreement.error > unmoved.error / _BETTER:
        return "fails", "frames agree better if the camera is held still: poses of other frames?"
    if hint:
        return "fails", "another reading of poses, lens or depth fits much better"
    return "cannot tell", "the camera moves too little to tell"


def _by(verdict: Verdict, good: bool) -> Verdict:
    return "fails" if not good and verdict == "fails" else verdict if good else "cannot tell"


def _colors(agreement: Agreement) -> Finding:
    """The second sign: pictures carried along are more alike than pictures left in place."""
    name, unit = "colours from frame to frame", "/255"
    value, unmoved = 255 * agreement.color_error, 255 * agreement.color_error_unmoved
    limit = f"below {unmoved:.3g}"
    if math.isnan(value):
        return Finding(name, "cannot tell", "no pixel can be compared")
    words = f"median difference; {unmoved:.3g} where nothing is carried"
    if agreement.color_error_unmoved < _MOVES_COLORS:
        return Finding(name, "cannot tell", "pictures hardly change", value, limit, unit)
    verdict: Verdict = (
        "holds" if value < 0.8 * unmoved else "fails" if value > 1.1 * unmoved else "cannot tell"
    )
    return Finding(name, verdict, words, value, limit, unit)


def _without_motion(recording: Recording) -> Recording:
    """As if the camera stood still."""
    if recording.cameras is None:
        return recording
    poses = torch.eye(4).to(recording.cameras.camera_to_world).expand_as(recording.cameras.camera_to_world)
    return replace(recording, cameras=replace(recording.cameras, camera_to_world=poses))
